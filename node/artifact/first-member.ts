// The data directory of a new cluster's first member from a snapshot file, wherever the file comes from. This runs before
// the member at each start of its Pod, so it has to know when there is nothing to do: data that is there is never touched.

import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { restoreSnapshot } from "../cli/snapshot-restore.ts";
import type { Logger } from "../lib/log.ts";
import { restoringPath } from "../storage/data-dir.ts";
import type { Digest } from "./digest.ts";

export interface FirstMemberOptions {
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

export interface SnapshotFile {
  readonly path: string;
  readonly digest: Digest;
  /** The file need not end in a checksum of its own. */
  readonly skipHashCheck: boolean;
}

export type Bootstrapped =
  | { readonly restored: true; readonly sizeBytes: number; readonly sha256: string }
  | { readonly restored: false; readonly reason: "ClusterExists" | "DataExists" };

/**
 * `obtain` makes the file in the folder that it is given, which is gone afterwards.
 * Rejects with an Error that says why not, and the data directory is empty then.
 */
export async function formFirstMember(
  options: FirstMemberOptions,
  obtain: (folder: string) => Promise<SnapshotFile>,
): Promise<Bootstrapped> {
  const { dataDir, name, peerUrl, clusterToken, bumpRevision, log } = options;
  // A formed cluster whose first disk was lost must not come to life again with old data.
  if (options.clusterState !== "new") return { restored: false, reason: "ClusterExists" };
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  // Beside the data directory, in the same volume: the file does not fit into memory.
  const folder = join(dataDir, "..", "first-member");
  await rm(folder, { recursive: true, force: true });
  await rm(restoringPath(dataDir), { recursive: true, force: true });
  if ((await readdir(dataDir)).length > 0) return { restored: false, reason: "DataExists" };
  try {
    await mkdir(folder, { mode: 0o700 });
    const { path, digest, skipHashCheck } = await obtain(folder);
    await restoreSnapshot({
      path,
      name,
      dataDir,
      walDir: undefined,
      initialCluster: [{ name, url: peerUrl }],
      initialClusterToken: clusterToken,
      initialAdvertisePeerUrls: [peerUrl],
      skipHashCheck,
      bumpRevision,
      log,
    });
    return { restored: true, ...digest };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
