// What is left of a cluster whose other members are lost for good: one member's data directory.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { MemberKind } from "../../tools/member.ts";
import { membersOf, TestCluster } from "../support/clusters.ts";
import { eventually, hashKv, keyValue, put } from "../support/kv.ts";

const timeout = 300_000;

for (const kind of ["etcdlike", "etcd"] as const satisfies readonly MemberKind[])
  test(`a new cluster is forced out of one of three ${kind} members and a learner, with a change at the tail (R18)`, {
    timeout,
  }, async (t) => {
    const flags = ["--snapshot-count", "10"];
    const cluster = await TestCluster.start(t, { kinds: [kind, kind, kind], flags });
    const survivor = cluster.place(0);
    const learner = await cluster.join(kind, survivor, { isLearner: true });
    const before = await membersOf(survivor.client);
    assert.equal(before.length, 4);
    await cluster.moveLeader(survivor);
    // More than a snapshot's worth, so one lies right before the end of the log.
    for (let i = 0; i < 25; i++) await put(survivor.client, `key${i}`, "value");
    const revision = await put(survivor.client, "last", "acknowledged");
    const hash = await hashKv(survivor.client, revision);

    for (const place of [cluster.place(1), cluster.place(2), learner]) await place.kill();
    // It leads until it notices, and takes the change into its log: no other member will ever have it.
    const add = ["member", "add", "never", "--peer-urls", "http://127.0.0.1:1"];
    await assert.rejects(cluster.etcdctl(survivor, [...add, "--command-timeout=3s"]));
    const write = await survivor.client.call("Put", { key: "never", value: "committed" });
    assert.equal(write.ok, false);
    await survivor.kill();

    await survivor.start("new", { kind: "etcdlike", flags: ["--force-new-cluster"] });
    const members = await membersOf(survivor.client);
    assert.deepEqual(
      members.map(({ name, isLearner }) => ({ name, isLearner })),
      [{ name: "m0", isLearner: false }],
    );
    assert.ok(before.some(({ hexId }) => hexId === members[0]?.hexId));
    assert.equal(await keyValue(survivor.client, "last"), "acknowledged");
    assert.equal(await keyValue(survivor.client, "never"), undefined);
    assert.equal(await hashKv(survivor.client, revision), hash);
    await put(survivor.client, "after", "1");
    await survivor.kill();

    // Without the flag and with it: it stays what it is, and it can grow again.
    for (const again of [[], ["--force-new-cluster"]]) {
      await survivor.start("new", { kind: "etcdlike", flags: again });
      assert.equal((await membersOf(survivor.client)).length, 1);
      assert.equal(await keyValue(survivor.client, "after"), "1");
      if (again.length === 0) await survivor.kill();
    }
    for (const place of cluster.places.slice(1)) place.forget();
    cluster.places.length = 1;
    const joined = await cluster.join("etcdlike", survivor);
    await eventually(
      "the new member has caught up",
      async () => (await keyValue(joined.client, "after")) === "1",
    );
  });

test("a learner that is the only one left becomes the voter of the new cluster (R18)", {
  timeout,
}, async (t) => {
  const cluster = await TestCluster.start(t, { kinds: ["etcdlike"] });
  const voter = cluster.place(0);
  const learner = await cluster.join("etcdlike", voter, { isLearner: true });
  await put(voter.client, "key", "value");
  await eventually("the learner has it", async () => {
    const { client } = learner;
    const outcome = await client.call("Range", { key: "key", serializable: true });
    return outcome.ok && outcome.response["count"] !== undefined;
  });
  await voter.kill();
  await learner.kill();
  await learner.start("existing", { flags: ["--force-new-cluster"] });
  const members = await membersOf(learner.client);
  assert.deepEqual(
    members.map(({ isLearner }) => isLearner),
    [false],
  );
  assert.equal(await keyValue(learner.client, "key"), "value");
  await put(learner.client, "key", "goes on");
});
