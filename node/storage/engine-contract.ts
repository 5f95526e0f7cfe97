// What every storage engine must do, as tests that each adapter runs against itself. A plain map is the model.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type BackendReader,
  type Bucket,
  buckets,
  type DefragmentOutcome,
  type Engine,
  type EngineOperation,
  type KeyRange,
  type StoreGeneration,
} from "../lib/backend.ts";
import { compareBytes, utf8 } from "../lib/bytes.ts";
import { type Random, SeededRandom } from "../lib/random.ts";
import { sortKeyOf } from "../lib/sorted-map.ts";

export interface EngineUnderTest {
  readonly engine: Engine;
  /** Whether a flush is done only after `flush` has returned. */
  readonly isDeferred: boolean;
  /** Closes and opens the same store again. */
  readonly reopen: () => Promise<Engine>;
  /** A whole store with these records, in key order, to be installed. */
  readonly build: (records: readonly EngineOperation[]) => Promise<StoreGeneration>;
  /** Closes the engine, walks everything that it left behind, and throws at damage. */
  readonly finish: () => Promise<void>;
}

/** Sort key to value, by bucket. */
type Model = Map<Bucket, Map<string, Uint8Array>>;

export function testEngineContract(name: string, open: () => Promise<EngineUnderTest>): void {
  test(`${name}: an empty store has no records in any bucket`, () =>
    withEngine(open, async ({ engine }) => {
      for (const bucket of buckets) {
        assert.equal(engine.get(bucket, utf8("k")), undefined);
        assert.deepEqual(recordsOf(engine, bucket, { start: new Uint8Array(0) }), []);
      }
    }));

  test(`${name}: a flush shows all of its operations, and nothing before it is done`, () =>
    withEngine(open, async ({ engine, isDeferred }) => {
      const done = flushed(engine, [
        put("key", "a", "1"),
        put("key", "b", "2"),
        put("meta", "a", "other bucket"),
      ]);
      assert.equal(engine.get("key", utf8("a")) === undefined, isDeferred);
      await done;
      assert.deepEqual(engine.get("key", utf8("a")), utf8("1"));
      assert.deepEqual(engine.get("meta", utf8("a")), utf8("other bucket"));
      assert.equal(engine.get("meta", utf8("b")), undefined);
      await flushed(engine, [remove("key", "a"), put("key", "b", "3"), remove("key", "never there")]);
      assert.equal(engine.get("key", utf8("a")), undefined);
      assert.deepEqual(recordsOf(engine, "key", { start: new Uint8Array(0) }), [["b", "3"]]);
    }));

  test(`${name}: a flush of nothing is done like any other`, () =>
    withEngine(open, async ({ engine }) => {
      await flushed(engine, []);
      await flushed(engine, [put("key", "a", "1")]);
      await flushed(engine, []);
      assert.deepEqual(engine.get("key", utf8("a")), utf8("1"));
    }));

  test(`${name}: values of any length and content come back`, () =>
    withEngine(open, async ({ engine }) => {
      const random = new SeededRandom(3);
      const lengths = [0, 1, 7, 300, 4000, 4090, 8180, 8192, 20_000, 1_500_000];
      const values = lengths.map((length) => randomBytes(random, length));
      await flushed(
        engine,
        values.map((value, i) => ({ bucket: "key", key: utf8(`k${i}`), value })),
      );
      values.forEach((value, i) => {
        assert.equal(
          compareBytes(engine.get("key", utf8(`k${i}`)) as Uint8Array, value),
          0,
          `length ${lengths[i]}`,
        );
      });
      const cursor = engine.cursor("key", { start: utf8("k"), reverse: true });
      for (let i = values.length - 1; i >= 0; i--) {
        assert.equal(cursor.next(), true);
        assert.equal(compareBytes(cursor.value, values[i] as Uint8Array), 0);
      }
      assert.equal(cursor.next(), false);
      cursor.close();
    }));

  test(`${name}: what a read returned stays as it was after later reads and flushes`, () =>
    withEngine(open, async ({ engine }) => {
      await flushed(engine, [put("key", "a", "first"), put("key", "b", "second")]);
      const first = engine.get("key", utf8("a"));
      const cursor = engine.cursor("key", { start: utf8("b") });
      cursor.next();
      const { key, value } = cursor;
      cursor.close();
      await flushed(engine, [put("key", "a", "FIRST"), remove("key", "b")]);
      engine.get("key", utf8("a"));
      assert.deepEqual(first, utf8("first"));
      assert.deepEqual([key, value], [utf8("b"), utf8("second")]);
    }));

  test(`${name}: cursors walk half-open ranges in both directions`, () =>
    withEngine(open, async ({ engine }) => {
      const keys = ["a", "ab", "b", "ba", "c"];
      await flushed(
        engine,
        keys.map((key) => put("index", key, key)),
      );
      const cases: [string, string | undefined, string[]][] = [
        ["", undefined, keys],
        ["a", "b", ["a", "ab"]],
        ["a", "a\0", ["a"]],
        ["aa", "c", ["ab", "b", "ba"]],
        ["b", "b", []],
        ["c", "a", []],
        ["c", undefined, ["c"]],
        ["d", undefined, []],
        ["", "a", []],
        ["bb", "bz", []],
      ];
      for (const [start, end, expected] of cases) {
        const range = end === undefined ? { start: utf8(start) } : { start: utf8(start), end: utf8(end) };
        const label = `[${start}, ${end})`;
        assert.deepEqual(keysOf(engine, range), expected, label);
        assert.deepEqual(
          keysOf(engine, { ...range, reverse: true }),
          [...expected].reverse(),
          `${label} reversed`,
        );
      }
    }));

  test(`${name}: several cursors and reads of one bucket do not disturb each other`, () =>
    withEngine(open, async ({ engine }) => {
      await flushed(
        engine,
        ["a", "b", "c", "d"].map((key) => put("key", key, key.repeat(3))),
      );
      const up = engine.cursor("key", { start: utf8("a") });
      const down = engine.cursor("key", { start: utf8("a"), reverse: true });
      const seen: string[] = [];
      while (up.next() && down.next()) {
        engine.get("key", utf8("a"));
        seen.push(sortKeyOf(up.key) + sortKeyOf(down.key) + sortKeyOf(up.value) + sortKeyOf(down.value));
      }
      up.close();
      down.close();
      assert.deepEqual(seen, ["adaaaddd", "bcbbbccc", "cbcccbbb", "dadddaaa"]);
    }));

  test(`${name}: random flushes read as a plain map does, and after a reopen too`, () =>
    withEngine(open, async ({ engine, reopen }) => {
      const random = new SeededRandom(11);
      const model: Model = new Map(buckets.map((bucket) => [bucket, new Map()]));
      let current = engine;
      for (let round = 0; round < 30; round++) {
        const batch = randomBatch(random);
        await flushed(current, batch);
        for (const { bucket, key, value } of batch) {
          if (value === undefined) model.get(bucket)?.delete(sortKeyOf(key));
          else model.get(bucket)?.set(sortKeyOf(key), value);
        }
        if (round % 10 === 9) current = await reopen();
        compareWithModel(current, model, random);
      }
    }));

  test(`${name}: the size in use never exceeds the size, and both start at next to nothing`, () =>
    withEngine(open, async ({ engine }) => {
      const empty = engine.size();
      assert.ok(empty.sizeInUseBytes <= empty.sizeBytes && empty.sizeBytes <= 8192, JSON.stringify(empty));
      const values = Array.from({ length: 200 }, (_, i) => put("key", `k${1000 + i}`, "v".repeat(1000)));
      await flushed(engine, values);
      const full = engine.size();
      assert.ok(full.sizeInUseBytes >= 200_000, JSON.stringify(full));
      assert.ok(full.sizeInUseBytes <= full.sizeBytes, JSON.stringify(full));
      await flushed(
        engine,
        values.map(({ bucket, key }) => ({ bucket, key, value: undefined })),
      );
      await flushed(engine, [put("meta", "a", "1")]);
      const emptied = engine.size();
      assert.ok(emptied.sizeInUseBytes < full.sizeInUseBytes / 2, JSON.stringify({ full, emptied }));
      assert.ok(emptied.sizeInUseBytes >= 0, JSON.stringify(emptied));
      assert.ok(emptied.sizeBytes >= full.sizeBytes, JSON.stringify({ full, emptied }));
    }));

  test(`${name}: closing waits for the flush under way`, () =>
    withEngine(open, async ({ engine, reopen }) => {
      let isFlushed = false;
      engine.flush([put("key", "a", "1")], () => {
        isFlushed = true;
      });
      const again = await reopen();
      assert.equal(isFlushed, true);
      assert.deepEqual(again.get("key", utf8("a")), utf8("1"));
    }));

  test(`${name}: a defragmentation changes no record, and reads and flushes go on meanwhile`, () =>
    withEngine(open, async ({ engine, reopen }) => {
      const random = new SeededRandom(17);
      const model: Model = new Map(buckets.map((bucket) => [bucket, new Map()]));
      const flushSome = async (): Promise<void> => {
        const batch = randomBatch(random);
        await flushed(engine, batch);
        for (const { bucket, key, value } of batch) {
          if (value === undefined) model.get(bucket)?.delete(sortKeyOf(key));
          else model.get(bucket)?.set(sortKeyOf(key), value);
        }
      };
      for (let round = 0; round < 3; round++) {
        for (let i = 0; i < 10; i++) await flushSome();
        let outcome: DefragmentOutcome | undefined;
        // Asked for while a flush is under way, too.
        const flushing = flushSome();
        engine.defragment((ended) => {
          outcome = ended;
        });
        await flushing;
        for (let i = 0; i < 10_000 && outcome === undefined; i++) {
          await flushSome();
          compareWithModel(engine, model, random);
        }
        assert.deepEqual(outcome, { ok: true });
        compareWithModel(engine, model, random);
        await flushSome();
        compareWithModel(engine, model, random);
      }
      compareWithModel(await reopen(), model, random);
    }));

  test(`${name}: a defragmentation gives back the room of what was deleted`, () =>
    withEngine(open, async ({ engine, reopen }) => {
      const records = Array.from({ length: 2000 }, (_, i) => put("key", `k${10_000 + i}`, "v".repeat(1000)));
      await flushed(engine, records);
      const removed = records.slice(0, 1800);
      await flushed(
        engine,
        removed.map(({ bucket, key }) => ({ bucket, key, value: undefined })),
      );
      const before = engine.size();
      assert.deepEqual(await defragmented(engine), { ok: true });
      const after = engine.size();
      const text = JSON.stringify({ before, after });
      assert.ok(after.sizeBytes < before.sizeBytes / 4, text);
      assert.ok(after.sizeBytes <= 1.3 * after.sizeInUseBytes, text);
      assert.equal(recordsOf(engine, "key", { start: new Uint8Array(0) }).length, 200);
      assert.equal(recordsOf(await reopen(), "key", { start: new Uint8Array(0) }).length, 200);
    }));

  test(`${name}: a generation that is installed takes the place of every record, for reads, flushes and the next start`, () =>
    withEngine(open, async ({ engine, build, reopen }) => {
      await flushed(engine, [put("key", "a", "old"), put("meta", "a", "old"), put("lease", "a", "old")]);
      const generation = await build([put("key", "a", "new"), put("key", "b", "new")]);
      assert.deepEqual(engine.get("key", utf8("a")), utf8("old"));
      generation.announce(7);
      assert.deepEqual(engine.get("key", utf8("a")), utf8("old"));
      engine.install(generation);
      const all = { start: new Uint8Array(0) };
      assert.deepEqual(recordsOf(engine, "key", all), [
        ["a", "new"],
        ["b", "new"],
      ]);
      assert.equal(engine.get("meta", utf8("a")), undefined);
      assert.equal(engine.get("lease", utf8("a")), undefined);
      await flushed(engine, [put("key", "c", "later"), remove("key", "a")]);
      const again = await reopen();
      assert.deepEqual(recordsOf(again, "key", all), [
        ["b", "new"],
        ["c", "later"],
      ]);
      assert.equal(again.get("meta", utf8("a")), undefined);
    }));

  test(`${name}: a generation that is discarded leaves nothing`, () =>
    withEngine(open, async ({ engine, build, reopen }) => {
      await flushed(engine, [put("key", "a", "old")]);
      (await build([put("key", "a", "new")])).discard();
      assert.deepEqual((await reopen()).get("key", utf8("a")), utf8("old"));
    }));

  test(`${name}: W7: generations installed one behind the other, each while the one before is being closed`, () =>
    withEngine(open, async ({ engine, build, reopen }) => {
      await flushed(engine, [put("key", "a", "0")]);
      for (let i = 1; i <= 4; i++) {
        const generation = await build([put("key", "a", String(i))]);
        engine.install(generation);
        assert.deepEqual(engine.get("key", utf8("a")), utf8(String(i)));
      }
      const next = await build([put("key", "a", "5")]);
      const last = await build([put("key", "a", "6")]);
      engine.install(next);
      engine.install(last);
      assert.deepEqual(engine.get("key", utf8("a")), utf8("6"));
      assert.deepEqual((await reopen()).get("key", utf8("a")), utf8("6"));
    }));

  test(`${name}: W8: a generation that is installed during a defragmentation wins`, () =>
    withEngine(open, async ({ engine, build, isDeferred, reopen }) => {
      await flushed(
        engine,
        Array.from({ length: 3000 }, (_, i) => put("key", `k${10_000 + i}`, "old")),
      );
      // Early in the copy, in its middle, and towards its end.
      for (const turns of [0, 5, 30]) {
        const generation = await build([put("key", "a", `new ${turns}`)]);
        const defragmenting = defragmented(engine);
        for (let i = 0; i < turns; i++) await flushed(engine, [put("key", "b", `${turns} ${i}`)]);
        engine.install(generation);
        assert.deepEqual(recordsOf(engine, "key", { start: new Uint8Array(0) }), [["a", `new ${turns}`]]);
        const outcome = await defragmenting;
        assert.ok(outcome.ok || outcome.reason === "interrupted", JSON.stringify(outcome));
        if (turns === 0 && isDeferred) assert.equal(outcome.ok, false);
        assert.deepEqual(recordsOf(engine, "key", { start: new Uint8Array(0) }), [["a", `new ${turns}`]]);
        await flushed(engine, [put("meta", "m", `${turns}`)]);
      }
      const again = await reopen();
      assert.deepEqual(recordsOf(again, "key", { start: new Uint8Array(0) }), [["a", "new 30"]]);
      assert.deepEqual(again.get("meta", utf8("m")), utf8("30"));
    }));

  test(`${name}: one defragmentation at a time, and closing ends it`, () =>
    withEngine(open, async ({ engine, isDeferred, reopen }) => {
      await flushed(engine, [put("key", "a", "1")]);
      const first = defragmented(engine);
      const second = await defragmented(engine);
      if (isDeferred) assert.deepEqual(second, { ok: false, reason: "underWay" });
      const again = await reopen();
      assert.deepEqual(await first, isDeferred ? { ok: false, reason: "interrupted" } : { ok: true });
      assert.deepEqual(again.get("key", utf8("a")), utf8("1"));
      assert.deepEqual(await defragmented(again), { ok: true });
      assert.deepEqual(again.get("key", utf8("a")), utf8("1"));
    }));
}

async function withEngine(
  open: () => Promise<EngineUnderTest>,
  body: (subject: EngineUnderTest) => Promise<void>,
): Promise<void> {
  const subject = await open();
  try {
    await body(subject);
  } finally {
    await subject.finish();
  }
}

export function put(bucket: Bucket, key: string, value: string): EngineOperation {
  return { bucket, key: utf8(key), value: utf8(value) };
}

export function remove(bucket: Bucket, key: string): EngineOperation {
  return { bucket, key: utf8(key), value: undefined };
}

export function defragmented(engine: Engine): Promise<DefragmentOutcome> {
  return new Promise((resolve) => engine.defragment(resolve));
}

export function flushed(engine: Engine, operations: readonly EngineOperation[]): Promise<void> {
  const order = [...operations].sort(
    (a, b) => buckets.indexOf(a.bucket) - buckets.indexOf(b.bucket) || compareBytes(a.key, b.key),
  );
  return new Promise((resolve) => engine.flush(order, resolve));
}

export function recordsOf(reader: BackendReader, bucket: Bucket, range: KeyRange): [string, string][] {
  const cursor = reader.cursor(bucket, range);
  const records: [string, string][] = [];
  while (cursor.next()) records.push([sortKeyOf(cursor.key), sortKeyOf(cursor.value)]);
  cursor.close();
  return records;
}

function keysOf(engine: Engine, range: KeyRange): string[] {
  return recordsOf(engine, "index", range).map(([key]) => key);
}

function randomBytes(random: Random, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = random.below(256);
  return bytes;
}

function randomKey(random: Random): Uint8Array {
  const alphabet = [0x00, 0x61, 0x80, 0xff];
  return Uint8Array.from({ length: 1 + random.below(3) }, () => alphabet[random.below(4)] as number);
}

function randomBatch(random: Random): EngineOperation[] {
  const batch = new Map<string, EngineOperation>();
  const count = random.below(40);
  for (let i = 0; i < count; i++) {
    const bucket = buckets[random.below(3)] as Bucket;
    const key = randomKey(random);
    const value = random.below(3) === 0 ? undefined : randomBytes(random, random.below(200));
    batch.set(`${bucket} ${sortKeyOf(key)}`, { bucket, key, value });
  }
  return [...batch.values()];
}

function compareWithModel(engine: Engine, model: Model, random: Random): void {
  for (const [bucket, records] of model) {
    const sorted = [...records].sort(([a], [b]) => (a < b ? -1 : 1));
    const start = sortKeyOf(randomKey(random));
    const end = sortKeyOf(randomKey(random));
    const expected = sorted.filter(([key]) => key >= start && key < end);
    const range = { start: Buffer.from(start, "latin1"), end: Buffer.from(end, "latin1") };
    const text = ([key, value]: [string, Uint8Array]): [string, string] => [key, sortKeyOf(value)];
    assert.deepEqual(recordsOf(engine, bucket, { start: new Uint8Array(0) }), sorted.map(text));
    assert.deepEqual(recordsOf(engine, bucket, range), expected.map(text));
    assert.deepEqual(recordsOf(engine, bucket, { ...range, reverse: true }), expected.map(text).reverse());
    const probe = randomKey(random);
    assert.deepEqual(engine.get(bucket, probe), records.get(sortKeyOf(probe)));
  }
}
