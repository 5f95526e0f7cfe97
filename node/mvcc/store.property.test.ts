import assert from "node:assert/strict";
import { test } from "node:test";
import { equalBytes } from "../lib/bytes.ts";
import { leaseId, noLease } from "../lib/ids.ts";
import { SeededRandom } from "../lib/random.ts";
import { MemoryEngine } from "../storage/memory/engine.ts";
import { chunkBytesMax } from "./index-key.ts";
import { Overlay } from "./overlay.ts";
import { endOf, type RangeOutcome, type RangeRequest } from "./range.ts";
import { recordKey } from "./revision.ts";
import { Store } from "./store.ts";
import { encoded, StoreModel } from "./store-model.ts";
import type { WatchEvent } from "./watch-event.ts";
import type { WriteTxn } from "./write-txn.ts";

/** Attachments as the store reports them: record key to lease and key. */
class Attachments {
  readonly held = new Map<string, string>();

  attach(lease: bigint, key: Uint8Array, recordKey: Uint8Array): void {
    this.held.set(recordKey.join(), `${lease} ${key.join()}`);
  }

  detach(lease: bigint, key: Uint8Array, recordKey: Uint8Array): void {
    assert.equal(this.held.get(recordKey.join()), `${lease} ${key.join()}`);
    this.held.delete(recordKey.join());
  }
}

class Rig {
  readonly random: SeededRandom;
  readonly model = new StoreModel();
  readonly attachments = new Attachments();
  readonly keys: readonly Uint8Array[];
  readonly seen: Record<string, number> = {};
  overlay: Overlay;
  store: Store;
  #engine = new MemoryEngine();

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.keys = someKeys(this.random);
    this.overlay = new Overlay(this.#engine);
    this.store = new Store(this.overlay, { leases: this.attachments });
  }

  note(name: string): void {
    this.seen[name] = (this.seen[name] ?? 0) + 1;
  }

  chance(one: number): boolean {
    return this.random.below(one) === 0;
  }

  key(): Uint8Array {
    return this.keys[this.random.below(this.keys.length)] as Uint8Array;
  }

  /** Empty mostly, a real end, or everything. */
  rangeEnd(): Uint8Array {
    const kind = this.random.below(4);
    if (kind === 0) return new Uint8Array(0);
    return kind === 1 ? new Uint8Array(1) : this.key();
  }

  value(): Uint8Array {
    return Uint8Array.from({ length: this.random.below(6) }, () => this.random.below(3));
  }

  restart(): void {
    this.flush();
    this.overlay = new Overlay(this.#engine);
    this.store = new Store(this.overlay, { leases: this.attachments });
    assert.equal(this.store.currentRevision, this.model.currentRevision);
    assert.equal(this.store.compactRevision, this.model.compactRevision);
    this.note("restart");
  }

  flush(): void {
    this.overlay.flush(() => this.note("flush"));
  }
}

/** Short and long keys with common prefixes, rich in the bytes that escaping is about. */
function someKeys(random: SeededRandom): Uint8Array[] {
  const keys: Uint8Array[] = [];
  const byte = () => [0, 0, 1, 2, 0xfe, 0xff, 0x61][random.below(7)] as number;
  const lengths = [1, 2, 3, 4, chunkBytesMax - 1, chunkBytesMax, chunkBytesMax + 1, 2 * chunkBytesMax + 1];
  while (keys.length < 24) {
    const base = random.below(2) === 0 ? keys[random.below(Math.max(1, keys.length))] : undefined;
    const length = (base?.length ?? 0) + (lengths[random.below(lengths.length)] as number);
    const key = new Uint8Array(length).fill(random.below(3) === 0 ? 0 : 0x61);
    if (base !== undefined) key.set(base);
    key[length - 1] = byte();
    key[random.below(length)] = byte();
    if (!keys.some((known) => equalBytes(known, key))) keys.push(key);
  }
  return keys;
}

function someRequest(rig: Rig, newest: number): RangeRequest {
  const { random } = rig;
  const bound = () => (rig.chance(4) ? random.below(newest + 2) : 0);
  return {
    key: rig.chance(6) ? new Uint8Array(1) : rig.key(),
    rangeEnd: rig.rangeEnd(),
    limit: rig.chance(2) ? 0 : random.below(8) - 1,
    revision: rig.chance(2) ? 0 : random.below(newest + 2),
    sortOrder: random.below(3),
    sortTarget: rig.chance(2) ? 0 : random.below(5),
    keysOnly: rig.chance(5),
    countOnly: rig.chance(8),
    minModRevision: bound(),
    maxModRevision: bound(),
    minCreateRevision: bound(),
    maxCreateRevision: bound(),
  };
}

function checkRange(rig: Rig, answer: RangeOutcome, request: RangeRequest, newest: number): void {
  const expected = rig.model.range(request, endOf(request.key, request.rangeEnd), newest);
  assert.deepEqual(answer, expected);
  rig.note(answer.ok ? (answer.more ? "more" : "range") : answer.reason);
}

function transact(rig: Rig): void {
  const { model, store, random } = rig;
  const txn = store.beginWrite();
  model.beginWrite();
  const from = model.versions.length;
  const ops = rig.chance(3) ? random.below(6) : 1;
  for (let i = 0; i < ops; i++) {
    const kind = random.below(8);
    if (kind < 2) {
      const request = someRequest(rig, model.openRevision);
      checkRange(rig, txn.range(request), request, model.openRevision);
    } else if (kind < 4) deleteRange(rig, txn);
    else put(rig, txn);
    assert.equal(txn.revision, model.openRevision);
  }
  const { revision, events } = txn.end();
  model.endWrite();
  assert.equal(revision, model.currentRevision);
  assert.deepEqual(events, expectedEvents(rig, from));
  assert.equal(store.currentRevision, model.currentRevision);
}

function put(rig: Rig, txn: WriteTxn): void {
  const { model } = rig;
  const key = rig.key();
  const lease = rig.chance(3) ? leaseId(-1 - rig.random.below(3)) : noLease;
  const before = model.at(key, model.openRevision);
  const request = {
    key,
    value: rig.value(),
    lease,
    prevKv: rig.chance(3),
    ignoreValue: rig.chance(8),
    ignoreLease: rig.chance(8),
  };
  const outcome = txn.put(request);
  if (before === undefined && (request.ignoreValue || request.ignoreLease)) {
    assert.deepEqual(outcome, { ok: false, reason: "key-not-found" });
    rig.note("key-not-found");
    return;
  }
  const previous = request.prevKv && before !== undefined ? encoded(before) : undefined;
  assert.deepEqual(outcome, { ok: true, previous });
  model.put(
    key,
    request.ignoreValue && before !== undefined ? before.value : request.value,
    request.ignoreLease && before !== undefined ? before.lease : lease,
  );
  rig.note("put");
}

function deleteRange(rig: Rig, txn: WriteTxn): void {
  const key = rig.key();
  // Wide deletes are rare, so that there is something to delete.
  const rangeEnd = rig.chance(3) ? rig.rangeEnd() : new Uint8Array(0);
  const prevKv = rig.chance(2);
  const outcome = txn.deleteRange({ key, rangeEnd, prevKv });
  const deleted = rig.model.deleteRange(key, endOf(key, rangeEnd));
  assert.deepEqual(outcome, { deleted: deleted.length, previous: prevKv ? deleted.map(encoded) : [] });
  rig.note(deleted.length > 0 ? "delete" : "delete of nothing");
}

function expectedEvents(rig: Rig, from: number): WatchEvent[] {
  return rig.model.versions.slice(from).map((v) => ({
    type: v.isTombstone ? "delete" : "put",
    key: v.key,
    modRevision: v.main,
    kv: v.isTombstone ? encoded({ ...v, isTombstone: false }) : encoded(v),
  }));
}

function rangeInSlices(rig: Rig): void {
  const request = someRequest(rig, rig.model.currentRevision);
  const newest = rig.model.currentRevision;
  const started = rig.store.startRange(request);
  if (!started.ok) {
    checkRange(rig, started, request, newest);
    return;
  }
  const expected = rig.model.range(request, endOf(request.key, request.rangeEnd), newest);
  while (!started.job.step({ recordsMax: 1 + rig.random.below(4), bytesMax: 1 + rig.random.below(4000) })) {
    interfere(rig);
  }
  assert.deepEqual(started.job.answer(), expected);
  rig.note("range in slices");
}

function streamInChunks(rig: Rig): void {
  const options = someRequest(rig, rig.model.currentRevision);
  const request = {
    ...options,
    sortOrder: 0,
    sortTarget: 0,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
  };
  const newest = rig.model.currentRevision;
  const started = rig.store.startRangeStream(request, 1 + rig.random.below(4000));
  if (!started.ok) {
    checkRange(rig, started, request, newest);
    return;
  }
  const expected = rig.model.range(request, endOf(request.key, request.rangeEnd), newest);
  const kvs: Uint8Array[] = [];
  while (!started.job.isDone) {
    const progress = started.job.step({
      recordsMax: 1 + rig.random.below(9),
      bytesMax: 1 + rig.random.below(4000),
    });
    if (progress.kind === "chunk") {
      kvs.push(...progress.chunk.kvs);
      if (progress.chunk.end !== undefined) {
        assert.deepEqual({ ok: true, kvs, ...progress.chunk.end }, expected);
        rig.note("stream");
      }
    }
    interfere(rig);
  }
}

/** What happens between two slices of a reader. */
function interfere(rig: Rig): void {
  if (rig.chance(4)) transact(rig);
  if (rig.chance(8)) compact(rig);
  if (rig.chance(3)) scrub(rig);
  if (rig.chance(16)) rig.flush();
}

function compact(rig: Rig): void {
  const { store, model } = rig;
  // Half of the time close to the end, where tombstones are.
  const back = rig.chance(2) ? 3 : 40;
  const revision = Math.max(0, model.currentRevision + 1 - rig.random.below(back));
  const outcome = store.compact(revision);
  if (revision <= model.compactRevision) {
    assert.deepEqual(outcome, { ok: false, reason: "compacted", compactRevision: model.compactRevision });
    rig.note("compact below");
  } else if (revision > model.currentRevision) {
    assert.deepEqual(outcome, { ok: false, reason: "future", currentRevision: model.currentRevision });
    rig.note("compact above");
  } else {
    assert.deepEqual(outcome, { ok: true });
    model.compactRevision = revision;
    rig.note("compact");
  }
}

function scrub(rig: Rig): void {
  const recordsMax = rig.chance(2) ? 1000 : 1 + rig.random.below(8);
  const progress = rig.store.compaction.step({ recordsMax, bytesMax: 100 * recordsMax });
  rig.note(`scrub ${progress}`);
}

/** Runs all removals to their end and compares what is stored, record by record. */
function checkStored(rig: Rig): void {
  const whole = { recordsMax: 100, bytesMax: 100_000 };
  let finished = 0;
  rig.store.compaction.whenFinished(rig.model.compactRevision, () => finished++);
  while (rig.store.compaction.step(whole) !== "idle");
  assert.equal(finished, 1);
  assert.equal(rig.store.pinCount, 0);
  const stored: [Uint8Array, Uint8Array][] = [];
  const cursor = rig.overlay.cursor("key", { start: new Uint8Array(0) });
  while (cursor.next()) stored.push([cursor.key, cursor.value]);
  const expected = rig.model.stored();
  assert.deepEqual(
    stored,
    expected.map((v) => [recordKey(v.main, v.sub, v.isTombstone), encoded(v)]),
  );
  const entries = countOf(rig, "index") + countOf(rig, "index_chunks") + countOf(rig, "index_history");
  const longest = Math.max(...rig.keys.map(({ length }) => length));
  const linksMax = expected.reduce((sum, v) => sum + Math.floor(v.key.length / chunkBytesMax), 1);
  assert.ok(
    entries >= expected.length && entries <= expected.length + linksMax,
    `${entries} entries, ${longest}`,
  );
  rig.note("stored");
}

function countOf(rig: Rig, bucket: "index" | "index_chunks" | "index_history"): number {
  let count = 0;
  const cursor = rig.overlay.cursor(bucket, { start: new Uint8Array(0) });
  while (cursor.next()) count++;
  return count;
}

function checkHash(rig: Rig): void {
  const { model } = rig;
  const revision = rig.random.below(model.currentRevision + 2);
  const asked = revision === 0 ? model.currentRevision : revision;
  const known = rig.store.compaction.hashAt(revision);
  const started = rig.store.startHashKv(revision);
  if (known !== undefined) {
    assert.deepEqual(started, { ok: true, known });
    rig.note("hash known");
  } else if (revision > model.currentRevision) {
    assert.deepEqual(started, { ok: false, reason: "future", currentRevision: model.currentRevision });
  } else if (revision > 0 && revision < model.compactRevision) {
    assert.deepEqual(started, { ok: false, reason: "compacted", compactRevision: model.compactRevision });
  } else {
    assert.ok(started.ok && "job" in started);
    const expected = {
      hash: model.hashKv(asked),
      compactRevision: model.compactRevision,
      hashRevision: asked,
    };
    while (!started.job.step({ recordsMax: 7, bytesMax: 5000 })) interfere(rig);
    assert.deepEqual(started.job.result(), expected);
    rig.note("hash");
  }
}

function checkHistory(rig: Rig): void {
  const { model, store } = rig;
  const first = Math.max(model.compactRevision, 1);
  const from = first + rig.random.below(model.currentRevision - first + 1);
  const events: WatchEvent[] = [];
  for (let next = from; next <= model.currentRevision; ) {
    const read = store.history.readEvents(next, { revisionsMax: 1 + rig.random.below(3), bytesMax: 3000 });
    assert.ok(read.nextRevision > next);
    for (const revision of read.revisions) {
      assert.ok(revision.events.every(({ modRevision }) => modRevision === revision.revision));
      events.push(...revision.events);
    }
    next = read.nextRevision;
  }
  const expected = expectedEvents(rig, 0).filter(({ modRevision }) => modRevision >= from);
  // Right at the compaction only the newest version of each key is sure to be there.
  const isSure = (event: WatchEvent) => event.modRevision > model.compactRevision;
  assert.deepEqual(events.filter(isSure), expected.filter(isSure));
  const kept = model
    .stored()
    .filter((v) => v.main === model.compactRevision && from === model.compactRevision);
  for (const version of kept) {
    assert.ok(
      events.some(({ key, modRevision }) => modRevision === version.main && equalBytes(key, version.key)),
    );
  }
  const revision = rig.random.below(model.currentRevision + 1);
  const key = rig.key();
  const before = revision < model.compactRevision ? undefined : model.at(key, revision);
  assert.deepEqual(
    store.history.keyValueAt(key, revision),
    before === undefined ? undefined : encoded(before),
  );
  rig.note("history");
}

function checkAttachments(rig: Rig): void {
  const expected = rig.model
    .live(new Uint8Array(0), undefined, rig.model.currentRevision)
    .filter(({ lease }) => lease !== noLease)
    .map((v) => [recordKey(v.main, v.sub, false).join(), `${v.lease} ${v.key.join()}`]);
  assert.deepEqual([...rig.attachments.held].sort(), expected.sort());
  rig.note("attachments");
}

const actions: readonly ((rig: Rig) => void)[] = [
  transact,
  transact,
  transact,
  transact,
  transact,
  transact,
  rangeInSlices,
  streamInChunks,
  checkHash,
  checkHistory,
  (rig) => {
    const request = someRequest(rig, rig.model.currentRevision);
    checkRange(rig, rig.store.range(request), request, rig.model.currentRevision);
  },
  (rig) => {
    if (rig.chance(6)) compact(rig);
    scrub(rig);
  },
  (rig) => {
    if (rig.chance(8)) rig.restart();
    else if (rig.chance(3)) rig.flush();
  },
  (rig) => {
    if (rig.chance(5)) checkAttachments(rig);
    else if (rig.chance(3)) checkStored(rig);
  },
];

test("random histories with restarts answer as an array of versions does", () => {
  const seen: Record<string, number> = {};
  for (let seed = 1; seed <= 6; seed++) {
    const rig = new Rig(seed);
    for (let i = 0; i < 500; i++) {
      const action = actions[rig.random.below(actions.length)] as (rig: Rig) => void;
      try {
        action(rig);
      } catch (error) {
        throw new Error(`seed ${seed}, action ${i}`, { cause: error });
      }
    }
    checkStored(rig);
    checkAttachments(rig);
    for (const [name, count] of Object.entries(rig.seen)) seen[name] = (seen[name] ?? 0) + count;
  }
  const names = [
    "put",
    "delete",
    "delete of nothing",
    "key-not-found",
    "range",
    "more",
    "compacted",
    "future",
    "range in slices",
    "stream",
    "compact",
    "compact below",
    "compact above",
    "scrub hashing",
    "scrub removing",
    "scrub waiting for readers",
    "scrub idle",
    "hash",
    "hash known",
    "history",
    "restart",
    "flush",
    "stored",
    "attachments",
  ];
  for (const name of names) assert.ok((seen[name] ?? 0) > 0, `${name} was met`);
});
