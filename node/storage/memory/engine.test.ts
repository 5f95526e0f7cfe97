import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../lib/bytes.ts";
import { flushed, put, recordsOf, testEngineContract } from "../engine-contract.ts";
import { MemoryEngine, MemoryGeneration } from "./engine.ts";

for (const isDeferred of [false, true]) {
  const options = isDeferred ? { complete: (finish: () => void) => void setImmediate(finish) } : {};
  testEngineContract(isDeferred ? "memory, completing later" : "memory", async () => {
    let engine = new MemoryEngine(options);
    return {
      engine,
      isDeferred,
      reopen: async () => {
        const closing = engine;
        await new Promise<void>((resolve) => closing.close(resolve));
        engine = new MemoryEngine({ ...options, image: closing.image() });
        return engine;
      },
      build: async (records) => {
        const building = new MemoryEngine();
        await flushed(building, records);
        return new MemoryGeneration(building.image());
      },
      finish: async () => {},
    };
  });
}

test("a crash during a flush leaves the state before it or after it", async () => {
  const finishing: (() => void)[] = [];
  const engine = new MemoryEngine({ complete: (finish) => finishing.push(finish) });
  const first = flushed(engine, [put("key", "a", "1"), put("meta", "applied", "1")]);
  finishing.shift()?.();
  await first;
  engine.flush([put("key", "b", "2"), put("meta", "applied", "2")], () => assert.fail("the flush is lost"));
  const lost = new MemoryEngine({ image: engine.image() });
  const kept = new MemoryEngine({ image: engine.imageWithFlushUnderWay() });
  assert.deepEqual(recordsOf(lost, "key", { start: utf8("") }), [["a", "1"]]);
  assert.deepEqual(lost.get("meta", utf8("applied")), utf8("1"));
  assert.deepEqual(recordsOf(kept, "key", { start: utf8("") }), [
    ["a", "1"],
    ["b", "2"],
  ]);
  assert.deepEqual(kept.get("meta", utf8("applied")), utf8("2"));
});

test("an image does not change with the engine that it was taken from or given to", async () => {
  const engine = new MemoryEngine();
  await flushed(engine, [put("key", "a", "1")]);
  const image = engine.image();
  const other = new MemoryEngine({ image });
  await flushed(engine, [put("key", "a", "2"), put("key", "b", "2")]);
  await flushed(other, [put("key", "c", "3")]);
  assert.deepEqual(recordsOf(new MemoryEngine({ image }), "key", { start: utf8("") }), [["a", "1"]]);
});

test("operations that are out of order or not grouped are refused", () => {
  const engine = new MemoryEngine();
  const nothing = () => {};
  const outOfOrder = [put("key", "b", ""), put("key", "a", "")];
  const twice = [put("key", "a", ""), put("key", "a", "")];
  const mixed = [put("key", "a", ""), put("meta", "a", ""), put("key", "b", "")];
  for (const batch of [outOfOrder, twice, mixed]) {
    assert.throws(() => engine.flush(batch, nothing), { name: "AssertionFailure" });
  }
});
