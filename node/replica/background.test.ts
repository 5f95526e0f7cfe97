import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../lib/clock.ts";
import { noLease } from "../lib/ids.ts";
import { silentMetrics } from "../lib/metrics.ts";
import { Overlay } from "../mvcc/overlay.ts";
import { Store } from "../mvcc/store.ts";
import type { WatchHub } from "../mvcc/watch-hub.ts";
import { MemoryEngine } from "../storage/memory/engine.ts";
import { Background } from "./background.ts";

const pauseMs = 10;
const batchRecords = 10;

test("a compaction pauses after what it removes, and no longer than it took after what it only reads", () => {
  const store = new Store(new Overlay(new MemoryEngine()));
  for (let i = 0; i < 50; i++) {
    const txn = store.beginWrite();
    txn.put({ key: Uint8Array.of(1), value: new Uint8Array(10), lease: noLease });
    txn.end();
  }
  assert.ok(store.compact(store.currentRevision).ok);

  const pauses: { readonly ms: number; readonly removed: number }[] = [];
  let due: (() => void) | undefined;
  let nowMs = 0;
  const clock: Clock = {
    // Every look at the clock takes 3 ms.
    nowMs: () => {
      nowMs += 3;
      return nowMs;
    },
    after: (ms, fn) => {
      pauses.push({ ms, removed: store.compaction.removed });
      due = fn;
      return { cancel() {} };
    },
    defer: (fn) => {
      due = fn;
    },
  };
  const background = new Background({
    clock,
    store,
    hub: {} as WatchHub,
    compactionBatchRecords: batchRecords,
    compactionPauseMs: pauseMs,
    isStoreFull: () => false,
    metrics: silentMetrics,
  });
  background.scrub();
  while (due !== undefined) {
    const fn = due;
    due = undefined;
    fn();
  }
  assert.equal(store.compaction.removed, 49);
  const reading = pauses.filter(({ removed }) => removed === 0);
  const removing = pauses.filter(({ removed }) => removed > 0);
  assert.ok(reading.length >= 5 && removing.length >= 5);
  for (const { ms } of reading) assert.equal(ms, 3);
  for (const { ms } of removing) assert.equal(ms, pauseMs);
});
