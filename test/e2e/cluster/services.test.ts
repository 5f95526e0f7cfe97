// What a cluster does for its clients beside keys: leases that outlive a paused leader, learners that become voters by
// themselves, and entries that a member of ours does not understand.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { TestClient } from "../../conformance/client.ts";
import { membersOf, TestCluster } from "../support/clusters.ts";
import { eventually, keyValue, put, succeed } from "../support/kv.ts";

const timeout = 240_000;
const three = ["etcdlike", "etcdlike", "etcdlike"] as const;
const unknownEntryExit = 67;
const streamTimeoutMs = 30_000;

/** The TTL that one keepalive is answered with. */
async function keepAlive(client: TestClient, id: number): Promise<number> {
  const stream = client.keepAlive();
  stream.send({ ID: id });
  await stream.until((received) => received.length > 0, streamTimeoutMs);
  stream.cancel();
  assert.equal(stream.ended, undefined, stream.ended?.text);
  return Number(stream.received[0]?.["TTL"] ?? 0);
}

test("L1 a leader that was stopped for longer than a lease lives revokes nothing when it wakes", {
  timeout,
}, async (t) => {
  const cluster = await TestCluster.start(t, { kinds: three });
  const leader = await cluster.leader();
  const [follower, other] = await cluster.followers();
  assert.ok(follower !== undefined && other !== undefined);
  const ttlSeconds = 5;
  await succeed(leader.client, "LeaseGrant", { ID: 7, TTL: ttlSeconds });
  await succeed(leader.client, "Put", { key: "session", value: "mine", lease: 7 });
  const { leader: deposed } = await succeed(leader.client, "Status", {});
  const { pid } = leader.process;
  process.kill(pid, "SIGSTOP");
  try {
    // A request now could be lost on its way to the paused leader, and take longer than the lease lives.
    await eventually("another leader", async () => {
      const { leader: seen } = await succeed(follower.client, "Status", {});
      return seen !== undefined && seen !== deposed;
    });
    const untilMs = performance.now() + 3 * ttlSeconds * 1000;
    while (performance.now() < untilMs) {
      assert.equal(await keepAlive(follower.client, 7), ttlSeconds);
      await delay(500);
    }
  } finally {
    process.kill(pid, "SIGCONT");
  }
  // The woken member still has expired deadlines in its memory, and has to be told that it leads no more.
  for (let i = 0; i < 2 * ttlSeconds; i++) {
    assert.equal(await keepAlive(other.client, 7), ttlSeconds);
    assert.equal(await keyValue(other.client, "session"), "mine");
    await delay(500);
  }
  assert.equal(await keyValue(leader.client, "session"), "mine");
  assert.equal(await keepAlive(leader.client, 7), ttlSeconds);
});

test("with --auto-promote a learner becomes a voter once it has caught up", {
  timeout,
}, async (t) => {
  const cluster = await TestCluster.start(t, { kinds: three, flags: ["--auto-promote"] });
  const leader = await cluster.leader();
  for (let i = 0; i < 100; i++) await put(leader.client, `key ${i}`, "1");
  const joined = await cluster.join("etcdlike", leader, { isLearner: true });
  await eventually("the learner is a voter", async () =>
    (await membersOf(leader.client)).every(({ isLearner }) => !isLearner),
  );
  assert.equal(await keyValue(joined.client, "key 99"), "1");
});

test("a member of ours that meets users in the log of real members ends, and names the entry", {
  timeout,
}, async (t) => {
  const cluster = await TestCluster.start(t, { kinds: ["etcd", "etcd"] });
  const real = await cluster.leader();
  const ours = await cluster.join("etcdlike", real);
  await put(ours.client, "a", "1");
  await cluster.etcdctl(real, ["user", "add", "someone", "--no-password"]);
  const { code, log } = await ours.ended();
  assert.equal(code, unknownEntryExit);
  assert.match(log, /entry \d+ is authUserAdd, and this version has no authentication/);
  // Whatever the state it is started in, it does not skip the entry.
  await assert.rejects(ours.start("existing"), /authUserAdd/);
  assert.equal(await keyValue(real.client, "a"), "1");
});
