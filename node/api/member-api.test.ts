import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../lib/clock.ts";
import { silentMetrics } from "../lib/metrics.ts";
import type { Replica } from "../replica/replica.ts";
import type { Call } from "./call.ts";
import { ApiError } from "./errors.ts";
import { MemberApi } from "./member-api.ts";

/** Runs what was deferred only when told so, one turn of the event loop after the other. */
class TurnClock implements Clock {
  #deferred: (() => void)[] = [];

  nowMs(): number {
    return 0;
  }

  after(): never {
    throw new Error("slices do not wait for time");
  }

  defer(fn: () => void): void {
    this.#deferred.push(fn);
  }

  async turn(): Promise<void> {
    const due = this.#deferred;
    this.#deferred = [];
    for (const fn of due) fn();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function setUp(): { readonly api: MemberApi; readonly clock: TurnClock } {
  const clock = new TurnClock();
  const replica = { store: { replacements: 0 } } as unknown as Replica;
  return {
    clock,
    api: new MemberApi({
      replica,
      clock,
      txnOpsMax: 1,
      requestBytesMax: 1,
      quotaBytes: 0,
      metrics: silentMetrics,
    }),
  };
}

function callOf(state: { isCancelled: boolean }): Call {
  return Object.assign(state, { metadata: new Map<string, string>(), onCancel() {}, abort() {} });
}

test("of many long reads one goes on in a turn, each in its turn", async () => {
  const { api, clock } = setUp();
  const call = callOf({ isCancelled: false });
  const steps: string[] = [];
  const read = (name: string): Promise<void> => {
    let left = 3;
    return api.inSlices(() => {
      steps.push(name);
      return --left === 0;
    }, call);
  };
  const reads = Promise.all(["a", "b", "c"].map(read));
  assert.deepEqual(steps, ["a", "b", "c"]);
  for (let turn = 1; turn <= 6; turn++) {
    await clock.turn();
    assert.equal(steps.length, 3 + turn);
  }
  await reads;
  assert.deepEqual(steps.slice(3), ["a", "b", "c", "a", "b", "c"]);
});

test("a read whose client went away ends", async () => {
  const { api, clock } = setUp();
  const state = { isCancelled: false };
  let count = 0;
  const read = api.inSlices(() => {
    count++;
    return false;
  }, callOf(state));
  const ended = assert.rejects(read, (error) => error instanceof ApiError && error.code === "Canceled");
  await clock.turn();
  state.isCancelled = true;
  await clock.turn();
  await ended;
  assert.equal(count, 2);
});
