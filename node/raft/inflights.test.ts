import assert from "node:assert/strict";
import { test } from "node:test";
import { AssertionFailure } from "../lib/assert.ts";
import { SeededRandom } from "../lib/random.ts";
import { Inflights } from "./inflights.ts";

test("the ring behaves as a list of messages", () => {
  const random = new SeededRandom(3);
  for (let round = 0; round < 300; round++) {
    const countMax = 1 + random.below(6);
    const bytesMax = 1 + random.below(40);
    const ring = new Inflights({ countMax, bytesMax });
    let list: { index: number; bytes: number }[] = [];
    let index = 0;
    for (let i = 0; i < 60; i++) {
      const isFull = list.length === countMax || list.reduce((sum, { bytes }) => sum + bytes, 0) >= bytesMax;
      assert.equal(ring.isFull, isFull);
      assert.equal(ring.count, list.length);
      if (random.below(20) === 0) {
        ring.clear();
        list = [];
      } else if (random.below(3) === 0) {
        const upTo = index - random.below(8);
        ring.freeUpTo(upTo);
        list = list.filter((message) => message.index > upTo);
      } else if (!isFull) {
        index += 1 + random.below(3);
        const bytes = random.below(15);
        ring.add(index, bytes);
        list.push({ index, bytes });
      }
    }
  }
});

test("a full window takes no message", () => {
  const ring = new Inflights({ countMax: 1, bytesMax: 1000 });
  ring.add(1, 10);
  assert.throws(() => ring.add(2, 10), AssertionFailure);
});

test("a message larger than the byte limit goes out alone", () => {
  const ring = new Inflights({ countMax: 10, bytesMax: 100 });
  assert.equal(ring.isFull, false);
  ring.add(1, 5000);
  assert.equal(ring.isFull, true);
  ring.freeUpTo(1);
  assert.equal(ring.isFull, false);
});
