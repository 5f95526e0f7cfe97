import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { FatalError } from "../../lib/fatal.ts";
import { nodeDisk } from "../disk.ts";
import { createLog, openLog } from "./open-log.ts";
import { entry, hardState, metadata, snapshotAt } from "./testing/log.ts";
import { type WorkerLogOptions, WorkerLogStore } from "./worker-log-store.ts";

const segmentBytes = 1 << 20;

interface Bed {
  readonly memberDir: string;
  readonly store: WorkerLogStore;
  readonly fatal: Promise<FatalError>;
}

function start(t: TestContext, options: Partial<WorkerLogOptions> = {}): Bed {
  const memberDir = mkdtempSync(join(tmpdir(), "log-worker-"));
  const { position } = createLog({ disk: nodeDisk, memberDir, segmentBytes }, metadata);
  let onFatal: (error: FatalError) => void = assert.fail;
  const fatal = new Promise<FatalError>((resolve) => {
    onFatal = resolve;
  });
  const store = new WorkerLogStore({ memberDir, position, segmentBytes, onFatal, ...options });
  t.after(() => rmSync(memberDir, { recursive: true }));
  return { memberDir, store, fatal };
}

function synced(store: WorkerLogStore, index: number, dataBytes = 100): Promise<void> {
  return new Promise((resolve) => {
    store.append({ hardState: hardState(index - 1), entries: [entry(index, dataBytes)] }, resolve);
  });
}

function closed(store: WorkerLogStore): Promise<void> {
  return new Promise((resolve) => store.close(resolve));
}

test("completions run in the order of submission, and what they promise is in the log", async (t) => {
  const { memberDir, store } = start(t);
  const order: number[] = [];
  const all = Array.from({ length: 500 }, (_, i) => synced(store, i + 1).then(() => order.push(i)));
  await Promise.all(all);
  assert.deepEqual(
    order,
    [...order].sort((a, b) => a - b),
  );
  const { contents } = openLog({ disk: nodeDisk, memberDir });
  assert.deepEqual(
    contents.entries,
    Array.from({ length: 500 }, (_, i) => entry(i + 1, 100)),
  );
  await closed(store);
});

test("everything submitted while a sync runs shares the next one", async (t) => {
  let syncs = 0;
  let bytes = 0;
  const metrics = {
    onWrite(batch: { readonly bytes: number; readonly syncSeconds: number | undefined }) {
      if (batch.syncSeconds !== undefined) syncs++;
      bytes += batch.bytes;
    },
  };
  const { store } = start(t, { metrics });
  await Promise.all(Array.from({ length: 400 }, (_, i) => synced(store, i + 1)));
  assert.ok(syncs < 100, `${syncs} syncs`);
  assert.ok(bytes > 400 * 100);
  await closed(store);
});

test("an append without a completion is written at once, and durable with a later sync", async (t) => {
  let writes = 0;
  const { memberDir, store } = start(t, { metrics: { onWrite: () => writes++ } });
  await synced(store, 1);
  store.append({ hardState: hardState(1), entries: [] });
  for (let wait = 0; writes < 2 && wait < 2000; wait++) await delay(5);
  assert.equal(writes, 2);
  assert.equal(openLog({ disk: nodeDisk, memberDir }).contents.hardState.commit, 1);
  store.append({ hardState: undefined, entries: [entry(2), entry(3)] });
  await synced(store, 4);
  assert.equal(openLog({ disk: nodeDisk, memberDir }).contents.entries.length, 4);
  await closed(store);
});

test("appends without a completion never wait in a full ring", async (t) => {
  const { memberDir, store } = start(t, { ringBytes: 4096 });
  for (let index = 1; index <= 200; index++) {
    store.append({ hardState: undefined, entries: [entry(index, 100)] });
  }
  while (store.isFull) await delay(5);
  await synced(store, 201);
  assert.equal(openLog({ disk: nodeDisk, memberDir }).contents.entries.length, 201);
  await closed(store);
});

test("closing finishes what was submitted", async (t) => {
  const { memberDir, store } = start(t);
  let count = 0;
  for (let index = 1; index <= 50; index++) {
    store.append({ hardState: undefined, entries: [entry(index)] }, () => count++);
  }
  await closed(store);
  assert.equal(count, 50);
  assert.equal(openLog({ disk: nodeDisk, memberDir }).contents.entries.length, 50);
});

test("a full ring and commands larger than it keep their order", async (t) => {
  const { memberDir, store } = start(t, { ringBytes: 4096 });
  const sizes = [10, 5000, 900, 3, 1023, 1025, 200_000, 50, 1000, 1000, 1000, 1000, 4000, 0];
  let wasFull = false;
  const all: Promise<void>[] = [];
  for (let index = 1; index <= 140; index++) {
    all.push(synced(store, index, sizes[index % sizes.length]));
    wasFull ||= store.isFull;
  }
  await Promise.all(all);
  assert.ok(wasFull);
  assert.equal(store.isFull, false);
  await closed(store);
  const { contents } = openLog({ disk: nodeDisk, memberDir });
  assert.deepEqual(
    contents.entries,
    Array.from({ length: 140 }, (_, i) => entry(i + 1, sizes[(i + 1) % sizes.length])),
  );
});

test("a snapshot is saved in its place among the appends, and segments are released", async (t) => {
  const { memberDir, store } = start(t);
  for (let index = 1; index <= 30; index++) await synced(store, index, 100_000);
  store.append({ hardState: hardState(30), entries: [] });
  await new Promise<void>((resolve) => store.saveSnapshot(snapshotAt(30), 30, resolve));
  await synced(store, 31);
  await closed(store);
  const { contents, position } = openLog({ disk: nodeDisk, memberDir });
  assert.deepEqual(contents.snapshot, snapshotAt(30));
  assert.deepEqual(contents.entries, [entry(31, 100)]);
  assert.ok(position.segments.length === 1 && position.offset > 0);
});

for (const [code, reason] of [
  ["EIO", "IO_ERROR"],
  ["ENOSPC", "DISK_FULL"],
] as const) {
  test(`after ${code} the member is told once and no completion runs`, async (t) => {
    const worker = new URL("./testing/faulty-worker.ts", import.meta.url);
    const { memberDir, store, fatal } = start(t, { worker });
    await synced(store, 1);
    writeFileSync(join(memberDir, code), "");
    let answers = 0;
    for (let index = 2; index <= 20; index++) {
      store.append({ hardState: undefined, entries: [entry(index)] }, () => answers++);
    }
    const error = await fatal;
    assert.equal(error.reason, reason);
    assert.match(String(error.details.file), /0000000000000000-0000000000000000\.wal$/);
    store.append({ hardState: undefined, entries: [entry(21)] }, () => answers++);
    assert.equal(answers, 0);
  });
}

test("a queue beyond its bound ends the member instead of growing", async (t) => {
  const { store, fatal } = start(t, { ringBytes: 1024, queueBytesMax: 1 << 20 });
  for (let index = 1; index <= 3; index++) {
    store.append({ hardState: undefined, entries: [entry(index, 900_000)] }, () => {});
  }
  const error = await fatal;
  assert.equal(error.reason, "IO_ERROR");
  assert.match(error.message, /the disk takes none/);
});
