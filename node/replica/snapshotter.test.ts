import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../lib/log.ts";
import { emptyConfState } from "../raft/conf-state.ts";
import { MemoryStorage } from "../raft/memory-storage.ts";
import type { LogSnapshot, LogStore } from "./log-store.ts";
import { Snapshotter, type SnapshotterOptions } from "./snapshotter.ts";

const kilobyte = 1000;

class Fixture {
  readonly storage = new MemoryStorage();
  readonly saved: LogSnapshot[] = [];
  readonly saving: (() => void)[] = [];
  readonly snapshotter: Snapshotter;
  raftAppliedIndex = Number.MAX_SAFE_INTEGER;

  constructor(options: Partial<SnapshotterOptions> = {}) {
    const unused = (): never => assert.fail("only snapshots are saved");
    const log: LogStore = {
      append: unused,
      installSnapshot: unused,
      close: unused,
      saveSnapshot: (snapshot, _releaseIndex, done) => {
        this.saved.push(snapshot);
        this.saving.push(done);
      },
    };
    this.snapshotter = new Snapshotter(
      {
        log,
        storage: this.storage,
        logger: silentLogger,
        snapshotCount: 1000,
        catchupEntries: 500,
        catchupBytesMax: 100 * kilobyte,
        pinnedBytesMax: 2000 * kilobyte,
        raftAppliedIndex: () => this.raftAppliedIndex,
        ...options,
      },
      0,
    );
  }

  /** Appends entries of so many bytes up to `lastIndex`, and flushes the store there. */
  grow(lastIndex: number, entryBytes: number): void {
    for (let index = this.storage.lastIndex() + 1; index <= lastIndex; index++) {
      this.storage.append([{ type: "EntryNormal", term: 1, index, data: new Uint8Array(entryBytes) }]);
    }
    const state = { index: lastIndex, term: 1, confState: emptyConfState };
    this.snapshotter.onFlushed({ ...state, members: [], clusterVersion: undefined });
  }

  finishSaving(): void {
    this.saving.shift()?.();
  }
}

test("entries are kept by count while they are small", () => {
  const fixture = new Fixture();
  fixture.grow(1000, 10);
  assert.equal(fixture.saved.length, 0);
  fixture.grow(1001, 10);
  fixture.finishSaving();
  assert.deepEqual(
    fixture.saved.map(({ index }) => index),
    [1001],
  );
  assert.equal(fixture.storage.firstIndex(), 502);
});

test("entries that are large are kept by bytes, and bring the next snapshot forward", () => {
  const fixture = new Fixture();
  let bytesMax = 0;
  for (let index = 1; index <= 500; index++) {
    fixture.grow(index, 10 * kilobyte);
    bytesMax = Math.max(bytesMax, fixture.storage.bytes);
    fixture.finishSaving();
  }
  assert.ok(fixture.saved.length >= 45, `${fixture.saved.length} snapshots`);
  assert.ok(bytesMax <= 220 * kilobyte, `${bytesMax} bytes`);
  assert.ok(fixture.storage.bytes >= 100 * kilobyte, `${fixture.storage.bytes} bytes`);
});

test("one entry beyond the bound is kept until the store has it, and no longer", () => {
  const fixture = new Fixture();
  fixture.grow(1, 500 * kilobyte);
  assert.equal(fixture.storage.firstIndex(), 1);
  fixture.finishSaving();
  assert.equal(fixture.storage.firstIndex(), 2);
  assert.equal(fixture.storage.lastIndex(), 1);
});

test("nothing behind the snapshot is released, although it is beyond the bound by then", () => {
  const fixture = new Fixture();
  fixture.grow(11, 10 * kilobyte);
  for (let index = 12; index <= 100; index++) fixture.grow(index, 10 * kilobyte);
  assert.equal(fixture.saved.length, 1);
  fixture.finishSaving();
  assert.equal(fixture.storage.firstIndex(), 12);
});

test("what a snapshot on its way needs is kept up to a bound, beyond which it is given up and said", () => {
  const lines: string[] = [];
  const logger = { ...silentLogger, warn: (text: string) => lines.push(text) };
  const fixture = new Fixture({ logger, pinnedBytesMax: 500 * kilobyte });
  fixture.grow(5, 10 * kilobyte);
  const unpin = fixture.snapshotter.pin(5);
  let bytesMax = 0;
  for (let index = 6; index <= 300; index++) {
    fixture.grow(index, 10 * kilobyte);
    fixture.finishSaving();
    bytesMax = Math.max(bytesMax, fixture.storage.bytes);
  }
  assert.ok(bytesMax >= 500 * kilobyte, `${bytesMax} bytes`);
  assert.ok(bytesMax <= 720 * kilobyte, `${bytesMax} bytes`);
  assert.deepEqual(lines, ["gave up log entries that a snapshot on its way needs behind it"]);
  unpin();
});

test("what a snapshot on its way needs is kept beyond the bound of other followers, until it is let go", () => {
  const fixture = new Fixture();
  fixture.grow(5, 10 * kilobyte);
  const unpin = fixture.snapshotter.pin(5);
  for (let index = 6; index <= 100; index++) {
    fixture.grow(index, 10 * kilobyte);
    fixture.finishSaving();
  }
  assert.equal(fixture.storage.firstIndex(), 6);
  assert.ok(fixture.saved.length < 15, `${fixture.saved.length} snapshots`);
  unpin();
  for (let index = 101; index <= 120; index++) {
    fixture.grow(index, 10 * kilobyte);
    fixture.finishSaving();
  }
  assert.ok(fixture.storage.firstIndex() > 100, `${fixture.storage.firstIndex()}`);
});

test("nothing is released that Raft does not know to be applied", () => {
  const fixture = new Fixture();
  fixture.raftAppliedIndex = 3;
  for (let index = 1; index <= 50; index++) {
    fixture.grow(index, 10 * kilobyte);
    fixture.finishSaving();
  }
  assert.equal(fixture.storage.firstIndex(), 4);
});
