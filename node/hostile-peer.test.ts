// Messages of Raft from a hostile peer: what the check at the peer port lets through has to leave Raft sound, whatever
// it says and in whichever role it arrives.

import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyBytes, utf8 } from "./lib/bytes.ts";
import { nodeId, noNode } from "./lib/ids.ts";
import { SeededRandom } from "./lib/random.ts";
import { counterMax, faultOf } from "./peer/message-check.ts";
import { message } from "./peer/testing/messages.ts";
import { confChangeOf } from "./raft/conf-change.ts";
import { emptyConfState } from "./raft/conf-state.ts";
import { MemoryStorage } from "./raft/memory-storage.ts";
import { RawNode } from "./raft/raw-node.ts";
import type { RaftState } from "./raft/ready.ts";
import { type Entry, type Message, type MessageType, messageTypes } from "./wire/raft.ts";

const self = nodeId(1);
const voters = [self, nodeId(2), nodeId(3)];
/** A peer, the other one, somebody who is no member, and nobody. */
const senders = [nodeId(2), nodeId(2), nodeId(2), nodeId(3), nodeId(9), noNode];
const seeds = 500;
const messagesPerSeed = 300;

/** A member with an instant disk. */
class Victim {
  readonly #storage = new MemoryStorage();
  readonly node: RawNode;

  constructor(random: SeededRandom) {
    const metadata = { confState: { ...emptyConfState, voters }, index: 1, term: 1 };
    this.#storage.applySnapshot({ data: emptyBytes, metadata });
    this.#storage.setHardState({ term: 1, vote: noNode, commit: 1 });
    this.node = new RawNode({
      id: self,
      electionTicks: 10,
      heartbeatTicks: 1,
      storage: this.#storage,
      random,
      messageBytesMax: 1024 * 1024,
      inflightMessagesMax: 4,
      checkQuorum: random.below(2) === 0,
      preVote: random.below(2) === 0,
    });
  }

  get lastIndex(): number {
    return this.#storage.lastIndex();
  }

  /** Nobody answers: it stays a candidate, of a pre-vote where it holds those. */
  campaign(): void {
    this.node.campaign();
    this.run();
  }

  /** Votes and acknowledgements of the others, as far as that makes it a leader. */
  lead(): void {
    for (let i = 0; i < 40 && this.node.basicStatus().state !== "StateLeader"; i++) {
      this.node.tick();
      this.run();
      const { term } = this.node.basicStatus().hardState;
      this.node.step(message("MsgPreVoteResp", { from: nodeId(2), to: self, term: term + 1 }));
      this.run();
      this.node.step(message("MsgVoteResp", { from: nodeId(2), to: self, term: term + 1 }));
      this.node.step(message("MsgVoteResp", { from: nodeId(2), to: self, term }));
      this.run();
    }
  }

  run(): void {
    const { node } = this;
    while (node.hasReady()) {
      const ready = node.ready();
      if (ready.hardState !== undefined) this.#storage.setHardState(ready.hardState);
      if (ready.snapshot !== undefined) this.#storage.applySnapshot(ready.snapshot);
      this.#storage.append(ready.entries);
      for (const entry of ready.committedEntries) {
        const change = entry.type === "EntryNormal" ? undefined : confChangeOf(entry);
        if (change !== undefined) node.applyConfChange(change);
      }
      node.advance();
    }
  }
}

function draw(random: SeededRandom, victim: Victim): Message {
  const pick = <T>(values: readonly T[]): T => values[random.below(values.length)] as T;
  const { term, commit } = victim.node.basicStatus().hardState;
  const last = victim.lastIndex;
  const extremes = [2 ** 31, 2 ** 32, 2 ** 52, 2 ** 53 - 2];
  const around = (...values: readonly number[]): number =>
    random.below(20) === 0 ? pick(extremes) : Math.max(0, pick(values) + random.below(5) - 2);
  const messageTerm = random.below(4) === 0 ? 0 : around(term, term, term, term + 1);
  const index = around(0, commit, last, last);
  const logTerm = around(0, term, term);
  const entries: Entry[] = [];
  for (let i = random.below(4); i > 0; i--) {
    const type = random.below(8) === 0 ? "EntryConfChange" : "EntryNormal";
    const at = index + entries.length + 1 + (random.below(30) === 0 ? 1 : 0);
    entries.push({
      type,
      term: Math.min(messageTerm, around(logTerm, messageTerm)),
      index: at,
      data: utf8("x"),
    });
  }
  const snapshot = {
    data: utf8("{}"),
    metadata: {
      confState: { ...emptyConfState, voters: random.below(3) === 0 ? [nodeId(2)] : voters },
      index: around(0, commit, last, last + 10),
      term: around(0, term),
    },
  };
  const type = pick(messageTypes);
  return message(type, {
    from: pick(senders),
    to: self,
    term: messageTerm,
    logTerm,
    index,
    entries,
    commit: around(0, commit, last),
    rejectHint: around(0, commit, last),
    reject: random.below(3) === 0,
    context: random.below(2) === 0 ? emptyBytes : utf8("c"),
    snapshot: type === "MsgSnap" ? snapshot : undefined,
  });
}

test("whatever a peer says, Raft goes on in each role, with terms and indexes that can be stored and read", () => {
  const seen = new Set<MessageType>();
  const roles = new Set<RaftState>();
  for (let seed = 0; seed < seeds; seed++) {
    const random = new SeededRandom(seed);
    const victim = new Victim(random);
    if (seed % 3 === 0) victim.lead();
    else if (seed % 3 === 1) victim.campaign();
    for (let i = 0; i < messagesPerSeed; i++) {
      const hostile = draw(random, victim);
      if (faultOf(hostile, self) !== undefined) continue;
      seen.add(hostile.type);
      roles.add(victim.node.basicStatus().state);
      victim.node.step(hostile);
      victim.run();
      if (random.below(4) === 0) victim.node.tick();
      victim.run();
    }
    const { term, commit } = victim.node.basicStatus().hardState;
    assert.ok(Math.max(term, commit, victim.lastIndex) < 2 * counterMax - messagesPerSeed, `seed ${seed}`);
  }
  assert.deepEqual([seen.size, roles.size], [14, 4], `${[...seen]}, ${[...roles]}`);
});
