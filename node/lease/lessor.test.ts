import assert from "node:assert/strict";
import { test } from "node:test";
import { textOf, utf8 } from "../lib/bytes.ts";
import { type LeaseId, leaseId } from "../lib/ids.ts";
import { Overlay } from "../mvcc/overlay.ts";
import { recordKey } from "../mvcc/revision.ts";
import { MemoryEngine } from "../storage/memory/engine.ts";
import { Lessor, type LessorOptions } from "./lessor.ts";
import { decodeLease, encodeLease, leaseKey } from "./record.ts";

interface Bed {
  readonly backend: Overlay;
  readonly lessor: Lessor;
}

/** A primary at time zero, unless said otherwise. */
function bed(options: Partial<LessorOptions> & { readonly isPrimary?: boolean } = {}): Bed {
  const backend = new Overlay(new MemoryEngine());
  const lessor = new Lessor(backend, options);
  if (options.isPrimary ?? true) lessor.promote(0, 0);
  return { backend, lessor };
}

function recordsOf(backend: Overlay, bucket: "lease" | "lease_keys"): number {
  const cursor = backend.cursor(bucket, { start: new Uint8Array(0) });
  let count = 0;
  while (cursor.next()) count++;
  cursor.close();
  return count;
}

function keysOf(lessor: Lessor, id: LeaseId): string[] {
  return lessor.keysOf(id).map(textOf);
}

const one = leaseId(1);
const two = leaseId(2);

test("grants are checked and their TTL is raised to the minimum", () => {
  const table = [
    { id: 1n, ttl: 10, outcome: { ok: true, ttlSeconds: 10 } },
    { id: 1n, ttl: 0, outcome: { ok: true, ttlSeconds: 2 } },
    { id: 1n, ttl: 1, outcome: { ok: true, ttlSeconds: 2 } },
    { id: 1n, ttl: -1, outcome: { ok: true, ttlSeconds: 2 } },
    { id: 1n, ttl: Number.MIN_SAFE_INTEGER, outcome: { ok: true, ttlSeconds: 2 } },
    { id: 1n, ttl: 9_000_000_000, outcome: { ok: true, ttlSeconds: 9_000_000_000 } },
    { id: 1n, ttl: 9_000_000_001, outcome: { ok: false, reason: "ttl too large" } },
    { id: 1n, ttl: Number.MAX_SAFE_INTEGER, outcome: { ok: false, reason: "ttl too large" } },
    { id: 0n, ttl: 10, outcome: { ok: false, reason: "no id" } },
    { id: -1n, ttl: 10, outcome: { ok: true, ttlSeconds: 10 } },
    { id: -(2n ** 63n), ttl: 10, outcome: { ok: true, ttlSeconds: 10 } },
    { id: 2n ** 63n - 1n, ttl: 10, outcome: { ok: true, ttlSeconds: 10 } },
    { id: 7n, ttl: 10, outcome: { ok: false, reason: "exists" } },
  ];
  for (const { id, ttl, outcome } of table) {
    const { lessor } = bed();
    lessor.grant(leaseId(7), 5, 0);
    assert.deepEqual(lessor.grant(leaseId(id), ttl, 0), outcome, `id ${id}, TTL ${ttl}`);
  }
});

test("a refused grant leaves nothing behind", () => {
  const { backend, lessor } = bed();
  lessor.grant(one, 9_000_000_001, 0);
  assert.equal(lessor.has(one), false);
  assert.equal(recordsOf(backend, "lease"), 0);
});

test("leases are stored in etcd's bytes", () => {
  const { backend, lessor } = bed();
  lessor.grant(leaseId(300), 600, 0);
  lessor.applyCheckpoint({ id: leaseId(300), remainingTtlSeconds: 5 }, true);
  const stored = backend.get("lease", Uint8Array.of(0, 0, 0, 0, 0, 0, 0x01, 0x2c));
  assert.deepEqual(stored, Uint8Array.of(0x08, 0xac, 0x02, 0x10, 0xd8, 0x04, 0x18, 0x05));
});

test("lease records survive the round trip, whatever the id", () => {
  for (const id of [1n, -1n, -(2n ** 63n), 2n ** 63n - 1n]) {
    const record = { id: leaseId(id), ttlSeconds: 9_000_000_000, remainingTtlSeconds: 0 };
    assert.deepEqual(decodeLease(encodeLease(record)), record);
  }
  assert.deepEqual([...leaseKey(leaseId(-2))], [255, 255, 255, 255, 255, 255, 255, 254]);
});

test("revoking gives the attached keys in key order and forgets the lease", () => {
  const { backend, lessor } = bed();
  lessor.grant(one, 10, 0);
  for (const [i, key] of ["c", "a", "b"].entries()) lessor.attach(one, utf8(key), recordKey(2 + i, 0, false));
  const outcome = lessor.revoke(one);
  assert.deepEqual(outcome.ok && outcome.keys.map(textOf), ["a", "b", "c"]);
  assert.deepEqual(lessor.revoke(one), { ok: false, reason: "not found" });
  assert.equal(recordsOf(backend, "lease"), 0);
  assert.deepEqual(lessor.expired(1e9, 10), []);
});

test("a lease without keys is revoked with none", () => {
  const { lessor } = bed();
  lessor.grant(one, 10, 0);
  assert.deepEqual(lessor.revoke(one), { ok: true, keys: [] });
});

test("ten thousand keys are revoked in order and detached by their deletions", () => {
  const { backend, lessor } = bed();
  lessor.grant(one, 10, 0);
  const name = (i: number) => `key/${(i * 7_919) % 10_000}`.padEnd(12, "x");
  for (let i = 0; i < 10_000; i++) lessor.attach(one, utf8(name(i)), recordKey(2 + i, 0, false));
  const outcome = lessor.revoke(one);
  assert.ok(outcome.ok);
  const keys = outcome.keys.map(textOf);
  assert.deepEqual(keys, [...keys].sort());
  assert.equal(keys.length, 10_000);
  for (let i = 0; i < 10_000; i++) lessor.detach(one, utf8(name(i)), recordKey(2 + i, 0, false));
  assert.equal(recordsOf(backend, "lease_keys"), 0);
});

test("a key that moved to another lease survives the revocation of the first", () => {
  const { lessor } = bed();
  lessor.grant(one, 10, 0);
  lessor.grant(two, 10, 0);
  lessor.attach(one, utf8("k"), recordKey(2, 0, false));
  lessor.detach(one, utf8("k"), recordKey(2, 0, false));
  lessor.attach(two, utf8("k"), recordKey(3, 0, false));
  assert.deepEqual(lessor.revoke(one), { ok: true, keys: [] });
  assert.deepEqual(keysOf(lessor, two), ["k"]);
});

test("a key put again with the same lease is attached once", () => {
  const { lessor } = bed();
  lessor.grant(one, 10, 0);
  lessor.attach(one, utf8("k"), recordKey(2, 0, false));
  lessor.detach(one, utf8("k"), recordKey(2, 0, false));
  lessor.attach(one, utf8("k"), recordKey(3, 1, false));
  assert.deepEqual(keysOf(lessor, one), ["k"]);
});

test("attachments of neighbouring ids stay apart", () => {
  const ids = [-(2n ** 63n), -2n, -1n, 1n, 2n, 2n ** 63n - 1n].map(leaseId);
  const { lessor } = bed();
  for (const id of ids) {
    lessor.grant(id, 10, 0);
    lessor.attach(id, utf8(`k${id}`), recordKey(2, 0, false));
  }
  for (const id of ids) assert.deepEqual(keysOf(lessor, id), [`k${id}`]);
});

test("attaching to a lease that does not exist is a bug", () => {
  const { lessor } = bed();
  assert.throws(() => lessor.attach(one, utf8("k"), recordKey(2, 0, false)), /lease that exists/);
});

test("restart: what was granted, attached, detached, checkpointed and revoked is as before", () => {
  const engine = new MemoryEngine();
  const backend = new Overlay(engine);
  const before = new Lessor(backend);
  const three = leaseId(-3);
  before.grant(one, 10, 0);
  before.grant(two, 20, 0);
  before.grant(three, 600, 0);
  before.attach(two, utf8("a"), recordKey(2, 0, false));
  before.attach(two, utf8("b"), recordKey(3, 0, false));
  before.detach(two, utf8("a"), recordKey(2, 0, false));
  before.attach(three, utf8("a"), recordKey(4, 0, false));
  before.applyCheckpoint({ id: three, remainingTtlSeconds: 100 }, true);
  before.revoke(one);
  backend.flush(() => {});
  const after = new Lessor(new Overlay(engine));
  assert.equal(after.size, 2);
  assert.deepEqual(keysOf(after, two), ["b"]);
  assert.deepEqual(keysOf(after, three), ["a"]);
  assert.deepEqual(after.status(two, 0), { ttlSeconds: 20, remainingSeconds: Number.MAX_SAFE_INTEGER });
  after.promote(1_000, 0);
  assert.deepEqual(after.status(two, 1_000), { ttlSeconds: 20, remainingSeconds: 20 });
  assert.deepEqual(after.status(three, 1_000), { ttlSeconds: 600, remainingSeconds: 100 });
});

test("no time of day is stored: the bytes do not depend on the clock", () => {
  const stored = [0, 1e12].map((nowMs) => {
    const { backend, lessor } = bed();
    lessor.grant(one, 10, nowMs);
    lessor.renew(one, nowMs + 5);
    return backend.get("lease", leaseKey(one));
  });
  assert.deepEqual(stored[0], stored[1]);
});

test("a snapshot replaces leases, deadlines and leadership", () => {
  const { backend, lessor } = bed();
  lessor.grant(one, 10, 0);
  backend.delete("lease", leaseKey(one));
  backend.put("lease", leaseKey(two), encodeLease({ id: two, ttlSeconds: 5, remainingTtlSeconds: 0 }));
  lessor.restored();
  assert.deepEqual([lessor.has(one), lessor.has(two), lessor.isPrimary], [false, true, false]);
  assert.deepEqual(lessor.expired(1e9, 10), []);
});

test("the time left is in whole seconds, cut", () => {
  const { lessor } = bed();
  lessor.grant(one, 10, 0);
  const left = [0, 1, 999, 1_000, 9_999, 10_000, 10_500].map(
    (nowMs) => lessor.status(one, nowMs)?.remainingSeconds,
  );
  assert.deepEqual(left, [10, 9, 9, 9, 0, 0, 0]);
  assert.equal(lessor.status(two, 0), undefined);
});

test("a lease expires when its TTL has passed since grant or renewal, not before", () => {
  const { lessor } = bed();
  lessor.grant(one, 10, 0);
  assert.deepEqual(lessor.expired(9_999, 10), []);
  assert.deepEqual(lessor.renew(one, 9_999), { ok: true, ttlSeconds: 10, hasCheckpoint: false });
  assert.deepEqual(lessor.expired(19_998, 10), []);
  assert.equal(lessor.isExpired(one, 19_998), false);
  assert.deepEqual(lessor.expired(19_999, 10), [one]);
  assert.equal(lessor.isExpired(one, 19_999), true);
});

test("renewals are refused by name", () => {
  const { lessor } = bed({ isPrimary: false });
  lessor.grant(one, 10, 0);
  assert.deepEqual(lessor.renew(one, 0), { ok: false, reason: "not primary" });
  lessor.promote(0, 0);
  assert.deepEqual(lessor.renew(two, 0), { ok: false, reason: "not found" });
  // Its revocation may be under way, so a keepalive must not succeed any more.
  assert.deepEqual(lessor.renew(one, 10_000), { ok: false, reason: "expired" });
  lessor.revoke(one);
  assert.deepEqual(lessor.renew(one, 10_000), { ok: false, reason: "not found" });
});

test("an expired lease whose revocation is lost comes up again until it is revoked", () => {
  const { lessor } = bed({ expiredRetryMs: 3_000 });
  lessor.grant(one, 10, 0);
  assert.deepEqual(lessor.expired(10_000, 10), [one]);
  assert.deepEqual(lessor.expired(12_999, 10), []);
  assert.deepEqual(lessor.expired(13_000, 10), [one]);
  assert.deepEqual(lessor.expired(16_000, 10), [one]);
  lessor.revoke(one);
  assert.deepEqual(lessor.expired(100_000, 10), []);
});

test("expired leases come in order of expiry, and no more than asked for", () => {
  const { lessor } = bed();
  for (let i = 1; i <= 100; i++) lessor.grant(leaseId(i), 200 - i, 0);
  const first = lessor.expired(1e6, 30);
  const rest = lessor.expired(1e6, 1_000);
  assert.deepEqual(
    [...first, ...rest],
    Array.from({ length: 100 }, (_, i) => leaseId(100 - i)),
  );
});

test("a lessor that is not primary expires nothing, whatever it reported before", () => {
  const { lessor } = bed();
  lessor.grant(one, 10, 0);
  assert.deepEqual(lessor.expired(10_000, 10), [one]);
  lessor.demote();
  assert.equal(lessor.isExpired(one, 1e9), false);
  assert.deepEqual(lessor.expired(1e9, 10), []);
  assert.equal(lessor.status(one, 1e9)?.remainingSeconds, Number.MAX_SAFE_INTEGER);
});

test("a new leader gives every lease its TTL again and the election's time", () => {
  const { lessor } = bed();
  lessor.grant(one, 10, 0);
  lessor.demote();
  lessor.promote(9_000, 1_500);
  assert.deepEqual(lessor.expired(20_499, 10), []);
  assert.deepEqual(lessor.expired(20_500, 10), [one]);
});

test("leases granted before a leadership end expire only on the next leader", () => {
  const { lessor } = bed();
  lessor.grant(one, 10, 0);
  lessor.demote();
  lessor.grant(two, 10, 5_000);
  lessor.promote(6_000, 0);
  assert.deepEqual(lessor.expired(16_000, 10), [one, two]);
});

test("after a leader change no second sees more expiries than allowed, and none comes early", () => {
  const { lessor } = bed({ isPrimary: false, expiriesPerSecondMax: 500 });
  for (let i = 1; i <= 2_600; i++) lessor.grant(leaseId(i), i % 13 === 0 ? 12 : 10, 0);
  lessor.promote(0, 0);
  const at: number[] = [];
  for (let nowMs = 0; at.length < 2_600; nowMs += 100) {
    for (const id of lessor.expired(nowMs, 10_000)) {
      at.push(nowMs);
      lessor.revoke(id);
    }
    assert.ok(nowMs < 60_000);
  }
  assert.ok((at[0] ?? 0) >= 10_000);
  for (const [i, nowMs] of at.entries()) assert.ok(nowMs - (at[i - 500] ?? -1_000) >= 1_000);
  assert.ok((at.at(-1) ?? 0) <= 16_000, "and no later than the limit asks for");
});

test("leases are listed by expiry, then by id", () => {
  const { lessor } = bed();
  lessor.grant(leaseId(3), 10, 0);
  lessor.grant(leaseId(-5), 10, 0);
  lessor.grant(leaseId(4), 5, 0);
  assert.deepEqual(lessor.leases(), [4, -5, 3].map(leaseId));
});

test("checkpoints note what is left of long leases, every interval", () => {
  const { lessor } = bed({ checkpointIntervalMs: 300_000 });
  lessor.grant(one, 1_000, 0);
  lessor.grant(two, 300, 0);
  assert.deepEqual(lessor.checkpointsDue(299_999), []);
  assert.deepEqual(lessor.checkpointsDue(300_000), [{ id: one, remainingTtlSeconds: 700 }]);
  assert.deepEqual(lessor.checkpointsDue(300_000), []);
  assert.deepEqual(lessor.checkpointsDue(600_001), [{ id: one, remainingTtlSeconds: 400 }]);
  assert.deepEqual(lessor.checkpointsDue(900_002), [{ id: one, remainingTtlSeconds: 100 }]);
  assert.deepEqual(lessor.checkpointsDue(1_300_000), [], "less than an interval is left");
});

test("a renewal that ends before an extended deadline counts", () => {
  const { lessor } = bed({ isPrimary: false });
  lessor.grant(one, 10, 0);
  lessor.promote(0, 5_000);
  lessor.renew(one, 1_000);
  assert.deepEqual(lessor.expired(10_999, 10), []);
  assert.deepEqual(lessor.expired(11_000, 10), [one]);
});

test("a renewed lease is checkpointed again, from its new deadline", () => {
  const { lessor } = bed({ checkpointIntervalMs: 300_000 });
  lessor.grant(one, 400, 0);
  lessor.renew(one, 100_000);
  assert.deepEqual(lessor.checkpointsDue(300_000), [{ id: one, remainingTtlSeconds: 200 }]);
  lessor.renew(one, 310_000);
  assert.deepEqual(lessor.checkpointsDue(610_000), [{ id: one, remainingTtlSeconds: 100 }]);
});

test("a lease renewed just now has nothing to note, and its next checkpoint still comes", () => {
  const { lessor } = bed({ checkpointIntervalMs: 300_000 });
  lessor.grant(one, 1_000, 0);
  lessor.renew(one, 300_000);
  assert.deepEqual(lessor.checkpointsDue(300_000), []);
  assert.deepEqual(lessor.checkpointsDue(600_000), [{ id: one, remainingTtlSeconds: 700 }]);
});

test("checkpoints come no more at a time than asked for, and not from a lessor that stepped down", () => {
  const { lessor } = bed();
  for (let i = 1; i <= 50; i++) lessor.grant(leaseId(i), 1_000, 0);
  assert.equal(lessor.checkpointsDue(300_000, 20).length, 20);
  assert.equal(lessor.checkpointsDue(300_000, 20).length, 20);
  lessor.demote();
  assert.deepEqual(lessor.checkpointsDue(300_000), []);
});

test("a checkpoint shortens the next leader's deadline, until one of zero lifts it after a renewal", () => {
  const { lessor } = bed();
  lessor.grant(one, 1_000, 0);
  assert.equal(lessor.applyCheckpoint({ id: one, remainingTtlSeconds: 700 }, false), true);
  lessor.promote(300_000, 0);
  assert.equal(lessor.status(one, 300_000)?.remainingSeconds, 700);
  assert.deepEqual(lessor.renew(one, 400_000), { ok: true, ttlSeconds: 1_000, hasCheckpoint: true });
  lessor.applyCheckpoint({ id: one, remainingTtlSeconds: 0 }, false);
  assert.deepEqual(lessor.renew(one, 400_000), { ok: true, ttlSeconds: 1_000, hasCheckpoint: false });
  lessor.promote(500_000, 0);
  assert.equal(lessor.status(one, 500_000)?.remainingSeconds, 1_000);
});

test("a checkpoint of a lease that is gone does nothing", () => {
  const { backend, lessor } = bed();
  assert.equal(lessor.applyCheckpoint({ id: one, remainingTtlSeconds: 7 }, true), false);
  assert.equal(recordsOf(backend, "lease"), 0);
});

test("leader changes do not let a checkpointed lease live on for ever", () => {
  const { lessor } = bed({ checkpointIntervalMs: 300_000 });
  lessor.grant(one, 900, 0);
  let nowMs = 0;
  while (lessor.expired(nowMs, 1).length === 0) {
    nowMs += 1_000;
    for (const due of lessor.checkpointsDue(nowMs)) lessor.applyCheckpoint(due, true);
    if (nowMs % 450_000 === 0) {
      lessor.demote();
      lessor.promote(nowMs, 1_000);
    }
    assert.ok(nowMs < 10_000_000);
  }
  assert.ok(nowMs >= 900_000 && nowMs <= 900_000 + 2 * (300_000 + 1_000), `it lived ${nowMs} ms`);
});
