// The data directory of a new cluster's first member from an artifact. It runs before the member at each start of its Pod,
// so it has to know when there is nothing to do: data that is there is never touched.

import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { restoreSnapshot } from "../cli/snapshot-restore.ts";
import type { Logger } from "../lib/log.ts";
import { restoringPath } from "../storage/data-dir.ts";
import type { ArtifactStore } from "./store.ts";
import { digestFault, fetchTo, mayLackSum } from "./verify.ts";

export interface BootstrapOptions {
  readonly store: ArtifactStore;
  /** Lower-case hexadecimal; undefined when it is not known. */
  readonly sha256: string | undefined;
  readonly dataDir: string;
  readonly name: string;
  readonly peerUrl: string;
  readonly clusterToken: string;
  /** "new", or "existing" for a member of a cluster that is formed. */
  readonly clusterState: string;
  /** Zero: the revision stays. Otherwise everything up to the new one is compacted. */
  readonly bumpRevision: number;
  readonly log: Logger;
}

export type Bootstrapped =
  | { readonly restored: true; readonly sizeBytes: number; readonly sha256: string }
  | { readonly restored: false; readonly reason: "ClusterExists" | "DataExists" };

/** Rejects with an Error that says why not, and the data directory is empty then. */
export async function bootstrap(options: BootstrapOptions): Promise<Bootstrapped> {
  const { dataDir, name, peerUrl, log } = options;
  // A formed cluster whose first disk was lost must not come to life again with old data.
  if (options.clusterState !== "new") return { restored: false, reason: "ClusterExists" };
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  // Beside the data directory, in the same volume: the file does not fit into memory.
  const file = join(dataDir, "..", "artifact.db");
  await rm(file, { force: true });
  await rm(restoringPath(dataDir), { recursive: true, force: true });
  if ((await readdir(dataDir)).length > 0) return { restored: false, reason: "DataExists" };
  try {
    const digest = await fetchTo(options.store, file);
    const fault = digestFault(digest, options.sha256);
    if (fault !== undefined) throw new Error(`the artifact is refused: ${fault.message}`);
    await restoreSnapshot({
      path: file,
      name,
      dataDir,
      walDir: undefined,
      initialCluster: [{ name, url: peerUrl }],
      initialClusterToken: options.clusterToken,
      initialAdvertisePeerUrls: [peerUrl],
      skipHashCheck: mayLackSum(file, options.sha256 !== undefined),
      bumpRevision: options.bumpRevision,
      log,
    });
    return { restored: true, ...digest };
  } finally {
    await rm(file, { force: true });
  }
}
