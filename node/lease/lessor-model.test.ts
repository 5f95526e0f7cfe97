// Random histories of a lessor against a model that nobody would ship: lists, searched from end to end.

import assert from "node:assert/strict";
import { test } from "node:test";
import { textOf, utf8 } from "../lib/bytes.ts";
import { type LeaseId, leaseId } from "../lib/ids.ts";
import { SeededRandom } from "../lib/random.ts";
import { Overlay } from "../mvcc/overlay.ts";
import { recordKey } from "../mvcc/revision.ts";
import { MemoryEngine } from "../storage/memory/engine.ts";
import { Lessor } from "./lessor.ts";

interface ModelLease {
  readonly id: LeaseId;
  readonly ttlSeconds: number;
  remainingTtlSeconds: number;
  expiryMs: number;
  reportedMs: number;
}

const retryMs = 3_000;
const extendMs = 1_000;
const ids = [-(2n ** 63n), -7n, -1n, 1n, 2n, 300n, 2n ** 63n - 1n].map(leaseId);
const keys = ["a", "b", "c", "d", "e"];

function run(seed: number): void {
  const random = new SeededRandom(seed);
  const pick = <T>(items: readonly T[]): T => items[random.below(items.length)] as T;
  const engine = new MemoryEngine();
  let backend = new Overlay(engine);
  let lessor = new Lessor(backend, { expiredRetryMs: retryMs });
  let leases: ModelLease[] = [];
  let isPrimary = false;
  let nowMs = 0;
  let revision = 1;
  /** Which lease and put hold a key. */
  const attached = new Map<string, { readonly id: LeaseId; readonly at: Uint8Array }>();

  const detach = (key: string) => {
    const held = attached.get(key);
    if (held !== undefined) lessor.detach(held.id, utf8(key), held.at);
    attached.delete(key);
  };
  const keysIn = (id: LeaseId) =>
    [...attached]
      .filter(([, held]) => held.id === id)
      .map(([key]) => key)
      .sort();
  const find = (id: LeaseId) => leases.find((lease) => lease.id === id);
  const deadline = (lease: ModelLease) =>
    nowMs + extendMs + (lease.remainingTtlSeconds || lease.ttlSeconds) * 1_000;

  const actions: readonly (() => void)[] = [
    function grant() {
      const id = pick(ids);
      const ttlSeconds = random.below(12);
      const outcome = lessor.grant(id, ttlSeconds, nowMs);
      assert.equal(outcome.ok, find(id) === undefined);
      if (!outcome.ok) return;
      const granted = Math.max(2, ttlSeconds);
      assert.equal(outcome.ttlSeconds, granted);
      const expiryMs = isPrimary ? nowMs + granted * 1_000 : Number.POSITIVE_INFINITY;
      leases.push({ id, ttlSeconds: granted, remainingTtlSeconds: 0, expiryMs, reportedMs: -retryMs });
    },
    function put() {
      const lease = find(pick(ids));
      const key = pick(keys);
      detach(key);
      const at = recordKey(++revision, random.below(3), false);
      if (lease === undefined) return;
      lessor.attach(lease.id, utf8(key), at);
      attached.set(key, { id: lease.id, at });
    },
    function remove() {
      detach(pick(keys));
    },
    function revoke() {
      const id = pick(ids);
      const outcome = lessor.revoke(id);
      assert.equal(outcome.ok, find(id) !== undefined);
      if (!outcome.ok) return;
      assert.deepEqual(outcome.keys.map(textOf), keysIn(id));
      for (const key of outcome.keys) detach(textOf(key));
      leases = leases.filter((lease) => lease.id !== id);
    },
    function renew() {
      const id = pick(ids);
      const lease = find(id);
      const outcome = lessor.renew(id, nowMs);
      if (!isPrimary) assert.deepEqual(outcome, { ok: false, reason: "not primary" });
      else if (lease === undefined) assert.deepEqual(outcome, { ok: false, reason: "not found" });
      else if (lease.expiryMs <= nowMs) assert.deepEqual(outcome, { ok: false, reason: "expired" });
      else {
        lease.expiryMs = nowMs + lease.ttlSeconds * 1_000;
        const hasCheckpoint = lease.remainingTtlSeconds > 0;
        assert.deepEqual(outcome, { ok: true, ttlSeconds: lease.ttlSeconds, hasCheckpoint });
      }
    },
    function pass() {
      nowMs += random.below(3_000);
    },
    function expire() {
      const due = leases.filter((lease) => lease.expiryMs <= nowMs && lease.reportedMs + retryMs <= nowMs);
      assert.deepEqual([...lessor.expired(nowMs, 100)].sort(), due.map(({ id }) => id).sort());
      for (const lease of due) lease.reportedMs = nowMs;
    },
    function lead() {
      isPrimary = random.below(3) > 0;
      if (isPrimary) lessor.promote(nowMs, extendMs);
      else lessor.demote();
      for (const lease of leases) {
        lease.expiryMs = isPrimary ? deadline(lease) : Number.POSITIVE_INFINITY;
        lease.reportedMs = -retryMs;
      }
    },
    function checkpoint() {
      const id = pick(ids);
      const lease = find(id);
      const remainingTtlSeconds = random.below(5);
      assert.equal(lessor.applyCheckpoint({ id, remainingTtlSeconds }, true), lease !== undefined);
      if (lease !== undefined) lease.remainingTtlSeconds = remainingTtlSeconds;
    },
    function restart() {
      if (random.below(4) > 0) return;
      backend.flush(() => {});
      backend = new Overlay(engine);
      lessor = new Lessor(backend, { expiredRetryMs: retryMs });
      isPrimary = false;
      for (const lease of leases) lease.expiryMs = Number.POSITIVE_INFINITY;
    },
  ];

  for (let step = 0; step < 500; step++) {
    pick(actions)();
    assert.equal(lessor.size, leases.length);
    for (const id of ids) {
      const lease = find(id);
      assert.equal(lessor.isExpired(id, nowMs), lease !== undefined && lease.expiryMs <= nowMs);
      assert.deepEqual(lessor.keysOf(id).map(textOf).sort(), keysIn(id));
      const status = lessor.status(id, nowMs);
      assert.equal(status?.ttlSeconds, lease?.ttlSeconds);
      if (lease !== undefined && isPrimary) {
        assert.equal(status?.remainingSeconds, Math.trunc((lease.expiryMs - nowMs) / 1_000) + 0);
      }
    }
    const sorted = [...leases].sort((a, b) =>
      a.expiryMs === b.expiryMs ? (a.id < b.id ? -1 : 1) : a.expiryMs < b.expiryMs ? -1 : 1,
    );
    assert.deepEqual(
      lessor.leases(),
      sorted.map(({ id }) => id),
    );
  }
}

test("a lessor does what a plain model does, through leader changes and restarts", () => {
  for (let seed = 1; seed <= 60; seed++) {
    try {
      run(seed);
    } catch (cause) {
      throw new Error(`seed ${seed}`, { cause });
    }
  }
});
