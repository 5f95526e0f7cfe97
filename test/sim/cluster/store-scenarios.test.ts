// Bugs of stores, logs, watches and leases in clusters like this one, each played once on purpose. The ids are those of
// the scenario list.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type LeaseId, leaseId, type NodeId } from "../../../node/lib/ids.ts";
import { SeededRandom } from "../../../node/lib/random.ts";
import type { WatchStream } from "../../../node/mvcc/watch-stream.ts";
import type { Replica } from "../../../node/replica/replica.ts";
import { codecs } from "../../../node/wire/codecs.ts";
import { Stage, valueIn } from "./stage.ts";

/** Stores travel soon, and the log is short. */
const shortLog = { snapshotCount: 10, snapshotCatchupEntries: 1, flushIntervalMs: 20 };
const everyKey = Uint8Array.of(0);

function followerOf(stage: Stage, leader: Replica): NodeId {
  const follower = stage.running.find((one) => one.nodeId !== leader.nodeId);
  assert.ok(follower !== undefined);
  return follower.nodeId;
}

test("W1: power cut in the middle of an append leaves a member that starts, with everything acknowledged", () => {
  const stage = new Stage({ voters: 1, settings: { logStepMsMax: 4 } });
  const id = stage.awaitLeader().nodeId;
  const random = new SeededRandom(11);
  let torn = 0;
  for (let i = 0; i < 150; i++) {
    stage.write(id, "k", `v${i}`);
    const last = stage.put(id, "last", `${i}`.padEnd(random.below(3_000), "."));
    stage.runFor(random.below(6));
    stage.member(id).crash(true);
    stage.member(id).start();
    stage.awaitLeader();
    assert.equal(stage.readServed(id, "k"), `v${i}`);
    if (last.revision !== undefined) assert.ok(stage.readServed(id, "last")?.startsWith(`${i}`));
    else torn++;
  }
  assert.ok(torn > 20, `${torn} appends were under way`);
});

test("W4: power cut at any moment of a store's installation leaves a member that starts and catches up", () => {
  for (let crashAfterMs = 0; crashAfterMs <= 600; crashAfterMs += 20) {
    const stage = new Stage({ voters: 3, settings: shortLog });
    const leader = stage.awaitLeader();
    const lagging = followerOf(stage, leader);
    stage.isolate(lagging);
    for (let i = 0; i < 30; i++) stage.write(leader.nodeId, `k${i % 5}`, `v${i}`);
    stage.runFor(500);
    stage.network.mend();
    stage.runUntil(
      () => stage.sent.some(({ type, to }) => type === "MsgSnap" && to === lagging),
      "a store is sent",
    );
    stage.runFor(crashAfterMs);
    stage.member(lagging).crash(true);
    stage.member(lagging).start();
    stage.awaitAgreement();
    assert.equal(valueIn(stage.replica(lagging), "k4"), "v29", `crash after ${crashAfterMs} ms`);
  }
});

test("a member stands by all that it acknowledged while a received store waits for a flush", () => {
  const stage = new Stage({ voters: 3, settings: { ...shortLog, flushMsMax: 3_000 } });
  const leader = stage.awaitLeader();
  const lagging = followerOf(stage, leader);
  const member = stage.member(lagging);
  let appended = 0;
  for (let round = 0; round < 10; round++) {
    stage.write(leader.nodeId, "before", `${round}`);
    member.crash(false);
    for (let i = 0; i < 30; i++) stage.write(leader.nodeId, `k${i % 5}`, `${round}/${i}`);
    stage.runFor(7_000);
    // What it had applied and not flushed it applies again, so a flush is under way when the store comes.
    member.start();
    stage.runUntil(() => stage.replica(lagging).isInstalling, "a store is installed");
    for (let i = 0; stage.replica(lagging).isInstalling; i++) {
      const { lastIndex } = member;
      stage.write(leader.nodeId, "meanwhile", `${round}/${i}`);
      stage.runFor(150);
      if (member.lastIndex > lastIndex) appended++;
    }
    stage.awaitAgreement();
  }
  assert.ok(appended > 0, "entries came while a store was installed");
});

test("a vote that is asked for in the same turn as a store arrives leaves once the store is installed", () => {
  const stage = new Stage({ voters: 3, settings: shortLog });
  const leader = stage.awaitLeader();
  const lagging = followerOf(stage, leader);
  stage.isolate(lagging);
  for (let i = 0; i < 30; i++) stage.write(leader.nodeId, `k${i % 5}`, `v${i}`);
  stage.runFor(500);
  const member = stage.member(lagging);
  const replica = stage.replica(lagging);
  const receive = member.receive.bind(member);
  let term = 0;
  let index = 0;
  // It is asked to lead, and hears of the leader of the very term that it campaigns for, before it has sent anything.
  member.receive = (message, store) => {
    if (message.type !== "MsgSnap" || term > 0) {
      receive(message, store);
      return;
    }
    term = replica.term + 1;
    index = message.snapshot?.metadata.index ?? 0;
    replica.receive({ ...message, type: "MsgTimeoutNow", snapshot: undefined, term: replica.term });
    receive({ ...message, term }, store);
    assert.ok(replica.isInstalling);
  };
  const requests = (): number =>
    stage.sent.filter((one) => one.type === "MsgVote" && one.from === lagging && one.term === term).length;
  stage.network.mend();
  stage.runUntil(() => replica.isInstalling, "a store arrives");
  stage.runUntil(() => !replica.isInstalling || requests() > 0, "it is installed");
  assert.deepEqual([replica.isInstalling, replica.appliedIndex >= index, requests()], [false, true, 2]);
  stage.awaitAgreement();
});

test("M1: members killed at random moments under load never differ at the same index", () => {
  const stage = new Stage({ voters: 3, settings: { ...shortLog, snapshotCount: 50, logStepMsMax: 5 } });
  const random = new SeededRandom(3);
  stage.awaitLeader();
  let acknowledged = 0;
  for (let round = 0; round < 150; round++) {
    const puts = stage.running.map(({ nodeId: id }, i) => stage.put(id, `k${i}`, `${round}`));
    stage.runFor(random.below(80));
    const victim = stage.running[random.below(stage.running.length)] as Replica;
    stage.member(victim.nodeId).crash(random.below(2) === 0);
    stage.runFor(random.below(30));
    stage.agreement.equalHashes(stage.running);
    stage.member(victim.nodeId).start();
    stage.runFor(random.below(400));
    stage.agreement.equalHashes(stage.running);
    acknowledged += puts.filter(({ revision }) => revision !== undefined).length;
  }
  assert.ok(acknowledged > 100, `${acknowledged} puts were acknowledged`);
  stage.awaitAgreement();
});

test("a membership change that Raft does not take begins no lease anew", () => {
  const stage = new Stage({ voters: 1 });
  const { nodeId: id } = stage.awaitLeader();
  grant(stage, id, leaseId(1n), 10);
  stage.runFor(5_000);
  const replica = stage.replica(id);
  const { appliedIndex } = replica;
  const update = (port: number): void =>
    replica.proposeChange({ kind: "update", id, peerUrls: [`http://m${id}:${port}`] }, () => {});
  update(1);
  update(2);
  // The second one while the first is not applied: it becomes an empty entry, as a term begins with.
  stage.runUntil(() => replica.appliedIndex >= appliedIndex + 2, "both are applied");
  const status = replica.lessor.status(leaseId(1n), stage.member(id).nowMs());
  assert.ok(status !== undefined && status.remainingSeconds <= 5, `${status?.remainingSeconds} s are left`);
});

test("R17: leases are the same when the log is applied again after a restart, and after another one", () => {
  const stage = new Stage({ voters: 1, settings: { flushIntervalMs: 1_000_000 } });
  const id = stage.awaitLeader().nodeId;
  grant(stage, id, leaseId(1n), 100);
  grant(stage, id, leaseId(2n), 100);
  stage.write(id, "kept", "v", leaseId(1n));
  stage.write(id, "gone", "v", leaseId(2n));
  ask(stage, id, { leaseRevoke: codecs.LeaseRevokeRequest.create({ ID: leaseId(2n) }) });
  const facts = (replica: Replica): unknown => [
    replica.lessor.leases(),
    replica.store.currentRevision,
    valueIn(replica, "kept"),
    valueIn(replica, "gone"),
  ];
  const before = facts(stage.replica(id));
  assert.deepEqual(before, [[1n], 4, "v", undefined]);
  for (let restart = 0; restart < 2; restart++) {
    stage.member(id).crash(false);
    stage.member(id).start();
    stage.readServed(id, "kept");
    assert.deepEqual(facts(stage.replica(id)), before);
  }
});

for (const isCompacted of [false, true]) {
  const end = isCompacted ? "is told from where on it may go on" : "sees every revision once and in order";
  test(`M5: a watcher on a follower that is brought up by a ${isCompacted ? "compacted " : ""}store ${end}`, () => {
    const stage = new Stage({ voters: 3, settings: shortLog });
    const leader = stage.awaitLeader();
    const lagging = followerOf(stage, leader);
    for (let i = 0; i < 5; i++) stage.write(leader.nodeId, "k", `before ${i}`);
    stage.awaitAgreement();
    const first = stage.replica(lagging).store.currentRevision + 1;
    const streams = [0, first - 3, first + 200].map((start) => watchAll(stage, lagging, start));
    stage.isolate(lagging);
    for (let i = 0; i < 60; i++) stage.write(leader.nodeId, `k${i % 5}`, `v${i}`);
    const compactRevision = isCompacted ? first + 50 : 0;
    if (isCompacted)
      ask(stage, leader.nodeId, { compaction: { revision: compactRevision, physical: false } });
    stage.runFor(1_000);
    stage.network.mend();
    stage.awaitAgreement();
    assert.ok(
      stage.sent.some(({ type, to }) => type === "MsgSnap" && to === lagging),
      "a store was sent",
    );
    const last = stage.write(leader.nodeId, "k", "after");
    stage.awaitAgreement();
    stage.runFor(1_000);
    const [fresh, early, future] = streams.map(readAll);
    assert.deepEqual(future, { revisions: [], compactRevision: 0 }, "nothing is told before its time");
    assert.equal(fresh?.compactRevision, compactRevision);
    assert.equal(early?.compactRevision, compactRevision);
    const until = isCompacted ? first - 1 : last;
    assert.deepEqual(fresh?.revisions, span(first, until));
    assert.deepEqual(early?.revisions, span(first - 3, until));
  });
}

for (const isCutOff of [true, false]) {
  const name = isCutOff ? "is deposed" : "goes on to lead";
  test(`L1: a leader whose disk stalls for longer than a lease lives, and ${name}, ends no lease that is renewed`, () => {
    const stage = new Stage({ voters: 3 });
    const old = stage.awaitLeader();
    const ttlSeconds = 4;
    const lease = leaseId(7n);
    grant(stage, old.nodeId, lease, ttlSeconds);
    stage.write(old.nodeId, "session", "mine", lease);
    stage.member(old.nodeId).diskStalledUntilMs = stage.nowMs + 5 * ttlSeconds * 1000;
    if (isCutOff) {
      stage.isolate(old.nodeId);
      stage.runUntil(
        () => stage.running.some((one) => one.isLeader && one.nodeId !== old.nodeId),
        "another leader",
      );
    }
    for (let elapsedMs = 0; elapsedMs < 8 * ttlSeconds * 1000; elapsedMs += 500) {
      if (elapsedMs === 3 * ttlSeconds * 1000) stage.network.mend();
      renew(stage, lease, ttlSeconds);
      stage.runFor(500);
    }
    stage.awaitAgreement();
    for (const replica of stage.running) {
      assert.deepEqual(replica.lessor.leases(), [lease]);
      assert.equal(valueIn(replica, "session"), "mine");
    }
  });
}

/** Proposes, and waits until it is applied. */
function ask(stage: Stage, id: NodeId, operation: Parameters<Replica["propose"]>[0]): void {
  let isApplied = false;
  stage.replica(id).propose(operation, (outcome) => {
    assert.ok(
      outcome.ok,
      JSON.stringify(operation, (_, value) => `${value}`),
    );
    isApplied = true;
  });
  stage.runUntil(() => isApplied, "an answer");
}

function grant(stage: Stage, id: NodeId, lease: LeaseId, ttlSeconds: number): void {
  ask(stage, id, { leaseGrant: codecs.LeaseGrantRequest.create({ ID: lease, TTL: ttlSeconds }) });
}

/** At whoever leads and can show it; asked again until it is answered. */
function renew(stage: Stage, lease: LeaseId, ttlSeconds: number): void {
  let isAnswered = false;
  const attempt = (): void => {
    for (const leader of stage.running.filter(({ isLeader }) => isLeader)) {
      leader.readBarrier((outcome) => {
        if (!outcome.ok || !leader.isLeader) return;
        const renewal = leader.lessor.renew(lease, stage.member(leader.nodeId).nowMs());
        if (!renewal.ok && renewal.reason === "not primary") return;
        assert.deepEqual(renewal, { ok: true, ttlSeconds, hasCheckpoint: false });
        isAnswered = true;
      });
    }
    if (!isAnswered) stage.after(200, attempt);
  };
  attempt();
  stage.runUntil(() => isAnswered, "a renewal");
}

function watchAll(stage: Stage, id: NodeId, startRevision: number): WatchStream {
  const stream = stage.replica(id).hub.openStream(() => {}, stage.nowMs);
  stream.create({
    key: everyKey,
    rangeEnd: everyKey,
    startRevision,
    progressNotify: true,
    filters: [],
    prevKv: false,
    watchId: 0n,
    fragment: false,
  });
  return stream;
}

/** The revisions of all events, as they came, and of the compaction that ended the watch. */
function readAll(stream: WatchStream): { readonly revisions: number[]; readonly compactRevision: number } {
  const revisions: number[] = [];
  let compactRevision = 0;
  for (let next = stream.next(); next !== undefined; next = stream.next()) {
    for (const bytes of next.events) revisions.push(codecs.Event.decode(bytes).kv?.modRevision ?? 0);
    compactRevision = Math.max(compactRevision, next.compactRevision);
  }
  return { revisions, compactRevision };
}

function span(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
