// An ordered map from byte keys to values, for hot use: runs of keys in plain sorted arrays, and an array of runs.
// Keys are compared as latin1 strings ("sort keys"), which keep exact byte order and compare several times faster
// than byte arrays. Ascending inserts are appends that leave full runs behind.

import { assert } from "./assert.ts";

/** A key's bytes as a latin1 string: the same order, the same equality. */
export type SortKey = string;

/** Works on any byte array, which spares the Buffer view that `toString("latin1")` asks for. */
const { latin1Slice } = Buffer.prototype as unknown as {
  latin1Slice(this: Uint8Array, start: number, end: number): string;
};

export function sortKeyOf(key: Uint8Array): SortKey {
  return latin1Slice.call(key, 0, key.length);
}

export function bytesOfSortKey(sortKey: SortKey): Uint8Array {
  const bytes = new Uint8Array(sortKey.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = sortKey.charCodeAt(i);
  return bytes;
}

/** Measured: 64 takes scattered inserts faster than 32 or 128, at 100,000 records. */
const runLengthMax = 64;

/** Parallel arrays, never empty while part of a map. */
interface Run<V> {
  readonly sortKeys: SortKey[];
  readonly values: V[];
  /** The map that may change this run in place. Any other clones it first. */
  readonly owner: object;
}

export interface SortedRange {
  readonly start: SortKey;
  /** No end means up to the last key. */
  readonly end: SortKey | undefined;
  readonly reverse: boolean;
}

export class SortedMap<V> {
  #size = 0;
  #runs: Run<V>[] = [];
  /** Invariant: firsts[i] === runs[i].sortKeys[0]. */
  #firsts: SortKey[] = [];
  #owner: object = {};
  /** Counts changes, so that a cursor notices one under it. */
  #changes = 0;

  get size(): number {
    return this.#size;
  }

  get(sortKey: SortKey): V | undefined {
    const r = this.#runOf(sortKey);
    if (r < 0) return undefined;
    const run = this.#runs[r] as Run<V>;
    const i = lowerBound(run.sortKeys, sortKey);
    return run.sortKeys[i] === sortKey ? run.values[i] : undefined;
  }

  /** Returns the value that was there before. */
  set(sortKey: SortKey, value: V): V | undefined {
    this.#changes++;
    const r = Math.max(this.#runOf(sortKey), 0);
    if (r === this.#runs.length) {
      this.#insertRun(0, { sortKeys: [sortKey], values: [value], owner: this.#owner });
      this.#size++;
      return undefined;
    }
    const run = this.#writableRun(r);
    const i = lowerBound(run.sortKeys, sortKey);
    if (run.sortKeys[i] === sortKey) {
      const before = run.values[i];
      run.values[i] = value;
      return before;
    }
    this.#size++;
    if (run.sortKeys.length < runLengthMax) {
      this.#insertAt(r, i, sortKey, value);
    } else if (i === runLengthMax && r === this.#runs.length - 1) {
      this.#insertRun(r + 1, { sortKeys: [sortKey], values: [value], owner: this.#owner });
    } else {
      this.#splitRun(r);
      const half = (this.#runs[r] as Run<V>).sortKeys.length;
      if (i <= half) this.#insertAt(r, i, sortKey, value);
      else this.#insertAt(r + 1, i - half, sortKey, value);
    }
    return undefined;
  }

  /** Returns the value that was there. */
  delete(sortKey: SortKey): V | undefined {
    const r = this.#runOf(sortKey);
    if (r < 0) return undefined;
    const i = lowerBound((this.#runs[r] as Run<V>).sortKeys, sortKey);
    if ((this.#runs[r] as Run<V>).sortKeys[i] !== sortKey) return undefined;
    this.#changes++;
    this.#size--;
    const run = this.#writableRun(r);
    const before = run.values[i];
    run.sortKeys.splice(i, 1);
    run.values.splice(i, 1);
    if (run.sortKeys.length === 0) {
      this.#runs.splice(r, 1);
      this.#firsts.splice(r, 1);
      return before;
    }
    if (i === 0) this.#firsts[r] = run.sortKeys[0] as SortKey;
    this.#joinSmall(r);
    return before;
  }

  cursor(range: SortedRange): SortedCursor<V> {
    const start = this.#positionOf(range.start);
    const end = range.end === undefined ? this.#positionAfterLast() : this.#positionOf(range.end);
    return new SortedCursor(this.#runs, start, end, range.reverse, () => this.#changes);
  }

  /** In the order of the keys. */
  values(): V[] {
    const values: V[] = [];
    for (const run of this.#runs) for (let i = 0; i < run.values.length; i++) values.push(run.values[i] as V);
    return values;
  }

  /** A copy that later changes of either map leave alone. Costs one pass over the runs, not over the records. */
  snapshot(): SortedMap<V> {
    const copy = new SortedMap<V>();
    copy.#size = this.#size;
    copy.#runs = this.#runs.slice();
    copy.#firsts = this.#firsts.slice();
    this.#owner = {};
    return copy;
  }

  /** Throws where an invariant of the structure does not hold. For tests. */
  check(): void {
    let count = 0;
    let previous: SortKey | undefined;
    assert(this.#runs.length === this.#firsts.length, "as many first keys as runs");
    this.#runs.forEach((run, r) => {
      const length = run.sortKeys.length;
      assert(length > 0 && length <= runLengthMax, "a run's length is in bounds", { length });
      assert(run.values.length === length, "a run's arrays are parallel");
      assert(run.sortKeys[0] === this.#firsts[r], "the first keys are those of the runs", { r });
      run.sortKeys.forEach((sortKey, i) => {
        assert(previous === undefined || previous < sortKey, "keys ascend", { r, i });
        previous = sortKey;
      });
      count += length;
    });
    assert(count === this.#size, "the size counts the records", { count, size: this.#size });
  }

  /** The last run that starts at or before the key; -1 when the key lies before all runs or there is none. */
  #runOf(sortKey: SortKey): number {
    const firsts = this.#firsts;
    const last = firsts.length - 1;
    if (last < 0) return -1;
    if ((firsts[last] as SortKey) <= sortKey) return last;
    let low = 0;
    let high = last;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((firsts[middle] as SortKey) <= sortKey) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The position of the first record at or after the key. */
  #positionOf(sortKey: SortKey): Position {
    const run = this.#runOf(sortKey);
    if (run < 0) return { run: 0, index: 0 };
    const sortKeys = (this.#runs[run] as Run<V>).sortKeys;
    const index = lowerBound(sortKeys, sortKey);
    return index === sortKeys.length ? { run: run + 1, index: 0 } : { run, index };
  }

  #positionAfterLast(): Position {
    return { run: this.#runs.length, index: 0 };
  }

  #writableRun(r: number): Run<V> {
    const run = this.#runs[r] as Run<V>;
    if (run.owner === this.#owner) return run;
    const clone: Run<V> = {
      sortKeys: run.sortKeys.slice(),
      values: run.values.slice(),
      owner: this.#owner,
    };
    this.#runs[r] = clone;
    return clone;
  }

  #insertRun(r: number, run: Run<V>): void {
    this.#runs.splice(r, 0, run);
    this.#firsts.splice(r, 0, run.sortKeys[0] as SortKey);
  }

  #insertAt(r: number, i: number, sortKey: SortKey, value: V): void {
    const run = this.#writableRun(r);
    insert(run.sortKeys, i, sortKey);
    insert(run.values, i, value);
    if (i === 0) this.#firsts[r] = sortKey;
  }

  #splitRun(r: number): void {
    const run = this.#writableRun(r);
    const half = run.sortKeys.length >>> 1;
    this.#insertRun(r + 1, {
      sortKeys: run.sortKeys.splice(half),
      values: run.values.splice(half),
      owner: this.#owner,
    });
  }

  /** Joins run `r` with the next one when both fit easily into one, so that deletes leave no trail of tiny runs. */
  #joinSmall(r: number): void {
    const next = this.#runs[r + 1];
    if (next === undefined) return;
    const run = this.#writableRun(r);
    if (run.sortKeys.length + next.sortKeys.length > runLengthMax >>> 1) return;
    run.sortKeys.push(...next.sortKeys);
    run.values.push(...next.values);
    this.#runs.splice(r + 1, 1);
    this.#firsts.splice(r + 1, 1);
  }
}

/** Points at a record, or just after the last one: then `run` is the number of runs. */
interface Position {
  readonly run: number;
  readonly index: number;
}

/** Stands before the first record of its range until `next` is called. Must not be used after the map has changed. */
export class SortedCursor<V> {
  readonly #runs: readonly Run<V>[];
  readonly #reverse: boolean;
  readonly #changes: () => number;
  readonly #changesAtStart: number;
  /** The next record in ascending order, or the one after the next in descending order. */
  #r: number;
  #i: number;
  readonly #stopRun: number;
  readonly #stopIndex: number;
  #run: Run<V> | undefined;
  #current = 0;

  constructor(
    runs: readonly Run<V>[],
    start: Position,
    end: Position,
    reverse: boolean,
    changes: () => number,
  ) {
    // A range that ends before it starts is empty.
    const isEmpty = end.run < start.run || (end.run === start.run && end.index <= start.index);
    const from = reverse && !isEmpty ? end : start;
    const stop = reverse || isEmpty ? start : end;
    this.#runs = runs;
    this.#reverse = reverse;
    this.#changes = changes;
    this.#changesAtStart = changes();
    this.#r = from.run;
    this.#i = from.index;
    this.#stopRun = stop.run;
    this.#stopIndex = stop.index;
  }

  next(): boolean {
    assert(this.#changes() === this.#changesAtStart, "nothing is written under an open cursor");
    if (this.#r === this.#stopRun && this.#i === this.#stopIndex) return false;
    if (this.#reverse) {
      if (this.#i === 0) {
        this.#r--;
        this.#i = (this.#runs[this.#r] as Run<V>).sortKeys.length;
      }
      this.#i--;
      this.#run = this.#runs[this.#r] as Run<V>;
      this.#current = this.#i;
      return true;
    }
    this.#run = this.#runs[this.#r] as Run<V>;
    this.#current = this.#i++;
    if (this.#i === this.#run.sortKeys.length) {
      this.#r++;
      this.#i = 0;
    }
    return true;
  }

  get sortKey(): SortKey {
    return (this.#run as Run<V>).sortKeys[this.#current] as SortKey;
  }

  get value(): V {
    return (this.#run as Run<V>).values[this.#current] as V;
  }
}

/** The first position whose key is not below `sortKey`. Asks the last key first: appends are the usual case. */
function lowerBound(sortKeys: readonly SortKey[], sortKey: SortKey): number {
  let low = 0;
  let high = sortKeys.length;
  if (high > 0 && (sortKeys[high - 1] as SortKey) < sortKey) return high;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sortKeys[middle] as SortKey) < sortKey) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Measured: six times as fast as `copyWithin` on such arrays, and never allocates as `splice` does. */
function insert<T>(items: T[], i: number, item: T): void {
  items.push(item);
  for (let j = items.length - 1; j > i; j--) items[j] = items[j - 1] as T;
  items[i] = item;
}
