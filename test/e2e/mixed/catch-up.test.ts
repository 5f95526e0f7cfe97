// A follower that is too far behind is given the leader's store, between our members and real ones in both
// directions, and then leads.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { MemberKind } from "../../tools/member.ts";
import { ClusterLoad } from "../support/cluster-load.ts";
import { expectAgreement, expectNoPanic, type Place, TestCluster } from "../support/clusters.ts";
import { keyValue, put, succeed } from "../support/kv.ts";

const timeout = 300_000;
/** The log is short, so that a member that misses a few hundred entries cannot be served from it. */
const flags = ["--snapshot-count=50", "--snapshot-catchup-entries=10"];
const missedWrites = 400;
const received: Readonly<Record<MemberKind, RegExp>> = {
  etcd: /received and saved database snapshot/,
  etcdlike: /received and saved database snapshot/,
};

/** Of `.snap` files, and of the store that was received. */
const snapshotDurations = [
  "etcd_snap_fsync_duration_seconds",
  "etcd_debugging_snap_save_marshalling_duration_seconds",
  "etcd_debugging_snap_save_total_duration_seconds",
  "etcd_snap_db_fsync_duration_seconds",
  "etcd_snap_db_save_total_duration_seconds",
] as const;

/** How many observations each histogram of a member has. */
async function countsOf({ endpoint }: Place): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`http://${endpoint}/metrics`)).text();
  const counts = text.matchAll(/^(\w+)_count(?:\{\})? (\d+)$/gm);
  return new Map([...counts].map(([, name = "", count]) => [name, Number(count)]));
}

for (const { leading, lagging } of [
  { leading: "etcdlike", lagging: "etcd" },
  { leading: "etcd", lagging: "etcdlike" },
  { leading: "etcdlike", lagging: "etcdlike" },
] as const)
  test(`${lagging} that lags takes the store of ${leading} that leads, and then leads`, {
    timeout,
  }, async (t) => {
    const third = leading === "etcdlike" && lagging === "etcdlike" ? "etcdlike" : "etcd";
    const cluster = await TestCluster.start(t, { kinds: [leading, lagging, third], flags });
    const [leader, follower] = [cluster.place(0), cluster.place(1)];
    await cluster.moveLeader(leader);
    await succeed(leader.client, "LeaseGrant", { ID: 77, TTL: 10_000 });
    await succeed(leader.client, "Put", { key: "leased", value: "1", lease: 77 });
    await put(follower.client, "before", "1");
    await follower.kill();
    for (let i = 0; i < missedWrites; i++) await put(leader.client, `missed ${i % 50}`, String(i));
    await succeed(leader.client, "DeleteRange", { key: "before" });
    assert.equal(await cluster.leader(), leader);

    const load = new ClusterLoad(cluster);
    load.start();
    await follower.start();
    assert.equal(await keyValue(follower.client, "missed 49"), String(missedWrites - 1));
    assert.equal(await keyValue(follower.client, "before"), undefined);
    const lease = await succeed(follower.client, "LeaseTimeToLive", { ID: 77, keys: true });
    assert.equal(Number(lease["grantedTTL"]), 10_000);
    assert.match(await follower.log(), received[lagging]);
    const counts = await countsOf(follower);
    if (leading === "etcdlike")
      assert.ok(((await countsOf(leader)).get("etcd_disk_backend_snapshot_duration_seconds") ?? 0) > 0);
    for (const name of snapshotDurations) assert.ok((counts.get(name) ?? 0) > 0, `${name} was measured`);
    await load.goesOn();
    await cluster.moveLeader(follower);
    assert.equal(await cluster.leader(), follower);
    await put(follower.client, "led by the one that lagged", "1");
    await load.goesOn();
    await load.stop();
    await load.expectKept();
    t.diagnostic(load.summary());
    await expectAgreement(cluster);

    // What it was given is durable.
    await follower.kill();
    await follower.start();
    await expectAgreement(cluster);
    await expectNoPanic(cluster);
  });
