// The write buffer over a storage engine: applied changes are visible here at once and reach the engine in whole
// flushes. Up to three layers answer a read, the newer one first: active, flushing, engine. It decides nothing
// about when to flush; it counts, and the driver decides. Pure and synchronous. Tested against a plain map with
// flushes at random points.

import { assert, must } from "../lib/assert.ts";
import {
  type Backend,
  type Bucket,
  buckets,
  type Cursor,
  type Engine,
  type EngineOperation,
  type KeyRange,
} from "../lib/backend.ts";
import { compareBytes } from "../lib/bytes.ts";
import { type SortedCursor, SortedMap, type SortKey, sortKeyOf } from "../lib/sorted-map.ts";

/** Null marks a key that was deleted: it hides the layers below. */
type LayerValue = Uint8Array | null;

/** What an operation costs in memory besides its bytes, roughly: sort key, array slots, object headers. */
const operationOverheadBytes = 128;

export class Overlay implements Backend {
  readonly #engine: Engine;
  #active = new Layer();
  #flushing: Layer | undefined;
  /** The flushing layer was handed to the engine. */
  #isSubmitted = false;
  /** Keys given here do not change, so their sort key does not. */
  #lastReadKey: Uint8Array | undefined;
  #lastReadSortKey: SortKey = "";

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Bytes that the active layer holds, bookkeeping included. */
  get activeBytes(): number {
    return this.#active.bytes;
  }

  /** Distinct keys that were put or deleted since the last flush began. */
  get activeOperations(): number {
    return this.#active.operations;
  }

  get flushingBytes(): number {
    return this.#flushing?.bytes ?? 0;
  }

  get isFlushing(): boolean {
    return this.#flushing !== undefined;
  }

  get(bucket: Bucket, key: Uint8Array): Uint8Array | undefined {
    const active = this.#active.records(bucket);
    const flushing = this.#flushing?.records(bucket);
    if (active.size > 0 || (flushing !== undefined && flushing.size > 0)) {
      const sortKey = sortKeyOf(key);
      this.#lastReadKey = key;
      this.#lastReadSortKey = sortKey;
      let found = active.get(sortKey);
      if (found === undefined) found = flushing?.get(sortKey);
      if (found !== undefined) return found ?? undefined;
    }
    return this.#engine.get(bucket, key);
  }

  cursor(bucket: Bucket, range: KeyRange): Cursor {
    const lower = this.#engine.cursor(bucket, range);
    return layered(this.#active, bucket, range, layered(this.#flushing, bucket, range, lower));
  }

  put(bucket: Bucket, key: Uint8Array, value: Uint8Array): void {
    this.#active.set(bucket, this.#sortKeyToWrite(key), key, value);
  }

  delete(bucket: Bucket, key: Uint8Array): void {
    this.#active.set(bucket, this.#sortKeyToWrite(key), key, null);
  }

  /** Hot: what was looked up last is often written next, under the same key object. */
  #sortKeyToWrite(key: Uint8Array): SortKey {
    return key === this.#lastReadKey ? this.#lastReadSortKey : sortKeyOf(key);
  }

  /** Forgets everything that is not in the engine, whose store was replaced. Not while a flush is under way. */
  reset(): void {
    assert(this.#flushing === undefined, "no flush is under way");
    this.#active = new Layer();
  }

  /** Closes the active layer: the next flush is what was written up to here. At most one layer is cut and not flushed. */
  cut(): void {
    assert(this.#flushing === undefined, "one flush at a time");
    this.#flushing = this.#active;
    this.#active = new Layer();
  }

  /**
   * Hands the layer that was cut to the engine, or everything written so far when none was. Later writes go to a
   * new layer. `done` runs when the flush is durable. Not while another flush is under way.
   */
  flush(done: () => void): void {
    assert(!this.#isSubmitted, "one flush at a time");
    if (this.#flushing === undefined) this.cut();
    const layer = must(this.#flushing, "a layer was cut");
    this.#isSubmitted = true;
    this.#engine.flush(layer.all(), () => {
      assert(this.#flushing === layer, "the flush that finished is the one under way");
      // The engine's reads have seen the flush since just before this call, so no read falls between the two.
      this.#flushing = undefined;
      this.#isSubmitted = false;
      done();
    });
  }
}

/** One generation of changes: the newest value of every key changed. */
class Layer {
  readonly #maps = new Map<Bucket, SortedMap<LayerValue>>(buckets.map((bucket) => [bucket, new SortedMap()]));
  #bytes = 0;
  #operations = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get operations(): number {
    return this.#operations;
  }

  records(bucket: Bucket): SortedMap<LayerValue> {
    const map = this.#maps.get(bucket);
    assert(map !== undefined, "the bucket is known", { bucket });
    return map;
  }

  set(bucket: Bucket, sortKey: SortKey, key: Uint8Array, value: LayerValue): void {
    const before = this.records(bucket).set(sortKey, key, value);
    if (before === undefined) {
      this.#operations++;
      this.#bytes += operationOverheadBytes + key.length;
    } else {
      this.#bytes -= before?.length ?? 0;
    }
    this.#bytes += value?.length ?? 0;
  }

  /** Every change, grouped by bucket, in key order. */
  *all(): Generator<EngineOperation> {
    for (const [bucket, map] of this.#maps) {
      const cursor = map.cursor({ start: "", end: undefined, reverse: false });
      while (cursor.next()) yield { bucket, key: cursor.key, value: cursor.value ?? undefined };
    }
  }
}

/** The lower cursor as seen through a layer; the lower one itself when the layer has nothing in the range. */
function layered(layer: Layer | undefined, bucket: Bucket, range: KeyRange, lower: Cursor): Cursor {
  const records = layer?.records(bucket);
  if (records === undefined || records.size === 0) return lower;
  const upper = records.cursor({
    start: sortKeyOf(range.start),
    end: range.end === undefined ? undefined : sortKeyOf(range.end),
    reverse: range.reverse ?? false,
  });
  return upper.next() ? new LayeredCursor(upper, lower, range.reverse ?? false) : lower;
}

/** Merges two cursors of one range and direction; at equal keys the upper one wins, and its null hides the key. */
class LayeredCursor implements Cursor {
  readonly #upper: SortedCursor<LayerValue>;
  readonly #lower: Cursor;
  readonly #direction: 1 | -1;
  /** Whether each side stands on a record not yet passed. */
  #hasUpper = true;
  #hasLower: boolean;
  #isOnUpper = false;
  #isStarted = false;

  /** The upper cursor stands on its first record, the lower one before its first. */
  constructor(upper: SortedCursor<LayerValue>, lower: Cursor, reverse: boolean) {
    this.#upper = upper;
    this.#lower = lower;
    this.#direction = reverse ? -1 : 1;
    this.#hasLower = lower.next();
  }

  next(): boolean {
    if (this.#isStarted) this.#pass();
    this.#isStarted = true;
    while (this.#hasUpper) {
      const order = this.#hasLower ? this.#direction * compareBytes(this.#upper.key, this.#lower.key) : -1;
      this.#isOnUpper = order <= 0;
      if (order > 0) return true;
      if (order === 0) this.#hasLower = this.#lower.next();
      if (this.#upper.value !== null) return true;
      this.#hasUpper = this.#upper.next();
    }
    this.#isOnUpper = false;
    return this.#hasLower;
  }

  get key(): Uint8Array {
    return this.#isOnUpper ? this.#upper.key : this.#lower.key;
  }

  get value(): Uint8Array {
    if (!this.#isOnUpper) return this.#lower.value;
    const value = this.#upper.value;
    assert(value !== null, "a cursor never stands on a deleted key");
    return value;
  }

  close(): void {
    this.#lower.close();
  }

  #pass(): void {
    if (this.#isOnUpper) this.#hasUpper = this.#upper.next();
    else if (this.#hasLower) this.#hasLower = this.#lower.next();
  }
}
