import assert from "node:assert/strict";
import { test } from "node:test";
import { AnswerMemory } from "./answer-memory.ts";

test("answers hold no more together than they may, and what is released is free again", () => {
  const memory = new AnswerMemory(100);
  const [one, two] = [memory.open(), memory.open()];
  assert.ok(one.hold(60));
  assert.ok(two.hold(40));
  assert.equal(two.hold(41), false);
  assert.equal(memory.bytes, 100);
  one.release();
  one.release();
  assert.equal(memory.bytes, 40);
  const three = memory.open();
  assert.ok(three.hold(60));
  two.release();
  three.release();
  assert.equal(memory.bytes, 0);
});

test("an answer that is alone may be larger than all", () => {
  const memory = new AnswerMemory(100);
  const alone = memory.open();
  assert.ok(alone.hold(1_000));
  const other = memory.open();
  assert.equal(other.hold(1), false);
  other.release();
  assert.ok(alone.hold(2_000));
});
