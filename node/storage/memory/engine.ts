// A storage engine in memory: for tests, throw-away members and the simulator. It knows nothing of disks; whoever
// makes it decides when a flush is finished, and can take what would be left after a crash at any moment.

import { assert } from "../../lib/assert.ts";
import {
  type Bucket,
  buckets,
  type Cursor,
  type DefragmentOutcome,
  type Engine,
  type EngineOperation,
  type EngineSize,
  type FlushBatch,
  type KeyRange,
  type StoreGeneration,
} from "../../lib/backend.ts";
import { bytesOfSortKey, type SortedCursor, SortedMap, sortKeyOf } from "../../lib/sorted-map.ts";

/** What is durable: the state after some flush. Later flushes of the engine it came from leave it alone. */
export interface MemoryImage {
  readonly records: ReadonlyMap<Bucket, SortedMap<Uint8Array>>;
  readonly size: EngineSize;
}

export interface MemoryEngineOptions {
  /** Where to start; empty by default. */
  readonly image?: MemoryImage;
  /** Receives the function that finishes a flush or a close, to call it once. By default it is called at once. */
  readonly complete?: (finish: () => void) => void;
}

export class MemoryEngine implements Engine {
  #records = new Map<Bucket, SortedMap<Uint8Array>>();
  #sizeBytes = 0;
  #sizeInUseBytes = 0;
  readonly #complete: (finish: () => void) => void;
  #underWay: readonly EngineOperation[] | undefined;
  #onIdle: (() => void) | undefined;
  #isClosed = false;
  #defragmenting: object | undefined;

  constructor(options: MemoryEngineOptions = {}) {
    this.#complete = options.complete ?? ((finish) => finish());
    for (const bucket of buckets) {
      this.#records.set(bucket, options.image?.records.get(bucket)?.snapshot() ?? new SortedMap());
    }
    this.#sizeBytes = options.image?.size.sizeBytes ?? 0;
    this.#sizeInUseBytes = options.image?.size.sizeInUseBytes ?? 0;
  }

  get(bucket: Bucket, key: Uint8Array): Uint8Array | undefined {
    return this.#map(bucket).get(sortKeyOf(key));
  }

  cursor(bucket: Bucket, range: KeyRange): Cursor {
    return new MemoryCursor(this.#map(bucket), range);
  }

  flush(operations: FlushBatch, done: () => void): void {
    assert(!this.#isClosed, "the engine is open");
    assert(this.#underWay === undefined, "one flush at a time");
    const batch = [...operations];
    assertOrder(batch);
    this.#underWay = batch;
    this.#complete(() => {
      assert(this.#underWay === batch, "a flush finishes once");
      this.#apply(batch);
      this.#underWay = undefined;
      done();
      this.#onIdle?.();
    });
  }

  install(generation: StoreGeneration): void {
    assert(generation instanceof MemoryGeneration, "the generation is of this kind of engine");
    assert(this.#underWay === undefined, "no flush is under way");
    this.#defragmenting = undefined;
    const { records, size } = generation.image;
    for (const bucket of buckets)
      this.#records.set(bucket, records.get(bucket)?.snapshot() ?? new SortedMap());
    this.#sizeBytes = size.sizeBytes;
    this.#sizeInUseBytes = size.sizeInUseBytes;
  }

  /** There is nothing to write anew: only the size changes. */
  defragment(done: (outcome: DefragmentOutcome) => void): void {
    assert(!this.#isClosed, "the engine is open");
    if (this.#defragmenting !== undefined) {
      done({ ok: false, reason: "underWay" });
      return;
    }
    const started = {};
    this.#defragmenting = started;
    this.#complete(() => {
      if (this.#defragmenting !== started || this.#isClosed) {
        done({ ok: false, reason: "interrupted" });
        return;
      }
      this.#defragmenting = undefined;
      this.#sizeBytes = this.#sizeInUseBytes;
      done({ ok: true });
    });
  }

  /** High-water mark and present sum of key and value bytes: like a file, `sizeBytes` shrinks only by defragmentation. */
  size(): EngineSize {
    return { sizeBytes: this.#sizeBytes, sizeInUseBytes: this.#sizeInUseBytes };
  }

  close(done: () => void): void {
    assert(!this.#isClosed, "the engine is closed once");
    this.#isClosed = true;
    if (this.#underWay === undefined) this.#complete(done);
    else this.#onIdle = done;
  }

  /** Whether a flush is under way. */
  get isFlushing(): boolean {
    return this.#underWay !== undefined;
  }

  /** What a crash now leaves when the flush under way, if any, did not reach the disk. */
  image(): MemoryImage {
    const records = new Map<Bucket, SortedMap<Uint8Array>>();
    for (const [bucket, map] of this.#records) records.set(bucket, map.snapshot());
    return { records, size: this.size() };
  }

  /** What a crash now leaves when the flush under way reached the disk and only its completion was lost. */
  imageWithFlushUnderWay(): MemoryImage {
    if (this.#underWay === undefined) return this.image();
    const copy = new MemoryEngine({ image: this.image() });
    copy.#apply(this.#underWay);
    return copy.image();
  }

  #apply(batch: readonly EngineOperation[]): void {
    for (const { bucket, key, value } of batch) {
      const map = this.#map(bucket);
      const sortKey = sortKeyOf(key);
      const before = value === undefined ? map.delete(sortKey) : map.set(sortKey, value);
      if (before !== undefined) this.#sizeInUseBytes -= key.length + before.length;
      if (value !== undefined) this.#sizeInUseBytes += key.length + value.length;
    }
    this.#sizeBytes = Math.max(this.#sizeBytes, this.#sizeInUseBytes);
  }

  #map(bucket: Bucket): SortedMap<Uint8Array> {
    const map = this.#records.get(bucket);
    assert(map !== undefined, "the bucket is known", { bucket });
    return map;
  }
}

/** A whole store in memory, ready to be installed. */
export class MemoryGeneration implements StoreGeneration {
  readonly image: MemoryImage;
  readonly #onAnnounced: (index: number) => void;

  /** `onAnnounced`: from here on a crash may leave this image; whoever simulates one decides. */
  constructor(image: MemoryImage, onAnnounced: (index: number) => void = () => {}) {
    this.image = image;
    this.#onAnnounced = onAnnounced;
  }

  announce(index: number): void {
    this.#onAnnounced(index);
  }

  discard(): void {}
}

class MemoryCursor implements Cursor {
  readonly #cursor: SortedCursor<Uint8Array>;
  #key: Uint8Array | undefined;

  constructor(map: SortedMap<Uint8Array>, range: KeyRange) {
    this.#cursor = map.cursor({
      start: sortKeyOf(range.start),
      end: range.end === undefined ? undefined : sortKeyOf(range.end),
      reverse: range.reverse ?? false,
    });
  }

  next(): boolean {
    this.#key = undefined;
    return this.#cursor.next();
  }

  get key(): Uint8Array {
    this.#key ??= bytesOfSortKey(this.#cursor.sortKey);
    return this.#key;
  }

  get value(): Uint8Array {
    return this.#cursor.value;
  }

  close(): void {}
}

/** The engine port's rule, held here so that every test of a caller checks it. */
function assertOrder(batch: readonly EngineOperation[]): void {
  const finished = new Set<Bucket>();
  let previous: EngineOperation | undefined;
  for (const operation of batch) {
    if (previous !== undefined && previous.bucket === operation.bucket) {
      assert(sortKeyOf(previous.key) < sortKeyOf(operation.key), "keys ascend within a bucket");
    } else {
      if (previous !== undefined) finished.add(previous.bucket);
      assert(!finished.has(operation.bucket), "operations are grouped by bucket", {
        bucket: operation.bucket,
      });
    }
    previous = operation;
  }
}
