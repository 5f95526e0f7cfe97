// What the services stand on, for tests: a replica that has what a test says, a clock that a test moves, and calls.

import type { Clock, Timer } from "../../lib/clock.ts";
import { silentMetrics } from "../../lib/metrics.ts";
import type { Replica } from "../../replica/replica.ts";
import type { Call } from "../call.ts";
import type { ApiError } from "../errors.ts";
import { MemberApi } from "../member-api.ts";

/** `replica` has what the service under test asks of one. */
export function memberApiOf(replica: object, clock: Clock): MemberApi {
  return new MemberApi({
    replica: replica as Replica,
    clock,
    txnOpsMax: 1,
    requestBytesMax: 1,
    quotaBytes: 0,
    metrics: silentMetrics,
  });
}

/** A clock whose timers run when the test says so. */
export class ManualClock implements Clock {
  readonly timers = new Set<{ readonly delayMs: number; readonly fn: () => void }>();

  nowMs(): number {
    return 0;
  }

  after(delayMs: number, fn: () => void): Timer {
    const timer = { delayMs, fn };
    this.timers.add(timer);
    return { cancel: () => this.timers.delete(timer) };
  }

  defer(fn: () => void): void {
    setImmediate(fn);
  }
}

/** Runs what was deferred only when told so, too, one turn of the event loop after the other. */
export class TurnClock extends ManualClock {
  #deferred: (() => void)[] = [];

  override defer(fn: () => void): void {
    this.#deferred.push(fn);
  }

  async turn(): Promise<void> {
    const due = this.#deferred;
    this.#deferred = [];
    for (const fn of due) fn();
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Until nothing is left to do; returns how many turns that took. */
  async settle(): Promise<number> {
    let turns = 0;
    for (; this.#deferred.length > 0; turns++) await this.turn();
    return turns;
  }
}

export class FakeCall implements Call {
  readonly metadata = new Map<string, string>();
  isCancelled = false;
  aborted: ApiError | undefined;
  #onCancel = (): void => {};

  onCancel(fn: () => void): void {
    this.#onCancel = fn;
  }

  abort(error: ApiError): void {
    this.aborted = error;
  }

  /** The client went away. */
  cancel(): void {
    this.isCancelled = true;
    this.#onCancel();
  }
}
