import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../lib/clock.ts";
import { type NodeId, nodeId } from "../lib/ids.ts";
import { SnapshotReports } from "./snapshot-reports.ts";

const one = nodeId(1n);
const two = nodeId(2n);

/** Its time passes when it is told to. */
class SteppedClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Map<() => void, number>();

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, fn: () => void): { cancel(): void } {
    this.#timers.set(fn, this.#nowMs + delayMs);
    return { cancel: () => this.#timers.delete(fn) };
  }

  defer(): void {
    assert.fail("nothing is deferred");
  }

  pass(ms: number): void {
    this.#nowMs += ms;
    for (const [fn, dueMs] of [...this.#timers]) {
      if (dueMs > this.#nowMs) continue;
      this.#timers.delete(fn);
      fn();
    }
  }
}

class Fixture {
  readonly clock = new SteppedClock();
  readonly told: (readonly [NodeId, boolean])[] = [];
  readonly reports = new SnapshotReports({
    clock: this.clock,
    report: (peer, ok) => this.told.push([peer, ok]),
  });

  /** How long the next failure of this peer waits, to 100 ms. */
  waitOf(peer: NodeId): number {
    const before = this.told.length;
    this.reports.failed(peer);
    let waitedMs = 0;
    for (; this.told.length === before; waitedMs += 100) {
      assert.ok(waitedMs < 60_000, "it is reported in the end");
      this.clock.pass(100);
    }
    assert.deepEqual(this.told.at(-1), [peer, false]);
    return waitedMs;
  }
}

test("failures in a row are reported later and later, up to a bound", () => {
  const fixture = new Fixture();
  const waits = Array.from({ length: 9 }, () => fixture.waitOf(one));
  assert.deepEqual(waits, [0, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
});

test("success is reported at once, and the next failure too", () => {
  const fixture = new Fixture();
  for (let i = 0; i < 4; i++) fixture.waitOf(one);
  fixture.reports.succeeded(one);
  assert.deepEqual(fixture.told.at(-1), [one, true]);
  assert.equal(fixture.waitOf(one), 0);
});

test("each peer has a row of its own", () => {
  const fixture = new Fixture();
  for (let i = 0; i < 4; i++) fixture.waitOf(one);
  assert.equal(fixture.waitOf(two), 0);
  assert.equal(fixture.waitOf(one), 1600);
});

test("what is due is not reported once the leadership is over", () => {
  const fixture = new Fixture();
  fixture.waitOf(one);
  fixture.reports.failed(one);
  fixture.reports.clear();
  fixture.clock.pass(60_000);
  assert.equal(fixture.told.length, 1);
  assert.equal(fixture.waitOf(one), 0);
});
