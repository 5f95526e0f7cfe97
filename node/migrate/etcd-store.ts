// The store of a real etcd in a data directory, `member/snap/db`, as far as the decision goes whether it can be taken
// over: where it stands in the log, and what a member of this version could not serve as it is meant.

import type { Bucket } from "../lib/backend.ts";
import { textOf } from "../lib/bytes.ts";
import { FatalError } from "../lib/fatal.ts";
import { compatibleVersion, storageVersion } from "../lib/version.ts";
import { counterOf, decodeConfState } from "../replica/durable-state.ts";
import { BoltReader } from "../storage/bbolt/reader.ts";
import { StoredSnapshot } from "../storage/bbolt/snapshot-file.ts";
import type { Disk } from "../storage/disk.ts";
import type { ConfState } from "../wire/raft.ts";

export interface EtcdStore {
  readonly path: string;
  /** The last entry applied; 0 in a store that nothing was applied to. */
  readonly index: number;
  /** Undefined when etcd 3.4 or older wrote it last. */
  readonly term: number | undefined;
  /** Undefined when etcd 3.4 or older wrote it last. */
  readonly confState: ConfState | undefined;
  /** "3.6.0"; undefined up to etcd 3.5. */
  readonly storageVersion: string | undefined;
  /** Undefined before the cluster decided it. */
  readonly clusterVersion: string | undefined;
  readonly isAuthEnabled: boolean;
}

/** Where etcd keeps its store, below the folder `member`. */
export function etcdStorePath(memberPath: string): string {
  return `${memberPath}/snap/db`;
}

/** Throws what the disk throws, BoltError, or an Error for a counter that is none. */
export function readEtcdStore(disk: Disk, path: string): EtcdStore {
  return withBolt(disk, path, (reader) => {
    const meta = recordsOf(reader, "meta");
    const index = meta.get("consistent_index");
    const term = meta.get("term");
    const confState = meta.get("confState");
    const version = meta.get("storageVersion");
    const clusterVersion = recordsOf(reader, "cluster").get("clusterVersion");
    return {
      path,
      index: index === undefined ? 0 : counterOf(index),
      term: term === undefined ? undefined : counterOf(term),
      confState: confState === undefined ? undefined : decodeConfState(textOf(confState)),
      storageVersion: version === undefined ? undefined : textOf(version),
      clusterVersion: clusterVersion === undefined ? undefined : textOf(clusterVersion),
      isAuthEnabled: recordsOf(reader, "auth").get("authEnabled")?.[0] === 1,
    };
  });
}

/** Opens the file for as long as `read` takes. */
export function withBolt<T>(disk: Disk, path: string, read: (reader: BoltReader) => T): T {
  const file = new StoredSnapshot(disk, path);
  try {
    return read(new BoltReader(file));
  } finally {
    file.close();
  }
}

/** By name. Only for buckets that are small. */
export function recordsOf(reader: BoltReader, bucket: Bucket): ReadonlyMap<string, Uint8Array> {
  return new Map([...reader.records(bucket)].map(({ key, value }) => [textOf(key), value]));
}

/** Throws FatalError UNKNOWN_ENTRY: the data are sound, and another version of this program may serve them. */
export function checkTakeover(store: EtcdStore): void {
  const { path, isAuthEnabled } = store;
  const newer = [
    isAbove(store.storageVersion, storageVersion) ? `storage version ${store.storageVersion}` : undefined,
    isAbove(store.clusterVersion, compatibleVersion) ? `cluster version ${store.clusterVersion}` : undefined,
  ].filter((text) => text !== undefined);
  if (newer.length > 0) {
    const target = compatibleVersion.split(".").slice(0, 2).join(".");
    throw new FatalError(
      "UNKNOWN_ENTRY",
      `${path} has ${newer.join(" and ")}, this version takes over what is at ${target}: start the etcd it came ` +
        `from again, run "etcdctl downgrade enable ${target}", and come back when its cluster version is ${target}`,
      { file: path },
    );
  }
  if (isAuthEnabled) {
    throw new FatalError(
      "UNKNOWN_ENTRY",
      `${path} has auth enabled, which is not implemented yet: it is never served without`,
      { file: path },
    );
  }
}

/** Major and minor alone count. */
function isAbove(version: string | undefined, own: string): boolean {
  if (version === undefined) return false;
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [ownMajor = 0, ownMinor = 0] = own.split(".").map(Number);
  return major > ownMajor || (major === ownMajor && minor > ownMinor);
}
