import assert from "node:assert/strict";
import { test } from "node:test";
import { AssertionFailure } from "../lib/assert.ts";
import { utf8 } from "../lib/bytes.ts";
import type { Entry } from "../wire/raft.ts";
import { emptyConfState } from "./conf-state.ts";
import { noLimit } from "./entry-size.ts";
import { MemoryStorage } from "./memory-storage.ts";

function entries(term: number, start: number, end: number): Entry[] {
  return Array.from({ length: end - start }, (_, at) => {
    return { type: "EntryNormal", term, index: start + at, data: utf8("") };
  });
}

test("an append replaces the tail from its first entry on", () => {
  const storage = new MemoryStorage();
  storage.append(entries(1, 1, 6));
  storage.append(entries(2, 4, 5));
  assert.deepEqual(storage.entries(1, 5, noLimit), [...entries(1, 1, 4), ...entries(2, 4, 5)]);
  assert.equal(storage.lastIndex(), 4);
  assert.throws(() => storage.append(entries(2, 6, 7)), AssertionFailure);
});

test("a compaction keeps the term of the entry before the log", () => {
  const storage = new MemoryStorage();
  storage.append([...entries(1, 1, 4), ...entries(2, 4, 6)]);
  assert.equal(storage.compact(3), "ok");
  assert.equal(storage.compact(3), "compacted");
  assert.equal(storage.firstIndex(), 4);
  assert.equal(storage.term(2), undefined);
  assert.equal(storage.term(3), 1);
  assert.equal(storage.term(5), 2);
  assert.equal(storage.term(6), undefined);
  assert.equal(storage.entries(3, 5, noLimit), undefined);
  assert.throws(() => storage.compact(6), AssertionFailure);
});

test("an append that was compacted meanwhile changes nothing", () => {
  const storage = new MemoryStorage();
  storage.append(entries(1, 1, 6));
  storage.compact(4);
  storage.append(entries(1, 2, 5));
  assert.equal(storage.lastIndex(), 5);
  storage.append(entries(1, 3, 8));
  assert.deepEqual(storage.entries(5, 8, noLimit), entries(1, 5, 8));
});

test("a snapshot is made of a known entry and replaces an older one only", () => {
  const storage = new MemoryStorage();
  storage.append(entries(1, 1, 6));
  assert.deepEqual(storage.createSnapshot(4, { data: utf8("state") }), {
    data: utf8("state"),
    metadata: { confState: emptyConfState, index: 4, term: 1 },
  });
  assert.equal(storage.createSnapshot(4, { data: utf8("") }), "outOfDate");
  assert.equal(storage.lastIndex(), 5);
  const received = { data: utf8("other"), metadata: { confState: emptyConfState, index: 9, term: 3 } };
  assert.equal(storage.applySnapshot(received), "ok");
  assert.equal(storage.applySnapshot(received), "outOfDate");
  assert.equal(storage.firstIndex(), 10);
  assert.equal(storage.lastIndex(), 9);
  assert.equal(storage.term(9), 3);
});

test("the bytes of the entries kept are known through appends, overwrites and compactions", () => {
  const storage = new MemoryStorage();
  const sized = (index: number, bytes: number): Entry => {
    return { type: "EntryNormal", term: 1, index, data: new Uint8Array(bytes) };
  };
  storage.append([sized(1, 10), sized(2, 20), sized(3, 30), sized(4, 40)]);
  assert.equal(storage.bytes, 100);
  assert.equal(storage.indexBeforeLast(100), 0);
  assert.equal(storage.indexBeforeLast(99), 1);
  assert.equal(storage.indexBeforeLast(70), 2);
  assert.equal(storage.indexBeforeLast(39), 4);
  storage.append([sized(3, 1)]);
  assert.equal(storage.bytes, 31);
  storage.compact(1);
  assert.equal(storage.bytes, 21);
  assert.equal(storage.indexBeforeLast(21), 1);
  assert.equal(storage.indexBeforeLast(0), 3);
  const metadata = { index: 9, term: 2, confState: emptyConfState };
  storage.applySnapshot({ data: utf8("x"), metadata });
  assert.equal(storage.bytes, 0);
  assert.equal(storage.indexBeforeLast(0), 9);
});
