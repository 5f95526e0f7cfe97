import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyBytes, utf8 } from "../lib/bytes.ts";
import { updateCrc32c } from "../lib/crc32c.ts";
import { noLease } from "../lib/ids.ts";
import { MemoryEngine } from "../storage/memory/engine.ts";
import type { HashKv } from "./hash-kv.ts";
import { Overlay } from "./overlay.ts";
import { Store } from "./store.ts";
import type { WriteTxn } from "./write-txn.ts";

const limits = { recordsMax: 2, bytesMax: 1000 };

class Rig {
  readonly overlay = new Overlay(new MemoryEngine());
  readonly store = new Store(this.overlay);

  txn(...changes: readonly ((txn: WriteTxn) => void)[]): void {
    const txn = this.store.beginWrite();
    for (const change of changes) change(txn);
    txn.end();
  }

  compact(revision: number): void {
    assert.deepEqual(this.store.compact(revision), { ok: true });
    while (this.store.compaction.step(limits) !== "idle");
  }

  hash(revision: number): HashKv {
    const started = this.store.startHashKv(revision);
    assert.ok(started.ok);
    if ("known" in started) return started.known;
    while (!started.job.step(limits));
    return started.job.result();
  }
}

const put = (key: string, value: string) => (txn: WriteTxn) =>
  void txn.put({ key: utf8(key), value: utf8(value), lease: noLease });
const del = (key: string) => (txn: WriteTxn) =>
  void txn.deleteRange({ key: utf8(key), rangeEnd: emptyBytes });

/** The compact revisions of the history. */
const none = -1;
const first = 5;
const second = 10;
const third = 11;
const fourth = 12;

test("hashes are those that etcd 3.6.14 gave for the same history", () => {
  const rig = new Rig();
  const expect = (asked: number, hash: number, compactRevision: number, hashRevision: number) =>
    assert.deepEqual(rig.hash(asked), { hash, compactRevision, hashRevision }, `asked for ${asked}`);

  expect(0, 1084519789, none, 1);
  for (const change of [put("a", "1"), put("b", "2"), put("a", "3"), del("a"), put("c", "4")])
    rig.txn(change);
  expect(0, 2637962732, none, 6);
  expect(3, 1827592406, none, 3);
  expect(5, 1346927904, none, 5);
  rig.txn(del("b"));
  rig.txn(put("d", "5"), put("e", "6"), del("c"));
  expect(0, 3640230184, none, 8);

  rig.compact(first);
  expect(0, 3510977461, first, 8);
  expect(5, 1346927904, none, 5);
  expect(6, 622319796, first, 6);
  assert.deepEqual(rig.store.startHashKv(4), { ok: false, reason: "compacted", compactRevision: first });
  rig.txn(put("a", "7"));
  rig.txn(del("d"));

  rig.compact(second);
  expect(0, 3467843057, second, 10);
  expect(10, 3635729191, first, 10);
  assert.deepEqual(rig.store.startHashKv(9), { ok: false, reason: "compacted", compactRevision: second });
  rig.txn(del("a"));
  rig.txn(del("e"));
  // No key is live any more.
  expect(0, 508309160, second, 12);
  expect(12, 508309160, second, 12);
  expect(11, 3713265034, second, 11);

  rig.compact(third);
  expect(0, 3006375606, third, 12);
  expect(11, 3713265034, second, 11);
  expect(12, 3006375606, third, 12);

  rig.compact(fourth);
  expect(0, 1084519789, fourth, 12);
  expect(12, 518831425, third, 12);
  rig.txn(put("z", "1"));
  expect(0, 765405192, fourth, 13);
});

test("a hash does not depend on how far the removals of the last compaction have come", () => {
  const rig = new Rig();
  for (let i = 0; i < 40; i++) rig.txn(i % 5 === 4 ? del(`k${i % 3}`) : put(`k${i % 7}`, `${i}`));
  rig.store.compact(30);
  // The compaction's own hash comes first.
  while (rig.store.compaction.removed === 0) rig.store.compaction.step(limits);
  const early = rig.hash(35);
  while (rig.store.compaction.step(limits) !== "idle");
  assert.deepEqual(rig.hash(35), early);
});

test("a compaction leaves a hash only when the one before was complete", () => {
  const rig = new Rig();
  for (let i = 0; i < 9; i++) rig.txn(put("a", `${i}`));
  rig.store.compact(3);
  rig.compact(5);
  assert.equal(rig.store.compaction.hashAt(5), undefined);
  assert.equal(rig.hash(5).compactRevision, 5);
  rig.compact(7);
  assert.equal(rig.store.compaction.hashAt(7)?.compactRevision, 5);
});

test("a compaction of revision 0 leaves no hash that a request for the current revision would find", () => {
  const rig = new Rig();
  rig.compact(0);
  rig.txn(put("a", "1"));
  assert.equal(rig.hash(0).hashRevision, 2);
});

test("a negative revision lies before all records", () => {
  const rig = new Rig();
  rig.txn(put("a", "1"));
  assert.deepEqual(rig.hash(-5), { hash: 1084519789, compactRevision: -1, hashRevision: -5 });
});

test("the hash of everything is that of all buckets in name order without what differs between equal members", () => {
  const rig = new Rig();
  rig.txn(put("a", "1"));
  rig.overlay.put("meta", utf8("consistent_index"), utf8("12345678"));
  rig.overlay.put("meta", utf8("confState"), utf8("{}"));
  rig.overlay.put("alarm", utf8("x"), emptyBytes);
  rig.overlay.put("index", utf8("x"), utf8("own"));
  const job = rig.store.startHashAll();
  rig.txn(put("b", "written later"));
  while (!job.step(limits));
  const cursor = rig.overlay.cursor("key", { start: emptyBytes });
  assert.ok(cursor.next());
  const names = ["alarm", "x", "auth", "authRoles", "authUsers", "cluster", "key", cursor.key, cursor.value];
  names.push("lease", "members", "members_removed", "meta", "confState", "{}");
  const parts = names.map((part) => (typeof part === "string" ? utf8(part) : part));
  assert.equal(
    job.result(),
    parts.reduce((crc, part) => updateCrc32c(crc, part), 0),
  );
  assert.equal(rig.store.pinCount, 0);
});
