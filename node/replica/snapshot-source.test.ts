import assert from "node:assert/strict";
import { test } from "node:test";
import { Lessor } from "../lease/lessor.ts";
import type { Backend } from "../lib/backend.ts";
import { emptyBytes, textOf, utf8 } from "../lib/bytes.ts";
import { leaseId, nodeId, noLease } from "../lib/ids.ts";
import { Overlay } from "../mvcc/overlay.ts";
import { unlimited } from "../mvcc/range.ts";
import { mainOf } from "../mvcc/revision.ts";
import { Store } from "../mvcc/store.ts";
import { MemoryEngine } from "../storage/memory/engine.ts";
import { readDurableState } from "./durable-state.ts";
import { type SnapshotSlice, SnapshotSource } from "./snapshot-source.ts";
import type { AppliedState } from "./snapshotter.ts";

const state: AppliedState = {
  index: 77,
  term: 3,
  confState: {
    voters: [nodeId(5n)],
    learners: [],
    votersOutgoing: [],
    learnersNext: [],
    autoLeave: false,
  },
  members: [],
  clusterVersion: "3.6.0",
};

const slice = { recordsMax: 4, bytesMax: 1 << 20 };

function newStore(): { store: Store; backend: Backend; lessor: Lessor } {
  const backend = new Overlay(new MemoryEngine());
  const lessor = new Lessor(backend);
  return { backend, lessor, store: new Store(backend, { leases: lessor }) };
}

function put(store: Store, key: string, value: string): void {
  const txn = store.beginWrite();
  const flags = { prevKv: false, ignoreValue: false, ignoreLease: false };
  txn.put({ key: utf8(key), value: utf8(value), lease: noLease, ...flags });
  txn.end();
}

function remove(store: Store, key: string): void {
  const txn = store.beginWrite();
  txn.deleteRange({ key: utf8(key), rangeEnd: emptyBytes, prevKv: false });
  txn.end();
}

function* slices(source: SnapshotSource): Generator<SnapshotSlice> {
  for (let next = source.next(slice); next !== undefined; next = source.next(slice)) yield next;
}

/** What the buckets hold when everything is read at once. */
function contentOf(backend: Backend, bucket: "key" | "lease"): readonly string[] {
  const records: string[] = [];
  const cursor = backend.cursor(bucket, { start: emptyBytes });
  while (cursor.next()) records.push(Buffer.concat([cursor.key, cursor.value]).toString("hex"));
  cursor.close();
  return records;
}

test("a snapshot holds the moment it was opened at, whatever is written and compacted while it is read", () => {
  const { store, backend, lessor } = newStore();
  for (let i = 0; i < 30; i++) put(store, `key${i % 7}`, `value${i}`);
  assert.ok(store.compact(10).ok);
  while (store.compaction.step(unlimited) !== "idle");
  lessor.grant(leaseId(4n), 100, 0);
  const keys = contentOf(backend, "key");
  const leases = contentOf(backend, "lease");

  const source = new SnapshotSource(backend, store, state);
  const found = new Map<string, string[]>();
  for (const { bucket, records } of slices(source)) {
    const list = found.get(bucket) ?? [];
    found.set(bucket, list);
    for (const { key, value } of records) list.push(Buffer.concat([key, value]).toString("hex"));
    // Between any two slices the member goes on.
    put(store, `key${list.length % 7}`, "later");
    lessor.revoke(leaseId(4n));
    if (store.compactRevision < store.currentRevision) assert.ok(store.compact(store.currentRevision).ok);
    for (let steps = 0; steps < 10; steps++) store.compaction.step(unlimited);
  }
  assert.deepEqual(found.get("key"), keys);
  assert.deepEqual(found.get("lease"), leases);
  assert.equal(source.revision, 31);

  assert.equal(store.compaction.finishedRevision, 10);
  source.close();
  while (store.compaction.step(unlimited) !== "idle");
  assert.equal(store.compaction.finishedRevision, store.compactRevision);
});

test("a snapshot opened while a compaction removes records never holds a put without the deletion behind it", () => {
  for (let stepsBefore = 0; stepsBefore < 8; stepsBefore++) {
    const { store, backend } = newStore();
    for (let i = 0; i < 8; i++) put(store, `key${i}`, "value");
    for (let i = 0; i < 8; i++) remove(store, `key${i}`);
    put(store, "last", "value");
    assert.ok(store.compact(store.currentRevision).ok);
    for (let steps = 0; steps < stepsBefore; steps++) store.compaction.step({ ...slice, recordsMax: 1 });
    const before = contentOf(backend, "key");
    const source = new SnapshotSource(backend, store, state);
    const found: string[] = [];
    for (const { bucket, records } of slices(source)) {
      if (bucket !== "key") continue;
      for (const { key, value } of records) found.push(Buffer.concat([key, value]).toString("hex"));
      for (let steps = 0; steps < 100; steps++) store.compaction.step(unlimited);
    }
    assert.deepEqual(found, before, `opened after ${stepsBefore} steps`);
    source.close();
    while (store.compaction.step(unlimited) !== "idle");
    assert.equal(contentOf(backend, "key").length, 1);
  }
});

test("all ten buckets come in the order of their names, the empty ones too", () => {
  const { store, backend } = newStore();
  const names = [...slices(new SnapshotSource(backend, store, state))].map(({ bucket }) => bucket);
  const expected = ["alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members"];
  assert.deepEqual(names, [...expected, "members_removed", "meta"]);
});

test("index, term and configuration are those of the moment, not of the last flush", () => {
  const { store, backend } = newStore();
  for (let i = 0; i < 3; i++) put(store, "key", "value");
  assert.ok(store.compact(3).ok);
  const all = [...slices(new SnapshotSource(backend, store, state))];
  const meta = new Map(all.at(-1)?.records.map(({ key, value }) => [textOf(key), value]));
  assert.deepEqual(
    [...meta.keys()],
    ["confState", "consistent_index", "scheduledCompactRev", "storageVersion", "term"],
  );
  assert.equal(textOf(meta.get("storageVersion") ?? emptyBytes), "3.6.0");
  assert.equal(mainOf(meta.get("scheduledCompactRev") ?? emptyBytes), 3);
  const { index, term, confState } = state;
  const reader = { get: (_bucket: string, key: Uint8Array) => meta.get(textOf(key)) };
  assert.deepEqual(readDurableState(reader), { index, term, confState });
});
