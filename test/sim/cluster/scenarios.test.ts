// Bugs that clusters like this one have had, each played once on purpose. The ids are those of the scenario list.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FatalError } from "../../../node/lib/fatal.ts";
import { type NodeId, nodeId } from "../../../node/lib/ids.ts";
import type { Message } from "../../../node/wire/raft.ts";
import { memberOf } from "./cluster.ts";
import { Stage, valueIn } from "./stage.ts";

function othersThan(stage: Stage, id: NodeId): NodeId[] {
  return stage.running.map((one) => one.nodeId).filter((other) => other !== id);
}

test("R1: a leader that was paused past an election serves no read from before it, though answers arrive twice and late", () => {
  const stage = new Stage({ voters: 3, duplicate: 100 });
  const old = stage.awaitLeader();
  const [other] = othersThan(stage, old.nodeId) as [NodeId];
  stage.write(other, "k", "before");
  const reads = Array.from({ length: 20 }, () => stage.read(old.nodeId, "k"));
  stage.pause(old.nodeId, 5_000);
  stage.runUntil(
    () => stage.running.some((one) => one.isLeader && one.nodeId !== old.nodeId),
    "a new leader",
  );
  stage.write(other, "k", "after");
  const late = Array.from({ length: 20 }, () => stage.read(old.nodeId, "k"));
  stage.runUntil(
    () => [...reads, ...late].every(({ outcome }) => outcome !== undefined),
    "answers to all reads",
  );
  for (const { outcome, value } of late) if (outcome?.ok === true) assert.equal(value, "after");
  const again = stage.read(old.nodeId, "k");
  stage.runUntil(() => again.outcome !== undefined, "an answer");
  assert.equal(again.value, "after");
});

test("R2: a cluster of one loses no acknowledged write, wherever the power goes", () => {
  const stage = new Stage({ voters: 1 });
  const id = stage.awaitLeader().nodeId;
  for (let i = 0; i < 100; i++) {
    stage.write(id, "k", `v${i}`);
    stage.member(id).crash(true);
    stage.member(id).start();
    stage.awaitLeader();
    assert.equal(stage.readServed(id, "k"), `v${i}`);
  }
});

test("a candidate whose term is not on disk is elected by nobody, and does not lead it twice", () => {
  const stage = new Stage({ voters: 3 });
  const leader = stage.awaitLeader();
  const slow = othersThan(stage, leader.nodeId)[0] as NodeId;
  stage.write(leader.nodeId, "k", "v");
  stage.awaitAgreement();
  stage.member(slow).diskStalledUntilMs = stage.nowMs + 600_000;
  stage.replica(leader.nodeId).transferLeadership(slow);
  stage.runFor(300);
  assert.ok(stage.sent.some(({ type, to }) => type === "MsgTimeoutNow" && to === slow));
  assert.ok(!stage.replica(slow).isLeader);
  stage.member(slow).crash(true);
  stage.member(slow).start();
  stage.awaitLeader();
  stage.awaitAgreement();
});

test("R3: a member that lost power right after its vote does not vote for another in that term", () => {
  for (let crashAfterMs = 0; crashAfterMs < 8; crashAfterMs++) {
    const stage = new Stage({ voters: 3 });
    const leader = stage.awaitLeader();
    const [voter, rival] = othersThan(stage, leader.nodeId) as [NodeId, NodeId];
    stage.write(leader.nodeId, "k", "v");
    stage.awaitAgreement();
    const term = leader.term + 5;
    stage.isolate(voter);
    const ask = (from: NodeId): void =>
      stage.member(voter).receive(voteRequest({ from, to: voter, term, lastTerm: leader.term }), undefined);
    const grants = (): readonly Message[] =>
      stage.sent.filter(
        (one) => one.type === "MsgVoteResp" && one.from === voter && one.term === term && !one.reject,
      );
    // Nobody is voted for while a leader is heard of.
    stage.runFor(3_000);
    ask(leader.nodeId);
    stage.runFor(crashAfterMs);
    const hadVoted = grants().length > 0;
    stage.member(voter).crash(true);
    stage.member(voter).start();
    ask(rival);
    stage.runFor(20);
    const granted = new Set(grants().map(({ to }) => to));
    assert.ok(granted.size <= 1, `crash after ${crashAfterMs} ms: voted for ${[...granted]}`);
    if (crashAfterMs >= 6) assert.ok(hadVoted, "the vote was cast before the crash");
  }
});

function voteRequest(fields: { from: NodeId; to: NodeId; term: number; lastTerm: number }): Message {
  return {
    type: "MsgVote",
    from: fields.from,
    to: fields.to,
    term: fields.term,
    logTerm: fields.lastTerm,
    index: 1_000,
    entries: [],
    commit: 0,
    vote: nodeId(0n),
    snapshot: undefined,
    reject: false,
    rejectHint: 0,
    // "Campaign by transfer": a leader that is still heard of does not count.
    context: new TextEncoder().encode("CampaignTransfer"),
    responses: [],
  };
}

test("R4: a read on a new leader sees everything that was acknowledged under the one before", () => {
  const stage = new Stage({ voters: 3 });
  for (let round = 0; round < 10; round++) {
    const old = stage.awaitLeader();
    stage.write(old.nodeId, "k", `v${round}`);
    stage.isolate(old.nodeId);
    stage.runUntil(
      () => stage.running.some((one) => one.isLeader && one.nodeId !== old.nodeId),
      "a new leader",
    );
    const next = stage.running.find((one) => one.isLeader && one.nodeId !== old.nodeId);
    assert.ok(next !== undefined);
    const read = stage.read(next.nodeId, "k");
    stage.runUntil(() => read.outcome !== undefined, "a read");
    if (read.outcome?.ok === true) assert.equal(read.value, `v${round}`);
    stage.network.mend();
    stage.runFor(3_000);
  }
});

for (const [name, isOneWay] of [
  ["two members that do not hear each other", false],
  ["a member that one other does not hear", true],
] as const) {
  test(`R5: ${name} cause no endless elections`, () => {
    const stage = new Stage({ voters: 3 });
    const leader = stage.awaitLeader();
    const [follower] = othersThan(stage, leader.nodeId) as [NodeId];
    stage.network.cut(follower, leader.nodeId);
    if (!isOneWay) stage.network.cut(leader.nodeId, follower);
    // At most the one change that gets round the broken link.
    stage.runFor(3 * 2_000);
    const settled = stage.awaitLeader();
    const { term } = settled;
    stage.runFor(60_000);
    assert.ok(stage.awaitLeader().term - term < 2, "fewer than two leader changes in a minute");
    stage.write(stage.awaitLeader().nodeId, "k", "goes on");
  });
}

test("R8: of two membership changes by different leaders only one happens, and all agree on it", () => {
  const stage = new Stage({ voters: 3 });
  const old = stage.awaitLeader();
  stage.awaitAgreement();
  stage.isolate(old.nodeId);
  old.proposeChange({ kind: "add", member: memberOf(nodeId(8n), false) }, () => {});
  stage.runUntil(
    () => stage.running.some((one) => one.isLeader && one.nodeId !== old.nodeId),
    "a new leader",
  );
  const next = stage.running.find((one) => one.isLeader && one.nodeId !== old.nodeId);
  assert.ok(next !== undefined);
  const read = stage.read(next.nodeId, "k");
  stage.runUntil(() => read.outcome !== undefined, "an entry of its own term");
  stage.change(next, { kind: "add", member: memberOf(nodeId(9n), true) });
  stage.network.mend();
  stage.runFor(5_000);
  stage.awaitAgreement();
  for (const replica of stage.running) {
    assert.deepEqual(
      replica.members.list().map(({ id }) => id),
      [1n, 2n, 3n, 9n].map(nodeId),
    );
  }
});

test("R12: a leader without a quorum takes a bounded number of requests, answers them all, and goes on afterwards", () => {
  const stage = new Stage({ voters: 3 });
  const leader = stage.awaitLeader();
  const others = othersThan(stage, leader.nodeId);
  for (const other of others) stage.member(other).crash(false);
  const answers: ReturnType<Stage["put"]>[] = [];
  for (let i = 0; i < 200; i++) {
    answers.push(stage.put(leader.nodeId, "k", `lost${i}`));
    stage.runFor(50);
  }
  stage.runUntil(() => answers.every(({ isOver }) => isOver), "an answer to every request");
  assert.equal(leader.pendingProposals, 0);
  for (const other of others) stage.member(other).start();
  stage.write(stage.awaitLeader().nodeId, "k", "goes on");
  stage.awaitAgreement();
});

test("R14: a follower whose answer to a snapshot was lost catches up, though the log has moved on", () => {
  let isLosing = true;
  const stage = new Stage({
    voters: 3,
    settings: { snapshotCount: 10, snapshotCatchupEntries: 1, flushIntervalMs: 20 },
    passes: ({ type, from }) => !(isLosing && type === "MsgAppResp" && from === lagging),
  });
  const leader = stage.awaitLeader();
  const [other] = othersThan(stage, leader.nodeId) as [NodeId];
  const lagging = other;
  stage.member(lagging).crash(false);
  for (let i = 0; i < 60; i++) stage.write(leader.nodeId, `k${i % 5}`, `v${i}`);
  stage.runFor(2_000);
  stage.member(lagging).start();
  stage.runUntil(
    () => stage.sent.some(({ type, to }) => type === "MsgSnap" && to === lagging),
    "a snapshot is sent",
  );
  stage.runFor(1_000);
  for (let i = 0; i < 60; i++) stage.write(leader.nodeId, `k${i % 5}`, `w${i}`);
  isLosing = false;
  stage.awaitAgreement();
  assert.equal(valueIn(stage.replica(lagging), "k4"), "w59");
});

test("W2, CFG: a bit changed in a voter's log is refused with the file as it was, and a replacement has everything", () => {
  const stage = new Stage({ voters: 3 });
  const leader = stage.awaitLeader();
  for (let i = 0; i < 30; i++) stage.write(leader.nodeId, `k${i}`, "v");
  const [victim] = othersThan(stage, leader.nodeId) as [NodeId];
  const member = stage.member(victim);
  member.crash(false);
  assert.ok(member.flipLogBit());
  const before = member.disk.files();
  assert.throws(
    () => member.start(),
    (error) => error instanceof FatalError && error.reason === "WAL_DAMAGED",
  );
  assert.deepEqual(member.disk.files(), before);
  stage.change(leader, { kind: "remove", id: victim });
  const fresh = nodeId(4n);
  stage.change(leader, { kind: "add", member: memberOf(fresh, true) });
  stage.add(fresh).start();
  stage.awaitAgreement();
  stage.change(leader, { kind: "promote", id: fresh });
  stage.awaitAgreement();
  for (let i = 0; i < 30; i++) assert.equal(valueIn(stage.replica(fresh), `k${i}`), "v");
});

test("W7: two snapshots in quick succession leave a follower that runs, and starts again", () => {
  const stage = new Stage({
    voters: 3,
    settings: { snapshotCount: 10, snapshotCatchupEntries: 1, flushIntervalMs: 20 },
    duplicate: 100,
  });
  const leader = stage.awaitLeader();
  const [lagging] = othersThan(stage, leader.nodeId) as [NodeId];
  for (let round = 0; round < 5; round++) {
    stage.isolate(lagging);
    for (let i = 0; i < 40; i++) stage.write(leader.nodeId, `k${i % 5}`, `v${round}.${i}`);
    stage.runFor(1_000);
    stage.network.mend();
    stage.runFor(100 * (round + 1));
  }
  stage.awaitAgreement();
  assert.ok(stage.sent.filter(({ type }) => type === "MsgSnap").length >= 2, "two snapshots were sent");
  stage.member(lagging).crash(true);
  stage.member(lagging).start();
  stage.awaitLeader();
  stage.awaitAgreement();
});

test("a leader whose process is seen to end is followed by another before an election timeout has passed", () => {
  const stage = new Stage({ voters: 3 });
  const gone = stage.awaitLeader();
  const survivors = othersThan(stage, gone.nodeId) as [NodeId, NodeId];
  stage.write(gone.nodeId, "k", "before");
  stage.awaitAgreement();
  // Early in the lease that both give it.
  stage.runFor(20);
  const { term } = gone;
  stage.member(gone.nodeId).crash(false);
  for (const id of survivors) stage.replica(id).reportGone(gone.nodeId);
  const goneMs = stage.nowMs;
  const next = stage.awaitLeader();
  assert.ok(stage.nowMs - goneMs < 500, `${stage.nowMs - goneMs} ms of the cluster's time`);
  assert.equal(next.term, term + 1);
  assert.equal(next.nodeId, survivors[0], "the one with the lowest id");
  stage.write(next.nodeId, "k", "after");
});

test("a leader that is well leads on, and in the same term, whatever one member or all others have heard", () => {
  const stage = new Stage({ voters: 3 });
  const leader = stage.awaitLeader();
  const [one, two] = othersThan(stage, leader.nodeId) as [NodeId, NodeId];
  const { term } = leader;
  stage.replica(one).reportGone(leader.nodeId);
  stage.runFor(2_000);
  assert.ok(leader.isLeader && leader.term === term);
  assert.equal(stage.replica(one).leader, leader.nodeId);
  // Nobody but the leader's followers is meant.
  stage.replica(one).reportGone(two);
  leader.reportGone(one);
  leader.reportGone(leader.nodeId);
  stage.runFor(2_000);
  assert.ok(leader.isLeader && leader.term === term);
  for (const id of [one, two]) stage.replica(id).reportGone(leader.nodeId);
  stage.runFor(2_000);
  assert.ok(stage.running.some(({ isLeader }) => isLeader));
  stage.write(one, "k", "v");
});
