import assert from "node:assert/strict";
import { test } from "node:test";
import { AssertionFailure, must } from "../lib/assert.ts";
import { textOf, utf8 } from "../lib/bytes.ts";
import { type NodeId, nodeId, noNode } from "../lib/ids.ts";
import { SeededRandom } from "../lib/random.ts";
import type { Entry, Message } from "../wire/raft.ts";
import { confChangeOf } from "./conf-change.ts";
import { emptyConfState } from "./conf-state.ts";
import type { RaftConfig } from "./config.ts";
import { noLimit } from "./entry-size.ts";
import { MemoryStorage } from "./memory-storage.ts";
import { appendThread, newMessage } from "./message.ts";
import { RawNode } from "./raw-node.ts";
import type { Ready } from "./ready.ts";

const one = nodeId(1);
const two = nodeId(2);
const three = nodeId(3);

interface Driven {
  readonly node: RawNode;
  readonly storage: MemoryStorage;
  /** Everything applied so far. */
  readonly applied: Entry[];
  /** Everything sent so far, by the disk or not. */
  readonly sent: Message[];
  readonly readies: Ready[];
}

/** A member that starts from an empty state machine at index 1 of term 1. */
function start(voters: readonly NodeId[], options: Partial<RaftConfig> = {}): Driven {
  const storage = new MemoryStorage();
  storage.applySnapshot({
    data: utf8(""),
    metadata: { confState: { ...emptyConfState, voters }, index: 1, term: 1 },
  });
  const config: RaftConfig = {
    id: one,
    electionTicks: 10,
    heartbeatTicks: 1,
    storage,
    random: new SeededRandom(1),
    messageBytesMax: noLimit,
    inflightMessagesMax: 256,
    ...options,
  };
  return { node: new RawNode(config), storage, applied: [], sent: [], readies: [] };
}

/** Does all the work that is there, with an instant disk. */
function run(member: Driven): void {
  while (member.node.hasReady()) {
    const ready = member.node.ready();
    if (ready.hardState !== undefined) member.storage.setHardState(ready.hardState);
    if (ready.snapshot !== undefined) member.storage.applySnapshot(ready.snapshot);
    member.storage.append(ready.entries);
    for (const entry of ready.committedEntries) {
      if (entry.type !== "EntryNormal") {
        const change = confChangeOf(entry);
        if (change !== undefined) member.node.applyConfChange(change);
      }
      member.applied.push(entry);
    }
    member.sent.push(...ready.messages, ...ready.messagesAfterAppend);
    member.readies.push(ready);
    member.node.advance();
  }
}

function lead(voters: readonly NodeId[], options: Partial<RaftConfig> = {}): Driven {
  const member = start(voters, options);
  member.node.campaign();
  run(member);
  const { term } = member.node.basicStatus().hardState;
  for (const from of voters) {
    if (from !== one) member.node.step(newMessage({ type: "MsgVoteResp", to: one, from, term }));
  }
  run(member);
  assert.equal(member.node.basicStatus().state, "StateLeader");
  return member;
}

function follow(voters: readonly NodeId[], leader: NodeId, options: Partial<RaftConfig> = {}): Driven {
  const member = start(voters, options);
  member.node.step(newMessage({ type: "MsgHeartbeat", to: one, from: leader, term: 2 }));
  run(member);
  return member;
}

function acknowledge(member: Driven, from: NodeId, index: number): void {
  const { term } = member.node.basicStatus().hardState;
  member.node.step(newMessage({ type: "MsgAppResp", to: one, from, term, index }));
  run(member);
}

function texts(entries: readonly Entry[]): string[] {
  return entries.map((entry) => textOf(entry.data)).filter((text) => text !== "");
}

test("what is said of entries beyond the log is refused, and changes nothing", () => {
  const follower = start([one, two, three]);
  const before = follower.node.status();
  const heartbeat = newMessage({ type: "MsgHeartbeat", to: one, from: two, term: 9, commit: 2 });
  assert.equal(follower.node.step(heartbeat), "beyondLog");
  assert.deepEqual(follower.node.status(), before);
  assert.equal(follower.node.step({ ...heartbeat, commit: 1 }), "accepted");
  assert.equal(
    follower.node.step({ ...heartbeat, term: 8 }),
    "accepted",
    "it is answered with the newer term",
  );

  const leader = lead([one, two, three]);
  const { term } = leader.node.basicStatus().hardState;
  const last = leader.node.lastIndex();
  const leading = leader.node.status();
  const acknowledgement = newMessage({ type: "MsgAppResp", to: one, from: two, term, index: last + 1 });
  assert.equal(leader.node.step(acknowledgement), "beyondLog");
  assert.deepEqual(leader.node.status(), leading);
  assert.equal(leader.node.step({ ...acknowledgement, index: last }), "accepted");
  assert.equal(leader.node.status().progress[1]?.match, last);
});

test("an only voter commits and applies what it proposes", () => {
  const member = lead([one]);
  assert.equal(member.node.propose(utf8("a")), "accepted");
  assert.equal(member.node.proposeAll([utf8("b"), utf8("c")]), "accepted");
  run(member);
  assert.deepEqual(texts(member.applied), ["a", "b", "c"]);
  assert.equal(member.node.basicStatus().applied, 5);
});

test("a leader commits only entries of its own term", () => {
  const member = start([one, two, three]);
  member.storage.append([{ type: "EntryNormal", term: 1, index: 2, data: utf8("old") }]);
  member.storage.setHardState({ term: 1, vote: noNode, commit: 1 });
  const reopened = { ...member, node: new RawNode({ ...configOf(member), applied: 1 }) };
  reopened.node.campaign();
  run(reopened);
  const { term } = reopened.node.basicStatus().hardState;
  reopened.node.step(newMessage({ type: "MsgVoteResp", to: one, from: two, term }));
  run(reopened);
  acknowledge(reopened, two, 2);
  assert.equal(reopened.node.basicStatus().hardState.commit, 1);
  acknowledge(reopened, two, 3);
  assert.equal(reopened.node.basicStatus().hardState.commit, 3);
  assert.deepEqual(texts(reopened.applied), ["old"]);
});

function configOf(member: Driven): RaftConfig {
  return {
    id: one,
    electionTicks: 10,
    heartbeatTicks: 1,
    storage: member.storage,
    random: new SeededRandom(1),
    messageBytesMax: noLimit,
    inflightMessagesMax: 256,
  };
}

test("answers that promise durability wait for the disk and requests do not", () => {
  const member = start([one, two, three]);
  member.node.step(newMessage({ type: "MsgVote", to: one, from: two, term: 2, logTerm: 1, index: 1 }));
  const ready = member.node.ready();
  assert.deepEqual(ready.messages, []);
  assert.deepEqual(
    ready.messagesAfterAppend.map(({ type, to, reject }) => ({ type, to, reject })),
    [{ type: "MsgVoteResp", to: two, reject: false }],
  );
  assert.equal(ready.mustSync, true);
  assert.deepEqual(ready.hardState, { term: 2, vote: two, commit: 1 });
  assert.throws(() => member.node.ready(), AssertionFailure);
  member.node.advance();
});

test("with async writes promises are responses of the append message", () => {
  const member = start([one, two, three], { asyncStorageWrites: true });
  member.node.step(newMessage({ type: "MsgVote", to: one, from: two, term: 2, logTerm: 1, index: 1 }));
  const ready = member.node.ready();
  assert.deepEqual(ready.messages, []);
  assert.deepEqual(ready.messagesAfterAppend, []);
  assert.equal(ready.storageMessages.length, 1);
  const [append] = ready.storageMessages;
  assert.equal(append?.type, "MsgStorageAppend");
  assert.deepEqual(
    append?.responses.map(({ type, to }) => ({ type, to })),
    [{ type: "MsgVoteResp", to: two }],
  );
  assert.equal(member.node.hasReady(), false);
});

test("a member votes once a term, and for no candidate whose log is behind", () => {
  const member = start([one, two, three]);
  const request = (from: NodeId, term: number, index: number): Message =>
    newMessage({ type: "MsgVote", to: one, from, term, logTerm: 1, index });
  const grants = (): boolean[] => {
    run(member);
    return member.sent.splice(0).map((message) => !message.reject);
  };
  member.node.step(request(two, 2, 0));
  assert.deepEqual(grants(), [false]);
  member.node.step(request(three, 2, 1));
  assert.deepEqual(grants(), [true]);
  member.node.step(request(two, 2, 1));
  assert.deepEqual(grants(), [false]);
  member.node.step(request(three, 2, 1));
  assert.deepEqual(grants(), [true]);
});

test("a candidate of an older term is told the newer one, and asks again in the next", () => {
  const voters = [one, two, three];
  const candidate = start(voters, { checkQuorum: true });
  const ahead = start(voters, { id: three, checkQuorum: true });
  ahead.node.step(newMessage({ type: "MsgHeartbeat", to: three, from: two, term: 7 }));
  run(ahead);
  ahead.sent.length = 0;

  const requestOf = (): Message => {
    candidate.node.campaign();
    run(candidate);
    return must(
      candidate.sent.splice(0).find(({ to }) => to === three),
      "it asks every other voter",
    );
  };
  ahead.node.step(requestOf());
  run(ahead);
  const answer = must(ahead.sent.shift(), "a request is answered");
  assert.deepEqual([answer.type, answer.reject, answer.term], ["MsgVoteResp", true, 7]);
  candidate.node.step(answer);
  run(candidate);
  assert.equal(requestOf().term, 8);
});

test("a vote survives a restart", () => {
  const member = start([one, two, three]);
  member.node.step(newMessage({ type: "MsgVote", to: one, from: two, term: 2, logTerm: 1, index: 1 }));
  run(member);
  const reopened = new RawNode(configOf(member));
  reopened.step(newMessage({ type: "MsgVote", to: one, from: three, term: 2, logTerm: 1, index: 1 }));
  assert.deepEqual(
    reopened.ready().messagesAfterAppend.map(({ reject }) => reject),
    [true],
  );
});

test("a follower whose leader is silent campaigns between one and two election timeouts", () => {
  const timeouts = new Set<number>();
  for (let seed = 0; seed < 200; seed++) {
    const member = start([one, two, three], { random: new SeededRandom(seed) });
    let ticks = 0;
    while (member.node.basicStatus().state === "StateFollower") {
      member.node.tick();
      ticks++;
    }
    timeouts.add(ticks);
  }
  assert.equal(Math.min(...timeouts), 10);
  assert.equal(Math.max(...timeouts), 19);
});

test("a pre-vote that nobody grants leaves term and vote alone", () => {
  const member = start([one, two, three], { preVote: true });
  member.node.campaign();
  run(member);
  assert.equal(member.node.basicStatus().state, "StatePreCandidate");
  assert.deepEqual(
    member.sent.map(({ type, term }) => ({ type, term })),
    [
      { type: "MsgPreVote", term: 1 },
      { type: "MsgPreVote", term: 1 },
    ],
  );
  assert.equal(member.node.basicStatus().hardState.term, 0);
  for (const from of [two, three]) {
    member.node.step(newMessage({ type: "MsgPreVoteResp", to: one, from, term: 0, reject: true }));
  }
  assert.equal(member.node.basicStatus().state, "StateFollower");
  assert.equal(member.node.basicStatus().hardState.term, 0);
});

test("a follower that hears of its leader ignores candidates, unless the leader sent them", () => {
  const member = follow([one, two, three], two, { checkQuorum: true });
  const request = newMessage({ type: "MsgVote", to: one, from: three, term: 5, logTerm: 1, index: 1 });
  member.node.step(request);
  assert.equal(member.node.basicStatus().hardState.term, 2);
  member.node.step({ ...request, context: utf8("CampaignTransfer") });
  assert.equal(member.node.basicStatus().hardState.term, 5);
});

test("a leader that hears of no quorum for an election timeout steps down", () => {
  const member = lead([one, two, three], { checkQuorum: true });
  acknowledge(member, two, 2);
  for (let i = 0; i < 10; i++) member.node.tick();
  assert.equal(member.node.basicStatus().state, "StateLeader");
  for (let i = 0; i < 10; i++) member.node.tick();
  assert.equal(member.node.basicStatus().state, "StateFollower");
  assert.equal(member.node.basicStatus().lead, noNode);
});

test("proposals are dropped without a leader, forwarded with one, and not forwarded if that is disabled", () => {
  const alone = start([one, two, three]);
  assert.equal(alone.node.propose(utf8("x")), "proposalDropped");

  const member = follow([one, two, three], two);
  member.sent.length = 0;
  assert.equal(member.node.propose(utf8("x")), "accepted");
  run(member);
  assert.deepEqual(
    member.sent.map(({ type, to, from, term }) => ({ type, to, from, term })),
    [{ type: "MsgProp", to: two, from: one, term: 0 }],
  );

  const strict = follow([one, two, three], two, { disableProposalForwarding: true });
  assert.equal(strict.node.propose(utf8("x")), "proposalDropped");
});

test("a leader drops proposals beyond its limit of uncommitted bytes, but never the first", () => {
  const member = lead([one, two, three], { uncommittedBytesMax: 100 });
  acknowledge(member, two, 2);
  assert.equal(member.node.propose(new Uint8Array(500)), "accepted");
  assert.equal(member.node.propose(new Uint8Array(1)), "proposalDropped");
  assert.equal(member.node.propose(new Uint8Array(0)), "accepted");
  run(member);
  acknowledge(member, two, 4);
  assert.equal(member.node.propose(new Uint8Array(60)), "accepted");
  assert.equal(member.node.propose(new Uint8Array(60)), "proposalDropped");
});

test("append messages are cut to the size limit and the window", () => {
  const member = lead([one, two], { messageBytesMax: 40, inflightMessagesMax: 2 });
  acknowledge(member, two, 2);
  member.sent.length = 0;
  member.node.proposeAll(Array.from({ length: 10 }, () => new Uint8Array(10)));
  run(member);
  const counts = (): number[] =>
    member.sent.filter(({ type }) => type === "MsgApp").map(({ entries }) => entries.length);
  // An entry is 16 bytes: two fit into a message. The second message goes out with the answer to the first.
  assert.deepEqual(counts(), [2]);
  acknowledge(member, two, 4);
  assert.deepEqual(
    counts().filter((count) => count > 0),
    [2, 2, 2],
  );
  assert.equal(member.node.status().progress[1]?.inflightIsFull, true);
});

test("a leader refuses a second conf change before the first is applied, and a broken one altogether", () => {
  const member = lead([one, two, three]);
  acknowledge(member, two, 2);
  const add = (id: number): string =>
    member.node.proposeConfChange({
      id: 0n,
      type: "ConfChangeAddNode",
      nodeId: nodeId(id),
      context: utf8(""),
    });
  assert.equal(add(4), "accepted");
  assert.equal(add(5), "accepted");
  run(member);
  assert.deepEqual(
    member.storage.entries(3, 5, noLimit)?.map(({ type }) => type),
    ["EntryConfChange", "EntryNormal"],
  );
  const broken: Entry = { type: "EntryConfChange", term: 0, index: 0, data: Uint8Array.from([0xff]) };
  const proposal = newMessage({ type: "MsgProp", to: one, from: two, entries: [broken] });
  assert.equal(member.node.step(proposal), "proposalDropped");
});

test("a read is answered after a quorum has answered a heartbeat that was sent after it", () => {
  const member = lead([one, two, three]);
  acknowledge(member, two, 2);
  const heartbeats = (): Message[] =>
    member.sent.splice(0).filter((message) => message.type === "MsgHeartbeat" && message.to === two);
  const answer = (to: Message): void => {
    const { term, context } = to;
    member.node.step(newMessage({ type: "MsgHeartbeatResp", to: one, from: two, term, context }));
    run(member);
  };
  const answered = (): string[] =>
    member.readies.splice(0).flatMap((ready) => ready.readStates.map(({ context }) => textOf(context)));

  member.sent.length = 0;
  member.node.readIndex(utf8("first"));
  run(member);
  const [firstRound] = heartbeats();
  assert.ok(firstRound !== undefined);
  member.node.readIndex(utf8("second"));
  run(member);
  const [secondRound] = heartbeats();
  assert.ok(secondRound !== undefined);
  answer(firstRound);
  assert.deepEqual(answered(), ["first"]);
  // A repeated answer to the first round says nothing about the second.
  answer(firstRound);
  assert.deepEqual(answered(), []);
  answer(secondRound);
  assert.deepEqual(answered(), ["second"]);
});

test("a leader that was removed and left one voter behind asks it before a read is answered", () => {
  const member = lead([one, two]);
  acknowledge(member, two, 2);
  const removal = { id: 0n, type: "ConfChangeRemoveNode", nodeId: one, context: new Uint8Array(0) } as const;
  member.node.applyConfChange(removal);
  run(member);
  member.readies.length = 0;
  member.sent.length = 0;
  member.node.readIndex(utf8("read"));
  run(member);
  const answered = (): number => member.readies.splice(0).flatMap(({ readStates }) => readStates).length;
  assert.equal(answered(), 0);
  const heartbeat = member.sent.find(({ type, to }) => type === "MsgHeartbeat" && to === two);
  assert.ok(heartbeat !== undefined);
  const { term, context } = heartbeat;
  member.node.step(newMessage({ type: "MsgHeartbeatResp", to: one, from: two, term, context }));
  run(member);
  assert.equal(answered(), 1);
});

test("a forged heartbeat context confirms no read that has not been asked", () => {
  const member = lead([one, two, three]);
  acknowledge(member, two, 2);
  const { term } = member.node.basicStatus().hardState;
  const context = new Uint8Array(8).fill(0xff);
  member.node.step(newMessage({ type: "MsgHeartbeatResp", to: one, from: two, term, context }));
  member.node.readIndex(utf8("read"));
  run(member);
  assert.deepEqual(
    member.readies.flatMap((ready) => ready.readStates),
    [],
  );
});

test("reads that waited in an earlier leadership are not answered in a later one", () => {
  const member = lead([one, two, three]);
  member.node.readIndex(utf8("old"));
  member.node.step(newMessage({ type: "MsgHeartbeat", to: one, from: two, term: 9 }));
  run(member);
  member.node.campaign();
  run(member);
  member.node.step(newMessage({ type: "MsgVoteResp", to: one, from: two, term: 10 }));
  run(member);
  member.sent.length = 0;
  acknowledge(member, two, 3);
  assert.deepEqual(
    member.sent.filter(({ type }) => type === "MsgHeartbeat"),
    [],
  );
});

test("a transfer to a member that lags waits for it, and is given up after an election timeout", () => {
  const member = lead([one, two, three]);
  member.sent.length = 0;
  member.node.transferLeader(two);
  assert.equal(member.node.basicStatus().leadTransferee, two);
  assert.equal(member.node.propose(utf8("x")), "proposalDropped");
  run(member);
  assert.deepEqual(
    member.sent.filter(({ type }) => type === "MsgTimeoutNow"),
    [],
  );
  for (let i = 0; i < 10; i++) member.node.tick();
  assert.equal(member.node.basicStatus().leadTransferee, noNode);

  member.node.transferLeader(two);
  acknowledge(member, two, 2);
  assert.deepEqual(
    member.sent.filter(({ type }) => type === "MsgTimeoutNow").map(({ to }) => to),
    [two],
  );
});

test("a transfer request of another member is forwarded in the own term", () => {
  const member = follow([one, two, three], two);
  member.sent.length = 0;
  member.node.step(newMessage({ type: "MsgTransferLeader", to: one, from: three, term: 2 }));
  run(member);
  assert.deepEqual(
    member.sent.map(({ type, to, from, term }) => ({ type, to, from, term })),
    [{ type: "MsgTransferLeader", to: two, from: three, term: 2 }],
  );
});

test("what a peer must not send is refused by name", () => {
  const member = lead([one, two, three]);
  for (const type of [
    "MsgHup",
    "MsgBeat",
    "MsgCheckQuorum",
    "MsgStorageAppendResp",
    "MsgSnapStatus",
  ] as const) {
    assert.equal(member.node.step(newMessage({ type, to: one, from: two })), "localMessage");
  }
  const stranger = nodeId(99);
  assert.equal(
    member.node.step(newMessage({ type: "MsgAppResp", to: one, from: stranger, term: 1, index: 1 })),
    "unknownPeer",
  );
});

test("entries that do not follow each other are ignored", () => {
  const member = follow([one, two, three], two);
  member.sent.length = 0;
  const entry = (term: number, index: number): Entry => ({
    type: "EntryNormal",
    term,
    index,
    data: utf8(""),
  });
  for (const entries of [
    [entry(2, 3)],
    [entry(2, 2), entry(2, 4)],
    [entry(2, 2), entry(1, 3)],
    [entry(3, 2)],
  ]) {
    member.node.step(
      newMessage({ type: "MsgApp", to: one, from: two, term: 2, logTerm: 1, index: 1, entries }),
    );
  }
  run(member);
  assert.equal(member.storage.lastIndex(), 1);
  assert.deepEqual(member.sent, []);
});

test("a member restarts where it was", () => {
  const member = lead([one]);
  member.node.propose(utf8("a"));
  run(member);
  const before = member.node.basicStatus();
  const node = new RawNode({ ...configOf(member), applied: before.applied });
  assert.equal(node.hasReady(), false);
  assert.deepEqual(node.basicStatus().hardState, before.hardState);
  assert.equal(node.basicStatus().applied, before.applied);

  const behind = { ...member, node: new RawNode(configOf(member)), applied: [] };
  run(behind);
  assert.deepEqual(texts(behind.applied), ["a"]);
});

test("a new cluster starts with its members as committed conf changes of term 1", () => {
  const storage = new MemoryStorage();
  const config: RaftConfig = { ...configOf(start([one])), storage };
  const node = new RawNode(config);
  node.bootstrap([
    { id: one, context: utf8("first") },
    { id: two, context: utf8("second") },
  ]);
  const member: Driven = { node, storage, applied: [], sent: [], readies: [] };
  run(member);
  assert.deepEqual(
    member.applied.map(({ type, term, index }) => ({ type, term, index })),
    [
      { type: "EntryConfChange", term: 1, index: 1 },
      { type: "EntryConfChange", term: 1, index: 2 },
    ],
  );
  assert.deepEqual(node.status().config.voters, [one, two]);
  assert.deepEqual(storage.initialState().hardState, { term: 1, vote: noNode, commit: 2 });
  assert.throws(() => node.bootstrap([{ id: one, context: utf8("") }]), AssertionFailure);
});

test("R10: an answer of the append thread counts only in the term of the write", () => {
  const member = start([one, two, three], { asyncStorageWrites: true });
  const { node } = member;
  const entry: Entry = { type: "EntryNormal", term: 2, index: 2, data: utf8("") };
  node.step(
    newMessage({
      type: "MsgApp",
      to: one,
      from: two,
      term: 2,
      logTerm: 1,
      index: 1,
      entries: [entry],
      commit: 2,
    }),
  );
  const [append] = node.ready().storageMessages;
  const answer = append?.responses.find(({ type }) => type === "MsgStorageAppendResp");
  assert.ok(append !== undefined && answer !== undefined);
  assert.equal(answer.from, appendThread);
  member.storage.append(append.entries);
  node.step(newMessage({ type: "MsgHeartbeat", to: one, from: three, term: 3, commit: 2 }));
  node.step(answer);
  // Committed, but not known to be written: it must not be applied yet. The next write asks again.
  const next = node.ready();
  assert.deepEqual(next.committedEntries, []);
  const again = next.storageMessages[0]?.responses.find(({ type }) => type === "MsgStorageAppendResp");
  assert.ok(again !== undefined);
  node.step(again);
  assert.deepEqual(node.ready().committedEntries, [entry]);
});

test("options that contradict each other are refused", () => {
  const config = configOf(start([one]));
  for (const part of [
    { id: noNode },
    { id: appendThread },
    { heartbeatTicks: 0 },
    { electionTicks: 1 },
    { inflightMessagesMax: 0 },
    { inflightBytesMax: 10, messageBytesMax: 11 },
    { messageBytesMax: 0 },
    { readOnlyOption: "ReadOnlyLeaseBased" as const },
  ]) {
    assert.throws(
      () => new RawNode({ ...config, ...part }),
      AssertionFailure,
      JSON.stringify(Object.keys(part)),
    );
  }
});
