import assert from "node:assert/strict";
import { test } from "node:test";
import { must } from "../../lib/assert.ts";
import { FatalError } from "../../lib/fatal.ts";
import { nodeId } from "../../lib/ids.ts";
import { openLog, saveSnapshot, walOptions } from "./open-log.ts";
import { countBelow } from "./segments.ts";
import {
  appendSynced,
  entry,
  hardState,
  lastSegment,
  metadata,
  newLog,
  reopened,
  snapshotAt,
} from "./testing/log.ts";
import { Wal } from "./wal.ts";

test("a new log starts with the bytes that etcd 3.6 writes", () => {
  const { disk, wal } = newLog();
  const etcd = [
    "0400000000000084" + "0804100000000000",
    "2000000000000000" + "0801108882a19f061a160889e1bfa38da4b2a5cc0110ead6d39eefc5e988a501",
    "0e00000000000082" + "080510b0a8ef8a081a04080010000000",
  ].join("");
  const bytes = must(disk.files().get(lastSegment(wal)), "the segment is there");
  assert.equal(Buffer.from(bytes.subarray(0, etcd.length / 2)).toString("hex"), etcd);
  assert.equal(bytes.length, 4096);
});

test("a frame's bytes are those of etcd 3.6", () => {
  const { disk, wal } = newLog();
  wal.appendHardState({ term: 2, vote: nodeId(0xcc4ac920d46ff089n), commit: 3 });
  wal.write();
  const bytes = must(disk.files().get(lastSegment(wal)), "the segment is there");
  const frame = Buffer.from(bytes.subarray(0, bytes.findLastIndex((byte) => byte !== 0) + 8)).subarray(
    -40,
    -7,
  );
  assert.equal(frame.subarray(0, 11).toString("hex"), "1900000000000087080310");
  assert.equal(frame.subarray(-17).toString("hex"), "1a0f08021089e1bfa38da4b2a5cc011803");
});

test("what was synced is there when the log is opened again", () => {
  const { options, wal } = newLog();
  for (let index = 1; index <= 40; index++) appendSynced(wal, [entry(index, index * 5)]);
  const { contents, repaired } = openLog(options);
  assert.deepEqual(
    contents.entries,
    Array.from({ length: 40 }, (_, i) => entry(i + 1, (i + 1) * 5)),
  );
  assert.deepEqual(contents.hardState, hardState(39));
  assert.equal(contents.nodeId, metadata.nodeId);
  assert.equal(contents.clusterId, metadata.clusterId);
  assert.equal(contents.snapshot.index, 0);
  assert.equal(repaired, undefined);
});

test("a log grows over several segments, named by sequence and first index", () => {
  const { options, wal } = newLog();
  for (let index = 1; index <= 30; index++) appendSynced(wal, [entry(index, 400)]);
  assert.ok(wal.segments.length >= 3);
  const { log } = reopened(options);
  assert.deepEqual(log.position.segments, wal.segments);
  assert.equal(log.contents.entries.length, 30);
});

test("prepared zeros and prepared segments change nothing that is read", () => {
  const { options, wal, disk } = newLog(3 << 20);
  for (let index = 1; index <= 12; index++) {
    appendSynced(wal, [entry(index, 600_000)]);
    while (wal.prepare());
  }
  assert.ok(wal.segments.length >= 2);
  assert.equal(openLog(options).contents.entries.length, 12);
  wal.close();
  assert.ok(![...disk.files().keys()].some((path) => path.endsWith(".tmp")));
});

test("an entry that overwrites a suffix takes the place of all behind it", () => {
  const { options, wal } = newLog();
  appendSynced(wal, [entry(1), entry(2), entry(3), entry(4)]);
  appendSynced(wal, [entry(3, 20, 2)]);
  const { contents } = openLog(options);
  assert.deepEqual(
    contents.entries.map(({ index, term }) => [index, term]),
    [
      [1, 1],
      [2, 1],
      [3, 2],
    ],
  );
});

test("a gap between entries is refused", () => {
  const { options, wal } = newLog();
  appendSynced(wal, [entry(1), entry(3)]);
  assert.throws(() => openLog(options), fatal("WAL_DAMAGED", /entry 3 after entry 1/));
});

test("a log that ends below its committed index is refused", () => {
  const { options, wal } = newLog();
  appendSynced(wal, [entry(1)]);
  wal.appendHardState(hardState(5));
  wal.write();
  assert.throws(() => openLog(options), fatal("WAL_DAMAGED", /below the committed index 5/));
});

test("a missing segment is refused by its number", () => {
  const { disk, options, wal } = newLog();
  for (let index = 1; index <= 30; index++) appendSynced(wal, [entry(index, 400)]);
  const names = [...disk.files().keys()].filter((path) => path.endsWith(".wal")).sort();
  disk.unlink(must(names[1], "there is a second segment"));
  assert.throws(() => openLog(options), fatal("WAL_DAMAGED", /segment 1 before it is missing/));
});

test("writing goes on behind the last record after each of many openings", () => {
  const { options, wal: first } = newLog();
  let wal = first;
  for (let index = 1; index <= 25; index++) {
    appendSynced(wal, [entry(index, 300)]);
    wal.close();
    wal = reopened(options).wal;
  }
  assert.equal(openLog(options).contents.entries.length, 25);
});

test("a snapshot moves the start of what is read and releases the segments below", () => {
  const { disk, options, wal } = newLog();
  for (let index = 1; index <= 40; index++) appendSynced(wal, [entry(index, 400)]);
  const segmentsBefore = wal.segments.length;
  saveSnapshot(wal, options, snapshotAt(30), 25);
  assert.ok(wal.segments.length < segmentsBefore);
  const { contents } = openLog(options);
  assert.deepEqual(contents.snapshot, snapshotAt(30));
  assert.deepEqual(
    contents.entries.map(({ index }) => index),
    [31, 32, 33, 34, 35, 36, 37, 38, 39, 40],
  );
  assert.ok(must(wal.segments[0], "a log has a segment").firstIndex <= 25);
  assert.equal(disk.readdir("/data/member/snap").length, 1);
});

test("five snapshot files are kept", () => {
  const { disk, options, wal } = newLog();
  for (let index = 1; index <= 9; index++) {
    appendSynced(wal, [entry(index)]);
    wal.appendHardState(hardState(index));
    saveSnapshot(wal, options, snapshotAt(index), index);
  }
  const kept = disk.readdir("/data/member/snap").map((name) => Number.parseInt(name.slice(17, 33), 16));
  assert.deepEqual(kept, [5, 6, 7, 8, 9]);
});

test("a damaged snapshot file is passed over while the log reaches back to an older one", () => {
  const { disk, options, wal } = newLog(1 << 16);
  for (const index of [1, 2, 3]) appendSynced(wal, [entry(index)]);
  for (const index of [1, 2]) saveSnapshot(wal, options, snapshotAt(index), 1);
  const path = "/data/member/snap/0000000000000001-0000000000000002.snap";
  const bytes = must(disk.files().get(path), "the file is there");
  disk.plant(path, bytes.with(bytes.length - 1, 0xff));
  const { contents } = openLog(options);
  assert.equal(contents.snapshot.index, 1);
  assert.deepEqual(contents.entries, [entry(2), entry(3)]);
});

test("a log that starts behind its only snapshot file's damage names that file", () => {
  const { disk, options, wal } = newLog();
  for (let index = 1; index <= 30; index++) appendSynced(wal, [entry(index, 400)]);
  saveSnapshot(wal, options, snapshotAt(29), 29);
  const path = "/data/member/snap/0000000000000001-000000000000001d.snap";
  disk.unlink(path);
  assert.throws(() => openLog(options), fatal("WAL_DAMAGED", /000000000000001d\.snap: the file is missing/));
});

test("a snapshot that replaces the log ends the entries it does not continue", () => {
  const { options, wal } = newLog();
  appendSynced(wal, [entry(1), entry(2), entry(3), entry(4)]);
  wal.appendHardState(hardState(3, 5));
  saveSnapshot(wal, options, snapshotAt(3, 5), 3);
  assert.deepEqual(openLog(options).contents.entries, []);
  appendSynced(wal, [entry(4, 20, 5)]);
  assert.deepEqual(openLog(options).contents.entries, [entry(4, 20, 5)]);
});

test("a snapshot record above the committed index does not count", () => {
  const { options, wal } = newLog();
  appendSynced(wal, [entry(1), entry(2)]);
  const { index, term, confState } = snapshotAt(2);
  wal.appendSnapshot({ index, term, confState });
  wal.write();
  const { contents } = openLog(options);
  assert.equal(contents.snapshot.index, 0);
  assert.equal(contents.entries.length, 2);
});

test("a snapshot of entries that are not committed is a bug", () => {
  const { options, wal } = newLog();
  appendSynced(wal, [entry(1), entry(2)]);
  assert.throws(() => saveSnapshot(wal, options, snapshotAt(2), 0), /a snapshot is of committed entries/);
});

test("segments are released only when a later one starts at or below the index", () => {
  const segments = [0, 10, 20, 15, 40].map((firstIndex, sequence) => ({ sequence, firstIndex }));
  assert.equal(countBelow(segments, 9), 0);
  assert.equal(countBelow(segments, 10), 1);
  assert.equal(countBelow(segments, 18), 3);
  assert.equal(countBelow(segments, 39), 3);
  assert.equal(countBelow(segments, 40), 4);
});

for (const [code, reason] of [
  ["EIO", "IO_ERROR"],
  ["ENOSPC", "DISK_FULL"],
] as const) {
  test(`W6: ${code} at any call is fatal, ends the log, and loses nothing that was synced`, () => {
    for (let call = 0; ; call++) {
      const { disk, options, wal } = newLog(2048);
      appendSynced(wal, [entry(1, 300)]);
      disk.failAfter(call, code);
      let synced = 1;
      try {
        for (let index = 2; index <= 12; index++) {
          appendSynced(wal, [entry(index, 300)]);
          synced = index;
          while (wal.prepare());
          if (index % 4 === 0) saveSnapshot(wal, options, snapshotAt(index - 1), index - 2);
        }
        assert.ok(call > 50, "the scenario makes many calls");
        return;
      } catch (error) {
        fatal(reason)(error);
      }
      const { contents } = openLog(options);
      assert.ok(contents.snapshot.index + contents.entries.length >= synced, `call ${call}`);
    }
  });
}

test("after a failure the log takes nothing more", () => {
  const { disk, options, wal } = newLog();
  wal.appendEntry(entry(1));
  disk.failAfter(0, "EIO");
  assert.throws(() => wal.write(), fatal("IO_ERROR"));
  assert.throws(() => wal.appendEntry(entry(2)), /a failed log is not written to/);
  assert.throws(() => wal.sync(), /a failed log is never taken for synced/);
  assert.ok(new Wal(walOptions(options), openLog(options).position));
});

function fatal(reason: string, message = /./): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof FatalError, String(error));
    assert.equal(error.reason, reason);
    assert.match(error.message, message);
    return true;
  };
}
