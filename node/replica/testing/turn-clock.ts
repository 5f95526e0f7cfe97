// A clock that stands still: its timers never ring, and what is deferred waits until the test ends the turn.

import type { Clock } from "../../lib/clock.ts";

export class TurnClock implements Clock {
  #deferred: (() => void)[] = [];

  nowMs(): number {
    return 0;
  }

  after(): { cancel(): void } {
    return { cancel() {} };
  }

  defer(fn: () => void): void {
    this.#deferred.push(fn);
  }

  endTurn(): void {
    const deferred = this.#deferred;
    this.#deferred = [];
    for (const fn of deferred) fn();
  }

  /** Ends turns until nothing is left to do. */
  runDeferred(): void {
    while (this.#deferred.length > 0) this.endTurn();
  }
}
