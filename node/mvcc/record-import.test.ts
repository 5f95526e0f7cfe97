import assert from "node:assert/strict";
import { test } from "node:test";
import { Lessor } from "../lease/lessor.ts";
import { type Backend, type Bucket, buckets } from "../lib/backend.ts";
import { emptyBytes, textOf, utf8 } from "../lib/bytes.ts";
import { leaseId, noLease } from "../lib/ids.ts";
import { SeededRandom } from "../lib/random.ts";
import { MemoryEngine } from "../storage/memory/engine.ts";
import { Overlay } from "./overlay.ts";
import { unlimited } from "./range.ts";
import { RecordImport } from "./record-import.ts";
import { recordKey } from "./revision.ts";
import { Store } from "./store.ts";

interface Parts {
  readonly backend: Backend;
  readonly lessor: Lessor;
  readonly store: Store;
}

function newParts(): Parts {
  const backend = new Overlay(new MemoryEngine());
  const lessor = new Lessor(backend);
  return { backend, lessor, store: new Store(backend, { leases: lessor }) };
}

function* recordsOf(backend: Backend, bucket: Bucket): Generator<[Uint8Array, Uint8Array]> {
  const cursor = backend.cursor(bucket, { start: emptyBytes });
  while (cursor.next()) yield [cursor.key, cursor.value];
  cursor.close();
}

function dump(backend: Backend): unknown {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  return buckets.map((bucket) => [
    bucket,
    [...recordsOf(backend, bucket)].map(([key, value]) => [hex(key), hex(value)]),
  ]);
}

const lease = leaseId(9n);

function randomHistory({ store, lessor }: Parts): void {
  const random = new SeededRandom(3);
  lessor.grant(lease, 100, 0);
  for (let i = 0; i < 400; i++) {
    const txn = store.beginWrite();
    for (let n = random.below(3); n >= 0; n--) {
      const key = utf8(random.below(20) === 0 ? "long".repeat(1200) : `key${random.below(30)}`);
      if (random.below(4) === 0) txn.deleteRange({ key, rangeEnd: emptyBytes, prevKv: false });
      else {
        const of = random.below(3) === 0 ? lease : noLease;
        txn.put({
          key,
          value: utf8(`${i}`),
          lease: of,
          prevKv: false,
          ignoreValue: false,
          ignoreLease: false,
        });
      }
    }
    txn.end();
    if (i !== 200) continue;
    assert.ok(store.compact(150).ok);
    while (store.compaction.step(unlimited) !== "idle");
  }
}

test("imported records make the same store, index and attachments included", () => {
  const original = newParts();
  randomHistory(original);
  const copy = newParts();
  for (const bucket of ["lease", "meta"] as const) {
    for (const [key, value] of recordsOf(original.backend, bucket)) copy.backend.put(bucket, key, value);
  }
  const lessor = new Lessor(copy.backend);
  const records = new RecordImport(copy.backend, lessor);
  for (const [key, value] of recordsOf(original.backend, "key")) records.add(key, value);
  assert.equal(records.revision, original.store.currentRevision);
  // Numbers of tables for long keys are each store's own, and there is one long key.
  assert.deepEqual(dump(copy.backend), dump(original.backend));
});

test("a bump moves the revision on, and everything before is compacted", () => {
  const { backend, lessor } = newParts();
  const original = newParts();
  randomHistory(original);
  const records = new RecordImport(backend, lessor);
  for (const [key, value] of recordsOf(original.backend, "key")) records.add(key, value);
  const before = records.revision;
  assert.equal(records.bump(1000), before + 1000);
  const store = new Store(backend);
  assert.equal(store.currentRevision, before + 1000);
  assert.equal(store.compactRevision, before + 1000);
  const countOf = (one: Store): number => {
    const all = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0), revision: 0, limit: 0 };
    const outcome = one.range({ ...all, keysOnly: false, countOnly: true } as Parameters<Store["range"]>[0]);
    assert.ok(outcome.ok);
    return outcome.count;
  };
  assert.equal(countOf(store), countOf(original.store));
  assert.throws(() => records.bump(Number.MAX_SAFE_INTEGER), /is above 2\^53/);
});

test("what is no record is refused by its content", () => {
  const { backend, lessor } = newParts();
  const records = new RecordImport(backend, lessor);
  const sound = recordKey(5, 0, false);
  const huge = sound.slice();
  huge[0] = 0xff;
  const unmarked = sound.slice();
  unmarked[8] = 0;
  for (const key of [emptyBytes, sound.subarray(1), huge, unmarked]) {
    assert.throws(() => records.add(key, emptyBytes), /which is no revision/);
  }
  assert.throws(() => records.add(sound, utf8("no message")), { name: "WireError" });
});

test("a key whose lease is gone is kept without it", () => {
  const original = newParts();
  original.lessor.grant(lease, 100, 0);
  const txn = original.store.beginWrite();
  const flags = { prevKv: false, ignoreValue: false, ignoreLease: false };
  txn.put({ key: utf8("key"), value: utf8("value"), lease, ...flags });
  txn.end();
  const { backend, lessor } = newParts();
  const records = new RecordImport(backend, lessor);
  for (const [key, value] of recordsOf(original.backend, "key")) records.add(key, value);
  assert.deepEqual([...recordsOf(backend, "lease_keys")], []);
  assert.deepEqual(
    [...recordsOf(backend, "key")].map(([, value]) => textOf(value).includes("value")),
    [true],
  );
});
