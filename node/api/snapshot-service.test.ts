import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { concatBytes, utf8 } from "../lib/bytes.ts";
import { silentLogger } from "../lib/log.ts";
import type { SnapshotSlice } from "../replica/snapshot-source.ts";
import { BoltReader } from "../storage/bbolt/reader.ts";
import { FolderSpool } from "../storage/bbolt/spool.ts";
import type { SnapshotSpool } from "./snapshot-port.ts";
import { chunkBytes, SnapshotService } from "./snapshot-service.ts";
import { FakeCall, ManualClock, memberApiOf } from "./testing/member.ts";

interface Setup {
  readonly service: SnapshotService;
  readonly clock: ManualClock;
  readonly folder: string;
  /** How many snapshots of the replica are open. */
  readonly open: () => number;
}

function setUp(t: TestContext, valueBytes: number, spool?: SnapshotSpool): Setup {
  const folder = mkdtempSync(join(tmpdir(), "etcdlike-spool-"));
  t.after(() => rmSync(folder, { recursive: true }));
  let open = 0;
  const replica = {
    store: { replacements: 0 },
    applier: { storageVersion: "3.6.0" },
    sizes: { sizeBytes: 0, sizeInUseBytes: 0 },
    openSnapshot() {
      open++;
      const slices: SnapshotSlice[] = [
        { bucket: "alarm", records: [] },
        { bucket: "key", records: [{ key: utf8("a"), value: new Uint8Array(valueBytes) }] },
        { bucket: "key", records: [{ key: utf8("b"), value: utf8("second") }] },
      ];
      return {
        next: () => slices.shift(),
        close: () => {
          open--;
        },
      };
    },
  };
  const clock = new ManualClock();
  const api = memberApiOf(replica, clock);
  const service = new SnapshotService({ api, spool: spool ?? new FolderSpool(folder), log: silentLogger });
  return { service, clock, folder, open: () => open };
}

test("the pieces are a bbolt file and then its SHA-256, with what remains counted down", async (t) => {
  const { service, folder, open } = setUp(t, 300_000);
  const blobs: Uint8Array[] = [];
  const remaining: number[] = [];
  for await (const message of service.snapshot({}, new FakeCall())) {
    assert.equal(message.version, "3.6.0");
    blobs.push(message.blob);
    remaining.push(message.remainingBytes);
    assert.deepEqual(readdirSync(folder), []);
  }
  const digest = blobs.pop();
  remaining.pop();
  const file = concatBytes(blobs);
  assert.deepEqual(digest, createHash("sha256").update(file).digest());
  assert.equal(file.length % 4096, 0);
  assert.ok(blobs.slice(0, -1).every(({ length }) => length === chunkBytes));
  assert.deepEqual(
    remaining,
    blobs.map((_, i) => Math.max(0, file.length - (i + 1) * chunkBytes)),
  );
  const reader = new BoltReader({
    bytes: file.length,
    read: (target, position) => {
      target.set(file.subarray(position, position + target.length));
      return target.length;
    },
  });
  assert.deepEqual(reader.bucketNames, ["alarm", "key"]);
  assert.equal([...reader.records("key")].length, 2);
  assert.equal(open(), 0);
});

test("a client that takes nothing for 60 s is cut off", async (t) => {
  const { service, clock } = setUp(t, 300_000);
  const call = new FakeCall();
  const pieces = service.snapshot({}, call)[Symbol.asyncIterator]();
  await pieces.next();
  const [first] = [...clock.timers];
  await pieces.next();
  const [second, ...others] = [...clock.timers];
  assert.notEqual(first, second);
  assert.deepEqual(others, []);
  assert.equal(second?.delayMs, 60_000);
  second?.fn();
  assert.match(call.aborted?.message ?? "", /took nothing of the snapshot for 60s/);
  await pieces.return?.();
  assert.equal(clock.timers.size, 0);
});

test("a client that leaves while the file is written ends it, and compactions go on", async (t) => {
  const { service, open } = setUp(t, 10);
  const call = new FakeCall();
  call.isCancelled = true;
  const pieces = service.snapshot({}, call)[Symbol.asyncIterator]();
  assert.equal((await pieces.next()).done, true);
  assert.equal(open(), 0);
});

test("the fifth snapshot at a time waits for one to end", async (t) => {
  const { service } = setUp(t, 10);
  const running = [1, 2, 3, 4].map(() => service.snapshot({}, new FakeCall())[Symbol.asyncIterator]());
  for (const pieces of running) await pieces.next();
  let hasBegun = false;
  const fifth = service.snapshot({}, new FakeCall())[Symbol.asyncIterator]();
  const first = fifth.next().then((result) => {
    hasBegun = true;
    return result;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(hasBegun, false);
  for (const pieces of running) await pieces.return?.();
  assert.equal((await first).done, false);
  await fifth.return?.();
});

test("a full disk ends the call with an answer and closes the snapshot", async (t) => {
  const full = Object.assign(new Error("ENOSPC: no space left on device, write"), {
    code: "ENOSPC",
    syscall: "write",
  });
  let discarded = 0;
  const spool: SnapshotSpool = {
    create: async () => ({
      write: () => Promise.reject(full),
      finish: () => Promise.reject(full),
      discard: async () => {
        discarded++;
      },
    }),
  };
  const { service, open } = setUp(t, 10, spool);
  const pieces = service.snapshot({}, new FakeCall())[Symbol.asyncIterator]();
  await assert.rejects(pieces.next(), { name: "ApiError", code: "ResourceExhausted" });
  assert.equal(open(), 0);
  assert.equal(discarded, 1);
});
