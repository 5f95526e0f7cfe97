import assert from "node:assert/strict";
import { test } from "node:test";
import type { Backend, Bucket, Cursor, KeyRange } from "../lib/backend.ts";
import { emptyBytes, textOf, utf8 } from "../lib/bytes.ts";
import { noLease } from "../lib/ids.ts";
import { MemoryEngine } from "../storage/memory/engine.ts";
import { decodeKeyValue } from "../wire/hot-kv.ts";
import { Overlay } from "./overlay.ts";
import { type RangeRequest, sortOrders, sortTargets } from "./range.ts";
import { recordKey } from "./revision.ts";
import { Store } from "./store.ts";
import type { WriteTxn } from "./write-txn.ts";

const limits = { recordsMax: 10, bytesMax: 10_000 };

/** Counts what a slice touches. */
class CountingBackend implements Backend {
  readonly #backend: Backend;
  touched = 0;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  get(bucket: Bucket, key: Uint8Array): Uint8Array | undefined {
    this.touched++;
    return this.#backend.get(bucket, key);
  }

  cursor(bucket: Bucket, range: KeyRange): Cursor {
    const cursor = this.#backend.cursor(bucket, range);
    const count = () => this.touched++;
    return {
      next() {
        count();
        return cursor.next();
      },
      get key() {
        return cursor.key;
      },
      get value() {
        return cursor.value;
      },
      close: () => cursor.close(),
    };
  }

  put(bucket: Bucket, key: Uint8Array, value: Uint8Array): void {
    this.#backend.put(bucket, key, value);
  }

  reserve(bucket: Bucket, key: Uint8Array, valueBytes: number): Uint8Array {
    return this.#backend.reserve(bucket, key, valueBytes);
  }

  delete(bucket: Bucket, key: Uint8Array): void {
    this.#backend.delete(bucket, key);
  }

  take(): number {
    const touched = this.touched;
    this.touched = 0;
    return touched;
  }
}

class Rig {
  readonly overlay = new Overlay(new MemoryEngine());
  readonly backend = new CountingBackend(this.overlay);
  store = new Store(this.backend);

  txn(...changes: readonly ((txn: WriteTxn) => void)[]): number {
    const txn = this.store.beginWrite();
    for (const change of changes) change(txn);
    return txn.end().revision;
  }

  reopen(): void {
    this.store = new Store(this.backend);
  }

  compact(revision: number): void {
    assert.deepEqual(this.store.compact(revision), { ok: true });
    this.scrub();
  }

  scrub(): void {
    const { compaction } = this.store;
    for (let at = compaction.step(limits); at === "hashing" || at === "removing"; )
      at = compaction.step(limits);
  }

  events(from: number): string[] {
    const { revisions } = this.store.history.readEvents(from, { revisionsMax: 100, bytesMax: 1e6 });
    return revisions.flatMap(({ events }) =>
      events.map(({ type, key, modRevision }) => `${type} ${textOf(key)} ${modRevision}`),
    );
  }

  range(request: Partial<RangeRequest>) {
    const answer = this.store.range({ ...allKeys, ...request });
    assert.ok(answer.ok);
    return { ...answer, keys: answer.kvs.map((kv) => textOf(decodeKeyValue(kv).key)) };
  }
}

const put =
  (key: string, value = "") =>
  (txn: WriteTxn): void =>
    void txn.put({ key: utf8(key), value: utf8(value), lease: noLease });
const del =
  (key: string) =>
  (txn: WriteTxn): void =>
    void txn.deleteRange({ key: utf8(key), rangeEnd: emptyBytes });

const allKeys: RangeRequest = {
  key: Uint8Array.of(0),
  rangeEnd: Uint8Array.of(0),
  limit: 0,
  revision: 0,
  sortOrder: sortOrders.none,
  sortTarget: sortTargets.key,
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
};

test("a fresh store is at revision 1, was never compacted, and can be compacted at 0 once", () => {
  const { store } = new Rig();
  assert.equal(store.currentRevision, 1);
  assert.equal(store.compactRevision, -1);
  assert.deepEqual(store.compact(2), { ok: false, reason: "future", currentRevision: 1 });
  assert.deepEqual(store.compact(0), { ok: true });
  assert.deepEqual(store.compact(0), { ok: false, reason: "compacted", compactRevision: 0 });
});

test("a transaction that changes nothing makes no revision", () => {
  const rig = new Rig();
  assert.equal(rig.txn(del("a")), 1);
  assert.equal(rig.txn(put("a")), 2);
  assert.equal(rig.store.currentRevision, 2);
});

test("a key put and deleted in one transaction shows both events under one revision", () => {
  const rig = new Rig();
  rig.txn(put("a"), del("a"), put("b"));
  assert.deepEqual(rig.events(2), ["put a 2", "delete a 2", "put b 2"]);
  assert.deepEqual(rig.range({}).keys, ["b"]);
  rig.txn(put("a"));
  assert.deepEqual(rig.events(2), ["put a 2", "delete a 2", "put b 2", "put a 3"]);
});

test("a sort target without an order sorts what the limit has already cut", () => {
  const rig = new Rig();
  for (const key of ["c", "b", "d", "a"]) rig.txn(put(key));
  const first = rig.range({ sortTarget: sortTargets.mod, limit: 2 });
  assert.deepEqual(first.keys, ["c", "b"]);
  assert.equal(first.more, true);
  const last = rig.range({ sortTarget: sortTargets.mod, sortOrder: sortOrders.descend, limit: 2 });
  assert.deepEqual(last.keys, ["a", "d"]);
  assert.equal(last.count, 4);
});

test("page after page of a range at one revision touches no more than the pages themselves", () => {
  const rig = new Rig();
  for (let i = 1000; i < 2000; i++) rig.txn(put(`k${i}`));
  const revision = rig.store.currentRevision;
  let key: Uint8Array = utf8("k");
  for (let left = 1000; left > 0; left -= 50) {
    rig.backend.take();
    const page = rig.range({ key, limit: 50, revision });
    assert.equal(page.count, left);
    assert.equal(page.more, left > 50);
    assert.equal(page.keys.length, 50);
    if (left < 1000) assert.ok(rig.backend.take() <= 110);
    key = utf8(`${page.keys.at(-1)}\0`);
    // Later changes show neither in the keys nor in the count.
    rig.txn(put(`k${left}x`), del(`k${2000 - left}`));
  }
});

test("a remembered count is that of its own revision, and never of one still being written", () => {
  const rig = new Rig();
  rig.txn(put("a"), put("b"), put("c"));
  const page = { limit: 1, key: utf8("a") };
  assert.equal(rig.range({ ...page, revision: 2 }).count, 3);
  rig.txn(put("d"));
  const rest = { key: utf8("a\0") };
  assert.equal(rig.range({ ...page, revision: 3 }).count, 4);
  assert.equal(rig.range({ ...rest, limit: 1, revision: 2 }).count, 2);
  assert.equal(rig.range({ ...rest, limit: 1, revision: 3 }).count, 3);

  const txn = rig.store.beginWrite();
  const countInside = () => {
    const answer = txn.range({ ...allKeys, ...page });
    return answer.ok ? answer.count : undefined;
  };
  put("e")(txn);
  assert.equal(countInside(), 5);
  put("f")(txn);
  assert.equal(countInside(), 6);
  txn.end();
  assert.equal(rig.range(page).count, 6);
});

test("history is read in whole revisions up to a number of them or of bytes", () => {
  const rig = new Rig();
  rig.txn(put("a", "x".repeat(100)), put("b", "x".repeat(100)));
  for (let i = 0; i < 5; i++) rig.txn(put("a", "x".repeat(100)));
  const read = (revisionsMax: number, bytesMax: number) => {
    const { revisions, nextRevision } = rig.store.history.readEvents(2, { revisionsMax, bytesMax });
    return { counts: revisions.map(({ events }) => events.length), nextRevision };
  };
  assert.deepEqual(read(1, 1e6), { counts: [2], nextRevision: 3 });
  assert.deepEqual(read(100, 1), { counts: [2], nextRevision: 3 });
  assert.deepEqual(read(100, 300), { counts: [2, 1], nextRevision: 4 });
  assert.deepEqual(read(100, 1e6), { counts: [2, 1, 1, 1, 1, 1], nextRevision: 8 });
});

test("slices of long work touch no more than they may", () => {
  const rig = new Rig();
  for (let i = 0; i < 300; i++) rig.txn(put(`k${i % 150}`, "value"));
  const started = rig.store.startRange({ ...allKeys, sortTarget: sortTargets.value, limit: 20 });
  const stream = rig.store.startRangeStream(allKeys, 1000);
  const hash = rig.store.startHashKv(0);
  assert.ok(started.ok && stream.ok && hash.ok && "job" in hash);
  const everything = rig.store.startHashAll();
  rig.store.compact(300);
  const jobs = [
    () => started.job.isDone || started.job.step(limits),
    () => {
      if (!stream.job.isDone) stream.job.step(limits);
      return stream.job.isDone;
    },
    () => hash.job.isDone || hash.job.step(limits),
    () => everything.isDone || everything.step(limits),
    () => rig.store.compaction.step(limits) === "idle",
  ];
  for (let open = jobs; open.length > 0; ) {
    open = open.filter((step) => {
      rig.backend.take();
      const isDone = step();
      // For each record of the slice: the record, its place in the index, and what is older.
      assert.ok(rig.backend.take() <= 5 * limits.recordsMax + 5);
      return !isDone;
    });
  }
  assert.equal(started.job.answer().kvs.length, 20);
  assert.equal(rig.store.compaction.finishedRevision, 300);
});

test("nothing is removed below a revision that is still being read", () => {
  const rig = new Rig();
  for (const value of ["1", "2", "3"]) rig.txn(put("a", value));
  const started = rig.store.startRange({ ...allKeys, revision: 3 });
  assert.ok(started.ok);
  assert.deepEqual(rig.store.compact(3), { ok: true });
  rig.scrub();
  assert.equal(rig.store.compaction.finishedRevision, 3);
  assert.deepEqual(rig.store.compact(4), { ok: true });
  rig.scrub();
  assert.equal(rig.store.compaction.step(limits), "waiting for readers");
  assert.deepEqual(rig.store.range({ ...allKeys, revision: 3 }), {
    ok: false,
    reason: "compacted",
    compactRevision: 4,
  });
  started.job.close();
  started.job.close();
  rig.scrub();
  assert.equal(rig.store.compaction.finishedRevision, 4);
  assert.equal(rig.store.pinCount, 0);
});

test("a tombstone right at the compaction stays for watches from there, until the next one", () => {
  const rig = new Rig();
  rig.txn(put("a"));
  rig.txn(del("a"));
  rig.txn(put("b"));
  rig.compact(3);
  assert.deepEqual(rig.events(3), ["delete a 3", "put b 4"]);
  rig.compact(4);
  assert.equal(rig.overlay.get("key", recordKey(3, 0, true)), undefined);
  assert.deepEqual(rig.events(4), ["put b 4"]);
});

test("what was before a revision is not told once that is compacted", () => {
  const rig = new Rig();
  for (const value of ["1", "2", "3"]) rig.txn(put("a", value));
  const before = rig.store.history.keyValueAt(utf8("a"), 2);
  assert.ok(before !== undefined);
  assert.deepEqual(decodeKeyValue(before).value, utf8("1"));
  rig.compact(3);
  assert.equal(rig.store.history.keyValueAt(utf8("a"), 2), undefined);
});

test("a compaction that a restart interrupted is taken up again", () => {
  const rig = new Rig();
  for (let i = 0; i < 50; i++) rig.txn(put(`k${i % 5}`));
  rig.store.compact(40);
  while (rig.store.compaction.removed === 0) rig.store.compaction.step(limits);
  rig.reopen();
  assert.equal(rig.store.compactRevision, 40);
  assert.equal(rig.store.compaction.finishedRevision, -1);
  let finished = false;
  rig.store.compaction.whenFinished(40, () => {
    finished = true;
  });
  rig.scrub();
  assert.equal(finished, true);
  assert.equal(rig.range({ revision: 40 }).count, 5);
  assert.equal(rig.overlay.get("key", recordKey(30, 0, false)), undefined);
});

test("versions that an earlier compaction left behind go with the next one", () => {
  const rig = new Rig();
  for (let i = 0; i < 40; i++) rig.txn(put("a"));
  // Says that revisions up to 30 are compacted, which they are not.
  rig.overlay.put("meta", utf8("finishedCompactRev"), recordKey(30, 0, false));
  rig.reopen();
  rig.compact(41);
  assert.equal(rig.store.compaction.removed, 39);
  assert.equal(rig.overlay.get("key", recordKey(2, 0, false)), undefined);
});

test("a later compaction takes the place of one that waits, and finishes for both", () => {
  const rig = new Rig();
  for (let i = 0; i < 9; i++) rig.txn(put("a"));
  const release = rig.store.holdRemovals();
  const finished: number[] = [];
  for (const revision of [3, 5, 7]) {
    rig.store.compact(revision);
    rig.store.compaction.whenFinished(revision, () => finished.push(revision));
    rig.scrub();
  }
  assert.deepEqual(finished, []);
  release();
  rig.scrub();
  assert.deepEqual(finished, [3, 5, 7]);
  assert.equal(rig.store.compaction.finishedRevision, 7);
});

test("the revision never goes back, even when the newest record is gone after a restart", () => {
  const rig = new Rig();
  rig.txn(put("a"));
  rig.txn(del("a"));
  rig.compact(3);
  // Members before 3.5.16 removed the tombstone at the compaction, too.
  rig.overlay.delete("key", recordKey(3, 0, true));
  rig.reopen();
  assert.equal(rig.store.currentRevision, 3);
  assert.equal(rig.txn(put("b")), 4);
});
