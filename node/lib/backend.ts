// The store's port towards the state machines: named buckets of byte keys and byte values.
// Two halves: `Backend`, what mvcc, lease, auth and membership read and write, always at its latest state; and
// `Engine`, what a storage adapter (LMDB, memory) provides below it. The overlay (mvcc/overlay.ts) turns the
// second into the first.

/** etcd's buckets, in etcd's spelling, then our own indexes, which are outside hashes and snapshots. */
export const etcdBuckets = [
  "key",
  "meta",
  "lease",
  "alarm",
  "auth",
  "authUsers",
  "authRoles",
  "cluster",
  "members",
  "members_removed",
] as const;
export const ownBuckets = ["index", "index_chunks", "index_history", "lease_keys"] as const;
export const buckets = [...etcdBuckets, ...ownBuckets] as const;

export type Bucket = (typeof buckets)[number];

/** Keys in [start, end), ascending unless `reverse`. No `end` means up to the last key. */
export interface KeyRange {
  readonly start: Uint8Array;
  readonly end?: Uint8Array;
  readonly reverse?: boolean;
}

/**
 * A position in a bucket. Starts before the first record. Valid only until control returns to the event loop
 * and only as long as nothing is written; long work seeks again in every slice.
 */
export interface Cursor {
  /** Moves to the next record of the range; false at its end. */
  next(): boolean;
  /** The current record; both may be kept by the caller and must not be changed. */
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  close(): void;
}

export interface BackendReader {
  /**
   * The stored value, or undefined. It may be kept by the caller and must not be changed. The key must not be changed
   * later either.
   */
  get(bucket: Bucket, key: Uint8Array): Uint8Array | undefined;
  cursor(bucket: Bucket, range: KeyRange): Cursor;
}

/** Writes are visible to reads at once and become durable with a later flush. Keys and values are copied. */
export interface Backend extends BackendReader {
  put(bucket: Bucket, key: Uint8Array, value: Uint8Array): void;
  /** As `put`: the value is what the caller writes into the returned bytes, all of them and at once. */
  reserve(bucket: Bucket, key: Uint8Array, valueBytes: number): Uint8Array;
  delete(bucket: Bucket, key: Uint8Array): void;
}

export interface EngineOperation {
  readonly bucket: Bucket;
  readonly key: Uint8Array;
  /** Undefined deletes the key. */
  readonly value: Uint8Array | undefined;
}

/** Grouped by bucket and in key order within a bucket, each key once. */
export interface FlushBatch extends Iterable<EngineOperation> {
  /**
   * All operations in the form of `arena.ts`, from one who holds them so: in `spare`, where they fit into it, or in a
   * buffer of their own, which belongs to the caller.
   */
  pack?(spare?: ArrayBuffer): Uint8Array<ArrayBuffer>;
}

export interface EngineSize {
  /** Bytes of the store's file, less what an empty store of this kind takes. */
  readonly sizeBytes: number;
  /** Bytes of that holding data. */
  readonly sizeInUseBytes: number;
}

/**
 * A whole store that was built beside the live one and is durable: a snapshot received from another member. It belongs
 * to the kind of engine that it was built for. One of `Engine.install` and `discard` ends it.
 */
export interface StoreGeneration {
  /**
   * Makes it durable that the store is to be this one as soon as the log holds the snapshot of this index: a crash
   * from here on ends with the one or the other, and never with a store that the log has left behind.
   */
  announce(index: number): void;
  discard(): void;
}

/** How a defragmentation ended. The store holds the same records in every case. */
export type DefragmentOutcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: "underWay" }
  /** The store was replaced or closed meanwhile. */
  | { readonly ok: false; readonly reason: "interrupted" }
  | {
      readonly ok: false;
      readonly reason: "noSpace";
      readonly neededBytes: number;
      readonly availableBytes: number;
    }
  | { readonly ok: false; readonly reason: "failed"; readonly text: string };

/** A storage adapter. Reads see the newest finished flush. */
export interface Engine extends BackendReader {
  /**
   * Applies every operation as one fully synced transaction, or none. At most one flush is under way.
   * `done` runs after it is durable and visible to reads; it never runs when the engine failed: the
   * adapter then reports a FatalError through its own `onFatal`.
   */
  flush(operations: FlushBatch, done: () => void): void;
  size(): EngineSize;
  /** All reads from now on see the generation, and so do later flushes. It is durable. Not while a flush is under way. */
  install(generation: StoreGeneration): void;
  /**
   * Writes the store anew without the free space in its file. Reads and flushes go on meanwhile; what is flushed until
   * then is in the new file too. `done` runs once, when the new file is the store or nothing has changed.
   */
  defragment(done: (outcome: DefragmentOutcome) => void): void;
  /** Waits for a flush that is under way, then closes. `done` runs when the files are closed. */
  close(done: () => void): void;
}
