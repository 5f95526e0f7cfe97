// Defragmentation of a running member and of a stopped one: what comes back, what goes on, what a crash leaves.

import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { TestClient } from "../conformance/client.ts";
import type { Message } from "../conformance/messages.ts";
import { type Member, type MemberOptions, start } from "../tools/member.ts";
import { bulkKey, fill } from "./support/bulk.ts";
import { runCommand } from "./support/command.ts";
import { eventually, hashKv, keyValue, put, revisionOf, succeed } from "./support/kv.ts";
import { latencyText, putsDuring } from "./support/latency.ts";
import { isFull } from "./support/mode.ts";
import { scratchFolder } from "./support/scratch.ts";

const noSpaceCode = 8;
/** Kills of one test, spread over the length of a defragmentation. */
const rounds = isFull ? 40 : 6;

test("after 90 % are deleted, Defragment under puts gives the room back and changes no hash", async (t) => {
  const member = await startMember(t, {});
  const client = clientOf(t, member);
  const keys = isFull ? 1_000_000 : 20_000;
  await fill(client, keys, 1000);
  const revision = await withoutNineTenths(client, keys);
  const hash = await hashKv(client, revision);
  const before = await sizesOf(client);
  const latencies = await putsDuring(client, succeed(client, "Defragment", {}));
  const after = await sizesOf(client);
  t.diagnostic(`${latencyText(latencies)}; ${text(before)} -> ${text(after)}`);
  assert.ok(latencies.count > 0);
  assert.ok(after.dbSize <= 1.3 * after.dbSizeInUse, text(after));
  assert.ok(after.dbSize < before.dbSize / 4, `${text(before)} ${text(after)}`);
  assert.equal(await hashKv(client, revision), hash);
  await put(client, "later", "x");
  await member.kill();
  assert.deepEqual(storesIn(member.dataDir), ["store-2"]);
  const again = clientOf(t, await startMember(t, { dataDir: member.dataDir }));
  assert.equal(await hashKv(again, revision), hash);
  assert.equal(await keyValue(again, "later"), "x");
});

test("X1: transactions of thousands of keys go through during and after a defragmentation", async (t) => {
  const client = clientOf(t, await startMember(t, { flags: ["--max-txn-ops=5000"] }));
  await fill(client, 5000, 500);
  for (let round = 0; round < 3; round++) {
    let isDone = false;
    const running = succeed(client, "Defragment", {}).finally(() => {
      isDone = true;
    });
    do await putMany(client, 5000, `during ${round}`);
    while (!isDone);
    await running;
    await putMany(client, 5000, `after ${round}`);
    assert.equal(await keyValue(client, bulkKey(4999)), `after ${round}`);
  }
});

test("O1: out of space, a member deletes, compacts, defragments, disarms and takes puts again", async (t) => {
  const client = clientOf(t, await startMember(t, { flags: [`--quota-backend-bytes=${4 * 1024 * 1024}`] }));
  let i = 0;
  while ((await client.call("Put", { key: bulkKey(i), value: "x".repeat(50_000) })).ok) i++;
  const refused = await client.call("Put", { key: "refused", value: "x" });
  assert.ok(!refused.ok && refused.code === noSpaceCode, JSON.stringify(refused));
  const { header } = await succeed(client, "DeleteRange", { key: "bulk/", range_end: "bulk0" });
  await succeed(client, "Compact", { revision: revisionOf({ header } as Message), physical: true });
  await succeed(client, "Defragment", {});
  const { alarms } = await succeed(client, "Alarm", { action: 0, memberID: 0, alarm: 0 });
  for (const { memberID, alarm } of alarms as readonly Message[]) {
    await succeed(client, "Alarm", { action: 2, memberID: memberID as bigint, alarm: alarmNumber(alarm) });
  }
  await put(client, "taken", "x");
  const { dbSize } = await sizesOf(client);
  assert.ok(dbSize < 1024 * 1024, `${dbSize}`);
});

test("M2: kill -9 at any moment of a defragmentation under load loses nothing and applies nothing twice", async (t) => {
  const dataDir = await scratchFolder(t);
  let member = await startMember(t, { dataDir });
  let client = clientOf(t, member);
  await fill(client, 10_000, 500);
  const startedMs = performance.now();
  await succeed(client, "Defragment", {});
  const tookMs = performance.now() - startedMs;
  let switched = 0;
  for (let round = 0; round <= rounds; round++) {
    const generation = storesIn(dataDir)[0];
    let acknowledged = 0;
    const counting = (async () => {
      while ((await client.call("Put", { key: "counter", value: `${acknowledged + 1}` })).ok) acknowledged++;
    })();
    const defragmenting = client.call("Defragment", {});
    if (round < rounds) await delay((tookMs * 1.2 * round) / rounds);
    else await defragmenting;
    await member.kill();
    await Promise.all([counting, defragmenting]);
    member = await startMember(t, { dataDir });
    client = clientOf(t, member);
    const stores = storesIn(dataDir);
    assert.equal(stores.length, 1);
    if (stores[0] !== generation) switched++;
    const range = await succeed(client, "Range", { key: "counter" });
    const kv = (range["kvs"] as readonly Message[] | undefined)?.[0];
    const value = kv === undefined ? 0 : Number(new TextDecoder().decode(kv["value"] as Uint8Array));
    assert.ok(value === acknowledged || value === acknowledged + 1, `${value} of ${acknowledged}`);
    // Every put was applied once: the value and the key's version count the same.
    if (kv !== undefined) assert.equal(Number(kv["version"]), value);
    if (kv !== undefined) assert.equal(Number(kv["mod_revision"]), revisionOf(range));
    await succeed(client, "DeleteRange", { key: "counter" });
  }
  t.diagnostic(`${switched} of ${rounds + 1} rounds ended on the new store`);
  assert.ok(switched > 0);
});

test("a stopped member is defragmented by the command, and only then", async (t) => {
  const dataDir = await scratchFolder(t);
  const member = await startMember(t, { dataDir });
  const client = clientOf(t, member);
  await fill(client, 5000, 1000);
  const revision = await withoutNineTenths(client, 5000);
  const hash = await hashKv(client, revision);
  const refused = await runCommand(["defrag", "--data-dir", dataDir]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /member\/lock is held by another process/);
  await member.stop();
  const before = statSync(join(dataDir, "member", "store-1", "data.mdb")).size;
  const done = await runCommand(["defrag", "--data-dir", dataDir]);
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stderr, /finished defragmenting directory/);
  assert.deepEqual(storesIn(dataDir), ["store-2"]);
  const after = statSync(join(dataDir, "member", "store-2", "data.mdb")).size;
  assert.ok(after < before / 4, `${before} -> ${after}`);
  const again = clientOf(t, await startMember(t, { dataDir }));
  assert.equal(await hashKv(again, revision), hash);
  const missing = await runCommand(["defrag", "--data-dir", join(dataDir, "nowhere")]);
  assert.match(missing.stderr, /holds no store of etcdlike/);
});

async function startMember(t: TestContext, options: Partial<MemberOptions>): Promise<Member> {
  const member = await start({ kind: "etcdlike", readyTimeoutMs: 120_000, ...options });
  t.after(() => member.kill());
  return member;
}

function clientOf(t: TestContext, { endpoint }: Member): TestClient {
  const client = new TestClient(endpoint);
  t.after(() => client.close());
  return client;
}

/** Deletes and compacts. Returns the revision behind, whose hash depends on nothing that is remembered. */
async function withoutNineTenths(client: TestClient, keys: number): Promise<number> {
  const range = { key: bulkKey(0), range_end: bulkKey(Math.floor(keys * 0.9)) };
  const revision = revisionOf(await succeed(client, "DeleteRange", range));
  await succeed(client, "Compact", { revision, physical: true });
  return await put(client, "behind", "x");
}

async function putMany(client: TestClient, count: number, value: string): Promise<void> {
  const success = Array.from({ length: count }, (_, i) => ({ request_put: { key: bulkKey(i), value } }));
  await succeed(client, "Txn", { success });
}

interface Sizes {
  readonly dbSize: number;
  readonly dbSizeInUse: number;
}

/** Waits until the store has written all of what came before, so that its sizes mean something. */
async function sizesOf(client: TestClient): Promise<Sizes> {
  let last: Sizes = { dbSize: 0, dbSizeInUse: 0 };
  await eventually(
    "the sizes stand still",
    async () => {
      const before = last;
      const status = await succeed(client, "Status", {});
      last = { dbSize: Number(status["dbSize"]), dbSizeInUse: Number(status["dbSizeInUse"]) };
      await delay(300);
      return before.dbSize === last.dbSize && before.dbSizeInUse === last.dbSizeInUse;
    },
    120_000,
  );
  return last;
}

function text(sizes: Sizes): string {
  return `dbSize ${sizes.dbSize}, in use ${sizes.dbSizeInUse}`;
}

function storesIn(dataDir: string): string[] {
  const member = join(dataDir, "member");
  const stores = readdirSync(member).filter((name) => name.startsWith("store-"));
  assert.ok(stores.includes(readFileSync(join(member, "CURRENT"), "utf8").trim()));
  return stores;
}

function alarmNumber(alarm: unknown): number {
  return alarm === "NOSPACE" ? 1 : Number(alarm);
}
