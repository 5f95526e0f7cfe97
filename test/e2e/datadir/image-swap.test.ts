// A cluster of three changes its program member by member, each on its own data directory, while clients write.
import assert from "node:assert/strict";
import { rename, rm } from "node:fs/promises";
import { test } from "node:test";
import { ClusterLoad } from "../support/cluster-load.ts";
import { expectAgreement, expectNoPanic, type Place, TestCluster } from "../support/clusters.ts";
import { runCommand } from "../support/command.ts";
import { keyValue, put, succeed } from "../support/kv.ts";

const timeout = 300_000;

/** The directory becomes one of a real etcd, in its place. */
async function exportInPlace({ dataDir }: Place): Promise<void> {
  const out = `${dataDir}.out`;
  const { code, stderr } = await runCommand(["export-datadir", "--data-dir", dataDir, "--out", out]);
  assert.equal(code, 0, stderr);
  await rm(dataDir, { recursive: true });
  await rename(out, dataDir);
}

test("three real members become ours one by one under load, and real again by export", {
  timeout,
}, async (t) => {
  // Small enough that segments are released and snapshots saved on the way.
  const flags = ["--snapshot-count", "500", "--experimental-snapshot-catchup-entries", "100"];
  const cluster = await TestCluster.start(t, { kinds: ["etcd", "etcd", "etcd"], flags });
  const first = cluster.place(0);
  await succeed(first.client, "LeaseGrant", { ID: 77n, TTL: 3000n });
  await succeed(first.client, "Put", { key: "leased", value: "1", lease: 77n });
  for (let i = 0; i < 30; i++) await put(first.client, "history", `${i}`);
  const old = await put(first.client, "history", "old");
  await put(first.client, "history", "new");
  await succeed(first.client, "Compact", { revision: BigInt(old) });
  await expectAgreement(cluster);

  const load = new ClusterLoad(cluster);
  load.start();
  await load.goesOn();
  for (const kind of ["etcdlike", "etcd"] as const) {
    for (const place of cluster.places) {
      await place.stop();
      await load.goesOn();
      if (kind === "etcd") await exportInPlace(place);
      await place.start("new", { kind });
      await load.goesOn(300);
    }
    for (const place of cluster.places) assert.equal(place.kind, kind);
    await cluster.moveLeader(cluster.place(1));
    await load.goesOn();
  }
  await load.stop();
  await load.expectKept();
  t.diagnostic(load.summary());
  await expectAgreement(cluster);
  await expectNoPanic(cluster);

  assert.equal(await keyValue(first.client, "leased"), "1");
  const lease = await succeed(first.client, "LeaseTimeToLive", { ID: 77n, keys: true });
  assert.ok(Number(lease["TTL"]) > 2000);
  const range = { key: "history", revision: BigInt(old) };
  const { kvs } = await succeed(first.client, "Range", range);
  const [kv] = kvs as readonly { readonly value: Uint8Array }[];
  assert.equal(Buffer.from(kv?.value ?? []).toString(), "old");
});
