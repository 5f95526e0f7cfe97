// A cluster of three changes its program member by member, each on its own data directory, while clients write.
import assert from "node:assert/strict";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { etcdctl, hashKv, makeHistory, tool } from "../snapshot/support.ts";
import { ClusterLoad } from "../support/cluster-load.ts";
import { expectAgreement, expectNoPanic, type Place, TestCluster } from "../support/clusters.ts";
import { keyValue, put, succeed } from "../support/kv.ts";
import { freePort, scratchFolder } from "../support/scratch.ts";
import { offline, startOn } from "./support.ts";

const timeout = 300_000;

/** The directory becomes one of a real etcd, in its place. */
async function exportInPlace({ dataDir }: Place): Promise<void> {
  const out = `${dataDir}.out`;
  const { code, stderr } = await offline("export-datadir", "--data-dir", dataDir, "--out", out);
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

test("three members restore one snapshot each for itself, and are a cluster then, ours and a real one alike", {
  timeout,
}, async (t) => {
  const folder = await scratchFolder(t);
  const source = await startOn(t, { kind: "etcd", dataDir: join(folder, "source") });
  await makeHistory(source);
  const file = join(folder, "snapshot.db");
  await etcdctl(source, "snapshot", "save", file);
  const names = ["m0", "m1", "m2"];
  const ports = await Promise.all(
    names.map(async () => ({ client: await freePort(), peer: await freePort() })),
  );
  const peerUrl = (i: number): string => `http://127.0.0.1:${ports[i]?.peer}`;
  const initialCluster = names.map((name, i) => `${name}=${peerUrl(i)}`).join();
  const bump = ["--bump-revision", "1000", "--mark-compacted"];
  const members = await Promise.all(
    names.map(async (name, i) => {
      const kind = name === "m2" ? "etcd" : "etcdlike";
      const dataDir = join(folder, name);
      const flags = ["--name", name, "--initial-cluster", initialCluster];
      const own = ["--initial-advertise-peer-urls", peerUrl(i), "--data-dir", dataDir];
      const restore = ["snapshot", "restore", file, ...flags, ...own, ...bump];
      if (kind === "etcd") await tool("etcdutl", ...restore);
      else assert.equal((await offline(...restore)).code, 0);
      const at = ports[i];
      assert.ok(at !== undefined);
      return startOn(t, { kind, dataDir, ports: at, flags });
    }),
  );
  const [first] = members;
  assert.ok(first !== undefined);
  assert.equal((await etcdctl(first, "member", "list")).trim().split("\n").length, 3);
  await etcdctl(first, "put", "key1", "after the restore");
  const revision = Number((await hashKv(first)).split(", ")[1]);
  assert.ok(revision > 1000);
  const hashes = await Promise.all(members.map((member) => hashKv(member, revision)));
  assert.equal(new Set(hashes).size, 1, hashes.join());
  const old = etcdctl(first, "get", "key1", "--rev", "30");
  await assert.rejects(old, /required revision has been compacted/);
});
