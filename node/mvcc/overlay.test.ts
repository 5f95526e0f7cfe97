import assert from "node:assert/strict";
import { test } from "node:test";
import { packArena } from "../lib/arena.ts";
import { type Bucket, buckets, type EngineOperation, type KeyRange } from "../lib/backend.ts";
import { utf8 } from "../lib/bytes.ts";
import { SeededRandom } from "../lib/random.ts";
import { sortKeyOf } from "../lib/sorted-map.ts";
import { MemoryEngine } from "../storage/memory/engine.ts";
import { Layer } from "./layer.ts";
import { Overlay } from "./overlay.ts";

function open(): { overlay: Overlay; engine: MemoryEngine; finishing: (() => void)[] } {
  const finishing: (() => void)[] = [];
  const engine = new MemoryEngine({ complete: (finish) => finishing.push(finish) });
  return { overlay: new Overlay(engine), engine, finishing };
}

function recordsOf(overlay: Overlay, bucket: Bucket, range: KeyRange): [string, string][] {
  const cursor = overlay.cursor(bucket, range);
  const records: [string, string][] = [];
  while (cursor.next()) {
    // Read twice: getters must not move anything.
    assert.equal(cursor.key, cursor.key);
    records.push([sortKeyOf(cursor.key), sortKeyOf(cursor.value)]);
  }
  assert.equal(cursor.next(), false);
  cursor.close();
  return records;
}

function randomKey(random: SeededRandom): Uint8Array {
  const alphabet = [0x00, 0x61, 0x80, 0xff];
  return Uint8Array.from({ length: random.below(3) + 1 }, () => alphabet[random.below(4)] as number);
}

test("with flushes and completions at random points, reads are those of a plain map", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = new SeededRandom(seed);
    const { overlay, finishing } = open();
    const model = new Map<string, Uint8Array>();
    let flushes = 0;
    for (let step = 0; step < 800; step++) {
      const key = randomKey(random);
      const sortKey = sortKeyOf(key);
      const action = random.below(20);
      if (action < 9) {
        const value = utf8(`${step}`);
        overlay.put("key", key, value);
        model.set(sortKey, value);
      } else if (action < 16) {
        overlay.delete("key", key);
        model.delete(sortKey);
      } else if (action === 16 && !overlay.isFlushing) {
        overlay.flush(() => flushes++);
      } else if (action === 17) {
        finishing.shift()?.();
      }
      const probe = randomKey(random);
      assert.deepEqual(overlay.get("key", probe), model.get(sortKeyOf(probe)));
      if (step % 10 !== 0) continue;
      const start = sortKeyOf(randomKey(random));
      const end = random.below(3) === 0 ? undefined : sortKeyOf(randomKey(random));
      const expected = [...model]
        .filter(([k]) => k >= start && (end === undefined || k < end))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([k, value]): [string, string] => [k, sortKeyOf(value)]);
      const range = {
        start: Buffer.from(start, "latin1"),
        ...(end === undefined ? {} : { end: Buffer.from(end, "latin1") }),
      };
      assert.deepEqual(recordsOf(overlay, "key", range), expected);
      assert.deepEqual(recordsOf(overlay, "key", { ...range, reverse: true }), expected.reverse());
    }
    assert.ok(flushes > 3, `seed ${seed} flushed ${flushes} times`);
  }
});

test("with keys that mostly ascend, as revisions do, reads are those of a plain map too", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = new SeededRandom(seed);
    const { overlay, finishing } = open();
    const model = new Map<string, Uint8Array>();
    let next = 0;
    for (let step = 0; step < 600; step++) {
      const isNew = next === 0 || random.below(20) > 0;
      if (isNew) next += 1 + random.below(3);
      const number = isNew ? next : random.below(next + 1);
      const key = Uint8Array.of(number >> 8, number & 0xff);
      const sortKey = sortKeyOf(key);
      if (random.below(10) > 0) {
        const value = Uint8Array.from({ length: random.below(300) }, () => step & 0xff);
        if (random.below(2) === 0) overlay.put("key", key, value);
        else overlay.reserve("key", key, value.length).set(value);
        model.set(sortKey, value);
      } else {
        overlay.delete("key", key);
        model.delete(sortKey);
      }
      // What was given is copied.
      key.fill(0xee);
      if (random.below(40) === 0 && !overlay.isFlushing) overlay.flush(() => {});
      if (random.below(30) === 0) finishing.shift()?.();
      const probe = random.below(next + 2);
      const probeKey = Uint8Array.of(probe >> 8, probe & 0xff);
      assert.deepEqual(overlay.get("key", probeKey), model.get(sortKeyOf(probeKey)));
      if (step % 20 !== 0) continue;
      const [from, to] = [random.below(next + 2), random.below(next + 2)];
      const range = { start: Uint8Array.of(from >> 8, from & 0xff), end: Uint8Array.of(to >> 8, to & 0xff) };
      const expected = [...model]
        .filter(([k]) => k >= sortKeyOf(range.start) && k < sortKeyOf(range.end))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([k, value]): [string, string] => [k, sortKeyOf(value)]);
      assert.deepEqual(recordsOf(overlay, "key", range), expected);
      assert.deepEqual(recordsOf(overlay, "key", { ...range, reverse: true }), expected.reverse());
    }
  }
});

test("a layer packs itself into the bytes of its operations", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = new SeededRandom(seed);
    const layer = new Layer();
    const scatteredInTen = random.below(4);
    for (let number = 1; number <= random.below(1500); number++) {
      const bucket = buckets[random.below(buckets.length)] as Bucket;
      const isScattered = random.below(10) < scatteredInTen;
      const key = utf8(String((isScattered ? random.below(2000) : number) + 100_000));
      if (random.below(8) === 0) layer.delete(bucket, key);
      else {
        const length = random.below(100) === 0 ? random.below(200_000) : random.below(400);
        layer.put(bucket, key, new Uint8Array(length).fill(number));
      }
    }
    const operations = [...layer];
    const packed = packArena(operations);
    for (const spareBytes of [0, packed.length - 1, packed.length, packed.length + 7, packed.length * 20]) {
      const spare = new ArrayBuffer(Math.max(0, spareBytes));
      new Uint8Array(spare).fill(0xee);
      const bytes = layer.pack(spare);
      assert.equal(bytes.buffer === spare, spareBytes >= packed.length && spareBytes <= packed.length * 8);
      assert.deepEqual(bytes, packed);
    }
  }
});

test("a layer hands out each key once, in order, with its newest change, however they arrive and are asked for", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = new SeededRandom(seed);
    const layer = new Layer();
    const model = new Map<string, Uint8Array>();
    const isDescending = random.below(3) === 0;
    const asked = Array.from({ length: 5 }, (_, i) => utf8(String(1_000 - i)));
    let lowest = 10_000;
    for (let number = 1; number <= 60; number++) {
      const known = asked[random.below(asked.length)] as Uint8Array;
      const roll = random.below(12);
      if (roll === 0) layer.changes("key").find(known);
      const key = roll <= 1 ? known : utf8(String(isDescending ? lowest-- : 1_000 - random.below(40)));
      const value = new Uint8Array([number]);
      layer.put("key", key, value);
      model.set(sortKeyOf(key), value);
      if (random.below(40) === 0) layer.pack();
    }
    const expected = [...model].sort(([a], [b]) => (a < b ? -1 : 1));
    assert.deepEqual(
      [...layer].map(({ key, value }) => [sortKeyOf(key), value]),
      expected,
      `seed ${seed}`,
    );
  }
});

test("a value that was read stays as it is, whatever is written later", () => {
  const { overlay } = open();
  overlay.put("key", utf8("a"), utf8("1"));
  const read = overlay.get("key", utf8("a"));
  for (let i = 0; i < 5000; i++) overlay.put("key", utf8("a"), utf8(`later ${i}`));
  overlay.delete("key", utf8("a"));
  assert.deepEqual(read, utf8("1"));
});

test("a delete hides what the flushing layer and the engine hold", () => {
  const { overlay, finishing } = open();
  overlay.put("key", utf8("a"), utf8("engine"));
  overlay.put("key", utf8("b"), utf8("engine"));
  overlay.flush(() => {});
  finishing.shift()?.();
  overlay.put("key", utf8("c"), utf8("flushing"));
  overlay.delete("key", utf8("a"));
  overlay.flush(() => {});
  overlay.delete("key", utf8("b"));
  overlay.delete("key", utf8("c"));
  for (const key of ["a", "b", "c"]) assert.equal(overlay.get("key", utf8(key)), undefined);
  assert.deepEqual(recordsOf(overlay, "key", { start: utf8("") }), []);
  overlay.put("key", utf8("b"), utf8("active"));
  assert.deepEqual(recordsOf(overlay, "key", { start: utf8("") }), [["b", "active"]]);
});

test("the engine gets each key once, grouped by bucket, in key order, with its newest value", () => {
  const { overlay, engine } = open();
  const submitted: EngineOperation[] = [];
  const flush = engine.flush.bind(engine);
  engine.flush = (operations, done) => {
    submitted.push(...operations);
    flush(submitted, done);
  };
  overlay.put("meta", utf8("m"), utf8("1"));
  overlay.put("key", utf8("b"), utf8("1"));
  overlay.delete("key", utf8("a"));
  overlay.put("key", utf8("b"), utf8("2"));
  overlay.delete("meta", utf8("x"));
  overlay.put("meta", utf8("x"), utf8("back"));
  overlay.flush(() => {});
  assert.deepEqual(submitted, [
    { bucket: "key", key: utf8("a"), value: undefined },
    { bucket: "key", key: utf8("b"), value: utf8("2") },
    { bucket: "meta", key: utf8("m"), value: utf8("1") },
    { bucket: "meta", key: utf8("x"), value: utf8("back") },
  ]);
});

test("writes during a flush belong to the next one", () => {
  const { overlay, engine, finishing } = open();
  const done: string[] = [];
  overlay.put("key", utf8("a"), utf8("1"));
  overlay.flush(() => done.push("first"));
  overlay.put("key", utf8("b"), utf8("2"));
  assert.equal(overlay.isFlushing, true);
  finishing.shift()?.();
  assert.deepEqual([done, overlay.isFlushing], [["first"], false]);
  assert.equal(engine.get("key", utf8("b")), undefined);
  assert.deepEqual(overlay.get("key", utf8("b")), utf8("2"));
  overlay.flush(() => done.push("second"));
  finishing.shift()?.();
  assert.deepEqual(engine.get("key", utf8("b")), utf8("2"));
  assert.equal(overlay.activeBytes, 0);
});

test("an engine that finishes at once leaves no flush under way", () => {
  const overlay = new Overlay(new MemoryEngine());
  overlay.put("key", utf8("a"), utf8("1"));
  let isDone = false;
  overlay.flush(() => {
    isDone = !overlay.isFlushing;
  });
  assert.equal(isDone, true);
  assert.deepEqual(overlay.get("key", utf8("a")), utf8("1"));
});

test("a flush takes what was written before the cut, however much later it begins", () => {
  const { overlay, engine, finishing } = open();
  overlay.put("key", utf8("a"), utf8("before"));
  overlay.cut();
  overlay.put("key", utf8("a"), utf8("after"));
  overlay.put("key", utf8("b"), utf8("after"));
  assert.deepEqual(recordsOf(overlay, "key", { start: utf8("") }), [
    ["a", "after"],
    ["b", "after"],
  ]);
  assert.equal(overlay.isFlushing, true);
  overlay.flush(() => {});
  finishing.shift()?.();
  assert.deepEqual(engine.get("key", utf8("a")), utf8("before"));
  assert.equal(engine.get("key", utf8("b")), undefined);
  assert.equal(overlay.isFlushing, false);
  assert.equal(overlay.get("key", utf8("b"))?.length, 5);
  overlay.cut();
  assert.throws(() => overlay.cut(), { name: "AssertionFailure" });
});

test("a second flush while one is under way is a bug", () => {
  const { overlay } = open();
  overlay.flush(() => {});
  assert.throws(() => overlay.flush(() => {}), { name: "AssertionFailure" });
});

test("bytes count all that was written", () => {
  const { overlay, finishing } = open();
  assert.equal(overlay.activeBytes, 0);
  overlay.put("key", utf8("abc"), new Uint8Array(100));
  const one = overlay.activeBytes;
  assert.ok(one >= 103);
  overlay.put("key", utf8("abc"), new Uint8Array(40));
  const two = overlay.activeBytes;
  assert.ok(two >= one + 43);
  overlay.delete("key", utf8("abc"));
  const three = overlay.activeBytes;
  assert.ok(three >= two + 3);
  overlay.flush(() => {});
  assert.deepEqual([overlay.activeBytes, overlay.flushingBytes], [0, three]);
  finishing.shift()?.();
  assert.equal(overlay.flushingBytes, 0);
});

test("buckets do not see each other's keys", () => {
  const { overlay } = open();
  for (const bucket of buckets) overlay.put(bucket, utf8("k"), utf8(bucket));
  for (const bucket of buckets) assert.deepEqual(overlay.get(bucket, utf8("k")), utf8(bucket));
});
