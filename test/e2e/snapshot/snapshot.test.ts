// Snapshot files move both ways: etcd's tools and a real etcd take ours, and we take etcd's.

import assert from "node:assert/strict";
import { copyFile, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import {
  allKeys,
  etcdctl,
  etcdlikeSnapshot,
  hashKv,
  leaseText,
  makeHistory,
  scratch,
  startMember,
  tool,
} from "./support.ts";

const formats = ["simple", "table", "json", "fields"];

test("etcd's tools read our snapshot, and a real etcd restored from it equals us", async (t) => {
  const folder = await scratch(t);
  const ours = await startMember(t, { kind: "etcdlike", dataDir: join(folder, "ours") });
  const { lease } = await makeHistory(ours);
  const expected = [await hashKv(ours), await allKeys(ours), await leaseText(ours, lease)];
  const file = join(folder, "snapshot.db");
  await etcdctl(ours, "snapshot", "save", file);
  // The member goes on; what it does now is not in the file.
  await etcdctl(ours, "put", "later", "x");
  assert.deepEqual(await readdir(join(folder, "ours", "member", "snap")), []);

  for (const format of formats) {
    const theirs = await tool("etcdutl", "snapshot", "status", file, "-w", format);
    assert.equal((await etcdlikeSnapshot("status", file, "-w", format)).stdout, theirs);
  }
  // The tool opens the file for writing.
  const copy = join(folder, "copy.db");
  await copyFile(file, copy);
  const buckets = await tool("etcd-dump-db", "list-bucket", copy);
  assert.equal(
    buckets.trim(),
    "alarm\nauth\nauthRoles\nauthUsers\ncluster\nkey\nlease\nmembers\nmembers_removed\nmeta",
  );
  const meta = await tool("etcd-dump-db", "iterate-bucket", copy, "meta", "--decode");
  assert.match(meta, /key="storageVersion", value="3\.6\.0"/);
  assert.match(meta, /key="scheduledCompactRev", value=\{20 0\}/);
  assert.match(meta, /key="consistent_index", value=\d+/);
  assert.match(meta, /key="confState", value="\{\\"voters\\":\[\d+\],\\"auto_leave\\":false\}"/);

  const restored = join(folder, "restored");
  await tool("etcdutl", "snapshot", "restore", file, "--data-dir", restored);
  const etcd = await startMember(t, { kind: "etcd", dataDir: restored, env: { ETCD_VERIFY: "all" } });
  assert.deepEqual([await hashKv(etcd), await allKeys(etcd), await leaseText(etcd, lease)], expected);
  const revision = Number(expected[0]?.split(", ")[1]);
  assert.equal(await hashKv(etcd, revision), await hashKv(ours, revision));
});

test("we restore a snapshot of a real etcd and serve it as etcd does", async (t) => {
  const folder = await scratch(t);
  const etcd = await startMember(t, { kind: "etcd" });
  const { lease } = await makeHistory(etcd);
  const expected = [await hashKv(etcd), await allKeys(etcd), await leaseText(etcd, lease)];
  const file = join(folder, "snapshot.db");
  await etcdctl(etcd, "snapshot", "save", file);
  for (const format of formats) {
    const theirs = await tool("etcdutl", "snapshot", "status", file, "-w", format);
    assert.equal((await etcdlikeSnapshot("status", file, "-w", format)).stdout, theirs);
  }

  const dataDir = join(folder, "restored");
  const flags = ["--name", "default", "--initial-cluster", `default=http://127.0.0.1:2380`];
  const urls = ["--initial-advertise-peer-urls", "http://127.0.0.1:2380"];
  const cluster = [...flags, ...urls, "--initial-cluster-token", "another"];
  const restored = await etcdlikeSnapshot("restore", file, "--data-dir", dataDir, ...cluster);
  assert.equal(restored.code, 0, restored.stderr);
  const ours = await startMember(t, { kind: "etcdlike", dataDir });
  assert.deepEqual([await hashKv(ours), await allKeys(ours), await leaseText(ours, lease)], expected);

  // The members are the new cluster's, with the ids that etcdutl derives.
  const theirDir = join(folder, "theirs");
  await tool("etcdutl", "snapshot", "restore", file, "--data-dir", theirDir, ...cluster);
  const theirs = await tool("etcd-dump-logs", theirDir);
  const oursDump = await tool("etcd-dump-logs", dataDir);
  const head = (dump: string): unknown => /nodeID=\S+ clusterID=\S+/.exec(dump)?.[0];
  assert.equal(head(oursDump), head(theirs));
  const members = await etcdctl(ours, "member", "list");
  assert.match(members, /^[0-9a-f]+, started, default, http:\/\/127\.0\.0\.1:2380, \S+, false\n$/);

  // It writes, restarts, revokes what came with the snapshot.
  await etcdctl(ours, "put", "key1", "after the restore");
  await etcdctl(ours, "lease", "revoke", lease);
  const hash = await hashKv(ours);
  await ours.stop();
  const again = await startMember(t, { kind: "etcdlike", dataDir });
  assert.equal(await hashKv(again), hash);
  assert.equal(await etcdctl(again, "get", "--print-value-only", "key1"), "after the restore\n");
  assert.equal(await etcdctl(again, "get", "leased1"), "");
});

test("a restore that moves the revision on equals etcdutl's", async (t) => {
  const folder = await scratch(t);
  const etcd = await startMember(t, { kind: "etcd" });
  await makeHistory(etcd);
  const file = join(folder, "snapshot.db");
  await etcdctl(etcd, "snapshot", "save", file);
  const bump = ["--bump-revision", "1000", "--mark-compacted"];
  const seen: unknown[] = [];
  for (const kind of ["etcd", "etcdlike"] as const) {
    const dataDir = join(folder, kind);
    const args = ["restore", file, "--data-dir", dataDir, ...bump];
    if (kind === "etcd") await tool("etcdutl", "snapshot", ...args);
    else assert.equal((await etcdlikeSnapshot(...args)).code, 0);
    const member = await startMember(t, { kind, dataDir });
    await etcdctl(member, "put", "key1", "after");
    const old = await etcdctl(member, "get", "key1", "--rev", "30").catch((error: Error) => error.message);
    assert.match(old, /required revision has been compacted/);
    seen.push([await hashKv(member), await allKeys(member)]);
  }
  assert.deepEqual(seen[1], seen[0]);
});

test("a snapshot taken while many write is of one moment", async (t) => {
  const folder = await scratch(t);
  const ours = await startMember(t, { kind: "etcdlike" });
  for (let i = 0; i < 10; i++) await etcdctl(ours, "put", `large${i}`, "x".repeat(100_000));
  const benchmark = tool(
    "benchmark",
    ...["--endpoints", ours.endpoint, "--conns", "2", "--clients", "20"],
    ...["put", "--total", "6000", "--key-space-size", "500", "--sequential-keys", "--val-size", "2000"],
  );
  const files: string[] = [];
  for (let i = 0; i < 3; i++) {
    const file = join(folder, `snapshot${i}.db`);
    await etcdctl(ours, "snapshot", "save", file);
    files.push(file);
  }
  await benchmark;
  const last = Number((await hashKv(ours)).split(", ")[1]);
  for (const [i, file] of files.entries()) {
    const dataDir = join(folder, `restored${i}`);
    await tool("etcdutl", "snapshot", "restore", file, "--data-dir", dataDir);
    const etcd = await startMember(t, { kind: "etcd", dataDir });
    const hash = await hashKv(etcd);
    const revision = Number(hash.split(", ")[1]);
    assert.ok(revision > 2 && revision < last, `revision ${revision}`);
    assert.equal(hash, await hashKv(ours, revision));
    await etcd.stop();
  }
});

test("one flipped byte is refused by both, and nothing is left behind", async (t) => {
  const folder = await scratch(t);
  const ours = await startMember(t, { kind: "etcdlike" });
  await etcdctl(ours, "put", "key", "value");
  const file = join(folder, "snapshot.db");
  await etcdctl(ours, "snapshot", "save", file);
  const bytes = await readFile(file);
  const at = bytes.indexOf("value");
  assert.ok(at > 0);
  bytes[at] = (bytes[at] as number) ^ 1;
  await writeFile(file, bytes);
  const dataDir = join(folder, "restored");
  const { code, stderr } = await etcdlikeSnapshot("restore", file, "--data-dir", dataDir);
  assert.equal(code, 1);
  assert.match(stderr, /Error: expected sha256 \[[\d ]+\], got \[[\d ]+\]\n$/);
  await assert.rejects(readdir(dataDir), { code: "ENOENT" });
  await assert.rejects(
    tool("etcdutl", "snapshot", "restore", file, "--data-dir", dataDir),
    /expected sha256/,
  );
});

test("a file without its hash is taken when told so, and one with auth enabled never", async (t) => {
  const folder = await scratch(t);
  const etcd = await startMember(t, { kind: "etcd" });
  await etcdctl(etcd, "put", "key", "value");
  const file = join(folder, "snapshot.db");
  await etcdctl(etcd, "snapshot", "save", file);
  const bare = join(folder, "bare.db");
  await writeFile(bare, (await readFile(file)).subarray(0, -32));
  const missing = await etcdlikeSnapshot("restore", bare, "--data-dir", join(folder, "a"));
  assert.match(missing.stderr, /Error: snapshot missing hash but --skip-hash-check=false\n$/);
  const taken = await etcdlikeSnapshot("restore", bare, "--skip-hash-check", "--data-dir", join(folder, "b"));
  assert.equal(taken.code, 0, taken.stderr);

  await etcdctl(etcd, "user", "add", "root:secret");
  await etcdctl(etcd, "user", "grant-role", "root", "root");
  await etcdctl(etcd, "auth", "enable");
  const guarded = join(folder, "guarded.db");
  await tool("etcdctl", "--endpoints", etcd.endpoint, "--user", "root:secret", "snapshot", "save", guarded);
  const refused = await etcdlikeSnapshot("restore", guarded, "--data-dir", join(folder, "c"));
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /Error: the snapshot has auth enabled/);
});
