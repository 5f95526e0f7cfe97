// `etcdlike inspect` on directories that are damaged, in use, or none.
import assert from "node:assert/strict";
import { open, readdir, readFile, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Inspection } from "../../../node/migrate/inspect.ts";
import { etcdctl, tool } from "../snapshot/support.ts";
import { scratchFolder } from "../support/scratch.ts";
import { offline, startOn, sums, without } from "./support.ts";

async function inspect(
  dataDir: string,
): Promise<{ readonly code: number | null; readonly seen: Inspection }> {
  const { code, stdout, stderr } = await offline("inspect", dataDir);
  assert.equal(stderr, "");
  return { code, seen: JSON.parse(stdout) as Inspection };
}

/** A stopped member's directory with a released log and a snapshot. */
async function filled(t: TestContext): Promise<string> {
  const dataDir = join(await scratchFolder(t), "data");
  const flags = ["--snapshot-count", "20", "--snapshot-catchup-entries", "5"];
  const member = await startOn(t, { kind: "etcdlike", dataDir, flags });
  for (let i = 0; i < 40; i++) await etcdctl(member, "put", `key${i}`, "value of a key");
  await etcdctl(member, "compact", "10");
  await member.stop();
  return dataDir;
}

async function flipByte(file: string, text: string): Promise<number> {
  const at = (await readFile(file)).indexOf(text);
  assert.ok(at > 0, `${file} holds ${text}`);
  const handle = await open(file, "r+");
  await handle.write("#", at);
  await handle.close();
  return at;
}

test("a sound directory is told from both sides, and a running one, and nothing is changed", async (t) => {
  const dataDir = await filled(t);
  const before = await sums(dataDir);
  const { code, seen } = await inspect(dataDir);
  assert.equal(code, 0);
  assert.deepEqual(seen.problems, []);
  assert.equal(seen.kind, "etcdlike");
  const dump = await tool("etcd-dump-logs", dataDir);
  const { log, store, snapshot } = seen;
  assert.ok(log !== null && store !== null && snapshot !== null);
  assert.ok(
    dump.includes(`nodeID=${log.memberId} clusterID=${log.clusterId} term=${log.term}`),
    dump.slice(0, 300),
  );
  assert.ok(dump.includes(`commitIndex=${log.commit} vote=${log.vote}`));
  assert.ok(dump.includes(`index=${snapshot.index}`));
  assert.equal(store.revision, 41);
  assert.equal(store.compactRevision, 10);
  assert.equal(store.appliedIndex, log.commit);
  assert.deepEqual(store.confState, { voters: [log.memberId], learners: [] });
  assert.deepEqual(
    store.members.map(({ id, name }) => ({ id, name })),
    [{ id: log.memberId, name: "default" }],
  );
  // The table of readers, which LMDB keeps even for those who only read.
  const lock = "member/store-1/lock.mdb";
  assert.deepEqual(without([lock], await sums(dataDir)), without([lock], before));

  const member = await startOn(t, { kind: "etcdlike", dataDir });
  await etcdctl(member, "put", "while", "it runs");
  assert.equal((await inspect(dataDir)).code, 0);
  await etcdctl(member, "put", "and", "it goes on");
});

test("a damaged log is named with file and offset, and what lies before it and the store are told", async (t) => {
  const dataDir = await filled(t);
  const whole = await inspect(dataDir);
  const [name = ""] = (await readdir(join(dataDir, "member/wal"))).filter((one) => one.endsWith(".wal"));
  const file = join(dataDir, "member/wal", name);
  const at = await flipByte(file, "key30");
  const { code, seen } = await inspect(dataDir);
  assert.equal(code, 1);
  const [problem] = seen.problems;
  assert.equal(problem?.part, "log");
  assert.equal(problem?.file, file);
  assert.ok((problem?.offset ?? at + 1) <= at);
  assert.equal(seen.log?.memberId, whole.seen.log?.memberId);
  assert.ok((seen.log?.lastIndex ?? 0) > 10);
  assert.ok((seen.log?.lastIndex ?? 0) < (whole.seen.log?.lastIndex ?? 0));
  assert.deepEqual(seen.store, whole.seen.store);
});

test("a store that is cut short or holds a flipped byte is named, and the log is told", async (t) => {
  const dataDir = await filled(t);
  const whole = await inspect(dataDir);
  const file = join(dataDir, "member/store-1/data.mdb");
  const sound = await readFile(file);
  await flipByte(file, "scheduledCompactRev");
  const flipped = await inspect(dataDir);
  assert.equal(flipped.code, 1);
  assert.deepEqual(
    flipped.seen.problems.map(({ part }) => part),
    ["store"],
  );
  assert.deepEqual(flipped.seen.log, whole.seen.log);
  assert.equal(flipped.seen.store, null);

  await truncate(file, Math.floor(sound.length / 2 / 8192) * 8192);
  const cut = await inspect(dataDir);
  assert.equal(cut.code, 1);
  assert.equal(cut.seen.problems[0]?.part, "store");
  assert.equal(cut.seen.problems[0]?.file, file);
  await rm(file);
  const gone = await inspect(dataDir);
  assert.match(gone.seen.problems[0]?.message ?? "", /the file is missing/);
});

test("what is no data directory is an error, and arguments are checked", async (t) => {
  const folder = await scratchFolder(t);
  const none = await offline("inspect", folder);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /^Error: \S+ is no data directory: no \S+\/member\n$/);
  const bare = await offline("inspect");
  assert.match(bare.stderr, /inspect takes one data directory\nUsage:/);
  assert.match((await offline("inspect", "--help")).stdout, /^Usage:\n {2}etcdlike inspect DIR/);
});

test("an export is refused while the member runs, into a directory with content, and from one of etcd", async (t) => {
  const folder = await scratchFolder(t);
  const dataDir = join(folder, "data");
  const out = join(folder, "out");
  const exportTo = (from: string, to: string) => offline("export-datadir", "--data-dir", from, "--out", to);
  const member = await startOn(t, { kind: "etcdlike", dataDir });
  assert.match((await exportTo(dataDir, out)).stderr, /Error: \S+\/member\/lock is held by another process/);
  await member.stop();
  assert.match((await exportTo(dataDir, folder)).stderr, /Error: "\S+" is not an empty directory/);
  const etcd = await startOn(t, { kind: "etcd", dataDir: join(folder, "etcd") });
  await etcd.stop();
  assert.match((await exportTo(join(folder, "etcd"), out)).stderr, /holds no store of etcdlike/);
  assert.match((await offline("export-datadir", "--out", out)).stderr, /Error: --data-dir is missing\nUsage/);
  assert.ok(!(await readdir(folder)).includes("out"));
});
