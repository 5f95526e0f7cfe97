// Three members of ours that form a cluster by their flags: what clients and etcdctl see while members come and go.
import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { test } from "node:test";
import { expectAgreement, membersOf, TestCluster } from "../support/clusters.ts";
import { eventually, keyValue, put, succeed } from "../support/kv.ts";

const timeout = 240_000;
const three = ["etcdlike", "etcdlike", "etcdlike"] as const;

test("three members form a cluster, and each of them answers for all", { timeout }, async (t) => {
  const cluster = await TestCluster.start(t, { kinds: three });
  for (const place of cluster.places) {
    await put(place.client, `from ${place.name}`, place.name);
    for (const other of cluster.places)
      assert.equal(await keyValue(other.client, `from ${place.name}`), place.name, "reads are linearizable");
  }
  const members = await membersOf(cluster.place(0).client);
  assert.deepEqual(
    members.map(({ name }) => name).sort(),
    cluster.places.map(({ name }) => name),
  );
  for (const place of cluster.places) {
    const listed = members.find(({ name }) => name === place.name);
    assert.deepEqual(listed?.peerUrls, [place.peerUrl]);
    assert.deepEqual(listed?.clientUrls, [`http://${place.endpoint}`]);
    const health = await cluster.etcdctl(place, ["endpoint", "health", "--cluster"]);
    assert.equal(health.match(/is healthy/g)?.length ?? 0, 3, health);
    await eventually("the cluster has settled on its version", async () => {
      const version = await (await fetch(`http://${place.endpoint}/version`)).json();
      return (version as { readonly etcdcluster: string }).etcdcluster === "3.6.0";
    });
  }
  await expectAgreement(cluster);
});

test("a cluster goes on without its leader, and takes it back", { timeout }, async (t) => {
  const cluster = await TestCluster.start(t, { kinds: three });
  for (let round = 0; round < 3; round++) {
    const leader = await cluster.leader();
    await put(leader.client, `before ${round}`, "1");
    await leader.kill();
    const next = await cluster.leader();
    assert.notEqual(next, leader);
    await put(next.client, `during ${round}`, "2");
    await leader.start();
    await put(leader.client, `after ${round}`, "3");
    assert.equal(await keyValue(leader.client, `before ${round}`), "1");
    assert.equal(await keyValue(leader.client, `during ${round}`), "2");
  }
  await expectAgreement(cluster);
});

test("a cluster without a quorum answers nothing linearizable, and goes on when it has one", {
  timeout,
}, async (t) => {
  const cluster = await TestCluster.start(t, { kinds: three });
  const [one, two] = await cluster.followers();
  const leader = await cluster.leader();
  assert.ok(one !== undefined && two !== undefined);
  await put(leader.client, "key", "old");
  await Promise.all([one.kill(), two.kill()]);
  const write = await leader.client.call("Put", { key: "key", value: "new" });
  assert.ok(!write.ok, "a write without a quorum is not acknowledged");
  const read = await leader.client.call("Range", { key: "key" });
  assert.ok(!read.ok, "a read without a quorum is not answered");
  const { kvs } = await succeed(leader.client, "Range", { key: "key", serializable: true });
  assert.equal((kvs as readonly unknown[]).length, 1, "a serializable read is");
  await one.start();
  await cluster.leader();
  await put(one.client, "key", "newest");
  assert.equal(await keyValue(leader.client, "key"), "newest");
  await two.start();
  await expectAgreement(cluster);
});

test("all members killed at once come back with everything", { timeout }, async (t) => {
  const cluster = await TestCluster.start(t, { kinds: three });
  const place = cluster.place(0);
  for (let i = 0; i < 50; i++) await put(place.client, `key ${i}`, String(i));
  await Promise.all(cluster.places.map((one) => one.kill()));
  await Promise.all(cluster.places.map((one) => one.start()));
  for (let i = 0; i < 50; i++) assert.equal(await keyValue(place.client, `key ${i}`), String(i));
  await expectAgreement(cluster);
});

test("SIGTERM hands leadership over before the member ends", { timeout }, async (t) => {
  const cluster = await TestCluster.start(t, { kinds: three });
  const leader = await cluster.leader();
  await put(leader.client, "key", "value");
  process.kill(leader.process.pid, "SIGTERM");
  const { code, log } = await leader.ended();
  assert.equal(code, 0);
  assert.match(log, /leadership transfer finished/);
  const next = await cluster.leader();
  assert.notEqual(next, leader);
  await put(next.client, "key", "next");
});

test("members are added as learners, promoted, moved to and removed while the cluster serves", {
  timeout,
}, async (t) => {
  const cluster = await TestCluster.start(t, { kinds: three });
  const first = cluster.place(0);
  for (let i = 0; i < 100; i++) await put(first.client, `key ${i}`, "value");
  const learner = await cluster.join("etcdlike", first, { isLearner: true });
  const refused = await learner.client.call("Range", { key: "key 1" });
  assert.deepEqual(refused, {
    ok: false,
    code: 9,
    text: "etcdserver: rpc not supported for learner",
  });
  await cluster.promote(learner, first);
  await eventually("the new voter knows that it is one", async () => {
    const status = await succeed(learner.client, "Status", {});
    return status["isLearner"] !== true;
  });
  assert.equal(await keyValue(learner.client, "key 99"), "value");
  await cluster.moveLeader(learner);
  assert.equal(await cluster.leader(), learner);
  await put(first.client, "under the new leader", "value");
  await expectAgreement(cluster);

  // A leader takes itself out.
  await cluster.remove(learner, learner);
  const { code, log } = await learner.ended();
  assert.notEqual(code, 0);
  assert.match(log, /"reason":"REMOVED"/);
  await cluster.leader();
  await put(first.client, "without it", "value");
  assert.equal((await membersOf(first.client)).length, 3);
  await expectAgreement(cluster);
});

test("a voter whose disk was wiped is refused under its id, and replaced through the API", {
  timeout,
}, async (t) => {
  const cluster = await TestCluster.start(t, { kinds: three });
  const [wiped, via] = await cluster.followers();
  assert.ok(wiped !== undefined && via !== undefined);
  const keys = Array.from({ length: 40 }, (_, i) => `key ${i}`);
  for (const key of keys) await put(via.client, key, key);
  await wiped.kill();
  await rm(wiped.dataDir, { recursive: true });

  for (const state of ["new", "existing"] as const) {
    await assert.rejects(
      wiped.start(state),
      /has already been bootstrapped: .*"reason":"DATA_LOST"/,
      `with --initial-cluster-state ${state}`,
    );
  }
  await cluster.remove(wiped, via);
  const replacement = await cluster.join("etcdlike", via);
  for (const key of keys) assert.equal(await keyValue(replacement.client, key), key);
  await expectAgreement(cluster);
});
