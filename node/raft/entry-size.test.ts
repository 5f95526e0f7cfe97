import assert from "node:assert/strict";
import { test } from "node:test";
import type { Entry } from "../wire/raft.ts";
import {
  countWithin,
  encodedBytes,
  encodedBytesOf,
  noLimit,
  payloadBytesOf,
  varintBytes,
} from "./entry-size.ts";

function entry(term: number, index: number, length: number, type: Entry["type"] = "EntryNormal"): Entry {
  return { type, term, index, data: new Uint8Array(length) };
}

test("a varint takes a byte per seven bits", () => {
  assert.equal(varintBytes(0), 1);
  for (let bytes = 1; bytes <= 7; bytes++) {
    assert.equal(varintBytes(2 ** (7 * bytes) - 1), bytes);
    assert.equal(varintBytes(2 ** (7 * bytes)), bytes + 1);
  }
  assert.equal(varintBytes(Number.MAX_SAFE_INTEGER), 8);
});

test("an entry is counted as its protobuf encoding", () => {
  // Tags 10, 18 and 22 with a value each; the type has tag 08 and is left out for a normal entry.
  assert.equal(encodedBytes(entry(1, 1, 0)), 4);
  assert.equal(encodedBytes(entry(1, 200, 0)), 5);
  assert.equal(encodedBytes(entry(1, 1, 10)), 4 + 2 + 10);
  assert.equal(encodedBytes(entry(1, 1, 200)), 4 + 3 + 200);
  assert.equal(encodedBytes(entry(1, 1, 4, "EntryConfChange")), 2 + 4 + 2 + 4);
  assert.equal(encodedBytesOf([entry(1, 1, 0), entry(1, 200, 10)]), 4 + 5 + 12);
  assert.equal(payloadBytesOf([entry(1, 1, 0), entry(1, 200, 10)]), 10);
});

test("a page holds what fits and at least one entry", () => {
  const entries = [entry(1, 1, 10), entry(1, 2, 10), entry(1, 3, 10)];
  const counts = (bytesMax: number): number => countWithin(entries, 0, 3, bytesMax);
  assert.deepEqual([0, 16, 31, 32, 47, 48, noLimit].map(counts), [1, 1, 1, 2, 2, 3, 3]);
  assert.equal(countWithin(entries, 1, 1, noLimit), 0);
  assert.equal(countWithin(entries, 1, 3, 16), 1);
});
