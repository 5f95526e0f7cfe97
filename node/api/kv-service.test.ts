import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../lib/clock.ts";
import { silentMetrics } from "../lib/metrics.ts";
import type { Replica } from "../replica/replica.ts";
import { codecs } from "../wire/codecs.ts";
import { AnswerMemory } from "./answer-memory.ts";
import type { Call } from "./call.ts";
import type { ApiError } from "./errors.ts";
import { KvService } from "./kv-service.ts";
import { MemberApi } from "./member-api.ts";

test("a client that takes nothing of a RangeStream for 60 s is cut off", async () => {
  const timers = new Set<{ readonly delayMs: number; readonly fn: () => void }>();
  const clock: Clock = {
    nowMs: () => 0,
    after(delayMs, fn) {
      const timer = { delayMs, fn };
      timers.add(timer);
      return { cancel: () => timers.delete(timer) };
    },
    defer: setImmediate,
  };
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
  } as unknown as Replica;
  const api = new MemberApi({
    replica,
    clock,
    txnOpsMax: 1,
    requestBytesMax: 1,
    quotaBytes: 0,
    metrics: silentMetrics,
  });
  const aborted: ApiError[] = [];
  const call: Call = {
    metadata: new Map(),
    isCancelled: false,
    onCancel() {},
    abort: (error) => aborted.push(error),
  };
  const request = codecs.RangeRequest.create({ key: Uint8Array.of(0), serializable: true });
  const chunks = new KvService(api, new AnswerMemory(1 << 20), () => {}).rangeStream(request, call);
  await chunks.next();
  const [first] = timers;
  await chunks.next();
  const [second, ...others] = timers;
  assert.notEqual(first, second);
  assert.deepEqual(others, []);
  assert.equal(second?.delayMs, 60_000);
  second?.fn();
  assert.match(aborted[0]?.message ?? "", /took nothing of the range for 60s/);
  await chunks.return(undefined);
  assert.equal(timers.size, 0);
  assert.equal(isClosed, true);
});
