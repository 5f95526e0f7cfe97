// One generation of the overlay's changes: the newest change of every key, as bytes in the form of a flush, and where
// each stands, in the order of the keys. Keys that come in ascending order, as revisions do, need nothing but a list;
// once one does not, the bucket's keys are kept as sort keys, except those that nobody asks for before the flush: they
// are only sorted for it. Tested with the overlay.

import { Arena } from "../lib/arena.ts";
import { assert } from "../lib/assert.ts";
import {
  type Bucket,
  buckets,
  type EngineOperation,
  type FlushBatch,
  type KeyRange,
} from "../lib/backend.ts";
import { emptyBytes } from "../lib/bytes.ts";
import { type SortedCursor, SortedMap, type SortKey, sortKeyOf } from "../lib/sorted-map.ts";

/** What a change costs in memory besides its bytes, roughly: header and room, sort key and array slots. */
const changeOverheadBytes = 64;

export class Layer implements FlushBatch {
  // A property of an object is found faster than an entry of a map: each write asks four times.
  readonly #changes = Object.fromEntries(buckets.map((bucket) => [bucket, new Changes(bucket)])) as Readonly<
    Record<Bucket, Changes>
  >;
  #bytes = 0;

  /** What was written, what was overwritten since included, and bookkeeping. */
  get bytes(): number {
    return this.#bytes;
  }

  changes(bucket: Bucket): Changes {
    return this.#changes[bucket];
  }

  put(bucket: Bucket, key: Uint8Array, value: Uint8Array): void {
    const changes = this.changes(bucket);
    this.#note(changes, key, changes.arena.put(key, value), value.length);
  }

  reserve(bucket: Bucket, key: Uint8Array, valueBytes: number): Uint8Array {
    const changes = this.changes(bucket);
    const position = changes.arena.reserve(key, valueBytes);
    this.#note(changes, key, position, valueBytes);
    return changes.arena.valueAt(position);
  }

  delete(bucket: Bucket, key: Uint8Array): void {
    const changes = this.changes(bucket);
    this.#note(changes, key, changes.arena.delete(key), 0);
  }

  *[Symbol.iterator](): Generator<EngineOperation> {
    for (const bucket of buckets) {
      const changes = this.#changes[bucket];
      const { arena } = changes;
      for (const position of changes.positions()) {
        const value = arena.isDelete(position) ? undefined : arena.valueAt(position);
        yield { bucket, key: arena.keyAt(position), value };
      }
    }
  }

  /** Hot: runs on the main thread for every flush. Pages that the system hands out anew cost more than filling them. */
  pack(spare?: ArrayBuffer): Uint8Array<ArrayBuffer> {
    const all = buckets.map((bucket) => this.#changes[bucket].packing());
    let length = 0;
    for (const { bytes } of all) length += bytes;
    const target = targetOf(length, spare);
    let at = 0;
    for (const packing of all) at = packing.writeTo(target, at);
    assert(at === length, "a packed layer is as long as its changes", { at, length });
    return target;
  }

  #note(changes: Changes, key: Uint8Array, position: number, valueBytes: number): void {
    this.#bytes += key.length + valueBytes + changeOverheadBytes;
    changes.note(key, position);
  }
}

/** A buffer that would mostly stay empty is let go, and a new one has room for a flush that is a little larger. */
function targetOf(length: number, spare: ArrayBuffer | undefined): Uint8Array<ArrayBuffer> {
  const isFit = spare !== undefined && spare.byteLength >= length && spare.byteLength <= 8 * length;
  return new Uint8Array(isFit ? spare : new ArrayBuffer(length + (length >>> 3)), 0, length);
}

interface Packing {
  readonly bytes: number;
  /** Returns the offset behind what it wrote. */
  writeTo(target: Uint8Array, offset: number): number;
}

/** The changes of one bucket. */
export class Changes {
  readonly arena: Arena;
  /** Positions in the order of their keys, which is that of their arrival so far. */
  #ascending: number[] | undefined = [];
  /** The same once it is not. */
  readonly #sorted = new SortedMap<number>();
  /** What arrived since somebody last asked for a key or an order. */
  #unsorted: number[] = [];
  /** Every change is the newest of its key, and stands in the order of the keys in the arena too. */
  #isPlain = true;
  /** Counts changes, so that a cursor notices one under it. */
  count = 0;
  #lastReadKey: Uint8Array | undefined;
  #lastReadSortKey: SortKey = "";

  constructor(bucket: Bucket) {
    this.arena = new Arena(bucket);
  }

  get isEmpty(): boolean {
    return this.count === 0;
  }

  /** The position of the key's newest change, -1 where there is none. The key does not change later. */
  find(key: Uint8Array): number {
    const ascending = this.#ascending;
    if (ascending !== undefined) {
      const at = this.#placeOf(ascending, key);
      const position = ascending[at];
      return position !== undefined && this.arena.compareKey(position, key) === 0 ? position : -1;
    }
    this.#settle();
    this.#lastReadKey = key;
    this.#lastReadSortKey = sortKeyOf(key);
    return this.#sorted.get(this.#lastReadSortKey) ?? -1;
  }

  /** A change of the key was added to the arena. Hot. */
  note(key: Uint8Array, position: number): void {
    this.count++;
    const ascending = this.#ascending;
    if (ascending !== undefined) {
      const at = this.#placeOf(ascending, key);
      if (at === ascending.length) {
        ascending.push(position);
        return;
      }
      this.#isPlain = false;
      if (this.arena.compareKey(ascending[at] as number, key) === 0) {
        ascending[at] = position;
        return;
      }
      this.#ascending = undefined;
      this.#unsorted = ascending;
    }
    // What was looked up last is often written next, under the same key object.
    if (key === this.#lastReadKey) {
      this.#sorted.set(this.#lastReadSortKey, position);
      return;
    }
    this.#unsorted.push(position);
    // Its place would be taken by an older change once this one gets there.
    this.#lastReadKey = undefined;
  }

  cursor(range: KeyRange): ChangesCursor {
    const { start, end, reverse = false } = range;
    const ascending = this.#ascending;
    if (ascending === undefined) {
      this.#settle();
      const sorted = this.#sorted.cursor({
        start: sortKeyOf(start),
        end: end === undefined ? undefined : sortKeyOf(end),
        reverse,
      });
      return new ChangesCursor(this, sorted);
    }
    const from = this.#placeOf(ascending, start);
    const to = end === undefined ? ascending.length : this.#placeOf(ascending, end);
    return new ChangesCursor(this, new ListCursor(ascending, from, to, reverse));
  }

  /** In the order of the keys. */
  positions(): readonly number[] {
    if (this.#ascending !== undefined) return this.#ascending;
    if (this.#sorted.size === 0) this.#sortAtOnce();
    this.#settle();
    return this.#ascending ?? this.#sorted.values();
  }

  /** How many bytes the changes take in a flush, and how they get there. */
  packing(): Packing {
    const { arena } = this;
    if (this.#isPlain) {
      return { bytes: arena.bytes, writeTo: (target, offset) => arena.copyAllTo(target, offset) };
    }
    const positions = this.positions();
    let bytes = 0;
    for (const position of positions) bytes += arena.bytesAt(position);
    return {
      bytes,
      writeTo(target, offset) {
        let at = offset;
        for (const position of positions) at = arena.copyTo(target, at, position);
        return at;
      },
    };
  }

  /** The first place whose key is not below the given one. Asks the last first: appends are the usual case. */
  #placeOf(ascending: readonly number[], key: Uint8Array): number {
    let low = 0;
    let high = ascending.length;
    if (high === 0) return 0;
    const order = this.arena.compareKey(ascending[high - 1] as number, key);
    if (order <= 0) return order === 0 ? high - 1 : high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.arena.compareKey(ascending[middle] as number, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Gives every change its place, one by one. */
  #settle(): void {
    const unsorted = this.#unsorted;
    if (unsorted.length === 0) return;
    for (const position of unsorted) this.#sorted.set(sortKeyOf(this.arena.keyAt(position)), position);
    this.#unsorted = [];
  }

  /** The same where all arrived unasked: a list again. Descending keys, as older versions of one key have, cost one pass. */
  #sortAtOnce(): void {
    const { arena } = this;
    const sorted = this.#unsorted.sort((a, b) => arena.compareKeys(a, b) || a - b);
    // Of one key the newest stands last.
    this.#ascending = sorted.filter((position, i) => {
      const next = sorted[i + 1];
      return next === undefined || arena.compareKeys(position, next) !== 0;
    });
    this.#unsorted = [];
  }
}

/** Positions one after the other, in the order of their keys. */
type PositionCursor = Pick<SortedCursor<number>, "next" | "value">;

class ListCursor implements PositionCursor {
  readonly #positions: readonly number[];
  readonly #step: 1 | -1;
  /** How many are left. */
  #left: number;
  #at: number;

  constructor(positions: readonly number[], from: number, to: number, reverse: boolean) {
    this.#positions = positions;
    this.#step = reverse ? -1 : 1;
    this.#left = Math.max(0, to - from);
    this.#at = reverse ? to : from - 1;
  }

  next(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    this.#at += this.#step;
    return true;
  }

  get value(): number {
    return this.#positions[this.#at] as number;
  }
}

/** Stands before the first change of its range until `next` is called. Must not be used after further changes. */
export class ChangesCursor {
  readonly #changes: Changes;
  readonly #positions: PositionCursor;
  readonly #countAtStart: number;
  #key: Uint8Array = emptyBytes;
  #value: Uint8Array | null = null;

  constructor(changes: Changes, positions: PositionCursor) {
    this.#changes = changes;
    this.#positions = positions;
    this.#countAtStart = changes.count;
  }

  next(): boolean {
    assert(this.#changes.count === this.#countAtStart, "nothing is written under an open cursor");
    if (!this.#positions.next()) return false;
    const { arena } = this.#changes;
    const position = this.#positions.value;
    this.#key = arena.keyAt(position);
    this.#value = arena.isDelete(position) ? null : arena.valueAt(position);
    return true;
  }

  get key(): Uint8Array {
    return this.#key;
  }

  /** Null for a key that was deleted: it hides the layers below. */
  get value(): Uint8Array | null {
    return this.#value;
  }
}
