import assert from "node:assert/strict";
import { test } from "node:test";
import { codecs } from "../wire/codecs.ts";
import { AnswerMemory } from "./answer-memory.ts";
import { KvService } from "./kv-service.ts";
import { FakeCall, ManualClock, memberApiOf } from "./testing/member.ts";

test("a client that takes nothing of a RangeStream for 60 s is cut off", async () => {
  const clock = new ManualClock();
  let isClosed = false;
  const job = {
    isDone: false,
    step: () => ({ kind: "chunk", chunk: { kvs: [], end: undefined } }),
    close: () => {
      isClosed = true;
    },
  };
  const replica = {
    applier: { alarms: { has: () => false } },
    store: { startRangeStream: () => ({ ok: true, job }) },
  };
  const call = new FakeCall();
  const request = codecs.RangeRequest.create({ key: Uint8Array.of(0), serializable: true });
  const chunks = new KvService(memberApiOf(replica, clock), new AnswerMemory(1 << 20), () => {}).rangeStream(
    request,
    call,
  );
  await chunks.next();
  const [first] = clock.timers;
  await chunks.next();
  const [second, ...others] = clock.timers;
  assert.notEqual(first, second);
  assert.deepEqual(others, []);
  assert.equal(second?.delayMs, 60_000);
  second?.fn();
  assert.match(call.aborted?.message ?? "", /took nothing of the range for 60s/);
  await chunks.return(undefined);
  assert.equal(clock.timers.size, 0);
  assert.equal(isClosed, true);
});
