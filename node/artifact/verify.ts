// Proves that an artifact can be restored: it is fetched, its sum compared, a store made from it, and that store's
// content compared with what is known of it.

import { createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { restoreSnapshot } from "../cli/snapshot-restore.ts";
import { snapshotStatus } from "../cli/snapshot-status.ts";
import type { Logger } from "../lib/log.ts";
import { StoredSnapshot } from "../storage/bbolt/snapshot-file.ts";
import { dataDirPaths } from "../storage/data-dir.ts";
import { nodeDisk } from "../storage/disk.ts";
import { type Digest, DigestOf } from "./digest.ts";
import type { HashAnswer } from "./member-client.ts";
import { hashOfStore } from "./scratch-store.ts";
import type { ArtifactStore } from "./store.ts";

/** What is known of the artifact from when it was written; what is undefined is not compared. */
export interface Expected {
  /** Lower-case hexadecimal. */
  readonly sha256: string | undefined;
  readonly revision: number | undefined;
  /** HashKV at that revision. */
  readonly hash: number | undefined;
}

export interface Content {
  readonly revision: number;
  /** -1 before the first compaction. */
  readonly compactRevision: number;
  /** HashKV at the revision. */
  readonly hash: number;
  readonly totalKeys: number;
  readonly storageVersion: string;
}

export type Verdict =
  | { readonly isSound: true; readonly digest: Digest; readonly content: Content }
  | { readonly isSound: false; readonly reason: Fault; readonly message: string };

/** `DigestDiffers`: other bytes than were written. `NotRestorable`: no member can be made from them. */
export type Fault = "DigestDiffers" | "NotRestorable" | "ContentDiffers";

export interface VerifyOptions {
  readonly store: ArtifactStore;
  readonly expected: Expected;
  /** Emptied before and after. */
  readonly scratchFolder: string;
  /** HashKV of a member of the cluster at a revision; undefined when none is asked, or none can tell any more. */
  readonly hashOfCluster: (revision: number) => Promise<HashAnswer | undefined>;
  readonly log: Logger;
}

/** Rejects with an Error when nothing can be said of the artifact, because it cannot be reached for example. */
export async function verify(options: VerifyOptions): Promise<Verdict> {
  const work = join(options.scratchFolder, "verify");
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  try {
    return await verifyIn(work, options);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function verifyIn(work: string, options: VerifyOptions): Promise<Verdict> {
  const { expected, log } = options;
  const file = join(work, "snapshot.db");
  const digest = await fetchTo(options.store, file);
  const differing = digestFault(digest, expected.sha256);
  if (differing !== undefined) return differing;
  const restored = await restoredContent(file, join(work, "data"), expected.sha256 !== undefined, log);
  if ("isSound" in restored) return restored;
  return (
    contentFault(restored, expected, await options.hashOfCluster(restored.revision)) ?? {
      isSound: true,
      digest,
      content: restored,
    }
  );
}

/** Rejects with the store's or the disk's error. */
export async function fetchTo(store: ArtifactStore, file: string): Promise<Digest> {
  const digest = new DigestOf();
  await pipeline(digest.through(store.read()), createWriteStream(file, { flags: "wx" }));
  return digest.result();
}

export function digestFault({ sha256 }: Digest, expected: string | undefined) {
  if (expected === undefined || sha256 === expected) return undefined;
  const message = `its bytes have the SHA-256 ${sha256}, expected ${expected}`;
  return { isSound: false, reason: "DigestDiffers", message } as const;
}

/** A file without a sum of its own, copied from a data directory, counts only if a sum is known from elsewhere. */
export function mayLackSum(file: string, isSumKnown: boolean): boolean {
  const stored = new StoredSnapshot(nodeDisk, file);
  const { hasDigest } = stored;
  stored.close();
  return !hasDigest && isSumKnown;
}

async function restoredContent(
  file: string,
  dataDir: string,
  isSumKnown: boolean,
  log: Logger,
): Promise<Content | (Verdict & { readonly isSound: false })> {
  const name = "verify";
  const url = "http://localhost:2380";
  try {
    await restoreSnapshot({
      path: file,
      name,
      dataDir,
      walDir: undefined,
      initialCluster: [{ name, url }],
      initialClusterToken: name,
      initialAdvertisePeerUrls: [url],
      skipHashCheck: mayLackSum(file, isSumKnown),
      bumpRevision: 0,
      log,
    });
    const { hash, hashRevision, compactRevision } = await hashOfStore(dataDirPaths(dataDir).member);
    const { totalKey, version } = snapshotStatus(file);
    return { revision: hashRevision, compactRevision, hash, totalKeys: totalKey, storageVersion: version };
  } catch (error) {
    // A full or failing disk says nothing about the artifact.
    if (!(error instanceof Error) || isSystemError(error)) throw error;
    return { isSound: false, reason: "NotRestorable", message: error.message };
  }
}

function isSystemError(error: Error): boolean {
  return (
    typeof (error as NodeJS.ErrnoException).syscall === "string" ||
    (error.cause instanceof Error && isSystemError(error.cause))
  );
}

function contentFault(content: Content, expected: Expected, cluster: HashAnswer | undefined) {
  const fault = (message: string) => ({ isSound: false, reason: "ContentDiffers", message }) as const;
  const { revision, hash, compactRevision } = content;
  if (expected.revision !== undefined && revision !== expected.revision) {
    return fault(`it holds revision ${revision}, expected ${expected.revision}`);
  }
  if (expected.hash !== undefined && hash !== expected.hash) {
    return fault(`its hash at revision ${revision} is ${hash}, expected ${expected.hash}`);
  }
  // Hashes after different compactions are of different records, and one right at a compaction is the compaction's.
  if (cluster?.compactRevision !== compactRevision || compactRevision === revision) return undefined;
  if (cluster.hash === hash) return undefined;
  return fault(`its hash at revision ${revision} is ${hash}, the cluster's is ${cluster.hash}`);
}
