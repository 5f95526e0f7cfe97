// A small cluster with a network that loses, doubles and reorders messages, disks that lose unsynced writes with a
// crash, and clients that propose and change the membership, all drawn from one seed. After every step Raft's
// promises are checked over what was ever elected, committed and applied.

import assert from "node:assert/strict";
import { test } from "node:test";
import { must } from "../lib/assert.ts";
import { emptyBytes, textOf, utf8 } from "../lib/bytes.ts";
import { type NodeId, nodeId } from "../lib/ids.ts";
import { SeededRandom } from "../lib/random.ts";
import type { ConfState, Entry, HardState, Message, Snapshot } from "../wire/raft.ts";
import { confChangeOf } from "./conf-change.ts";
import { emptyConfState } from "./conf-state.ts";
import { describeMessage } from "./describe.ts";
import { MemoryStorage } from "./memory-storage.ts";
import { isStorageThread } from "./message.ts";
import { RawNode } from "./raw-node.ts";

interface Options {
  readonly async: boolean;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  readonly stepDownOnRemoval: boolean;
}

interface Member {
  readonly id: NodeId;
  node: RawNode;
  /** The disk: what survives a crash. */
  storage: MemoryStorage;
  /** Work of the storage threads that is not done yet, and is lost with a crash. */
  appendWork: Message[];
  applyWork: Message[];
  /** The state machine, which keeps its own data over crashes: index, configuration, and what was applied. */
  applied: { index: number; term: number; confState: ConfState };
}

const memberCount = 5;

class Cluster {
  readonly #random: SeededRandom;
  readonly #options: Options;
  readonly #members: Member[] = [];
  #network: Message[] = [];
  /** The leader of each term, every entry ever committed, and every proposal ever accepted. */
  readonly #leaders = new Map<number, NodeId>();
  readonly #committed = new Map<number, Entry>();
  #proposals = 0;
  counts = { elections: 0, commits: 0, crashes: 0, confChanges: 0, snapshots: 0, reads: 0 };
  /** The commit index of the whole cluster when a read was asked, by context. */
  readonly #reads = new Map<string, number>();

  constructor(seed: number, options: Options) {
    this.#random = new SeededRandom(seed);
    this.#options = options;
    const voters = [nodeId(1), nodeId(2), nodeId(3)];
    const confState = { ...emptyConfState, voters };
    for (let i = 1; i <= memberCount; i++) {
      const storage = new MemoryStorage();
      const isInitial = i <= voters.length;
      const metadata = { confState, index: 1, term: 1 };
      if (isInitial) storage.applySnapshot({ data: emptyBytes, metadata });
      const applied = isInitial ? metadata : { ...metadata, confState: emptyConfState, index: 0, term: 0 };
      const id = nodeId(i);
      this.#members.push({
        id,
        storage,
        applied,
        node: this.#open(id, storage, 0),
        appendWork: [],
        applyWork: [],
      });
    }
  }

  #open(id: NodeId, storage: MemoryStorage, applied: number): RawNode {
    return new RawNode({
      id,
      electionTicks: 6,
      heartbeatTicks: 1,
      storage,
      random: new SeededRandom(this.#random.bits32()),
      applied,
      messageBytesMax: 60,
      inflightMessagesMax: 3,
      applyingBytesMax: 100,
      uncommittedBytesMax: 400,
      asyncStorageWrites: this.#options.async,
      preVote: this.#options.preVote,
      checkQuorum: this.#options.checkQuorum,
      stepDownOnRemoval: this.#options.stepDownOnRemoval,
    });
  }

  step(lossPercent: number): void {
    const member = must(this.#members[this.#random.below(memberCount)], "a member");
    const dice = this.#random.below(1000);
    if (dice < 120) member.node.tick();
    else if (dice < 520) this.#deliver(lossPercent);
    else if (dice < 700) this.#work(member);
    else if (dice < 800) this.#appendThread(member);
    else if (dice < 880) this.#applyThread(member);
    else if (dice < 940) this.#propose(member);
    else if (dice < 950) this.#proposeConfChange(member);
    else if (dice < 955) member.node.transferLeader(nodeId(1 + this.#random.below(memberCount)));
    else if (dice < 960) this.#compact(member);
    else if (dice < 965) member.node.reportUnreachable(nodeId(1 + this.#random.below(memberCount)));
    else if (dice < 967) this.#crash(member);
    else if (dice < 970) member.node.forgetLeader();
    else if (dice < 985) this.#read(member);
    else member.node.campaign();
    this.#checkMember(member);
  }

  /** Lets everything through until a proposal is applied everywhere. */
  heal(): void {
    const target = this.#committed.size;
    for (let round = 0; round < 4000; round++) {
      for (const member of this.#members) {
        if (round % 3 === 0) member.node.tick();
        this.#work(member);
        while (member.appendWork.length > 0) this.#appendThread(member);
        while (member.applyWork.length > 0) this.#applyThread(member);
        this.#checkMember(member);
      }
      for (let i = this.#network.length; i > 0; i--) this.#deliver(0);
      const leader = this.#members.find(({ node }) => node.basicStatus().state === "StateLeader");
      if (leader !== undefined && round % 10 === 0) this.#propose(leader);
      if (this.#committed.size > target + 3) return;
    }
    assert.fail("a healed cluster did not commit anything");
  }

  #propose(member: Member): void {
    this.#proposals++;
    member.node.propose(utf8(`${this.#proposals}${"x".repeat(this.#random.below(30))}`));
  }

  #proposeConfChange(member: Member): void {
    const some = (): {
      type: "ConfChangeAddNode" | "ConfChangeAddLearnerNode" | "ConfChangeRemoveNode";
      nodeId: NodeId;
    } => {
      const types = ["ConfChangeAddNode", "ConfChangeAddLearnerNode", "ConfChangeRemoveNode"] as const;
      const type = types[this.#random.below(types.length)] ?? "ConfChangeAddNode";
      // Members 1 and 2 stay voters, so that no change ever removes all of them.
      const id =
        type === "ConfChangeAddNode" ? 1 + this.#random.below(memberCount) : 3 + this.#random.below(3);
      return { type, nodeId: nodeId(id) };
    };
    const changes = Array.from({ length: 1 + this.#random.below(3) }, some);
    const isJoint = member.node.status().config.votersOutgoing.length > 0;
    member.node.proposeConfChange({
      transition:
        isJoint || changes.length < 3 ? "ConfChangeTransitionAuto" : "ConfChangeTransitionJointExplicit",
      changes: isJoint ? [] : changes,
      context: emptyBytes,
    });
  }

  #read(member: Member): void {
    const context = `read ${this.#reads.size}`;
    this.#reads.set(context, Math.max(1, ...this.#committed.keys()));
    member.node.readIndex(utf8(context));
  }

  #compact(member: Member): void {
    const { index, confState } = member.applied;
    if (index <= member.storage.firstIndex() || index > member.storage.lastIndex()) return;
    if (member.storage.createSnapshot(index, { confState, data: utf8(`${index}`) }) === "outOfDate") return;
    member.storage.compact(index);
  }

  #crash(member: Member): void {
    this.counts.crashes++;
    member.appendWork = [];
    member.applyWork = [];
    // What was applied may be ahead of the commit index on disk, which need not be synced.
    const { index } = member.applied;
    const hardState = member.storage.initialState().hardState;
    if (hardState !== undefined && hardState.commit < index)
      member.storage.setHardState({ ...hardState, commit: index });
    const base = member.storage.snapshot().metadata;
    member.node = this.#open(member.id, member.storage, Math.max(index, base.index));
    // Configurations between the snapshot and the applied index are in force again at once.
    const start = Math.max(base.index, member.storage.firstIndex() - 1) + 1;
    for (const entry of member.storage.entries(start, index + 1, Number.MAX_SAFE_INTEGER) ?? []) {
      if (entry.type !== "EntryNormal") this.#applyConfChange(member, entry);
    }
  }

  #deliver(lossPercent: number): void {
    if (this.#network.length === 0) return;
    const at = this.#random.below(Math.min(this.#network.length, lossPercent === 0 ? 1 : 8));
    const [message] = this.#network.splice(at, 1);
    if (message === undefined) return;
    const isLost = this.#random.below(100) < lossPercent;
    if (message.type === "MsgSnap") {
      const sender = this.#members.find(({ id }) => id === message.from);
      sender?.node.reportSnapshot(message.to, !isLost);
    }
    if (isLost) return;
    if (lossPercent > 0 && this.#random.below(30) === 0) this.#network.push(message);
    const receiver = must(
      this.#members.find(({ id }) => id === message.to),
      "a receiver",
    );
    receiver.node.step(message);
    this.#checkMember(receiver);
  }

  #work(member: Member): void {
    if (!member.node.hasReady()) return;
    const ready = member.node.ready();
    this.#network.push(...ready.messages);
    for (const { index, context } of ready.readStates) {
      this.counts.reads++;
      assert.ok(index >= must(this.#reads.get(textOf(context)), "a read that was asked"), "a read is stale");
    }
    if (this.#options.async) {
      for (const work of ready.storageMessages) {
        (work.type === "MsgStorageAppend" ? member.appendWork : member.applyWork).push(work);
      }
      return;
    }
    this.#write(member, ready.hardState, ready.entries, ready.snapshot);
    this.#network.push(...ready.messagesAfterAppend);
    this.#apply(member, ready.committedEntries);
    member.node.advance();
  }

  #appendThread(member: Member): void {
    const work = member.appendWork.shift();
    if (work === undefined) return;
    const { term, vote, commit } = work;
    this.#write(member, term === 0 ? undefined : { term, vote, commit }, work.entries, work.snapshot);
    this.#respond(member, work);
  }

  #applyThread(member: Member): void {
    const work = member.applyWork.shift();
    if (work === undefined) return;
    this.#apply(member, work.entries);
    this.#respond(member, work);
  }

  #respond(member: Member, work: Message): void {
    for (const response of work.responses) {
      if (response.to === member.id) member.node.step(response);
      else this.#network.push(response);
    }
  }

  #write(
    member: Member,
    hardState: HardState | undefined,
    entries: readonly Entry[],
    snapshot: Snapshot | undefined,
  ): void {
    if (hardState !== undefined) {
      const before = member.storage.initialState().hardState;
      assert.ok(hardState.term >= (before?.term ?? 0), "the term on disk went back");
      member.storage.setHardState(hardState);
    }
    if (snapshot !== undefined) {
      member.storage.applySnapshot(snapshot);
      member.applied = snapshot.metadata;
      this.counts.snapshots++;
    }
    member.storage.append(entries);
  }

  #apply(member: Member, entries: readonly Entry[]): void {
    for (const entry of entries) {
      // Handed out before a snapshot that was installed meanwhile.
      if (entry.index <= member.applied.index) continue;
      assert.equal(entry.index, member.applied.index + 1, "applied in order");
      const known = this.#committed.get(entry.index);
      if (known === undefined) {
        this.#committed.set(entry.index, entry);
        this.counts.commits++;
      } else {
        assert.equal(known.term, entry.term, `entry ${entry.index} was committed differently`);
        assert.equal(textOf(known.data), textOf(entry.data));
      }
      member.applied = { ...member.applied, index: entry.index, term: entry.term };
      if (entry.type !== "EntryNormal") this.#applyConfChange(member, entry);
    }
  }

  #applyConfChange(member: Member, entry: Entry): void {
    const change = must(confChangeOf(entry), "a well-formed change");
    const { config } = member.node.status();
    this.counts.confChanges++;
    // Several changes without a joint configuration are refused when applied; the state machine vetoes them.
    const isLeaving = change.changes.length === 0 && config.votersOutgoing.length === 0;
    if (isLeaving) return;
    member.applied = { ...member.applied, confState: member.node.applyConfChange(change) };
  }

  #checkMember(member: Member): void {
    const { state, hardState, id } = member.node.basicStatus();
    if (state !== "StateLeader") return;
    const elected = this.#leaders.get(hardState.term);
    if (elected === undefined) {
      this.#leaders.set(hardState.term, id);
      this.counts.elections++;
      this.#checkLeaderIsComplete(member);
    } else {
      assert.equal(elected, id, `two leaders in term ${hardState.term}`);
    }
    for (const progress of member.node.status().progress) assert.ok(progress.match < progress.next);
  }

  /** A new leader has every entry that was committed before. */
  #checkLeaderIsComplete(member: Member): void {
    const last = Math.max(0, ...this.#committed.keys());
    const stable = Math.min(last, member.storage.lastIndex());
    for (let index = member.storage.firstIndex(); index <= stable; index++) {
      const committed = this.#committed.get(index);
      if (committed === undefined || index <= member.applied.index) continue;
      // Unstable entries that replace these are checked when they are applied.
      if (this.#options.async) continue;
      assert.equal(member.storage.term(index), committed.term, `the leader lacks committed entry ${index}`);
    }
    if (!this.#options.async)
      assert.ok(member.storage.lastIndex() >= last, "the leader lacks committed entries");
  }

  /** Logs with the same entry at an index are the same up to it. */
  checkLogsMatch(): void {
    for (const a of this.#members) {
      for (const b of this.#members) {
        const first = Math.max(a.storage.firstIndex(), b.storage.firstIndex());
        let areEqual = false;
        for (let index = Math.min(a.storage.lastIndex(), b.storage.lastIndex()); index >= first; index--) {
          const isSame = a.storage.term(index) === b.storage.term(index);
          assert.ok(
            isSame || !areEqual,
            `logs of ${a.id} and ${b.id} differ below an equal entry, at ${index}`,
          );
          areEqual ||= isSame;
        }
      }
    }
  }

  describe(): string {
    const messages = this.#network.map((message) => describeMessage(message));
    return `${JSON.stringify(this.counts)}\n${messages.join("\n")}`;
  }

  /** Work of the storage threads never leaves the member. */
  assertNetworkIsOfMembers(): void {
    for (const message of this.#network)
      assert.ok(!isStorageThread(message.to) && !isStorageThread(message.from));
  }
}

function totalOf(seeds: number, options: Options): Cluster["counts"] {
  const total = { elections: 0, commits: 0, crashes: 0, confChanges: 0, snapshots: 0, reads: 0 };
  for (let seed = 1; seed <= seeds; seed++) {
    const cluster = new Cluster(seed, options);
    for (let i = 0; i < 12_000; i++) {
      cluster.step(i % 2_000 < 500 ? 60 : 5);
      if (i % 500 === 0) cluster.checkLogsMatch();
    }
    cluster.assertNetworkIsOfMembers();
    cluster.heal();
    cluster.checkLogsMatch();
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += cluster.counts[key];
  }
  return total;
}

const variants: readonly Options[] = [
  { async: false, preVote: false, checkQuorum: false, stepDownOnRemoval: false },
  { async: false, preVote: true, checkQuorum: true, stepDownOnRemoval: true },
  { async: true, preVote: false, checkQuorum: false, stepDownOnRemoval: true },
  { async: true, preVote: true, checkQuorum: true, stepDownOnRemoval: false },
];

for (const options of variants) {
  const names = Object.entries(options)
    .filter(([, isOn]) => isOn)
    .map(([name]) => name);
  test(`a random cluster keeps Raft's promises and recovers (${names.join(", ") || "plain"})`, () => {
    const total = totalOf(15, options);
    // A run in which something never happened would prove nothing about it.
    for (const [what, count] of Object.entries(total)) assert.ok(count > 0, `no ${what}`);
  });
}

test("the same calls give the same messages", () => {
  const transcript = (): string => {
    const cluster = new Cluster(42, {
      async: true,
      preVote: true,
      checkQuorum: true,
      stepDownOnRemoval: false,
    });
    for (let i = 0; i < 2_000; i++) cluster.step(10);
    return cluster.describe();
  };
  assert.equal(transcript(), transcript());
});
