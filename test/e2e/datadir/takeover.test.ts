// The image of a member is swapped: ours starts on the data directory of a real etcd, and back by export.

import assert from "node:assert/strict";
import { readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { exitCodes } from "../../../node/lib/fatal.ts";
import { TestClient } from "../../conformance/client.ts";
import type { Member } from "../../tools/member.ts";
import { etcdctl, hashKv, tool } from "../snapshot/support.ts";
import { logLines } from "../support/command.ts";
import { eventually, succeed } from "../support/kv.ts";
import { scratchFolder } from "../support/scratch.ts";
import {
  clusterVersionIs,
  copyOf,
  fill,
  offline,
  runOn,
  startOn,
  stateOf,
  sums,
  without,
} from "./support.ts";

const lockFile = "member/lock";

for (const ending of ["stop", "kill"] as const) {
  for (const [version, name] of [
    ["3.5", "etcd-3.5"],
    ["3.6", "etcd"],
  ] as const) {
    test(`a member goes on where etcd ${version} was ended by ${ending}, as a real etcd 3.6 would (O10, M1)`, async (t) => {
      const folder = await scratchFolder(t);
      const dataDir = join(folder, "data");
      const flags = ["--snapshot-count", "20"];
      const before = await startOn(t, { kind: "etcd", tool: name, dataDir, flags });
      const { ports } = before;
      const lease = await fill(before);
      // etcd 3.5 does not say of which revision its answer is.
      const [hash] = (await hashKv(before)).split(", ");
      await before[ending]();

      const reference = await copyOf(dataDir, join(folder, "reference"));
      const etcd = await startOn(t, { kind: "etcd", dataDir: reference, ports });
      await clusterVersionIs(etcd, "3.6.0");
      const expected = await stateOf(etcd, lease);
      await etcd.stop();

      const db = await readFile(join(dataDir, "member/snap/db"));
      const ours = await startOn(t, { kind: "etcdlike", dataDir, ports });
      await clusterVersionIs(ours, "3.6.0");
      assert.deepEqual(await stateOf(ours, lease), expected);
      assert.equal((await hashKv(ours)).split(", ")[0], hash);
      assert.ok(db.equals(await readFile(join(dataDir, "member/snap/db"))), "the original is as it was");
      await etcdctl(ours, "alarm", "disarm");
      await etcdctl(ours, "put", "after", "the swap");
      const later = await hashKv(ours);
      await ours.stop();

      // The next start finds the original still there, and it is behind.
      const again = await startOn(t, { kind: "etcdlike", dataDir, ports });
      assert.equal(await hashKv(again), later);
      const swapped = await stateOf(again, lease);
      await again.stop();

      const out = join(folder, "out");
      const exported = await offline("export-datadir", "--data-dir", dataDir, "--out", out);
      assert.equal(exported.code, 0, exported.stderr);
      const env = { ETCD_VERIFY: "all" };
      const back = await startOn(t, { kind: "etcd", dataDir: out, ports, env });
      assert.deepEqual(await stateOf(back, lease), swapped);
      assert.equal(await etcdctl(back, "get", "--print-value-only", "after"), "the swap\n");
      await etcdctl(back, "put", "back", "again");
    });
  }
}

for (const [version, name] of [
  ["3.5", "etcd-3.5"],
  ["3.6", "etcd"],
] as const) {
  test(`a store of etcd ${version} that is far behind its log is caught up from it, as a real etcd 3.6 does (M1)`, async (t) => {
    const folder = await scratchFolder(t);
    const dataDir = join(folder, "data");
    // Nothing is written to the store before the end, which is a kill: members, versions and keys are in the log only.
    const flags = ["--backend-batch-interval", "1h", "--backend-batch-limit", "1000000"];
    const before = await startOn(t, { kind: "etcd", tool: name, dataDir, flags });
    const { ports } = before;
    await clusterVersionIs(before, `${version}.0`);
    const granted = await etcdctl(before, "lease", "grant", "3000");
    const lease = /lease ([0-9a-f]+) granted/.exec(granted)?.[1] ?? "";
    for (let i = 0; i < 30; i++)
      await etcdctl(before, "put", `key${i % 12}`, `value${i}`, `--lease=${lease}`);
    await before.kill();
    const { log, store } = JSON.parse((await offline("inspect", dataDir)).stdout);
    assert.ok(log.commit - (store.appliedIndex ?? 0) > 25, JSON.stringify({ log, store }));

    const reference = await copyOf(dataDir, join(folder, "reference"));
    const etcd = await startOn(t, { kind: "etcd", dataDir: reference, ports });
    await clusterVersionIs(etcd, "3.6.0");
    const expected = await stateOf(etcd, lease);
    await etcd.stop();
    const ours = await startOn(t, { kind: "etcdlike", dataDir, ports });
    await clusterVersionIs(ours, "3.6.0");
    assert.deepEqual(await stateOf(ours, lease), expected);
  });
}

test("a 3.7 member is refused with the instruction and untouched, and taken over once it was lowered", async (t) => {
  const folder = await scratchFolder(t);
  const dataDir = join(folder, "data");
  const etcd = await startOn(t, { kind: "etcd", tool: "etcd-3.7", dataDir });
  const { ports } = etcd;
  const lease = await fill(etcd);
  await clusterVersionIs(etcd, "3.7.0");
  await etcd.stop();

  const files = await sums(dataDir);
  const refused = await runOn(dataDir);
  assert.equal(refused.code, exitCodes.UNKNOWN_ENTRY, refused.stderr);
  assert.match(refused.stderr, /storage version 3\.7\.0 and cluster version 3\.7\.0/);
  assert.match(refused.stderr, /etcdctl downgrade enable 3\.6/);
  assert.deepEqual(without([lockFile], await sums(dataDir)), without([], files));

  const lowering = await startOn(t, { kind: "etcd", tool: "etcd-3.7", dataDir, ports });
  await etcdctl(lowering, "downgrade", "enable", "3.6");
  await clusterVersionIs(lowering, "3.6.0");
  const before = await stateOf(lowering, lease);
  await lowering.stop();

  const reference = await copyOf(dataDir, join(folder, "reference"));
  const real = await startOn(t, { kind: "etcd", dataDir: reference, ports });
  await downgradeIsOver(real);
  const expected = await stateOf(real, lease);
  await real.stop();
  const ours = await startOn(t, { kind: "etcdlike", dataDir, ports });
  await downgradeIsOver(ours);
  const after = await stateOf(ours, lease);
  assert.deepEqual(after, expected);
  // The record of the downgrade is part of the hash over everything, and is another one now.
  assert.deepEqual({ ...after, hash: "" }, { ...before, hash: "" });
});

/** The first one at the lower version ends it, some seconds after its start. */
async function downgradeIsOver({ endpoint }: Member): Promise<void> {
  const client = new TestClient(endpoint);
  await eventually(
    "the downgrade is over",
    async () => {
      const { downgradeInfo } = await succeed(client, "Status", {});
      return (downgradeInfo as { readonly enabled?: boolean } | undefined)?.enabled !== true;
    },
    60_000,
  );
  client.close();
}

test("a directory with auth enabled is refused by name and untouched", async (t) => {
  const folder = await scratchFolder(t);
  const dataDir = join(folder, "data");
  const etcd = await startOn(t, { kind: "etcd", dataDir });
  await etcdctl(etcd, "user", "add", "root:secret");
  await etcdctl(etcd, "user", "grant-role", "root", "root");
  await etcdctl(etcd, "auth", "enable");
  await etcd.stop();
  const files = await sums(dataDir);
  const refused = await runOn(dataDir);
  assert.equal(refused.code, exitCodes.UNKNOWN_ENTRY, refused.stderr);
  assert.match(refused.stderr, /snap\/db has auth enabled/);
  assert.deepEqual(without([lockFile], await sums(dataDir)), without([], files));
});

test("a directory on which a real etcd runs is refused as locked", async (t) => {
  const folder = await scratchFolder(t);
  const dataDir = join(folder, "data");
  const etcd = await startOn(t, { kind: "etcd", dataDir });
  const refused = await runOn(dataDir);
  assert.equal(refused.code, exitCodes.LOCKED, refused.stderr);
  assert.match(refused.stderr, /held by a running etcd/);
  await etcdctl(etcd, "put", "it", "goes on");
});

test("when a real etcd ran again in between, what it acknowledged is there", async (t) => {
  const folder = await scratchFolder(t);
  const dataDir = join(folder, "data");
  const first = await startOn(t, { kind: "etcd", dataDir });
  const { ports } = first;
  await etcdctl(first, "put", "a", "etcd");
  await first.stop();
  const ours = await startOn(t, { kind: "etcdlike", dataDir, ports });
  await etcdctl(ours, "put", "b", "ours");
  await ours.kill();

  // Our log is etcd's: what we acknowledged is there for it, too. It releases segments that we would have needed.
  const flags = ["--snapshot-count", "20", "--experimental-snapshot-catchup-entries", "5"];
  const between = await startOn(t, { kind: "etcd", dataDir, ports, flags });
  assert.equal(await etcdctl(between, "get", "--print-value-only", "b"), "ours\n");
  for (let i = 0; i < 50; i++) await etcdctl(between, "put", "c", `etcd ${i}`);
  const hash = await hashKv(between);
  await between.stop();

  const again = await startOn(t, { kind: "etcdlike", dataDir, ports });
  assert.equal(await hashKv(again), hash);
  assert.equal(await etcdctl(again, "get", "--print-value-only", "c"), "etcd 49\n");
  const messages = logLines(await readFile(again.logFile, "utf8")).map(({ msg }) => msg);
  assert.ok(messages.includes("took over the store of a real etcd"));
  await again.stop();
  const inspected = await offline("inspect", dataDir);
  assert.equal(JSON.parse(inspected.stdout).kind, "etcdlike");
});

test("a store behind the newest snapshot of its log is refused, and so is one that is cut short (W11)", async (t) => {
  const folder = await scratchFolder(t);
  const dataDir = join(folder, "data");
  const db = join(dataDir, "member/snap/db");
  const etcd = await startOn(t, { kind: "etcd", dataDir, flags: ["--snapshot-count", "20"] });
  const { ports } = etcd;
  await etcdctl(etcd, "put", "a", "1");
  await etcd.stop();
  const stale = await readFile(db);
  const again = await startOn(t, { kind: "etcd", dataDir, ports, flags: ["--snapshot-count", "20"] });
  for (let i = 0; i < 50; i++) await etcdctl(again, "put", "a", `${i}`);
  await again.stop();

  const newest = await readFile(db);
  await writeFile(db, stale);
  const refused = await runOn(dataDir);
  assert.equal(refused.code, exitCodes.STORE_DAMAGED, refused.stderr);
  assert.match(refused.stderr, /has applied index \d+ of term \d+, the log has no such entry/);

  await writeFile(db, newest);
  await truncate(db, 8192);
  const cut = await runOn(dataDir);
  assert.equal(cut.code, exitCodes.STORE_DAMAGED, cut.stderr);
  assert.match(cut.stderr, /snap\/db: the file has 8192 bytes/);
  const inspected = await offline("inspect", dataDir);
  assert.equal(inspected.code, 1);
  const { log, problems } = JSON.parse(inspected.stdout);
  assert.ok(log.commit > 50);
  assert.equal(problems[0].part, "etcd store");

  await rm(db);
  await writeFile(db, newest);
  const ours = await startOn(t, { kind: "etcdlike", dataDir, ports });
  assert.equal(await etcdctl(ours, "get", "--print-value-only", "a"), "49\n");
});

test("a snapshot that etcd received and did not put into place is what counts (W4, W9)", async (t) => {
  const folder = await scratchFolder(t);
  const dataDir = join(folder, "data");
  const flags = ["--snapshot-count", "20"];
  const etcd = await startOn(t, { kind: "etcd", dataDir, flags });
  const { ports } = etcd;
  await etcdctl(etcd, "put", "a", "1");
  await etcd.stop();
  const db = join(dataDir, "member/snap/db");
  const stale = await readFile(db);
  const again = await startOn(t, { kind: "etcd", dataDir, ports, flags });
  for (let i = 0; i < 50; i++) await etcdctl(again, "put", "a", `${i}`);
  await again.stop();
  const { snapshot } = JSON.parse((await offline("inspect", dataDir)).stdout);
  // The store that came with the snapshot, under the name under which etcd receives it.
  await writeFile(
    join(dataDir, "member/snap", `${snapshot.index.toString(16).padStart(16, "0")}.snap.db`),
    await readFile(db),
  );
  await writeFile(db, stale);
  const ours = await startOn(t, { kind: "etcdlike", dataDir, ports });
  assert.equal(await etcdctl(ours, "get", "--print-value-only", "a"), "49\n");
  assert.ok(stale.equals(await readFile(db)));
});

test("a real etcd opens the log and the snapshot files of a member that has released segments", async (t) => {
  const folder = await scratchFolder(t);
  const dataDir = join(folder, "data");
  const flags = [
    "--snapshot-count",
    "50",
    "--snapshot-catchup-entries",
    "20",
    "--wal-segment-bytes",
    "65536",
  ];
  const ours = await startOn(t, { kind: "etcdlike", dataDir, flags });
  const { ports } = ours;
  const load = ["put", "--total", "600", "--val-size", "1000", "--key-space-size", "100"];
  await tool("benchmark", "--endpoints", ours.endpoint, ...load);
  const hash = await hashKv(ours);
  await ours.kill();
  const segments = [...(await sums(join(dataDir, "member/wal"))).keys()].filter((name) =>
    name.endsWith(".wal"),
  );
  assert.ok(!segments.some((name) => name.startsWith("0000000000000000-")), segments.join());
  const out = join(folder, "out");
  const exported = await offline("export-datadir", "--data-dir", dataDir, "--out", out);
  assert.equal(exported.code, 0, exported.stderr);
  const etcd = await startOn(t, { kind: "etcd", dataDir: out, ports, env: { ETCD_VERIFY: "all" } });
  assert.equal(await hashKv(etcd), hash);
});
