import assert from "node:assert/strict";
import { test } from "node:test";
import { ReadBarrier, type ReadOutcome } from "./read-barrier.ts";

function bed(appliedIndex = 10, countMax = 100) {
  const rounds: Uint8Array[] = [];
  const outcomes: ReadOutcome[] = [];
  let nowMs = 0;
  let id = 0n;
  const barrier = new ReadBarrier(
    {
      nextId: () => ++id,
      startRound: (context) => rounds.push(context),
      nowMs: () => nowMs,
      timeoutMs: 7000,
      retryMs: 500,
      countMax,
    },
    appliedIndex,
  );
  return {
    barrier,
    rounds,
    outcomes,
    add: () => barrier.add((outcome) => outcomes.push(outcome)),
    pass: (ms: number) => {
      nowMs += ms;
      barrier.onTick();
    },
    round: (at: number) => rounds[at] ?? new Uint8Array(),
  };
}

test("reads that arrive before a round begins share it", () => {
  const { barrier, rounds, outcomes, add, round } = bed();
  add();
  add();
  barrier.begin();
  assert.equal(rounds.length, 1);
  barrier.onReadState(round(0), 10);
  assert.deepEqual(outcomes, [{ ok: true }, { ok: true }]);
  assert.equal(barrier.count, 0);
});

test("a read that arrives during a round waits for the next one", () => {
  const { barrier, rounds, outcomes, add, round } = bed();
  add();
  barrier.begin();
  add();
  assert.equal(barrier.wantsRound, false);
  barrier.onReadState(round(0), 10);
  assert.equal(outcomes.length, 1);
  assert.equal(barrier.wantsRound, true);
  barrier.begin();
  assert.equal(rounds.length, 2);
});

test("a read is served only when its index is applied", () => {
  const { barrier, outcomes, add, round } = bed();
  add();
  barrier.begin();
  barrier.onReadState(round(0), 12);
  barrier.onApplied(11);
  assert.deepEqual(outcomes, []);
  barrier.onApplied(12);
  assert.deepEqual(outcomes, [{ ok: true }]);
});

test("a retried round has a context of its own, and the answer to the first one confirms nothing", () => {
  const { barrier, rounds, outcomes, add, pass, round } = bed();
  add();
  barrier.begin();
  pass(500);
  assert.equal(rounds.length, 2);
  assert.notDeepEqual(round(0), round(1));
  barrier.onReadState(round(0), 10);
  assert.deepEqual(outcomes, []);
  barrier.onReadState(round(1), 10);
  assert.deepEqual(outcomes, [{ ok: true }]);
});

test("a change of leader fails the reads of the round under way and no others", () => {
  const { barrier, outcomes, add, round } = bed();
  add();
  barrier.begin();
  add();
  barrier.onLeaderChanged();
  assert.deepEqual(outcomes, [{ ok: false, reason: "leaderChanged" }]);
  barrier.onReadState(round(0), 10);
  assert.equal(barrier.count, 1);
});

test("a read without an answer times out, also one that waits for its index", () => {
  const { barrier, outcomes, add, pass, round } = bed();
  add();
  barrier.begin();
  barrier.onReadState(round(0), 99);
  add();
  pass(6999);
  assert.deepEqual(outcomes, []);
  pass(1);
  assert.deepEqual(outcomes, [
    { ok: false, reason: "timeout" },
    { ok: false, reason: "timeout" },
  ]);
});

test("a full barrier turns reads away at once", () => {
  const { outcomes, add } = bed(10, 1);
  add();
  add();
  assert.deepEqual(outcomes, [{ ok: false, reason: "tooManyRequests" }]);
});
