import assert from "node:assert/strict";
import { test } from "node:test";
import { compareBytes, equalBytes } from "../lib/bytes.ts";
import { noLease } from "../lib/ids.ts";
import { SeededRandom } from "../lib/random.ts";
import { MemoryEngine } from "../storage/memory/engine.ts";
import { headOf, KeyIndex, liveVersionAt } from "./key-index.ts";
import { Overlay } from "./overlay.ts";
import { VersionWalk } from "./version-walk.ts";

/** LMDB's limit at pages of 8 KiB. */
const engineKeyBytesMax = 4026;

class Rig {
  readonly overlay = new Overlay(new MemoryEngine());
  readonly index = new KeyIndex(this.overlay);

  push(key: Uint8Array, main: number, isTombstone = false): void {
    const place = this.index.makePlace(key);
    this.index.push(place, headOf(this.overlay, place), {
      main,
      sub: 0,
      isTombstone,
      createRevision: isTombstone ? 0 : main,
      version: isTombstone ? 0 : 1,
      lease: noLease,
    });
  }

  /** Keys and main revisions, in slices of at most `entriesMax`. */
  walk(
    start: Uint8Array,
    end: Uint8Array | undefined,
    revision: number,
    entriesMax: number,
  ): [Uint8Array, number][] {
    const walk = new VersionWalk(this.overlay, { start, end, revision });
    const found: [Uint8Array, number][] = [];
    while (!walk.isDone) {
      walk.allow(entriesMax);
      while (walk.next()) found.push([walk.key(), walk.version.main]);
    }
    return found;
  }

  records(): { key: Uint8Array; value: Uint8Array }[] {
    const records: { key: Uint8Array; value: Uint8Array }[] = [];
    for (const bucket of ["index", "index_chunks", "index_history"] as const) {
      const cursor = this.overlay.cursor(bucket, { start: new Uint8Array(0) });
      while (cursor.next()) records.push({ key: cursor.key, value: cursor.value });
    }
    return records;
  }
}

/** Keys of 0 to 10,000 bytes that share long beginnings, of few and awkward bytes. */
function awkwardKeys(random: SeededRandom, count: number): Uint8Array[] {
  const keys: Uint8Array[] = [new Uint8Array(0)];
  const bytes = [0, 0, 1, 2, 0xfe, 0xff, 0x61];
  while (keys.length < count) {
    const base = keys[random.below(keys.length)] as Uint8Array;
    const kept = random.below(base.length + 1);
    const wanted = random.below(3) === 0 ? random.below(10_001) : random.below(4);
    const length = Math.min(10_000, kept + wanted);
    const fill = bytes[random.below(bytes.length)] as number;
    const key = new Uint8Array(length).fill(fill);
    key.set(base.subarray(0, kept));
    for (let i = 0; i < 3 && length > 0; i++) {
      key[length - 1 - random.below(Math.min(length, 4))] = bytes[random.below(bytes.length)] as number;
    }
    if (!keys.some((known) => equalBytes(known, key))) keys.push(key);
  }
  return keys;
}

test("walks meet keys of any length and bytes in order, like a sorted array", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const random = new SeededRandom(seed);
    const rig = new Rig();
    const keys = awkwardKeys(random, 120);
    const stored = keys.slice(0, 80);
    for (const [i, key] of stored.entries()) rig.push(key, 2 + i);
    for (const { key } of rig.records()) assert.ok(key.length <= engineKeyBytesMax, `${key.length} bytes`);
    const model = stored
      .map((key, i): [Uint8Array, number] => [key, 2 + i])
      .sort(([a], [b]) => compareBytes(a, b));
    for (let round = 0; round < 60; round++) {
      const start = keys[random.below(keys.length)] as Uint8Array;
      const end = round % 4 === 0 ? undefined : (keys[random.below(keys.length)] as Uint8Array);
      const revision = round % 3 === 0 ? random.below(90) : 1000;
      const expected = model.filter(
        ([key, main]) =>
          main <= revision &&
          compareBytes(key, start) >= 0 &&
          (end === undefined || compareBytes(key, end) < 0),
      );
      assert.deepEqual(rig.walk(start, end, revision, 1 + random.below(200)), expected);
    }
    for (const [i, key] of keys.entries()) {
      assert.equal(liveVersionAt(rig.overlay, key, 1000)?.main, i < 80 ? 2 + i : undefined);
    }
  }
});

test("a walk at an old revision finds the version of then behind many newer ones", () => {
  const rig = new Rig();
  const key = Uint8Array.of(1);
  for (let main = 2; main <= 100; main++) {
    rig.push(key, main, main % 10 === 0);
    rig.push(Uint8Array.of(0), main);
    rig.push(Uint8Array.of(1, 0), main);
  }
  for (let revision = 0; revision <= 101; revision++) {
    const newest = Math.min(revision, 100);
    const expected = [0, 1, 2].flatMap((i) => {
      const isThere = newest >= 2 && (i !== 1 || newest % 10 !== 0);
      return isThere ? [[[Uint8Array.of(0), key, Uint8Array.of(1, 0)][i], newest]] : [];
    });
    for (const entriesMax of [1, 5, 1000]) {
      assert.deepEqual(rig.walk(new Uint8Array(0), undefined, revision, entriesMax), expected);
    }
  }
});

test("a walk goes on behind the current key after a pause, over writes in between", () => {
  const rig = new Rig();
  for (const byte of [1, 3, 5]) rig.push(Uint8Array.of(byte), 2);
  const walk = new VersionWalk(rig.overlay, { start: new Uint8Array(0), end: undefined, revision: 2 });
  const met: number[] = [];
  for (let main = 3; walk.next(); main++) {
    met.push(...walk.key());
    walk.pause();
    for (const byte of [0, 2, 3, 4, 5, 6]) rig.push(Uint8Array.of(byte), main);
  }
  assert.deepEqual(met, [1, 3, 5]);
});

test("keys of 1.5 MiB are found, walked and forgotten without a trace", () => {
  const rig = new Rig();
  const zeros = new Uint8Array(1.5 * 1024 * 1024);
  const letters = zeros.slice().fill(0x61);
  const sibling = letters.slice();
  sibling[sibling.length - 1] = 0x62;
  const keys = [zeros, letters, sibling];
  for (const key of keys) rig.push(key, 2);
  assert.deepEqual(
    rig
      .walk(new Uint8Array(0), undefined, 2, 100)
      .map(([key]) => keys.findIndex((known) => equalBytes(known, key))),
    [0, 1, 2],
  );
  assert.equal(rig.walk(sibling, undefined, 2, 100).length, 1);
  assert.equal(rig.walk(zeros, letters, 2, 100).length, 1);
  for (const [i, key] of keys.entries()) {
    const version = liveVersionAt(rig.overlay, key, 2);
    assert.ok(version !== undefined);
    rig.index.removeLast(key, rig.index.makePlace(key), version);
    assert.equal(rig.walk(new Uint8Array(0), undefined, 2, 100).length, 2 - i);
  }
  // All that stays is the number of the next table.
  assert.deepEqual(
    rig.records().map(({ key }) => key),
    [new Uint8Array(8)],
  );
});
