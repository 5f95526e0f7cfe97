// A binary min-heap of deadlines that can be moved and removed: each one knows its position. Deadlines at the same
// time come out in the order in which they were scheduled there, so runs repeat.

import { assert } from "../lib/assert.ts";

/** One per item, made by its owner and scheduled any number of times. */
export interface Deadline<T> {
  readonly item: T;
  /** Milliseconds on the clock of whoever schedules. */
  dueMs: number;
  /** Position in the heap; -1 when not scheduled. */
  position: number;
  /** Breaks ties. */
  order: number;
}

export function newDeadline<T>(item: T): Deadline<T> {
  return { item, dueMs: 0, position: -1, order: 0 };
}

export class DeadlineHeap<T> {
  /** Invariant: every element is not after its children, and knows its position. */
  readonly #heap: Deadline<T>[] = [];
  #orders = 0;

  get size(): number {
    return this.#heap.length;
  }

  first(): Deadline<T> | undefined {
    return this.#heap[0];
  }

  /** Adds the deadline, or moves it. */
  schedule(deadline: Deadline<T>, dueMs: number): void {
    deadline.dueMs = dueMs;
    deadline.order = this.#orders++;
    if (deadline.position < 0) {
      deadline.position = this.#heap.length;
      this.#heap.push(deadline);
    }
    this.#settle(deadline);
  }

  /** Does nothing if it is not scheduled. */
  remove(deadline: Deadline<T>): void {
    const { position } = deadline;
    if (position < 0) return;
    assert(this.#heap[position] === deadline, "a deadline is in one heap");
    const last = this.#heap.pop() as Deadline<T>;
    deadline.position = -1;
    if (last === deadline) return;
    this.#heap[position] = last;
    last.position = position;
    this.#settle(last);
  }

  clear(): void {
    for (const deadline of this.#heap) deadline.position = -1;
    this.#heap.length = 0;
  }

  #settle(deadline: Deadline<T>): void {
    const heap = this.#heap;
    let at = deadline.position;
    while (at > 0) {
      const parent = heap[(at - 1) >> 1] as Deadline<T>;
      if (!isBefore(deadline, parent)) break;
      heap[at] = parent;
      const above = parent.position;
      parent.position = at;
      at = above;
    }
    for (;;) {
      const left = 2 * at + 1;
      if (left >= heap.length) break;
      let child = heap[left] as Deadline<T>;
      const right = heap[left + 1];
      if (right !== undefined && isBefore(right, child)) child = right;
      if (!isBefore(child, deadline)) break;
      heap[at] = child;
      const below = child.position;
      child.position = at;
      at = below;
    }
    heap[at] = deadline;
    deadline.position = at;
  }
}

function isBefore<T>(a: Deadline<T>, b: Deadline<T>): boolean {
  return a.dueMs !== b.dueMs ? a.dueMs < b.dueMs : a.order < b.order;
}
