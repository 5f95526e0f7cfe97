import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../lib/bytes.ts";
import { leaseId, nodeId } from "../lib/ids.ts";
import { PeerCalls } from "./peer-calls.ts";
import type { HashKvAnswer, MemberPort, PromoteAnswer, RenewAnswer, TimeToLiveAnswer } from "./port.ts";
import { clusterId, startMember } from "./testing/members.ts";

test("every answer of a member comes out as it went in", async (t) => {
  let hash: HashKvAnswer = { ok: false, reason: "compacted" };
  let promotion: PromoteAnswer = { ok: false, reason: "notFound" };
  let renewal: RenewAnswer = { ok: false, reason: "notFound" };
  let lookUp: TimeToLiveAnswer = { ok: false, reason: "notFound" };
  let clusterVersion: string | undefined;
  const asked: unknown[] = [];
  const member: MemberPort = {
    clusterVersion: () => clusterVersion,
    storageVersion: () => "3.6.0",
    membersJson: () => "[]",
    promote: async (id, authorization) => {
      asked.push([id, authorization]);
      return promotion;
    },
    hashKv: async (revision) => {
      asked.push(revision);
      return hash;
    },
    renewLease: async (id) => {
      asked.push(id);
      return renewal;
    },
    leaseTimeToLive: async (id, withKeys) => {
      asked.push([id, withKeys]);
      return lookUp;
    },
    isDowngradeEnabled: async () => ({ ok: true, isEnabled: true }),
  };
  const one = await startMember(t, 1, { member });
  const two = await startMember(t, 2);
  const calls = new PeerCalls(two.transport.settings);
  const url = new URL(one.url);

  assert.deepEqual(await calls.members(url), { clusterId, membersJson: "[]" });
  assert.deepEqual(await calls.versions(url), { server: "3.6.14", cluster: undefined });
  clusterVersion = "3.6.0";
  assert.deepEqual(await calls.versions(url), { server: "3.6.14", cluster: "3.6.0" });
  assert.equal(await calls.isDowngradeEnabled(url), true);

  const hashes: readonly HashKvAnswer[] = [
    { ok: false, reason: "compacted" },
    { ok: false, reason: "futureRevision" },
    { ok: true, currentRevision: 9, hash: 0xffff_ffff, compactRevision: -1, hashRevision: 0 },
  ];
  for (hash of hashes) assert.deepEqual(await calls.hashKv(url, 5), hash);
  const promotions: readonly PromoteAnswer[] = [
    { ok: true, membersJson: "[]" },
    { ok: false, reason: "notFound" },
    { ok: false, reason: "notLearner" },
    { ok: false, reason: "notReady" },
    { ok: false, reason: "other", text: "etcdserver: no leader" },
  ];
  for (promotion of promotions) assert.deepEqual(await calls.promote(url, nodeId(7), "token"), promotion);
  const renewals: readonly RenewAnswer[] = [
    { ok: true, ttlSeconds: 60 },
    { ok: false, reason: "notFound" },
    { ok: false, reason: "applyTimeout" },
    { ok: false, reason: "notPrimary" },
  ];
  for (renewal of renewals) assert.deepEqual(await calls.renewLease(url, leaseId(-7)), renewal);
  const lookUps: readonly TimeToLiveAnswer[] = [
    { ok: true, ttlSeconds: 1, grantedTtlSeconds: 60, keys: [utf8("a"), utf8("b")] },
    { ok: false, reason: "notFound" },
    { ok: false, reason: "notPrimary" },
  ];
  for (lookUp of lookUps) assert.deepEqual(await calls.leaseTimeToLive(url, leaseId(8), true), lookUp);
  assert.deepEqual(asked[0], 5);
  assert.deepEqual(asked[3], [nodeId(7), "token"]);
  assert.deepEqual(asked.at(-1), [leaseId(8), true]);
});

test("a member of another cluster gives no hash, and who is not there gives nothing", async (t) => {
  const one = await startMember(t, 1, { clusterId: 1n });
  const two = await startMember(t, 2);
  const calls = new PeerCalls(two.transport.settings);
  assert.deepEqual(await calls.hashKv(new URL(one.url), 0), { ok: false, reason: "clusterMismatch" });
  await assert.rejects(calls.members(new URL("http://127.0.0.1:1")), /ECONNREFUSED/);
});
