import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { type BackendReader, type Bucket, buckets, type EngineOperation } from "../../lib/backend.ts";
import { emptyBytes, utf8 } from "../../lib/bytes.ts";
import { FatalError } from "../../lib/fatal.ts";
import { type Random, SeededRandom } from "../../lib/random.ts";
import { nodeDisk } from "../disk.ts";
import { defragmented, flushed, put, recordsOf, remove } from "../engine-contract.ts";
import { readDataFile } from "./data-file.ts";
import { checksumOf } from "./envelope.ts";
import { dataFileName, Environment, pageBytes } from "./environment.ts";
import { Page, PageFault } from "./page.ts";
import { StoreReader } from "./reader.ts";
import { closed, newMemberPath, openEngine, walkAndRemove } from "./test-store.ts";
import { BucketTree, TreeFile } from "./tree.ts";

/** Two readers of a live store at one transaction: through pages, and through the package. */
class Pair {
  readonly pages: StoreReader;
  readonly package: StoreReader;
  readonly #environment: Environment;

  constructor(memberPath: string) {
    const folder = `${memberPath}/${readFileSync(`${memberPath}/CURRENT`, "utf8").trim()}`;
    const file = `${folder}/${dataFileName}`;
    const onFatal = (error: FatalError): void => assert.fail(error);
    this.#environment = new Environment(folder);
    this.pages = new StoreReader({ environment: this.#environment, file, onFatal, disk: nodeDisk });
    this.package = new StoreReader({ environment: this.#environment, file, onFatal });
  }

  renew(): void {
    this.pages.renew();
    this.package.renew();
  }

  close(): Promise<void> {
    this.pages.close();
    this.package.close();
    return new Promise((done) => this.#environment.close(done));
  }
}

interface Shape {
  readonly count: number;
  readonly keyBytes: number;
}

function keyOf(n: number, { keyBytes }: Shape): string {
  return `${String(n).padStart(6, "0")}-`.padEnd(keyBytes, "k");
}

function randomValue(random: Random): string {
  const lengths = [0, 10, 300, 3_000, 4_100, 8_200, 50_000];
  return String(random.below(1_000_000)).padEnd(lengths[random.below(lengths.length)] as number, "v");
}

/** Puts, and ranges of deletes, of one bucket. Each key comes once. */
function randomBatch(random: Random, shape: Shape, model: Map<string, string>): EngineOperation[] {
  const batch = new Map<string, EngineOperation>();
  const start = random.below(shape.count);
  for (let n = start; n < Math.min(start + random.below(shape.count / 2), shape.count); n++) {
    const key = keyOf(n, shape);
    if (model.delete(key)) batch.set(key, remove("key", key));
  }
  for (let i = 0; i < shape.count / 3; i++) {
    const key = keyOf(random.below(shape.count), shape);
    const value = random.below(20) === 0 ? randomValue(random) : `short ${i}`;
    model.set(key, value);
    batch.set(key, put("key", key, value));
  }
  return [...batch.values()];
}

function text(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
}

function assertReadsAs(reader: BackendReader, model: ReadonlyMap<string, string>, shape: Shape): void {
  const sorted = [...model].sort(([a], [b]) => (a < b ? -1 : 1));
  assert.deepEqual(recordsOf(reader, "key", { start: emptyBytes }), sorted);
  for (let n = 0; n < shape.count; n++) {
    const key = keyOf(n, shape);
    assert.equal(text(reader.get("key", utf8(key))), model.get(key), key);
    assert.equal(reader.get("key", utf8(`${key}+`)), undefined);
  }
}

function assertSameRanges(random: Random, shape: Shape, one: BackendReader, other: BackendReader): void {
  for (let i = 0; i < 30; i++) {
    const bound = (): Uint8Array => utf8(keyOf(random.below(shape.count + 1), shape));
    const range = { start: bound(), end: bound() };
    assert.deepEqual(recordsOf(one, "key", range), recordsOf(other, "key", range));
    const key = utf8(keyOf(random.below(shape.count), shape));
    assert.deepEqual(text(one.get("key", key)), text(other.get("key", key)));
  }
}

for (const [levels, shape] of [
  [1, { count: 3, keyBytes: 8 }],
  [2, { count: 600, keyBytes: 8 }],
  [5, { count: 600, keyBytes: 1_500 }],
] as [number, Shape][])
  test(`random trees of up to ${levels} levels read as the package reads them, and after a defragmentation too`, async () => {
    const random = new SeededRandom(23);
    const memberPath = newMemberPath();
    const engine = openEngine(memberPath);
    const model = new Map<string, string>();
    let deepest = 0;
    assertReadsAs(engine, model, shape);
    for (let round = 0; round < 12; round++) {
      await flushed(engine, randomBatch(random, shape, model));
      const pair = new Pair(memberPath);
      assertReadsAs(engine, model, shape);
      assertReadsAs(pair.package, model, shape);
      assertSameRanges(random, shape, pair.pages, pair.package);
      await pair.close();
      deepest = Math.max(deepest, depthOf(memberPath));
    }
    assert.equal(deepest, levels);
    assert.deepEqual(await defragmented(engine), { ok: true });
    assertReadsAs(engine, model, shape);
    await flushed(engine, randomBatch(random, shape, model));
    assertReadsAs(engine, model, shape);
    await flushed(
      engine,
      [...model.keys()].map((key) => remove("key", key)),
    );
    assertReadsAs(engine, new Map(), shape);
    await closed(engine);
    await walkAndRemove(memberPath);
  });

function depthOf(memberPath: string): number {
  const live = readFileSync(`${memberPath}/CURRENT`, "utf8").trim();
  const file = new TreeFile(nodeDisk, `${memberPath}/${live}/${dataFileName}`);
  const depth = file.root("key")?.depth ?? 0;
  file.close();
  return depth;
}

test("a view stays what it was, however many flushes change the store while it is read", async () => {
  const random = new SeededRandom(29);
  const shape: Shape = { count: 1_500, keyBytes: 40 };
  const memberPath = newMemberPath();
  const engine = openEngine(memberPath);
  const model = new Map<string, string>();
  await flushed(engine, randomBatch(random, shape, model));
  const pair = new Pair(memberPath);
  let flushes = 0;
  let comparisons = 0;
  for (let view = 0; view < 4; view++) {
    // No flush is under way: this is where an engine renews.
    pair.renew();
    const expected = recordsOf(pair.package, "key", { start: emptyBytes });
    let isFlushing = true;
    const flushing = (async () => {
      for (let i = 0; i < 15; i++, flushes++) await flushed(engine, randomBatch(random, shape, model));
      isFlushing = false;
    })();
    while (isFlushing) {
      assert.deepEqual(recordsOf(pair.pages, "key", { start: emptyBytes }), expected);
      assertSameRanges(random, shape, pair.pages, pair.package);
      comparisons++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await flushing;
  }
  assert.ok(comparisons > flushes / 10, `${comparisons} comparisons in ${flushes} flushes`);
  pair.renew();
  assertReadsAs(pair.pages, model, shape);
  await pair.close();
  await closed(engine);
  await walkAndRemove(memberPath);
});

/** Reads every record of every bucket, as far as pages go. */
function readAll(path: string): number {
  const file = new TreeFile(nodeDisk, path);
  let bytes = 0;
  try {
    for (const bucket of buckets) {
      const walk = new BucketTree(file, bucket).walk(emptyBytes, undefined);
      while (walk.next()) {
        const { page, node } = walk;
        const first = page.bigValueOf(node);
        if (first === undefined) bytes += page.valueEnd(node) - page.keyEnd(node);
        else bytes += file.bigValue(first, page.valueBytes(node)).length;
      }
    }
  } finally {
    file.close();
  }
  return bytes;
}

test("bytes changed in the structure of any page are damage, or name places inside the pages", async () => {
  const random = new SeededRandom(31);
  const shape: Shape = { count: 120, keyBytes: 1_500 };
  const memberPath = newMemberPath();
  const engine = openEngine(memberPath);
  const records = Array.from({ length: shape.count }, (_, n) =>
    put("key", keyOf(n, shape), "v".repeat(n % 7 === 0 ? 20_000 : 100)),
  );
  await flushed(engine, [...records, put("meta", "m", "v")]);
  await closed(engine);
  const pristine = readFileSync(`${memberPath}/store-1/${dataFileName}`);
  const path = join(tmpdir(), `etcdlike-damaged-${process.pid}`);
  writeFileSync(path, pristine);
  const whole = readAll(path);
  const { newest } = readDataFile(nodeDisk, path);
  let faults = 0;
  for (let i = 0; i < 500; i++) {
    const damaged = Buffer.from(pristine);
    const page = 2 + random.below(newest.lastPage - 1);
    // Headers, places of nodes, and the heads of nodes.
    const count = Math.min(40, damaged.readUInt16LE(page * pageBytes + 20) >>> 1);
    const node = count === 0 ? 0 : damaged.readUInt16LE(page * pageBytes + 24 + 2 * random.below(count));
    const at =
      random.below(2) === 0 ? random.below(24 + 2 * count) : Math.min(24 + node, 8_184) + random.below(8);
    const offset = page * pageBytes + at;
    damaged[offset] = (damaged[offset] as number) ^ (1 << random.below(8));
    writeFileSync(path, damaged);
    try {
      readAll(path);
    } catch (error) {
      assert.ok(error instanceof PageFault, `offset ${offset}: ${String(error)}`);
      faults++;
    }
  }
  assert.ok(faults > 100, `${faults} faults`);
  writeFileSync(path, pristine);
  assert.equal(readAll(path), whole);
  rmSync(path);
  await walkAndRemove(memberPath);
});

test("a page of a later transaction is never read, and neither is a damaged one answered from", async () => {
  const memberPath = newMemberPath();
  await closed(await filled(memberPath));
  const path = `${memberPath}/store-1/${dataFileName}`;
  const pristine = readFileSync(path);
  const file = new TreeFile(nodeDisk, path);
  const root = file.root("key");
  const id = file.transactionId;
  file.close();
  const number = root?.page ?? 0;
  assert.equal(new Page(number, pristine, number * pageBytes).kind, "branch");
  const damage: [RegExp, number, number][] = [
    [new RegExp(`page ${number} is of transaction`), 8, id + 1],
    [new RegExp(`page ${number} has the number`), 0, number + 1],
  ];
  for (const [message, at, byte] of damage) {
    const damaged = Buffer.from(pristine);
    damaged[number * pageBytes + at] = byte;
    writeFileSync(path, damaged);
    const reports: FatalError[] = [];
    const engine = openEngine(memberPath, (error) => reports.push(error));
    for (const read of [
      () => engine.get("key", utf8("k-5")),
      () => recordsOf(engine, "key", { start: emptyBytes }),
    ])
      assert.throws(read, (error) => {
        assert.ok(error instanceof FatalError);
        assert.equal(error.reason, "STORE_DAMAGED");
        assert.match(error.message, message);
        assert.deepEqual(error.details, { file: path, offset: number * pageBytes });
        return true;
      });
    assert.equal(reports.length, 1);
    await closed(engine);
  }
  writeFileSync(path, pristine);
  await walkAndRemove(memberPath);
});

async function filled(memberPath: string): Promise<ReturnType<typeof openEngine>> {
  const engine = openEngine(memberPath);
  const key: Bucket = "key";
  await flushed(
    engine,
    Array.from({ length: 200 }, (_, n) => put(key, `k-${n}`, "v".repeat(300))),
  );
  return engine;
}

test("the checksum of short records is the one that zlib computes", () => {
  const random = new SeededRandom(37);
  const bytes = Uint8Array.from({ length: 400 }, () => random.below(256));
  for (let start = 0; start < 8; start++)
    for (let length = 0; length < 140; length++) {
      const seed = crc32(bytes.subarray(length, length + 9));
      const expected = crc32(bytes.subarray(start, start + length), seed);
      assert.equal(checksumOf(bytes, start, start + length, seed), expected);
    }
});
