// Everything that a snapshot of the member holds, as it is between two entries: etcd's buckets with index, term and
// configuration of that very moment. The small buckets are copied at once. Of the bucket `key` nothing at or below
// the current revision ever changes while compactions are held back, so its records are read later, in slices,
// while new ones are written behind them.

import { type BackendReader, type Bucket, etcdBuckets } from "../lib/backend.ts";
import { compareBytes, emptyBytes, textOf, utf8 } from "../lib/bytes.ts";
import { storageVersion } from "../lib/version.ts";
import { compareVersions, versionOf } from "../membership/cluster-version.ts";
import type { SliceLimits } from "../mvcc/range.ts";
import { mainOf, type Revision, recordKey, subOf } from "../mvcc/revision.ts";
import type { Store } from "../mvcc/store.ts";
import { writeDurableState } from "./durable-state.ts";
import type { AppliedState } from "./snapshotter.ts";

export interface SnapshotRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Records of one bucket, in order. The slices of a bucket follow each other, and every bucket has one at least. */
export interface SnapshotSlice {
  readonly bucket: Bucket;
  readonly records: readonly SnapshotRecord[];
}

/** By byte order of their names, which is how a snapshot file keeps them. */
const bucketsByName = [...etcdBuckets].sort((a, b) => compareBytes(utf8(a), utf8(b)));

export class SnapshotSource {
  /** Where the member stood: index, term, configuration, members. */
  readonly state: AppliedState;
  readonly revision: Revision;
  readonly #reader: BackendReader;
  readonly #small: ReadonlyMap<Bucket, readonly SnapshotRecord[]>;
  readonly #end: Uint8Array;
  readonly #release: () => void;
  #bucketNumber = 0;
  #next: Uint8Array = emptyBytes;

  /** Called between two entries. */
  constructor(reader: BackendReader, store: Store, state: AppliedState) {
    this.state = state;
    this.revision = store.currentRevision;
    this.#reader = reader;
    this.#end = recordKey(this.revision + 1, 0, false);
    this.#release = store.holdRemovals();
    this.#small = new Map(
      bucketsByName
        .filter((bucket) => bucket !== "key")
        .map((bucket) => [bucket, bucket === "meta" ? metaOf(reader, state) : copyOf(reader, bucket)]),
    );
  }

  /** The next slice; undefined behind the last. */
  next(limits: SliceLimits): SnapshotSlice | undefined {
    const bucket = bucketsByName[this.#bucketNumber];
    if (bucket === undefined) return undefined;
    const small = this.#small.get(bucket);
    if (small === undefined) return { bucket, records: this.#keySlice(limits) };
    this.#bucketNumber++;
    return { bucket, records: small };
  }

  /** Lets compactions go on. */
  close(): void {
    this.#release();
  }

  #keySlice({ recordsMax, bytesMax }: SliceLimits): readonly SnapshotRecord[] {
    const cursor = this.#reader.cursor("key", { start: this.#next, end: this.#end });
    const records: SnapshotRecord[] = [];
    let bytesLeft = bytesMax;
    while (records.length < recordsMax && bytesLeft > 0) {
      if (!cursor.next()) {
        this.#bucketNumber++;
        break;
      }
      const { key, value } = cursor;
      bytesLeft -= key.length + value.length;
      records.push({ key, value });
      this.#next = recordKey(mainOf(key), subOf(key) + 1, false);
    }
    cursor.close();
    return records;
  }
}

function copyOf(reader: BackendReader, bucket: Bucket): readonly SnapshotRecord[] {
  const cursor = reader.cursor(bucket, { start: emptyBytes });
  const records: SnapshotRecord[] = [];
  while (cursor.next()) records.push({ key: cursor.key, value: cursor.value });
  cursor.close();
  return records;
}

/** The layout of 3.6 is the first that is noted. */
const noting = versionOf(storageVersion);

/** The stored index, term and configuration are those of the last flush; the snapshot's are those of now. */
function metaOf(reader: BackendReader, state: AppliedState): readonly SnapshotRecord[] {
  const records = new Map(copyOf(reader, "meta").map((record) => [textOf(record.key), record]));
  const put = (key: Uint8Array, value: Uint8Array): void => {
    records.set(textOf(key), { key, value });
  };
  // A store of a cluster that went down to 3.5 has no note of its layout.
  const { clusterVersion } = state;
  const isOlder = clusterVersion !== undefined && compareVersions(versionOf(clusterVersion), noting) < 0;
  if (!isOlder) put(utf8("storageVersion"), utf8(storageVersion));
  writeDurableState({ put: (_bucket, key, value) => put(key, value) }, state);
  return [...records.values()].sort((a, b) => compareBytes(a.key, b.key));
}
