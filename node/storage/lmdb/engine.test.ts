import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { type Bucket, buckets } from "../../lib/backend.ts";
import { textOf, utf8 } from "../../lib/bytes.ts";
import { flushed, put, recordsOf, testEngineContract } from "../engine-contract.ts";
import { LmdbEngine } from "./engine.ts";
import { Environment, lastKeyOf } from "./environment.ts";
import { emptyStorePages } from "./size.ts";
import { closed, newMemberPath, openEngine, walkAndRemove } from "./test-store.ts";

testEngineContract("lmdb", async () => {
  const memberPath = newMemberPath();
  let engine = openEngine(memberPath);
  return {
    engine,
    isDeferred: true,
    reopen: async () => {
      await closed(engine);
      engine = openEngine(memberPath);
      return engine;
    },
    build: async (records) => {
      const generation = engine.beginGeneration();
      const building = new LmdbEngine({ memberPath, generation, onFatal: (error) => assert.fail(error) });
      await flushed(building, records);
      await closed(building);
      return engine.sealGeneration(generation);
    },
    finish: async () => {
      await closed(engine);
      await walkAndRemove(memberPath);
    },
  };
});

test("files of a store are for their owner only", async () => {
  const memberPath = newMemberPath();
  await closed(openEngine(memberPath));
  for (const name of ["CURRENT", "store-1/FORMAT", "store-1/data.mdb", "store-1/lock.mdb"]) {
    assert.equal(statSync(`${memberPath}/${name}`).mode & 0o777, 0o600, name);
  }
  assert.equal(statSync(`${memberPath}/store-1`).mode & 0o777, 0o700);
  await walkAndRemove(memberPath);
});

test("the greatest key of a bucket is found in a store that was closed", async () => {
  const memberPath = newMemberPath();
  const engine = openEngine(memberPath);
  await flushed(engine, [put("key", "a", "1"), put("key", "b", "2"), put("meta", "c", "3")]);
  await closed(engine);
  const environment = new Environment(`${memberPath}/store-1`, { readOnly: true });
  assert.deepEqual(lastKeyOf(environment, "key"), utf8("b"));
  assert.equal(lastKeyOf(environment, "lease"), undefined);
  await new Promise<void>((done) => environment.close(done));
  await walkAndRemove(memberPath);
});

test("the size leaves out what an empty store takes", async () => {
  const memberPath = newMemberPath();
  const engine = openEngine(memberPath);
  const file = `${memberPath}/store-1/data.mdb`;
  assert.equal(statSync(file).size, emptyStorePages * 8192);
  assert.deepEqual(engine.size(), { sizeBytes: 8192, sizeInUseBytes: 8192 });
  await flushed(
    engine,
    buckets.map((bucket) => put(bucket, "k", "v")),
  );
  assert.deepEqual(engine.size(), { sizeBytes: 8192, sizeInUseBytes: 8192 });
  await closed(engine);
  await walkAndRemove(memberPath);
});

test("revision keys are appended in any mixture with older ones and deletes", async () => {
  const memberPath = newMemberPath();
  let engine = openEngine(memberPath);
  const key = (n: number): string => `rev-${String(n).padStart(6, "0")}`;
  const expected = new Map<string, string>();
  let next = 0;
  for (let round = 0; round < 12; round++) {
    const batch = [];
    for (let i = 0; i < 50; i++) {
      expected.set(key(next), `${round}`);
      batch.push(put("key", key(next), `${round}`));
      next++;
    }
    // Compaction deletes old keys, and an old one may be written again; the newest goes in one round too.
    for (const old of [next - 51 - round, next - 55, round === 5 ? next - 51 : -1]) {
      if (old < 0 || !expected.delete(key(old))) continue;
      batch.push({ bucket: "key" as Bucket, key: utf8(key(old)), value: undefined });
    }
    if (round === 7) {
      expected.set(key(1), "again");
      batch.push(put("key", key(1), "again"));
    }
    await flushed(engine, batch);
    if (round === 8) {
      await closed(engine);
      engine = openEngine(memberPath);
    }
  }
  const sorted = [...expected].sort(([a], [b]) => (a < b ? -1 : 1));
  assert.deepEqual(recordsOf(engine, "key", { start: new Uint8Array(0) }), sorted);
  await closed(engine);
  await walkAndRemove(memberPath);
});

test("after kill -9 at any moment the store holds one whole flush, not older than the last one reported", async () => {
  const memberPath = newMemberPath();
  for (let round = 0; round < 3; round++) {
    const child = spawn(process.execPath, [
      new URL("./test-flusher.ts", import.meta.url).pathname,
      memberPath,
    ]);
    const reportsMax = 3 + round * 7;
    let reported = 0;
    let reports = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      reported = Number(line);
      if (++reports === reportsMax) child.kill("SIGKILL");
    }
    assert.ok(reports >= reportsMax, `${reports} reports`);
    const engine = openEngine(memberPath);
    const found = Number(textOf(engine.get("meta", utf8("n")) ?? utf8("0")));
    assert.ok(found >= reported, `found ${found}, reported ${reported}`);
    for (const bucket of ["key", "index"] as const) {
      const records = recordsOf(engine, bucket, { start: new Uint8Array(0) });
      assert.equal(records.length, found * 100);
      assert.ok(records.every(([, value]) => value.startsWith("v")));
    }
    await closed(engine);
  }
  await walkAndRemove(memberPath);
});

test("a flush that fails ends the process with its reason and leaves the flushes before it", async () => {
  const memberPath = newMemberPath();
  await closed(openEngine(memberPath));
  // In blocks of 512 or 1024 bytes, depending on the shell: some flushes fit in either case.
  const script = new URL("./test-flusher.ts", import.meta.url).pathname;
  const command = `ulimit -f 1500; exec "${process.execPath}" "${script}" "${memberPath}"`;
  const { stdout, stderr, status } = spawnSync("sh", ["-c", command], { encoding: "utf8" });
  assert.equal(status, 65, stderr);
  assert.match(stderr, /^IO_ERROR [^\n]*\(.*store-1\/data\.mdb\)\n$/);
  const reported = Number(stdout.trim().split("\n").at(-1));
  assert.ok(reported > 0, stdout);
  const engine = openEngine(memberPath);
  assert.equal(textOf(engine.get("meta", utf8("n")) as Uint8Array), String(reported));
  assert.equal(recordsOf(engine, "key", { start: new Uint8Array(0) }).length, reported * 100);
  await closed(engine);
  await walkAndRemove(memberPath);
});
