import assert from "node:assert/strict";
import { test } from "node:test";
import { Unproposed } from "./unproposed.ts";

test("what is taken back is not proposed, and its room is free again", () => {
  const unproposed = new Unproposed(10);
  const entries = [Uint8Array.of(1, 1, 1), Uint8Array.of(2, 2, 2), Uint8Array.of(3, 3, 3)];
  for (const [i, entry] of entries.entries()) unproposed.push(i, entry);
  assert.equal(unproposed.hasRoom(1), true);
  assert.equal(unproposed.hasRoom(2), false);
  assert.equal(unproposed.takeBack(0), true);
  assert.equal(unproposed.takeBack(0), false);
  assert.equal(unproposed.hasRoom(4), true);
  assert.deepEqual(unproposed.entries, [entries[1], entries[2]]);
  unproposed.clear();
  assert.equal(unproposed.isEmpty, true);
  assert.deepEqual(unproposed.entries, []);
  assert.equal(unproposed.hasRoom(10), true);
  assert.equal(unproposed.takeBack(1), false);
});

test("once all are taken back the next ones go to Raft", () => {
  const unproposed = new Unproposed(10);
  unproposed.push(1, Uint8Array.of(1));
  unproposed.push(2, Uint8Array.of(2));
  for (const id of [1, 2]) assert.equal(unproposed.takeBack(id), true);
  assert.equal(unproposed.isEmpty, true);
  unproposed.push(3, Uint8Array.of(3));
  assert.deepEqual(unproposed.entries, [Uint8Array.of(3)]);
});
