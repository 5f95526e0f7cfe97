// The write buffer over a storage engine: applied changes are visible here at once and reach the engine in whole
// flushes. Up to three layers answer a read, the newer one first: active, flushing, engine. It decides nothing
// about when to flush; it counts, and the driver decides. Pure and synchronous. Tested against a plain map with
// flushes at random points.

import { assert, must } from "../lib/assert.ts";
import type { Backend, Bucket, Cursor, Engine, KeyRange } from "../lib/backend.ts";
import { compareBytes } from "../lib/bytes.ts";
import { type ChangesCursor, Layer } from "./layer.ts";

export class Overlay implements Backend {
  readonly #engine: Engine;
  #active = new Layer();
  #flushing: Layer | undefined;
  /** The flushing layer was handed to the engine. */
  #isSubmitted = false;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Bytes that the active layer holds, bookkeeping included. */
  get activeBytes(): number {
    return this.#active.bytes;
  }

  get flushingBytes(): number {
    return this.#flushing?.bytes ?? 0;
  }

  get isFlushing(): boolean {
    return this.#flushing !== undefined;
  }

  get(bucket: Bucket, key: Uint8Array): Uint8Array | undefined {
    const active = this.#active.changes(bucket);
    let position = active.isEmpty ? -1 : active.find(key);
    if (position >= 0) return active.arena.isDelete(position) ? undefined : active.arena.valueAt(position);
    const flushing = this.#flushing?.changes(bucket);
    if (flushing !== undefined && !flushing.isEmpty) {
      position = flushing.find(key);
      if (position >= 0) {
        return flushing.arena.isDelete(position) ? undefined : flushing.arena.valueAt(position);
      }
    }
    return this.#engine.get(bucket, key);
  }

  cursor(bucket: Bucket, range: KeyRange): Cursor {
    const lower = this.#engine.cursor(bucket, range);
    return layered(this.#active, bucket, range, layered(this.#flushing, bucket, range, lower));
  }

  put(bucket: Bucket, key: Uint8Array, value: Uint8Array): void {
    this.#active.put(bucket, key, value);
  }

  reserve(bucket: Bucket, key: Uint8Array, valueBytes: number): Uint8Array {
    return this.#active.reserve(bucket, key, valueBytes);
  }

  delete(bucket: Bucket, key: Uint8Array): void {
    this.#active.delete(bucket, key);
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
    this.#engine.flush(layer, () => {
      assert(this.#flushing === layer, "the flush that finished is the one under way");
      // The engine's reads have seen the flush since just before this call, so no read falls between the two.
      this.#flushing = undefined;
      this.#isSubmitted = false;
      done();
    });
  }
}

/** The lower cursor as seen through a layer; the lower one itself when the layer has nothing in the range. */
function layered(layer: Layer | undefined, bucket: Bucket, range: KeyRange, lower: Cursor): Cursor {
  const changes = layer?.changes(bucket);
  if (changes === undefined || changes.isEmpty) return lower;
  const upper = changes.cursor(range);
  return upper.next() ? new LayeredCursor(upper, lower, range.reverse ?? false) : lower;
}

/** Merges two cursors of one range and direction; at equal keys the upper one wins, and its null hides the key. */
class LayeredCursor implements Cursor {
  readonly #upper: ChangesCursor;
  readonly #lower: Cursor;
  readonly #direction: 1 | -1;
  /** Whether each side stands on a record not yet passed. */
  #hasUpper = true;
  #hasLower: boolean;
  #isOnUpper = false;
  #isStarted = false;

  /** The upper cursor stands on its first record, the lower one before its first. */
  constructor(upper: ChangesCursor, lower: Cursor, reverse: boolean) {
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
