// Clusters of our members and real ones, which check themselves at every step (ETCD_VERIFY=all).
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { MemberKind } from "../../tools/member.ts";
import { ClusterLoad } from "../support/cluster-load.ts";
import { expectAgreement, expectNoPanic, TestCluster } from "../support/clusters.ts";
import { keyValue, put } from "../support/kv.ts";

const timeout = 300_000;

/** Every member leads once, under load; nothing acknowledged is lost and all agree in the end. */
async function leadInTurn(t: TestContext, cluster: TestCluster): Promise<void> {
  const load = new ClusterLoad(cluster);
  load.start();
  for (const place of [...cluster.running, cluster.running[0]]) {
    assert.ok(place !== undefined);
    await cluster.moveLeader(place);
    assert.equal(await cluster.leader(), place, `${place.kind} ${place.name} leads`);
    await put(place.client, `led by ${place.name}`, "1");
    await load.goesOn();
  }
  await load.stop();
  await load.expectKept();
  t.diagnostic(load.summary());
  await expectAgreement(cluster);
  await expectNoPanic(cluster);
}

for (const kinds of [
  ["etcd", "etcd", "etcdlike"],
  ["etcdlike", "etcdlike", "etcd"],
] as const satisfies readonly MemberKind[][])
  test(`${kinds.join(", ")} form a cluster by their flags, and each leads in turn under load`, {
    timeout,
  }, async (t) => {
    const cluster = await TestCluster.start(t, { kinds });
    await leadInTurn(t, cluster);
  });

test("ours joins two real members as a learner, is promoted, and leads", { timeout }, async (t) => {
  const cluster = await TestCluster.start(t, { kinds: ["etcd", "etcd"] });
  const via = cluster.place(0);
  for (let i = 0; i < 200; i++) await put(via.client, `before ${i}`, "value");
  const ours = await cluster.join("etcdlike", via, { isLearner: true });
  await cluster.promote(ours, via);
  assert.equal(await keyValue(ours.client, "before 199"), "value");
  await leadInTurn(t, cluster);
});

test("a real member joins two of ours as a voter, and another as a learner", { timeout }, async (t) => {
  const cluster = await TestCluster.start(t, { kinds: ["etcdlike", "etcdlike"] });
  const via = cluster.place(0);
  for (let i = 0; i < 200; i++) await put(via.client, `before ${i}`, "value");
  const voter = await cluster.join("etcd", via);
  assert.equal(await keyValue(voter.client, "before 199"), "value");
  const learner = await cluster.join("etcd", voter, { isLearner: true });
  await cluster.promote(learner, via);
  await leadInTurn(t, cluster);
  // And out again, through a real member.
  await learner.stop();
  await cluster.remove(learner, voter);
  await put(via.client, "after", "value");
  await expectAgreement(cluster);
});
