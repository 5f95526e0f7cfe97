import assert from "node:assert/strict";
import { test } from "node:test";
import { LongCalls } from "./long-calls.ts";

/** A call whose end the test decides. */
function controlled(): { call: () => Promise<void>; started: () => number; end: (error?: Error) => void } {
  let count = 0;
  let finish: (error?: Error) => void = () => {};
  const call = () => {
    count++;
    return new Promise<void>((resolve, reject) => {
      finish = (error) => (error === undefined ? resolve() : reject(error));
    });
  };
  return { call, started: () => count, end: (error) => finish(error) };
}

const muchMs = 60_000;

test("a call that takes long is joined, not begun again, and its end is told", async () => {
  const calls = new LongCalls(1);
  const { call, started, end } = controlled();
  assert.deepEqual(await calls.joinOrStart("a", call), { isOver: false });
  assert.deepEqual(await calls.joinOrStart("a", call), { isOver: false });
  assert.equal(started(), 1);
  end();
  assert.deepEqual(await calls.joinOrStart("a", call), { isOver: true });
  assert.equal(started(), 1);
});

test("an end is told once: the next call of the key is a new one", async () => {
  const calls = new LongCalls(muchMs);
  let count = 0;
  const call = async () => {
    count++;
  };
  assert.deepEqual(await calls.joinOrStart("a", call), { isOver: true });
  assert.deepEqual(await calls.joinOrStart("a", call), { isOver: true });
  assert.equal(count, 2);
});

test("a call that fails tells its error, and keys know nothing of each other", async () => {
  const calls = new LongCalls(1);
  const { call, end } = controlled();
  assert.deepEqual(await calls.joinOrStart("a", call), { isOver: false });
  assert.deepEqual(await calls.joinOrStart("b", async () => {}), { isOver: true });
  const error = new Error("no space");
  end(error);
  assert.deepEqual(await calls.joinOrStart("a", call), { isOver: true, error });
});
