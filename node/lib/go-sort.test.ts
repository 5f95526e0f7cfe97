import assert from "node:assert/strict";
import { test } from "node:test";
import { GoSort, goSorted } from "./go-sort.ts";
import { SeededRandom } from "./random.ts";

interface Item {
  readonly kind: number;
  readonly place: number;
}

const ascending = (a: Item, b: Item): number => a.kind - b.kind;
const descending = (a: Item, b: Item): number => b.kind - a.kind;
const itemsOf = (kinds: readonly number[]): Item[] => kinds.map((kind, place) => ({ kind, place }));
const placesOf = (items: readonly Item[]): string => items.map(({ place }) => place).join(" ");
const kinds = (length: number, kindOf: (i: number) => number): number[] =>
  Array.from({ length }, (_, i) => kindOf(i));

// Printed by Go 1.26's sort.Sort and sort.Sort(sort.Reverse(...)) for the same items.
const fromGo: readonly [string, readonly number[], string, string][] = [
  ["twelve items", kinds(12, (i) => 2 - (i % 2)), "1 3 5 7 9 11 0 2 4 6 8 10", "0 2 4 6 8 10 1 3 5 7 9 11"],
  [
    "thirteen items",
    kinds(13, (i) => 2 - (i % 2)),
    "9 1 3 5 7 11 2 4 6 8 0 10 12",
    "8 12 2 0 4 10 6 3 7 9 5 11 1",
  ],
  [
    "sixty items of three kinds",
    kinds(60, (i) => (i * 7) % 3),
    "21 57 54 3 51 48 6 45 42 9 39 36 12 33 0 15 30 27 18 24 31 10 22 58 19 25 1 55 28 52 16 4 49 13 34 46 7 37 43 40 50 41 8 38 44 11 35 47 32 5 29 14 20 53 2 17 56 26 23 59",
    "20 59 2 56 53 5 50 47 8 44 41 11 38 35 14 32 29 17 26 23 31 40 22 19 1 25 58 55 28 16 4 52 49 7 34 13 46 37 43 10 39 15 42 12 9 45 36 33 48 21 6 51 0 30 54 27 3 57 18 24",
  ],
  [
    "a hundred items in descending order",
    kinds(100, (i) => Math.floor((100 - i) / 3)),
    "99 98 97 96 95 92 94 93 90 91 89 88 87 86 85 84 83 80 82 81 78 79 77 76 75 74 73 72 71 68 70 69 67 66 65 62 64 63 61 60 59 58 57 56 53 55 54 51 50 52 49 48 47 44 46 45 42 43 41 38 40 39 37 36 35 34 33 32 29 31 30 26 27 28 25 24 23 22 21 20 17 19 18 14 15 16 11 13 12 8 10 9 7 6 5 4 3 2 0 1",
    kinds(100, (i) => i).join(" "),
  ],
  [
    "a hundred items in waves",
    kinds(100, (i) => Math.abs((i % 16) - 8)),
    "8 40 24 88 56 72 71 57 39 9 41 25 73 89 23 55 87 7 58 70 54 42 22 38 86 74 26 10 90 6 75 5 53 91 11 59 43 37 85 69 21 27 28 36 44 68 20 4 60 92 12 84 52 76 19 67 83 51 77 99 93 61 35 3 13 29 45 62 66 46 30 14 94 82 34 98 50 2 78 18 49 47 33 79 97 15 65 95 63 81 1 17 31 16 48 64 96 0 80 32",
    "16 96 32 80 0 64 48 17 47 95 31 65 79 49 97 15 1 81 33 63 14 46 66 98 82 18 62 50 78 34 30 94 2 29 19 35 61 3 77 99 83 93 67 51 13 45 92 20 60 44 12 84 52 68 76 4 28 36 75 27 5 11 21 91 85 53 43 59 37 69 22 86 58 6 74 10 70 38 54 42 26 90 9 23 41 25 89 87 73 7 55 71 39 57 56 40 8 24 88 72",
  ],
];

for (const [name, given, up, down] of fromGo) {
  test(`${name} stand as Go leaves them`, () => {
    assert.equal(placesOf(goSorted(itemsOf(given), ascending)), up);
    assert.equal(placesOf(goSorted(itemsOf(given), descending)), down);
  });
}

test("random items come in order, and in slices as in one go", () => {
  const random = new SeededRandom(11);
  for (let round = 0; round < 300; round++) {
    const most = 1 + random.below(round % 2 === 0 ? 5 : 1000);
    const given = itemsOf(kinds(random.below(400), () => random.below(most)));
    const whole = goSorted(given, ascending);
    for (let i = 1; i < whole.length; i++) {
      assert.ok((whole[i - 1]?.kind ?? 0) <= (whole[i]?.kind ?? 0));
    }
    assert.equal(new Set(whole).size, given.length);
    const sliced = [...given];
    const sort = new GoSort(sliced, ascending);
    while (!sort.step(1 + random.below(50)));
    assert.deepEqual(sliced, whole);
  }
});

test("one slice makes about as many comparisons as it may", () => {
  let comparisons = 0;
  const items = kinds(20_000, (i) => (i * 7919) % 20_011);
  const sort = new GoSort(items, (a, b) => {
    comparisons++;
    return a - b;
  });
  let most = 0;
  let isDone = false;
  while (!isDone) {
    const before = comparisons;
    isDone = sort.step(1000);
    most = Math.max(most, comparisons - before);
  }
  // A choice of pivot or a short insertion sort is not interrupted.
  assert.ok(most < 1200, `${most} comparisons in a slice of 1000`);
});
