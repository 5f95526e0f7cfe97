import assert from "node:assert/strict";
import { test } from "node:test";
import { AssertionFailure } from "../lib/assert.ts";
import { utf8 } from "../lib/bytes.ts";
import { type Random, SeededRandom } from "../lib/random.ts";
import type { Entry } from "../wire/raft.ts";
import { emptyConfState } from "./conf-state.ts";
import { encodedBytes, noLimit } from "./entry-size.ts";
import { RaftLog } from "./log.ts";
import { silentLogger } from "./logger.ts";
import { MemoryStorage } from "./memory-storage.ts";

function entry(term: number, index: number, data = ""): Entry {
  return { type: "EntryNormal", term, index, data: utf8(data) };
}

function entries(term: number, start: number, end: number): Entry[] {
  return Array.from({ length: end - start }, (_, at) => entry(term, start + at));
}

function newLog(storage = new MemoryStorage(), applyingBytesMax = noLimit): RaftLog {
  return new RaftLog(storage, { logger: silentLogger, applyingBytesMax });
}

/** Cuts a list as the log does, the dumb way. */
function firstPage(list: readonly Entry[], bytesMax: number): Entry[] {
  const page: Entry[] = [];
  let bytes = 0;
  for (const next of list) {
    bytes += encodedBytes(next);
    if (page.length > 0 && bytes > bytesMax) break;
    page.push(next);
  }
  return page;
}

function someWrites(random: Random, log: RaftLog, storage: MemoryStorage, model: Entry[]): void {
  const term = (model.at(-1)?.term ?? 1) + random.below(2);
  const start = log.lastIndex() + 1;
  const more = Array.from({ length: random.below(5) }, (_, at) =>
    entry(term, start + at, "x".repeat(random.below(30))),
  );
  log.append(more);
  model.push(...more);
  const written = log.nextUnstable();
  const last = written.at(-1);
  if (last === undefined || random.below(3) === 0) return;
  log.acceptUnstable();
  storage.append(written);
  if (random.below(3) > 0) log.stableTo(last.index, last.term);
}

test("R11: pages across storage and the unstable tail equal pages of one list", () => {
  const random = new SeededRandom(7);
  for (let round = 0; round < 200; round++) {
    const storage = new MemoryStorage();
    const log = newLog(storage);
    const model: Entry[] = [];
    for (let i = 0; i < 8; i++) someWrites(random, log, storage, model);
    assert.equal(log.lastIndex(), model.length);
    for (let i = 0; i < 20; i++) {
      const start = 1 + random.below(model.length + 1);
      const end = start + random.below(model.length + 2 - start);
      const bytesMax = random.below(4) === 0 ? noLimit : random.below(150);
      assert.deepEqual(log.slice(start, end, bytesMax), firstPage(model.slice(start - 1, end - 1), bytesMax));
    }
    for (const known of model) assert.equal(log.term(known.index), known.term);
    assert.equal(log.term(model.length + 1), undefined);
  }
});

test("entries of a leader replace what contradicts them and nothing else", () => {
  const log = newLog();
  log.append([...entries(1, 1, 4), ...entries(2, 4, 6)]);
  assert.equal(log.appendFromLeader({ index: 3, logTerm: 1, entries: entries(2, 4, 5), commit: 0 }), 4);
  assert.equal(log.lastIndex(), 5);
  assert.equal(log.appendFromLeader({ index: 3, logTerm: 1, entries: entries(3, 4, 5), commit: 9 }), 4);
  assert.equal(log.lastIndex(), 4);
  assert.equal(log.committed, 4);
  assert.equal(log.appendFromLeader({ index: 4, logTerm: 2, entries: [], commit: 0 }), undefined);
});

test("a leader that contradicts a committed entry ends the member", () => {
  const log = newLog();
  log.append(entries(1, 1, 4));
  log.commitTo(2);
  assert.throws(
    () => log.appendFromLeader({ index: 1, logTerm: 1, entries: entries(2, 2, 3), commit: 0 }),
    AssertionFailure,
  );
  assert.throws(() => log.append(entries(1, 2, 3)), AssertionFailure);
  assert.throws(() => log.commitTo(4), AssertionFailure);
});

test("a conflict hint skips the terms that the other side cannot have", () => {
  const log = newLog();
  log.append([...entries(1, 1, 4), ...entries(4, 4, 7)]);
  assert.deepEqual(log.findConflictByTerm(6, 3), { index: 3, term: 1 });
  assert.deepEqual(log.findConflictByTerm(6, 4), { index: 6, term: 4 });
  assert.deepEqual(log.findConflictByTerm(6, 0), { index: 0, term: 0 });
});

test("R10: an answer about an overwritten entry does not make its successor stable", () => {
  const log = newLog();
  log.append(entries(1, 1, 4));
  log.acceptUnstable();
  log.append(entries(2, 3, 5));
  log.stableTo(3, 1);
  assert.equal(log.hasUnstable(), true);
  assert.deepEqual(log.nextUnstable(), entries(2, 3, 5));
  log.stableTo(2, 1);
  log.acceptUnstable();
  log.stableTo(4, 2);
  assert.equal(log.hasUnstable(), false);
});

test("an overwritten entry that was being written is handed out again", () => {
  const log = newLog();
  log.append(entries(1, 1, 6));
  log.acceptUnstable();
  assert.equal(log.hasNextUnstable(), false);
  log.append(entries(2, 4, 5));
  assert.deepEqual(log.nextUnstable(), entries(2, 4, 5));
});

test("committed entries are applied only once they are stable, when they must be", () => {
  const log = newLog();
  log.append(entries(1, 1, 4));
  log.commitTo(3);
  assert.deepEqual(log.nextCommitted(false), []);
  assert.deepEqual(log.nextCommitted(true), entries(1, 1, 4));
});

test("no page is handed out to apply before room was made for it", () => {
  const storage = new MemoryStorage();
  const log = newLog(storage, 10);
  log.append(entries(1, 1, 6));
  log.commitTo(5);
  const page = log.nextCommitted(true);
  assert.deepEqual(page, entries(1, 1, 3));
  log.acceptApplying(2, 8, true);
  assert.equal(log.hasNextCommitted(true), false);
  log.appliedTo(2, 8);
  assert.deepEqual(log.nextCommitted(true), entries(1, 3, 5));
});

test("a snapshot replaces the log and holds applying back until it is installed", () => {
  const storage = new MemoryStorage();
  const log = newLog(storage);
  log.append(entries(1, 1, 4));
  const snapshot = { data: utf8("s"), metadata: { confState: emptyConfState, index: 9, term: 3 } };
  log.restore(snapshot);
  assert.equal(log.firstIndex(), 10);
  assert.equal(log.lastIndex(), 9);
  assert.equal(log.lastTerm(), 3);
  log.append(entries(3, 10, 11));
  log.commitTo(10);
  assert.equal(log.hasNextCommitted(true), false);
  assert.equal(log.nextSnapshot(), snapshot);
  log.acceptUnstable();
  assert.equal(log.nextSnapshot(), undefined);
  storage.applySnapshot(snapshot);
  log.stableSnapshotTo(9);
  log.appliedTo(9, 0);
  assert.deepEqual(log.nextCommitted(true), entries(3, 10, 11));
});
