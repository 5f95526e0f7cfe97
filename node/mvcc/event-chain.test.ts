import { deepEqual, equal, notEqual } from "node:assert/strict";
import { test } from "node:test";
import { EventChain, eventCost } from "./event-chain.ts";

const [a, b, c] = [Uint8Array.of(1), Uint8Array.of(2, 2), Uint8Array.of(3, 3, 3)];

test("those who add the same event to the same chain share the chain and its list", () => {
  const first = new EventChain(a);
  const one = first.with(b).with(c);
  const other = first.with(b).with(c);
  equal(one, other);
  equal(one.list, other.list);
  deepEqual(one.list, [a, b, c]);
});

test("a chain stays as it is when it is gone on with, in two ways too", () => {
  const first = new EventChain(a);
  const left = first.with(b);
  const list = left.list;
  const right = first.with(c);
  notEqual(left, right);
  deepEqual(left.with(c).list, [a, b, c]);
  equal(left.list, list);
  deepEqual(list, [a, b]);
  deepEqual(right.list, [a, c]);
  deepEqual(first.list, [a]);
});

test("a chain costs what its events cost, and counts them", () => {
  const chain = new EventChain(a).with(b).with(c);
  equal(chain.length, 3);
  equal(chain.cost, eventCost(a) + eventCost(b) + eventCost(c));
});
