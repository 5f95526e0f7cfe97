// What a data directory goes through: a second process, snapshots that release the log, and damage.
import assert from "node:assert/strict";
import { chmod, open, readdir, readFile, stat, truncate } from "node:fs/promises";
import { type TestContext, test } from "node:test";
import { exitCodes } from "../../node/lib/fatal.ts";
import { savedSnapshot } from "../../node/replica/snapshotter.ts";
import { TestClient } from "../conformance/client.ts";
import { type Member, start } from "../tools/member.ts";
import { toolPath } from "../tools/toolchain.ts";
import { type Finished, logLines, Running, runCommand } from "./support/command.ts";
import { eventually, hashKv, keyValue, put, succeed } from "./support/kv.ts";
import { freePort, scratchFolder } from "./support/scratch.ts";

async function startOn(t: TestContext, dataDir: string, flags: readonly string[] = []): Promise<Member> {
  const member = await start({ kind: "etcdlike", dataDir, flags });
  t.after(() => member.stop());
  return member;
}

async function runOn(dataDir: string, terminationLog: string): Promise<Finished> {
  const url = `http://127.0.0.1:${await freePort()}`;
  return runCommand([
    ...["--data-dir", dataDir, "--listen-client-urls", url, "--advertise-client-urls", url],
    ...["--termination-log", terminationLog],
  ]);
}

/** The last words: one JSON line, the same on stderr and in the termination log. */
async function lastWords({ stderr }: Finished, terminationLog: string): Promise<Record<string, unknown>> {
  const written = await readFile(terminationLog, "utf8");
  assert.equal(written.trimEnd().split("\n").length, 1);
  const last = stderr.trimEnd().split("\n").at(-1);
  assert.equal(written, `${last}\n`);
  return JSON.parse(written);
}

async function walFiles(dataDir: string): Promise<readonly string[]> {
  const names = await readdir(`${dataDir}/member/wal`);
  return names.filter((name) => /^[0-9a-f]{16}-[0-9a-f]{16}\.wal$/.test(name)).sort();
}

async function snapshotsSaved({ logFile }: Member): Promise<number> {
  const lines = logLines(await readFile(logFile, "utf8"));
  return lines.filter(({ msg }) => msg === savedSnapshot).length;
}

test("a second process on the directory is refused with LOCKED, and the first goes on", async (t) => {
  const scratch = await scratchFolder(t);
  const member = await startOn(t, `${scratch}/data`);
  const second = await runOn(`${scratch}/data`, `${scratch}/last-words`);
  assert.equal(second.code, exitCodes.LOCKED);
  const words = await lastWords(second, `${scratch}/last-words`);
  assert.equal(words["reason"], "LOCKED");
  assert.equal(words["exit-code"], exitCodes.LOCKED);
  assert.equal(words["file"], `${scratch}/data/member/lock`);
  const client = new TestClient(member.endpoint);
  await put(client, "a", "1");
  client.close();

  await member.kill();
  const third = await startOn(t, `${scratch}/data`);
  const reader = new TestClient(third.endpoint);
  assert.equal(await keyValue(reader, "a"), "1", "a killed process leaves no lock behind");
  reader.close();
});

test("a directory that others can read is warned about", async (t) => {
  const scratch = await scratchFolder(t);
  const first = await startOn(t, `${scratch}/data`);
  await first.stop();
  await chmod(`${scratch}/data`, 0o755);
  const member = await startOn(t, `${scratch}/data`);
  const lines = logLines(await readFile(member.logFile, "utf8"));
  const warning = lines.find(({ msg }) => msg === "check file permission");
  assert.equal(warning?.["level"], "warn");
  assert.match(String(warning?.["error"]), /the permission is "755"/);
});

test("snapshots are saved, older segments released, and etcd-dump-logs reads what is left", async (t) => {
  const scratch = await scratchFolder(t);
  const dataDir = `${scratch}/data`;
  const flags = [
    ...["--snapshot-count", "50", "--snapshot-catchup-entries", "20", "--wal-segment-bytes", "65536"],
  ];
  const member = await startOn(t, dataDir, flags);
  const client = new TestClient(member.endpoint);
  let revision = 0;
  for (let i = 0; i < 400; i++) {
    revision = await put(client, `key/${i % 40}`, `${i}`.padEnd(1000, "."));
    // Snapshots come with flushes, which follow the clock: however few came meanwhile, one is due by now.
    if (i % 80 === 79)
      await eventually("another snapshot", async () => (await snapshotsSaved(member)) > i / 80);
  }
  await eventually("a released first segment", async () => {
    const [first] = await walFiles(dataDir);
    return first !== undefined && !first.startsWith("0000000000000000-");
  });
  const hash = await hashKv(client, revision);
  const { raftIndex } = await succeed(client, "Status", {});
  client.close();
  assert.ok((await walFiles(dataDir)).length < 10);
  const snaps = (await readdir(`${dataDir}/member/snap`)).filter((name) => name.endsWith(".snap"));
  assert.ok(snaps.length > 0, "a .snap file is there");
  for (const name of snaps) assert.match(name, /^[0-9a-f]{16}-[0-9a-f]{16}\.snap$/);

  await member.stop();
  const dump = await new Running([await toolPath("etcd-dump-logs"), dataDir]).finished;
  assert.equal(dump.code, 0, dump.stderr);
  const snapshot = /^Snapshot:\nterm=\d+ index=(\d+) nodes=\[[0-9a-f]+\] confstate=/m.exec(dump.stdout);
  const snapshotIndex = Number(snapshot?.[1]);
  const entryCount = Number(/^Entry types \(.*\) count is : (\d+)/m.exec(dump.stdout)?.[1]);
  assert.ok(snapshotIndex > 300, `the last snapshot is at index ${snapshotIndex} of more than 400`);
  assert.equal(snapshotIndex + entryCount, Number(raftIndex), "the entries after the snapshot are all there");

  const again = await startOn(t, dataDir, flags);
  const reader = new TestClient(again.endpoint);
  assert.equal((await keyValue(reader, "key/39"))?.replaceAll(".", ""), "399");
  assert.equal(await hashKv(reader, revision), hash);
  assert.equal(await put(reader, "after", "1"), revision + 1);
  reader.close();
});

test("a truncated store is refused with STORE_DAMAGED, file and offset", async (t) => {
  const scratch = await scratchFolder(t);
  const dataDir = `${scratch}/data`;
  await fill(t, dataDir);
  const file = `${dataDir}/member/store-1/data.mdb`;
  const { size } = await stat(file);
  // The last page alone may be a free one, and then nothing is lost with it.
  const left = Math.floor(size / 2 / 8192) * 8192;
  await truncate(file, left);
  const refused = await runOn(dataDir, `${scratch}/last-words`);
  assert.equal(refused.code, exitCodes.STORE_DAMAGED);
  const words = await lastWords(refused, `${scratch}/last-words`);
  assert.equal(words["reason"], "STORE_DAMAGED");
  assert.equal(words["file"], file);
  assert.equal(words["offset"], left);
  assert.equal((await stat(file)).size, left, "the file is left as it was found");
});

test("a flipped byte in the middle of the log is refused with WAL_DAMAGED, file and offset", async (t) => {
  const scratch = await scratchFolder(t);
  const dataDir = `${scratch}/data`;
  await fill(t, dataDir);
  const [name = ""] = await walFiles(dataDir);
  const file = `${dataDir}/member/wal/${name}`;
  const before = await readFile(file);
  const at = before.indexOf("value of key/25");
  assert.ok(at > 0, "the log holds the value");
  const handle = await open(file, "r+");
  await handle.write(Uint8Array.of((before[at] ?? 0) ^ 1), 0, 1, at);
  await handle.close();

  const refused = await runOn(dataDir, `${scratch}/last-words`);
  assert.equal(refused.code, exitCodes.WAL_DAMAGED);
  const words = await lastWords(refused, `${scratch}/last-words`);
  assert.equal(words["reason"], "WAL_DAMAGED");
  assert.equal(words["file"], file);
  const offset = Number(words["offset"]);
  assert.ok(offset <= at && at - offset < 4096, `offset ${offset} is that of the record around ${at}`);
  const after = await readFile(file);
  before[at] = (before[at] ?? 0) ^ 1;
  assert.ok(after.equals(before), "nothing was truncated or repaired");
});

/** A stopped member's directory with fifty keys. */
async function fill(t: TestContext, dataDir: string): Promise<void> {
  const member = await startOn(t, dataDir);
  const client = new TestClient(member.endpoint);
  for (let i = 0; i < 50; i++) await put(client, `key/${i}`, `value of key/${i}`.padEnd(500, "."));
  client.close();
  await member.stop();
}
