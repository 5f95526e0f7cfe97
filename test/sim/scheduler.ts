// Virtual time: a heap of events by (time, sequence). Nothing passes but from one event to the next, and events of
// one time run in the order in which they were made, so a run depends on its seed alone.

import type { Clock, Timer } from "../../node/lib/clock.ts";

export interface SimEvent {
  readonly timeUs: number;
  readonly sequence: number;
  /** Zero: of the world. Otherwise the number of the life that it ends with. */
  readonly life: number;
  readonly kind: string;
  readonly run: () => void;
}

export class Scheduler {
  #heap: SimEvent[] = [];
  #sequence = 0;
  #nowUs = 0;

  /** Whole microseconds, so that sums are exact. */
  get nowUs(): number {
    return this.#nowUs;
  }

  get nowMs(): number {
    return this.#nowUs / 1000;
  }

  at(delayMs: number, event: Pick<SimEvent, "life" | "kind" | "run">): SimEvent {
    const timeUs = this.#nowUs + Math.max(0, Math.round(delayMs * 1000));
    const made = { timeUs, sequence: this.#sequence++, ...event };
    this.#push(made);
    return made;
  }

  /** Takes the next event and moves time to it. */
  next(): SimEvent | undefined {
    const first = this.#heap[0];
    if (first === undefined) return undefined;
    const last = this.#heap.pop() as SimEvent;
    if (this.#heap.length > 0) {
      this.#heap[0] = last;
      this.#sink();
    }
    this.#nowUs = Math.max(this.#nowUs, first.timeUs);
    return first;
  }

  /** Time passes without anything running: what was due meanwhile comes late and all at once. */
  pause(ms: number): void {
    this.#nowUs += Math.round(ms * 1000);
  }

  /** Forgets the events of a life that has ended. */
  endLife(life: number): void {
    const kept = this.#heap.filter((event) => event.life !== life);
    this.#heap = [];
    for (const event of kept) this.#push(event);
  }

  /** The clock of one life. `jitterMs` is what a timer comes late. */
  clock(life: number, jitterMs: () => number): Clock {
    return {
      nowMs: () => this.nowMs,
      after: (delayMs, fn): Timer => {
        let isCancelled = false;
        const run = (): void => {
          if (!isCancelled) fn();
        };
        this.at(delayMs + jitterMs(), { life, kind: "timer", run });
        return {
          cancel: () => {
            isCancelled = true;
          },
        };
      },
      defer: (fn) => {
        this.at(0, { life, kind: "defer", run: fn });
      },
    };
  }

  #push(event: SimEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as SimEvent;
      if (isBefore(above, event)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  #sink(): void {
    const heap = this.#heap;
    const event = heap[0] as SimEvent;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as SimEvent, heap[child] as SimEvent)) child++;
      if (isBefore(event, heap[child] as SimEvent)) break;
      heap[at] = heap[child] as SimEvent;
      at = child;
    }
    heap[at] = event;
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  return a.timeUs !== b.timeUs ? a.timeUs < b.timeUs : a.sequence < b.sequence;
}
