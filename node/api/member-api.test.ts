import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError } from "./errors.ts";
import type { MemberApi } from "./member-api.ts";
import { FakeCall, memberApiOf, TurnClock } from "./testing/member.ts";

function setUp(): { readonly api: MemberApi; readonly clock: TurnClock } {
  const clock = new TurnClock();
  return { clock, api: memberApiOf({ store: { replacements: 0 } }, clock) };
}

test("of many long reads one goes on in a turn, each in its turn", async () => {
  const { api, clock } = setUp();
  const call = new FakeCall();
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
  const call = new FakeCall();
  let count = 0;
  const read = api.inSlices(() => {
    count++;
    return false;
  }, call);
  const ended = assert.rejects(read, (error) => error instanceof ApiError && error.code === "Canceled");
  await clock.turn();
  call.cancel();
  await clock.turn();
  await ended;
  assert.equal(count, 2);
});
