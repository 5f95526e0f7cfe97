// The peer adapter beside a real etcd 3.6: it poses as another member of a static cluster.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { utf8 } from "../../../node/lib/bytes.ts";
import { hexId, leaseId, nodeId } from "../../../node/lib/ids.ts";
import { PeerCalls } from "../../../node/peer/peer-calls.ts";
import { codecs } from "../../../node/wire/codecs.ts";
import { TestClient } from "../../conformance/client.ts";
import { type Member, start } from "../../tools/member.ts";
import { toolPath } from "../../tools/toolchain.ts";
import { eventually, hashKv, keyValue, put, succeed } from "../support/kv.ts";
import { freePort } from "../support/scratch.ts";
import { type ClusterMember, memberId, PosingMember } from "./posing-member.ts";

interface Cluster {
  readonly etcd: Member;
  readonly client: TestClient;
  readonly ours: readonly PosingMember[];
  /** The value of the flag. */
  readonly initialCluster: string;
  startLate(): Promise<readonly PosingMember[]>;
}

interface ClusterOptions {
  readonly flags?: readonly string[];
  /** Further members of ours that are in the cluster and are not started. */
  readonly lateCount?: number;
}

/** One real etcd, and as many of ours beside it. */
async function startCluster(
  t: TestContext,
  oursCount: number,
  { flags = [], lateCount = 0 }: ClusterOptions = {},
): Promise<Cluster> {
  const ports = { client: await freePort(), peer: await freePort() };
  const etcdMember: ClusterMember = { name: "default", peerUrl: `http://127.0.0.1:${ports.peer}` };
  const posing: { readonly member: ClusterMember; readonly port: number }[] = [];
  for (let i = 0; i < oursCount + lateCount; i++) {
    const port = await freePort();
    posing.push({ member: { name: `ours${i}`, peerUrl: `http://127.0.0.1:${port}` }, port });
  }
  const cluster = [etcdMember, ...posing.map(({ member }) => member)];
  const startOurs = async ({ member, port }: { readonly member: ClusterMember; readonly port: number }) => {
    const one = new PosingMember(member, cluster);
    t.after(() => one.stop());
    await one.start(
      port,
      cluster.filter((other) => other !== member),
    );
    return one;
  };
  const ours: PosingMember[] = [];
  for (const one of posing.slice(0, oursCount)) ours.push(await startOurs(one));
  const initialCluster = cluster.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",");
  const etcd = await start({
    kind: "etcd",
    ports,
    env: { ETCD_VERIFY: "all" },
    flags: [
      "--initial-cluster",
      cluster.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(","),
      ...flags,
    ],
  });
  t.after(() => etcd.stop());
  const client = new TestClient(etcd.endpoint);
  t.after(() => client.close());
  return {
    etcd,
    client,
    ours,
    initialCluster,
    startLate: () => Promise.all(posing.slice(oursCount).map(startOurs)),
  };
}

function first(ours: readonly PosingMember[]): PosingMember {
  const [one] = ours;
  assert.ok(one !== undefined);
  return one;
}

test("entries go both ways between a real etcd and us, whoever leads", { timeout: 90_000 }, async (t) => {
  const { etcd, client, ours } = await startCluster(t, 1);
  const one = first(ours);
  const etcdId = memberId(etcd.peerUrl);
  await eventually("both streams stand in both directions", async () =>
    one.transport.isFullyConnected(etcdId),
  );

  one.handLeadTo(etcdId);
  await eventually("etcd leads", async () => one.leader === etcdId);
  // Both of two members have to agree, so this needs our acknowledgement.
  await put(client, "from-etcd", "1");
  await eventually("we applied it", async () => one.valuesOf("from-etcd").length === 1);

  // A follower's proposal travels as MsgProp.
  one.propose({ put: codecs.PutRequest.create({ key: utf8("from-follower"), value: utf8("2") }) });
  await eventually(
    "etcd applied our proposal",
    async () => (await keyValue(client, "from-follower")) === "2",
  );

  one.takeLead();
  await eventually("we lead", async () => one.isLeader);
  one.propose({ put: codecs.PutRequest.create({ key: utf8("from-leader"), value: utf8("3") }) });
  // Linearizable: etcd asks us, its leader, for a read index.
  await eventually("etcd applied our entry", async () => (await keyValue(client, "from-leader")) === "3");
  await put(client, "through-leader", "4");
  assert.deepEqual(one.valuesOf("through-leader"), ["4"]);
  const big = "x".repeat(1_400_000);
  await put(client, "big", big);
  assert.deepEqual(one.valuesOf("big"), [big]);

  for (const type of [
    "MsgApp",
    "MsgAppResp",
    "MsgHeartbeat",
    "MsgHeartbeatResp",
    "MsgProp",
    "MsgReadIndex",
  ] as const)
    assert.ok(one.receivedTypes.has(type), `etcd sent ${type}`);
  assert.ok(one.receivedTypes.has("MsgPreVote") || one.receivedTypes.has("MsgPreVoteResp"));
  assert.ok(one.receivedTypes.has("MsgVote") || one.receivedTypes.has("MsgVoteResp"));
  assert.ok(one.receivedTypes.has("MsgTimeoutNow"));
});

test("a real etcd asks us about leases and takes our answers", { timeout: 90_000 }, async (t) => {
  const { etcd, client, ours } = await startCluster(t, 1);
  const one = first(ours);
  one.takeLead();
  await eventually("we lead", async () => one.isLeader);
  await succeed(client, "LeaseGrant", { ID: 7, TTL: 60 });
  one.member.lease = { ttlSeconds: 42 };

  const keepAlive = client.keepAlive();
  keepAlive.send({ ID: 7 });
  assert.ok(await keepAlive.until((received) => received.length === 1, 10_000));
  assert.equal(Number(keepAlive.received[0]?.["TTL"]), 42);
  keepAlive.cancel();

  const found = await succeed(client, "LeaseTimeToLive", { ID: 7, keys: true });
  assert.equal(Number(found["grantedTTL"]), 42);
  assert.deepEqual(
    (found["keys"] as Uint8Array[]).map((key) => Buffer.from(key).toString()),
    ["attached"],
  );
  one.member.lease = "notFound";
  const lost = await client.call("LeaseTimeToLive", { ID: 7 });
  assert.equal(lost.ok && Number(lost.response["TTL"]), -1);
  assert.ok(one.member.asked.includes(`renew ${leaseId(7)}`));

  await eventually("we probed", async () => one.roundTrips.length > 0);
  const log = await readFile(etcd.logFile, "utf8");
  assert.doesNotMatch(log, /"level":"(panic|fatal|dpanic)"/);
  assert.match(log, /established TCP streaming connection with remote peer/);
});

test("a real etcd answers what we ask beside Raft", { timeout: 90_000 }, async (t) => {
  const { etcd, client, ours } = await startCluster(t, 1);
  const one = first(ours);
  const etcdId = memberId(etcd.peerUrl);
  one.handLeadTo(etcdId);
  await eventually("etcd leads", async () => one.leader === etcdId);
  const calls = new PeerCalls(one.transport.settings);
  const url = new URL(etcd.peerUrl);

  const revision = await put(client, "key", "value");
  const hash = await calls.hashKv(url, revision);
  assert.ok(hash.ok && hash.currentRevision === revision && hash.hashRevision === revision);
  assert.equal(`${hash.hash} compacted ${hash.compactRevision}`, await hashKv(client, revision));
  assert.deepEqual(await calls.hashKv(url, 99), { ok: false, reason: "futureRevision" });

  const { clusterId, membersJson } = await calls.members(url);
  assert.equal(clusterId, one.transport.settings.local.clusterId);
  assert.match(membersJson, new RegExp(`"id":${one.id},"peerURLs":`));
  assert.equal((await calls.versions(url)).server, "3.6.14");
  assert.equal(await calls.isDowngradeEnabled(url), false);
  assert.deepEqual(await calls.promote(url, one.id, undefined), { ok: false, reason: "notLearner" });
  assert.deepEqual(await calls.promote(url, nodeId(1), undefined), { ok: false, reason: "notFound" });

  await succeed(client, "LeaseGrant", { ID: 7, TTL: 60 });
  await succeed(client, "Put", { key: "leased", value: "v", lease: 7 });
  assert.deepEqual(await calls.renewLease(url, leaseId(7)), { ok: true, ttlSeconds: 60 });
  const found = await calls.leaseTimeToLive(url, leaseId(7), true);
  assert.ok(found.ok && found.grantedTtlSeconds === 60 && found.ttlSeconds >= 58);
  assert.deepEqual(found.keys, [utf8("leased")]);
  assert.deepEqual(await calls.renewLease(url, leaseId(8)), { ok: false, reason: "notFound" });
  assert.deepEqual(await calls.leaseTimeToLive(url, leaseId(8), false), { ok: false, reason: "notFound" });
});

test("stores travel both ways: a real etcd sends us its own, and takes it back", {
  timeout: 90_000,
}, async (t) => {
  const flags = ["--snapshot-count=20", "--snapshot-catchup-entries=5"];
  const { etcd, client, ours, startLate, initialCluster } = await startCluster(t, 1, { flags, lateCount: 1 });
  const one = first(ours);
  const etcdId = memberId(etcd.peerUrl);
  one.handLeadTo(etcdId);
  await eventually("etcd leads", async () => one.leader === etcdId);
  for (let i = 0; i < 60; i++) await put(client, `key-${i}`, "value");

  const late = first(await startLate());
  await eventually("the snapshot is installed", async () => late.snapshots.length > 0, 20_000);
  const [store] = late.stores;
  assert.ok(store !== undefined && store.length >= 16 * 1024 && store.length % 4096 === 0);
  // A bbolt file: its magic number stands behind the head of the first page.
  assert.equal(new DataView(store.buffer).getUint32(16, true), 0xed0cdaed);
  const [snapshot] = late.snapshots;
  assert.ok(snapshot !== undefined && snapshot.metadata.index > 20);
  assert.deepEqual([...snapshot.metadata.confState.voters].length, 3);
  assert.notEqual(snapshot.data.length, 0);
  await put(client, "after", "value");
  await eventually("it follows on", async () => late.valuesOf("after").length === 1);
  assert.equal(late.valuesOf("key-0").length, 0);

  // Its disk is lost, and it has to take everything from us. (A voter must not come back like this: the test may,
  // because we are the majority and keep ours.)
  await etcd.kill();
  await eventually("we two have a leader", async () => [one, late].some((our) => our.isLeader), 20_000);
  for (const our of [one, late]) our.offerStore(snapshot, store);
  const again = await start({
    kind: "etcd",
    ports: etcd.ports,
    env: { ETCD_VERIFY: "all" },
    flags: ["--initial-cluster", initialCluster, "--initial-cluster-state=existing"],
  });
  t.after(() => again.stop());
  await eventually("it has what was in the store", async () => (await keyValue(client, "key-0")) === "value");
  assert.equal(await keyValue(client, "after"), "value");
  await put(client, "at-last", "value");
  assert.match(await readFile(again.logFile, "utf8"), /received and saved database snapshot/);
});

test("streams come back after etcd was killed, and a removed member is told", {
  timeout: 90_000,
}, async (t) => {
  const { etcd, client, ours } = await startCluster(t, 2);
  const one = first(ours);
  const etcdId = memberId(etcd.peerUrl);
  const allConnected = async (): Promise<boolean> =>
    ours.every((our) => our.transport.isFullyConnected(etcdId));
  await eventually("all are connected", allConnected);
  await put(client, "before", "1");
  await etcd.kill();
  await eventually("the loss is seen", async () => one.transport.activeSinceMs(etcdId) === undefined);
  await eventually("we two have a leader", async () => ours.some((our) => our.isLeader), 20_000);
  const leader = ours.find((our) => our.isLeader) as PosingMember;
  leader.propose({ put: codecs.PutRequest.create({ key: utf8("meanwhile"), value: utf8("2") }) });
  await eventually("we two agree without it", async () =>
    ours.every((our) => our.valuesOf("meanwhile").length === 1),
  );

  const again = await start({
    kind: "etcd",
    ports: etcd.ports,
    dataDir: etcd.dataDir,
    env: { ETCD_VERIFY: "all" },
    flags: ["--feature-gates=InitialCorruptCheck=true", "--strict-reconfig-check=false"],
  });
  t.after(() => again.stop());
  await eventually("all are connected again", allConnected);
  assert.match(one.member.asked.join(), /hashkv \d/);
  await eventually("etcd caught up", async () => (await keyValue(client, "meanwhile")) === "2");

  const removed = ours.find((our) => !our.isLeader) as PosingMember;
  const flags = [`--endpoints=${again.endpoint}`, "member", "remove", hexId(removed.id)];
  await promisify(execFile)(await toolPath("etcdctl"), flags, { timeout: 20_000 });
  await eventually("the removed member hears of it", async () => removed.wasRemoved);
  assert.equal(first(ours.filter((our) => our !== removed)).wasRemoved, false);
});
