import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../lib/log.ts";
import { runController } from "./controller.ts";
import { ManualClock } from "./testing/manual-clock.ts";
import { WorkQueue } from "./work-queue.ts";

function queueOn(clock = new ManualClock()) {
  return { clock, queue: new WorkQueue({ clock, random: () => 0 }) };
}

test("a key waits once however often it is added", async () => {
  const { queue } = queueOn();
  for (let i = 0; i < 5; i++) queue.add("a");
  queue.add("b");
  assert.equal(queue.depth, 2);
  assert.equal(await queue.take(), "a");
  assert.equal(await queue.take(), "b");
  assert.equal(queue.depth, 0);
});

test("a key added while it is worked on comes back once it is done, and not before", async () => {
  const { queue } = queueOn();
  queue.add("a");
  assert.equal(await queue.take(), "a");
  queue.add("a");
  queue.add("a");
  assert.equal(queue.depth, 0);
  queue.done("a");
  assert.equal(queue.depth, 1);
});

test("a delayed key comes at the earlier of two times, and an addition takes the place of a delay", async () => {
  const { queue, clock } = queueOn();
  queue.addAfter("a", 1_000);
  queue.addAfter("a", 500);
  queue.addAfter("a", 2_000);
  await clock.advance(499);
  assert.equal(queue.depth, 0);
  await clock.advance(1);
  assert.equal(queue.depth, 1);
  await queue.take();
  queue.done("a");
  queue.addAfter("a", 1_000);
  queue.add("a");
  await queue.take();
  queue.done("a");
  await clock.advance(5_000);
  assert.equal(queue.depth, 0);
});

test("delays double with failures in a row up to a minute, and start over after forgetting", () => {
  const { queue } = queueOn();
  const delays = Array.from({ length: 12 }, () => queue.addAfterFailure("a"));
  assert.deepEqual(delays.slice(0, 4), [200, 400, 800, 1_600]);
  assert.equal(delays.at(-1), 60_000);
  queue.forget("a");
  assert.equal(queue.addAfterFailure("a"), 200);
});

test("a pass that throws neither ends its worker nor loses its key", async () => {
  const { queue, clock } = queueOn();
  const stop = new AbortController();
  const passes: string[] = [];
  const running = runController(
    {
      queue,
      workers: 2,
      clock,
      log: silentLogger,
      pass: async (key) => {
        passes.push(key);
        if (passes.length === 1) throw new Error("planned");
        return undefined;
      },
    },
    stop.signal,
  );
  queue.add("a");
  await clock.advance(0);
  assert.deepEqual(passes, ["a"]);
  await clock.advance(200);
  assert.deepEqual(passes, ["a", "a"]);
  stop.abort();
  await running;
});

test("no two workers ever hold the same key", async () => {
  const { queue, clock } = queueOn();
  const stop = new AbortController();
  const held = new Set<string>();
  let passes = 0;
  const running = runController(
    {
      queue,
      workers: 4,
      clock,
      log: silentLogger,
      pass: async (key) => {
        assert.ok(!held.has(key));
        held.add(key);
        queue.add(key === "a" ? "b" : "a");
        if (passes++ < 200) queue.add(key);
        await new Promise((resolve) => setImmediate(resolve));
        held.delete(key);
        if (passes > 400) stop.abort();
        return undefined;
      },
    },
    stop.signal,
  );
  queue.add("a");
  await running;
  assert.ok(passes > 400);
});
