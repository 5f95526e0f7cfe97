import assert from "node:assert/strict";
import { test } from "node:test";
import type { SimDisk } from "../../../test/sim/disk.ts";
import { must } from "../../lib/assert.ts";
import { FatalError } from "../../lib/fatal.ts";
import { SeededRandom } from "../../lib/random.ts";
import type { Entry } from "../../wire/raft.ts";
import { frameEnd } from "./frame.ts";
import { type LogOptions, openLog } from "./open-log.ts";
import { appendSynced, entry, lastSegment, logOptions, newLog, reopened } from "./testing/log.ts";
import { lastNonZero } from "./torn.ts";

const sectorBytes = 512;

interface Tail {
  readonly disk: SimDisk;
  readonly options: LogOptions;
  readonly path: string;
  /** The whole segment. */
  readonly bytes: Uint8Array;
  /** Where the last, unsynced batch starts and ends. */
  readonly start: number;
  readonly end: number;
  /** Where its first entry's frame starts, behind the batch's sync mark. */
  readonly record: number;
  /** What was synced before it. */
  readonly synced: readonly Entry[];
}

/** Five synced batches, then one unsynced of the given entries. */
function logWithTail(tail: readonly Entry[]): Tail {
  const { disk, options, wal } = newLog(8192);
  const synced = [1, 2, 3, 4, 5].map((index) => entry(index, 150));
  for (const each of synced) appendSynced(wal, [each]);
  const path = lastSegment(wal);
  const contentEnd = lastNonZero(must(disk.files().get(path), "the segment is there"), 0);
  const start = Math.ceil(contentEnd / 8) * 8;
  for (const each of tail) wal.appendEntry(each);
  wal.write();
  const bytes = must(disk.files().get(path), "the segment is there");
  const record = must(frameEnd(bytes, start), "the batch starts with a mark");
  return { disk, options, path, bytes, start, end: lastNonZero(bytes, 0), record, synced };
}

/** Opening repairs: everything synced is there, the rest is gone, and the log can be written to. */
function expectRepaired(log: Tail, damaged: Uint8Array, what: string): void {
  log.disk.plant(log.path, damaged);
  const { wal, log: opened } = reopened(log.options);
  const { entries } = opened.contents;
  assert.deepEqual(entries.slice(0, 5), log.synced, what);
  assert.ok(entries.length <= 6, what);
  const next = entry(entries.length + 1, 900);
  appendSynced(wal, [next]);
  assert.deepEqual(openLog(log.options).contents.entries, [...entries, next], what);
  assert.equal(openLog(log.options).repaired, undefined, what);
}

function expectRefused(log: Tail, path: string, damaged: Uint8Array, offsetMax: number): void {
  log.disk.plant(path, damaged);
  const before = log.disk.files();
  assert.throws(
    () => openLog(log.options),
    (error: unknown) => {
      assert.ok(error instanceof FatalError, String(error));
      assert.equal(error.reason, "WAL_DAMAGED");
      assert.equal(error.details.file, path);
      assert.ok(must(error.details.offset, "the offset is told") <= offsetMax, error.message);
      return true;
    },
  );
  assert.deepEqual(log.disk.files(), before);
}

test("W1: a last record cut off at any byte is dropped, and nothing before it", () => {
  const log = logWithTail([entry(6, 1200)]);
  for (let cut = log.start; cut < log.end; cut++) {
    expectRepaired(log, log.bytes.slice(0, cut), `file cut at ${cut}`);
    expectRepaired(log, log.bytes.slice().fill(0, cut), `zeros from ${cut}`);
  }
});

test("W1: a last record that lost a sector anywhere is dropped", () => {
  const log = logWithTail([entry(6, 1200)]);
  for (let offset = log.start; offset < log.end; offset++) {
    const sector = Math.floor(offset / sectorBytes) * sectorBytes;
    const aligned = log.bytes.slice().fill(0, Math.max(log.start, sector), sector + sectorBytes);
    expectRepaired(log, aligned, `sector of ${offset}`);
    expectRepaired(log, log.bytes.slice().fill(0, offset, offset + sectorBytes), `zeros at ${offset}`);
  }
});

test("W1: a last record with random bytes from any offset on is dropped", () => {
  const random = new SeededRandom(11);
  const log = logWithTail([entry(6, 1200)]);
  for (let offset = log.record; offset < log.end; offset++) {
    const damaged = log.bytes.slice();
    for (let i = offset; i < log.end; i++) damaged[i] = random.below(256);
    expectRepaired(log, damaged, `garbage from ${offset}`);
    const oneByte = log.bytes.slice();
    oneByte[offset] = (oneByte[offset] as number) ^ (1 + random.below(255));
    expectRepaired(log, oneByte, `one byte at ${offset}`);
  }
});

test("an unsynced batch that lost any one sector is dropped from there on, though later records arrived", () => {
  const tail = [6, 7, 8, 9].map((index) => entry(index, 700));
  const log = logWithTail(tail);
  const sectors = Math.ceil(log.end / sectorBytes);
  for (let sector = Math.floor(log.start / sectorBytes); sector < sectors; sector++) {
    const damaged = log.bytes.slice();
    damaged.fill(0, Math.max(log.start, sector * sectorBytes), (sector + 1) * sectorBytes);
    log.disk.plant(log.path, damaged);
    const { contents, repaired } = openLog(log.options);
    assert.deepEqual(contents.entries.slice(0, 5), log.synced);
    assert.deepEqual(contents.entries, [...log.synced, ...tail].slice(0, contents.entries.length));
    assert.ok(repaired !== undefined && contents.entries.length < 9, `sector ${sector}`);
  }
});

test("a changed byte in an unsynced batch is damage when a later record is sound", () => {
  const log = logWithTail([entry(6, 700), entry(7, 700)]);
  expectRefused(log, log.path, log.bytes.with(log.start + 10, 0xff), log.start);
  const offset = log.start + 200;
  const damaged = log.bytes.with(offset, (log.bytes[offset] as number) ^ 1);
  expectRefused(log, log.path, damaged, offset);
});

/** Three segments of committed entries, then one unsynced record. */
function committedLog(): { log: Tail; segments: Map<string, { bytes: Uint8Array; end: number }> } {
  const { disk, options, wal } = newLog(4096);
  const segments = new Map<string, { bytes: Uint8Array; end: number }>();
  for (let index = 1; index <= 24; index++) appendSynced(wal, [entry(index, 330)]);
  const path = lastSegment(wal);
  const committedEnd = lastNonZero(must(disk.files().get(path), "the segment is there"), 0);
  wal.appendEntry(entry(25));
  wal.write();
  for (const [name, bytes] of disk.files()) {
    if (name.endsWith(".wal"))
      segments.set(name, { bytes, end: name === path ? committedEnd : bytes.length });
  }
  const bytes = must(segments.get(path), "the segment is there").bytes;
  const log = { disk, options, path, bytes, start: committedEnd, end: bytes.length, record: 0, synced: [] };
  return { log, segments };
}

test("W2: every flipped sector of a committed region is refused with file and offset, and nothing is changed", () => {
  const { log, segments } = committedLog();
  assert.ok(segments.size >= 3);
  for (const [path, { bytes, end }] of segments) {
    for (let sector = 0; sector * sectorBytes < end; sector++) {
      const start = sector * sectorBytes;
      const stop = Math.min(end, start + sectorBytes);
      const flipped = bytes.map((byte, i) => (i >= start && i < stop ? byte ^ 0xff : byte));
      expectRefused(log, path, flipped, stop);
    }
    log.disk.plant(path, bytes);
  }
  openLog(log.options);
});

test("every single flipped bit of a committed record is refused", () => {
  const random = new SeededRandom(5);
  const { log, segments } = committedLog();
  for (const [path, { bytes, end }] of segments) {
    for (let offset = 0; offset < end; offset++) {
      const damaged = bytes.with(offset, (bytes[offset] as number) ^ (1 << random.below(8)));
      log.disk.plant(path, damaged);
      // A changed head of a segment may be told as the end of the one before.
      assert.throws(
        () => openLog(log.options),
        { name: "FatalError", reason: "WAL_DAMAGED" },
        `${path} ${offset}`,
      );
    }
    log.disk.plant(path, bytes);
  }
});

test("W2: every lost sector of a committed region is refused", () => {
  const { log, segments } = committedLog();
  for (const [path, { bytes, end }] of segments) {
    const contentEnd = Math.min(end, lastNonZero(bytes, 0));
    for (let start = 0; start < contentEnd; start += sectorBytes) {
      const stop = Math.min(start + sectorBytes, contentEnd);
      expectRefused(log, path, bytes.slice().fill(0, start, stop), stop);
    }
    log.disk.plant(path, bytes);
  }
});

test("W1: huge lengths are refused in the middle and dropped at the end, without allocation", () => {
  for (const length of [0xffff_ffff, 0x7fff_ffff, 1 << 30]) {
    const log = logWithTail([entry(6, 1200)]);
    const atTail = log.bytes.slice();
    new DataView(atTail.buffer).setUint32(log.record, length, true);
    expectRepaired(log, atTail, `length ${length} at the end`);
    const inMiddle = log.bytes.slice();
    new DataView(inMiddle.buffer).setUint32(0, length, true);
    expectRefused(log, log.path, inMiddle, 0);
  }
});

test("in a log without sync marks a torn place with sound records behind it is refused", () => {
  const log = logWithTail([entry(6, 700), entry(7, 700), entry(8, 700)]);
  const { disk } = log;
  const unmarked = withoutMarks(log.bytes);
  disk.plant(log.path, unmarked);
  const { contents } = openLog(logOptions(disk, 8192));
  assert.equal(contents.entries.length, 8);
  const middle = Math.floor(lastNonZero(unmarked, 0) / 2 / sectorBytes) * sectorBytes;
  expectRefused(log, log.path, unmarked.slice().fill(0, middle, middle + sectorBytes), middle + sectorBytes);
});

/** The same frames without the sync marks, which the chain of checksums does not need. */
function withoutMarks(bytes: Uint8Array): Uint8Array {
  const result = new Uint8Array(bytes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  let target = 0;
  for (let at = 0; view.getUint32(at, true) !== 0; ) {
    const length = view.getUint32(at, true);
    const end = at + 8 + Math.ceil(length / 8) * 8;
    const isMark = bytes[at + 9] === 4 && length > 12;
    if (!isMark) {
      result.set(bytes.subarray(at, end), target);
      target += end - at;
    }
    at = end;
  }
  return result;
}

test("the end of the content is found at any alignment", () => {
  for (let length = 0; length < 40; length++) {
    for (let start = 0; start <= length; start++) {
      for (let last = -1; last < length; last++) {
        const bytes = new Uint8Array(length);
        if (last >= 0) bytes[last] = 0x80;
        assert.equal(lastNonZero(bytes, start), Math.max(start, last + 1));
      }
    }
  }
});
