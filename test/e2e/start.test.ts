// Starting with many keys costs what starting with few does, in time and in memory: the index is on disk, and only
// the log that was not flushed yet is read again.
//
// How it is measured. What a start reads, by the kernel's count: bytes of read calls, and pages of the store that are
// mapped when the member is ready. Before each start the process was ended by SIGTERM, or by SIGKILL right behind an
// acknowledged put. The times to the ready line are printed, the two members in turn. Memory: heap and array buffers
// that are alive after a full collection (support/live-memory.ts), of the main thread, which holds all there is; and
// again after every key was read once. Both members take snapshots of the log often, in small segments, and end with
// the same small puts: the part of the log that a start reads, and the entries that stay in memory, are then the
// same, which by default depends on where in a segment of 64 MB the log happens to be.
import assert from "node:assert/strict";
import { test } from "node:test";
import { TestClient } from "../conformance/client.ts";
import { type Member, start } from "../tools/member.ts";
import { fill, RawReader } from "./support/bulk.ts";
import { put } from "./support/kv.ts";
import { inspectorEnvironment, type LiveMemory, liveMemory } from "./support/live-memory.ts";
import { bytesReadBy, inMebibytes, mebibyte, memoryOf } from "./support/memory.ts";
import { isFull } from "./support/mode.ts";
import { freePort, scratchFolder } from "./support/scratch.ts";

const manyKeys = isFull ? 1_000_000 : 100_000;
const fewKeys = 1_000;
const valueBytes = 100;
const startsEach = isFull ? 9 : 3;
const memoryDifferenceMax = 64 * mebibyte;
/** The log that is read again ends anywhere in a segment; the store of many keys has 20 MB. */
const readDifferenceMax = 4 * mebibyte;
const flags = [
  ...["--snapshot-count", "1000", "--snapshot-catchup-entries", "100", "--wal-segment-bytes", "4000000"],
];
const lastPuts = 1500;

interface Store {
  readonly name: string;
  readonly dataDir: string;
  readonly keys: number;
}

test(`a start with ${manyKeys} keys takes what one with ${fewKeys} takes`, async (t) => {
  const scratch = await scratchFolder(t);
  const few: Store = { name: "few", dataDir: `${scratch}/few`, keys: fewKeys };
  const many: Store = { name: "many", dataDir: `${scratch}/many`, keys: manyKeys };
  for (const store of [few, many]) {
    const member = await startOn(store);
    const client = new TestClient(member.endpoint);
    const began = performance.now();
    await fill(client, store.keys, valueBytes);
    t.diagnostic(`${store.keys} keys written in ${((performance.now() - began) / 1000).toFixed(1)} s`);
    let left = lastPuts;
    await Promise.all(
      Array.from({ length: 16 }, async (_, writer) => {
        while (left-- > 0) await put(client, `last/${writer}`, "x");
      }),
    );
    client.close();
    await member.stop();
  }

  for (const how of ["SIGTERM", "SIGKILL"] as const) {
    await t.test(`what a start reads after ${how}`, async (t) => {
      const readyMs = { few: [] as number[], many: [] as number[] };
      const bytesRead = { few: 0, many: 0 };
      for (let i = 0; i <= startsEach; i++) {
        for (const [name, store] of Object.entries({ few, many }) as ["few" | "many", Store][]) {
          const member = await startOn(store);
          // The first start of each follows another kind of end.
          if (i > 0) readyMs[name].push(member.readyMs);
          const { called, mapped } = await bytesReadBy(member.pid, store.dataDir);
          assert.ok(called > 0 && mapped > 0, `${called} bytes read, ${mapped} mapped`);
          bytesRead[name] = Math.max(bytesRead[name], called + mapped);
          const client = new TestClient(member.endpoint);
          await put(client, "started", `${i}`);
          client.close();
          if (how === "SIGTERM") await member.stop();
          else await member.kill();
        }
      }
      const [fewMs, manyMs] = [median(readyMs.few), median(readyMs.many)];
      t.diagnostic(
        `${fewKeys} keys ${fewMs.toFixed(0)} ms, ${manyKeys} keys ${manyMs.toFixed(0)} ms: ratio ${(manyMs / fewMs).toFixed(2)}`,
      );
      const read = `${inMebibytes(bytesRead.few)} and ${inMebibytes(bytesRead.many)} read`;
      t.diagnostic(read);
      assert.ok(bytesRead.many <= bytesRead.few + readDifferenceMax, read);
    });
  }

  await t.test("live memory after the start, and after reading every key once", async (t) => {
    const [ofFew, ofMany] = [await memoryOfStore(few), await memoryOfStore(many)];
    for (const moment of ["afterStart", "afterReading"] as const) {
      const [a, b] = [ofFew[moment], ofMany[moment]];
      t.diagnostic(`${moment}: ${fewKeys} keys ${textOf(a)}; ${manyKeys} keys ${textOf(b)}`);
      const difference = b.heapBytes + b.arrayBufferBytes - (a.heapBytes + a.arrayBufferBytes);
      assert.ok(difference <= memoryDifferenceMax, `${moment}: ${inMebibytes(difference)} more`);
    }
  });
});

function startOn({ dataDir }: Store, env: Readonly<Record<string, string>> = {}): Promise<Member> {
  return start({ kind: "etcdlike", dataDir, flags, env, readyTimeoutMs: 60_000 });
}

interface MemoryReading extends LiveMemory {
  readonly anonymous: number;
}

async function memoryOfStore(store: Store) {
  const port = await freePort();
  const member = await startOn(store, inspectorEnvironment(port));
  try {
    const reading = async (): Promise<MemoryReading> => ({
      ...(await liveMemory(port)),
      anonymous: (await memoryOf(member.pid)).anonymous,
    });
    const afterStart = await reading();
    const reader = new RawReader(member.endpoint);
    const bytes = await reader.rangeStream();
    assert.ok(bytes > store.keys * valueBytes, `${bytes} bytes are all keys`);
    reader.close();
    return { afterStart, afterReading: await reading() };
  } finally {
    await member.stop();
  }
}

function textOf({ heapBytes, arrayBufferBytes, anonymous }: MemoryReading): string {
  return `heap ${inMebibytes(heapBytes)} + array buffers ${inMebibytes(arrayBufferBytes)} (process ${inMebibytes(anonymous)})`;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
