import assert from "node:assert/strict";
import { test } from "node:test";
import { compareBytes } from "./bytes.ts";
import { SeededRandom } from "./random.ts";
import { bytesOfSortKey, type SortedCursor, SortedMap, sortKeyOf } from "./sorted-map.ts";

type Model = Map<string, number>;

/** Keys of 0 to 3 bytes over a small alphabet with 0x00 and 0xff in it, so that collisions and prefixes are common. */
function randomKey(random: SeededRandom): Uint8Array {
  const alphabet = [0x00, 0x01, 0x41, 0x7f, 0x80, 0xc3, 0xfe, 0xff];
  const key = new Uint8Array(random.below(4));
  for (let i = 0; i < key.length; i++) key[i] = alphabet[random.below(alphabet.length)] as number;
  return key;
}

function records(cursor: SortedCursor<number>): [string, number][] {
  const found: [string, number][] = [];
  while (cursor.next()) found.push([cursor.sortKey, cursor.value]);
  return found;
}

function modelRange(
  model: Model,
  start: string,
  end: string | undefined,
  reverse: boolean,
): [string, number][] {
  const found = [...model].filter(([key]) => key >= start && (end === undefined || key < end));
  found.sort(([a], [b]) => (a < b ? -1 : 1));
  return reverse ? found.reverse() : found;
}

test("sort keys order and equal as the bytes do", () => {
  const random = new SeededRandom(1);
  for (let i = 0; i < 2000; i++) {
    const a = randomKey(random);
    const b = randomKey(random);
    const left = sortKeyOf(a);
    const right = sortKeyOf(b);
    assert.equal(Math.sign(compareBytes(a, b)), left < right ? -1 : left > right ? 1 : 0);
  }
});

test("a sorted map behaves as a plain map that is sorted on every read", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRandom(seed);
    const map = new SortedMap<number>();
    const model: Model = new Map();
    const deletesInTen = 1 + random.below(6);
    for (let step = 0; step < 1500; step++) {
      const key = randomKey(random);
      const sortKey = sortKeyOf(key);
      if (random.below(10) < deletesInTen) {
        assert.equal(map.delete(sortKey), model.get(sortKey));
        model.delete(sortKey);
      } else {
        assert.equal(map.set(sortKey, step), model.get(sortKey));
        model.set(sortKey, step);
      }
      const probe = sortKeyOf(randomKey(random));
      assert.equal(map.get(probe), model.get(probe));
      assert.equal(map.size, model.size);
      if (step % 25 === 0) {
        map.check();
        assert.deepEqual(
          map.values(),
          modelRange(model, "", undefined, false).map(([, value]) => value),
        );
        const start = sortKeyOf(randomKey(random));
        const end = random.below(3) === 0 ? undefined : sortKeyOf(randomKey(random));
        for (const reverse of [false, true]) {
          assert.deepEqual(
            records(map.cursor({ start, end, reverse })),
            modelRange(model, start, end, reverse),
          );
        }
      }
    }
  }
});

test("ascending, descending and scattered inserts of many keys keep the order", () => {
  const count = 5000;
  const orders: ((i: number) => number)[] = [(i) => i, (i) => count - 1 - i, (i) => (i * 2503) % count];
  for (const order of orders) {
    const map = new SortedMap<number>();
    for (let i = 0; i < count; i++) {
      const n = order(i);
      const key = Uint8Array.of(n >> 8, n & 0xff);
      map.set(sortKeyOf(key), n);
    }
    map.check();
    const found = records(map.cursor({ start: "", end: undefined, reverse: false }));
    assert.deepEqual(
      found.map(([, n]) => n),
      Array.from({ length: count }, (_, i) => i),
    );
    for (let n = 0; n < count; n += 2) map.delete(String.fromCharCode(n >> 8, n & 0xff));
    map.check();
    assert.equal(map.size, count / 2);
  }
});

test("a snapshot and the map it came from change apart", () => {
  const random = new SeededRandom(7);
  const maps: { map: SortedMap<number>; model: Model }[] = [{ map: new SortedMap(), model: new Map() }];
  for (let step = 0; step < 6000; step++) {
    const chosen = maps[random.below(maps.length)] as { map: SortedMap<number>; model: Model };
    const key = randomKey(random);
    const sortKey = sortKeyOf(key);
    if (random.below(4) === 0) {
      chosen.map.delete(sortKey);
      chosen.model.delete(sortKey);
    } else {
      chosen.map.set(sortKey, step);
      chosen.model.set(sortKey, step);
    }
    if (step % 1000 === 500) maps.push({ map: chosen.map.snapshot(), model: new Map(chosen.model) });
  }
  assert.equal(maps.length, 7);
  for (const { map, model } of maps) {
    map.check();
    assert.deepEqual(
      records(map.cursor({ start: "", end: undefined, reverse: false })),
      modelRange(model, "", undefined, false),
    );
  }
});

test("a cursor refuses to go on after a write", () => {
  const map = new SortedMap<number>();
  map.set("a", 1);
  map.set("b", 2);
  const cursor = map.cursor({ start: "", end: undefined, reverse: false });
  assert.equal(cursor.next(), true);
  map.set("c", 3);
  assert.throws(() => cursor.next(), { name: "AssertionFailure" });
});

test("a sort key leads back to its bytes", () => {
  const key = Uint8Array.of(0xff, 0x00, 0x80);
  assert.deepEqual(bytesOfSortKey(sortKeyOf(key)), key);
});
