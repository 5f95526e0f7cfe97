import assert from "node:assert/strict";
import { test } from "node:test";
import { IntervalMap } from "./interval-map.ts";
import { SeededRandom } from "./random.ts";

function containing(map: IntervalMap<string>, key: string): string[] {
  const found: string[] = [];
  map.appendContaining(key, found);
  return found;
}

test("an interval contains its start and not its end", () => {
  const map = new IntervalMap<string>();
  map.set("b", "d", "b-d");
  assert.deepEqual(
    ["a", "b", "c\xff", "d"].map((key) => containing(map, key)),
    [[], ["b-d"], ["b-d"], []],
  );
});

test("an interval without an end contains everything from its start on", () => {
  const map = new IntervalMap<string>();
  map.set("b", undefined, "from b");
  map.set("b", "c", "b-c");
  assert.deepEqual(containing(map, "\xff\xff"), ["from b"]);
  assert.deepEqual(containing(map, "b"), ["b-c", "from b"]);
  assert.deepEqual(containing(map, "a"), []);
});

test("setting an interval again replaces its value", () => {
  const map = new IntervalMap<string>();
  map.set("a", "b", "old");
  map.set("a", "b", "new");
  assert.equal(map.size, 1);
  assert.equal(map.get("a", "b"), "new");
});

test("the map finds what a plain list finds, whatever is added and deleted", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRandom(seed);
    const map = new IntervalMap<string>();
    const list = new Map<string, { start: string; end: string | undefined }>();
    const key = () => String.fromCharCode(97 + random.below(12), 97 + random.below(3));
    for (let step = 0; step < 600; step++) {
      const start = key();
      const end = random.below(8) === 0 ? undefined : `${start}${key()}`.slice(0, 1 + random.below(4));
      const name = `${start}|${end}`;
      if (random.below(5) < 3) {
        map.set(start, end, name);
        list.set(name, { start, end });
      } else {
        const victim =
          random.below(2) === 0 ? { start, end } : (list.values().next().value ?? { start, end });
        map.delete(victim.start, victim.end);
        list.delete(`${victim.start}|${victim.end}`);
      }
      assert.equal(map.size, list.size);
      const probe = key();
      const expected = [...list]
        .filter(
          ([, interval]) => interval.start <= probe && (interval.end === undefined || probe < interval.end),
        )
        .map(([listed]) => listed);
      assert.deepEqual(containing(map, probe).sort(), expected.sort());
      assert.equal(map.get(start, end), list.has(name) ? name : undefined);
    }
  }
});

test("ten thousand intervals in ascending order stay quick to search", () => {
  const map = new IntervalMap<number>();
  const name = (i: number) => String(i).padStart(6, "0");
  for (let i = 0; i < 10_000; i++) map.set(name(i), name(i + 2), i);
  for (let i = 1; i < 10_000; i++) {
    const found: number[] = [];
    map.appendContaining(name(i), found);
    assert.deepEqual(found, [i - 1, i]);
  }
});
