// Sorts what arrives in batches without one long sort: every batch is sorted when it comes, the runs are merged
// while the result is taken. With a limit, no run keeps more than can reach the result.

import { assert } from "../lib/assert.ts";

interface Run<T> {
  readonly items: readonly T[];
  next: number;
}

export class SortedRuns<T> {
  readonly #compare: (a: T, b: T) => number;
  readonly #limit: number;
  /** A heap by the runs' next items, once sealed. */
  readonly #runs: Run<T>[] = [];
  #isSealed = false;

  constructor(compare: (a: T, b: T) => number, limit: number) {
    this.#compare = compare;
    this.#limit = limit;
  }

  /** The batch now belongs to this object. */
  add(batch: T[]): void {
    assert(!this.#isSealed, "nothing is added while the result is taken");
    if (batch.length === 0) return;
    batch.sort(this.#compare);
    this.#runs.push({ items: batch.length > this.#limit ? batch.slice(0, this.#limit) : batch, next: 0 });
  }

  /** Ends adding. */
  seal(): void {
    this.#isSealed = true;
    for (let i = (this.#runs.length >>> 1) - 1; i >= 0; i--) this.#sink(i);
  }

  /** The least item left, undefined when there is none. */
  take(): T | undefined {
    assert(this.#isSealed, "the result is taken when everything was added");
    const run = this.#runs[0];
    if (run === undefined) return undefined;
    const item = run.items[run.next++];
    if (run.next === run.items.length) {
      const last = this.#runs.pop();
      if (last !== undefined && last !== run) this.#runs[0] = last;
    }
    this.#sink(0);
    return item;
  }

  #sink(from: number): void {
    const runs = this.#runs;
    let at = from;
    for (;;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < runs.length && this.#isLess(child, least)) least = child;
      }
      if (least === at) return;
      const run = runs[at] as Run<T>;
      runs[at] = runs[least] as Run<T>;
      runs[least] = run;
      at = least;
    }
  }

  #isLess(i: number, j: number): boolean {
    const a = this.#runs[i] as Run<T>;
    const b = this.#runs[j] as Run<T>;
    return this.#compare(a.items[a.next] as T, b.items[b.next] as T) < 0;
  }
}
