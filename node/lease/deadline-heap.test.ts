import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../lib/random.ts";
import { type Deadline, DeadlineHeap, newDeadline } from "./deadline-heap.ts";

test("deadlines come out by time, and in the order of scheduling at one time", () => {
  const heap = new DeadlineHeap<string>();
  for (const [name, dueMs] of [
    ["c", 5],
    ["a", 1],
    ["d", 5],
    ["b", 1],
  ] as const)
    heap.schedule(newDeadline(name), dueMs);
  assert.deepEqual(takeAll(heap), ["a", "b", "c", "d"]);
});

test("removing a deadline that is not scheduled does nothing", () => {
  const heap = new DeadlineHeap<string>();
  const deadline = newDeadline("a");
  heap.remove(deadline);
  heap.schedule(deadline, 1);
  heap.remove(deadline);
  heap.remove(deadline);
  assert.equal(heap.size, 0);
  heap.schedule(deadline, 1);
  heap.clear();
  heap.remove(deadline);
  assert.equal(heap.first(), undefined);
});

test("the heap's first is the least of a plain list, whatever is scheduled, moved and removed", () => {
  const random = new SeededRandom(3);
  const heap = new DeadlineHeap<number>();
  const deadlines = Array.from({ length: 60 }, (_, i) => newDeadline(i));
  for (let step = 0; step < 20_000; step++) {
    const deadline = deadlines[random.below(60)] as Deadline<number>;
    if (random.below(3) === 0) heap.remove(deadline);
    else heap.schedule(deadline, random.below(40));
    const scheduled = deadlines.filter(({ position }) => position >= 0);
    scheduled.sort((a, b) => a.dueMs - b.dueMs || a.order - b.order);
    assert.equal(heap.size, scheduled.length);
    assert.equal(heap.first(), scheduled[0]);
  }
});

test("a hundred thousand cycles leave nothing behind", () => {
  const heap = new DeadlineHeap<number>();
  const lasting = newDeadline(-1);
  heap.schedule(lasting, 1e9);
  for (let i = 0; i < 100_000; i++) {
    const deadline = newDeadline(i);
    heap.schedule(deadline, i);
    heap.remove(deadline);
  }
  assert.deepEqual(takeAll(heap), [-1]);
});

function takeAll<T>(heap: DeadlineHeap<T>): T[] {
  const items: T[] = [];
  for (let first = heap.first(); first !== undefined; first = heap.first()) {
    items.push(first.item);
    heap.remove(first);
  }
  return items;
}
