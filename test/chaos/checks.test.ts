// The checks find what they are there to find.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { History } from "../e2e/kill/history.ts";
import { checkTraffic } from "./checks.ts";
import type { Operation, Told, Watched } from "./traffic.ts";

const first = { key: "a", value: "1" };
const second = { key: "b", value: "2" };

function written(kv: typeof first, revision: number): Operation {
  return { startMs: revision, writes: [kv], answer: { endMs: revision + 0.5, revision } };
}

function historyOf(...pairs: readonly (typeof first)[]): History {
  return new Map(pairs.map((kv, i) => [i + 2, [{ kind: "put" as const, ...kv, lease: 0 }]]));
}

function watched(...pairs: readonly (typeof first)[]): Watched {
  return { place: "m0", events: pairs.map((kv, i) => ({ revision: i + 2, kv })) };
}

const sound: Told = {
  operations: [
    written(first, 2),
    { startMs: 2.6, writes: [], reads: "a", answer: { endMs: 2.7, revision: 2, value: "1" } },
    written(second, 3),
  ],
  watched: [watched(first, second)],
};
const history = historyOf(first, second);

test("what was told as it was done passes", () => {
  checkTraffic(sound, history);
});

test("a watcher that saw nothing is found", () => {
  assert.throws(() => checkTraffic({ ...sound, watched: [watched()] }, history), {
    message: "the watcher of m0 saw nothing",
  });
});

test("a watcher that missed an event, or saw another, is found", () => {
  const late: Watched = { place: "m0", events: [{ revision: 3, kv: second }] };
  assert.throws(() => checkTraffic({ ...sound, watched: [late] }, history), /the watcher of m0 saw/);
  assert.throws(
    () => checkTraffic({ ...sound, watched: [watched(first, { key: "b", value: "3" })] }, history),
    /the watcher of m0 saw/,
  );
});

test("an acknowledged write that is not there is found", () => {
  assert.throws(
    () => checkTraffic(sound, historyOf(first)),
    /acknowledged at 3: b=2; what is there: nothing/,
  );
});

test("a change that nobody asked for, or that was made twice, is found", () => {
  const told = { ...sound, operations: [written(first, 2)] };
  assert.throws(() => checkTraffic(told, history), /revision 3 was never asked for/);
});

test("an operation with an older revision than one that ended before it began is found", () => {
  const stale: Operation = {
    startMs: 5,
    writes: [],
    reads: "b",
    answer: { endMs: 6, revision: 2, value: undefined },
  };
  const told = { ...sound, operations: [...sound.operations, stale] };
  assert.throws(() => checkTraffic(told, history), /read of b at revision 2 began after an answer at 3/);
});

test("a read of what was not there is found", () => {
  const wrong: Operation = {
    startMs: 5,
    writes: [],
    reads: "b",
    answer: { endMs: 6, revision: 3, value: "1" },
  };
  const told = { ...sound, operations: [...sound.operations, wrong] };
  assert.throws(() => checkTraffic(told, history), /read of b at revision 3: 1, not 2/);
});
