// R20: membership lives in one place. Random changes, possible and impossible ones, run through a replica that is
// cut off and started again between them, with its store flushed or not, and with its log or a snapshot in its place.
// After every step Raft's configuration, the members in the store and the members that clients see are the same, and
// are those of a plain model.

import assert from "node:assert/strict";
import { test } from "node:test";
import { must, never } from "../lib/assert.ts";
import { emptyBytes, utf8 } from "../lib/bytes.ts";
import { type NodeId, nodeId, noNode } from "../lib/ids.ts";
import { SeededRandom } from "../lib/random.ts";
import { confChangeOf, idOf, type MembershipChange } from "../membership/change.ts";
import type { Member } from "../membership/member.ts";
import { Members } from "../membership/members.ts";
import { Overlay } from "../mvcc/overlay.ts";
import { MemoryEngine, type MemoryImage } from "../storage/memory/engine.ts";
import type { ConfState, Entry } from "../wire/raft.ts";
import { raftCodecs } from "../wire/raft-codec.ts";
import type { LogContents, LogSnapshot, LogStore } from "./log-store.ts";
import { Replica } from "./replica.ts";
import { quietOptions } from "./testing/options.ts";
import { TurnClock } from "./testing/turn-clock.ts";

const seedCount = 60;
const changesPerSeed = 40;
const learnersMax = 2;
const self = nodeId(1n);
/** Never removed: so the replica, which nobody answers, never wins an election. */
const partner = nodeId(2n);

class Model {
  readonly members = new Map<NodeId, Member>();
  readonly removed = new Set<NodeId>();

  /** True when the change is made. */
  apply(change: MembershipChange): boolean {
    const id = idOf(change);
    const known = this.members.get(id);
    if (this.removed.has(id)) return false;
    switch (change.kind) {
      case "add": {
        const { member } = change;
        const all = [...this.members.values()];
        const isTaken = all.some(({ peerUrls }) => peerUrls.some((url) => member.peerUrls.includes(url)));
        const isFull = member.isLearner && all.filter(({ isLearner }) => isLearner).length >= learnersMax;
        if (known !== undefined || isTaken || isFull) return false;
        this.members.set(id, member);
        return true;
      }
      case "promote":
        if (known?.isLearner !== true) return false;
        this.members.set(id, { ...known, isLearner: false });
        return true;
      case "remove":
        if (known === undefined) return false;
        this.members.delete(id);
        this.removed.add(id);
        return true;
      case "update": {
        const others = [...this.members.values()].filter((member) => member.id !== id);
        const isTaken = others.some(({ peerUrls }) => peerUrls.some((url) => change.peerUrls.includes(url)));
        if (known === undefined || isTaken) return false;
        this.members.set(id, { ...known, peerUrls: change.peerUrls });
        return true;
      }
      default:
        return never(change);
    }
  }

  list(): readonly Member[] {
    return [...this.members.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  ids(isLearner: boolean): readonly NodeId[] {
    return this.list()
      .filter((member) => member.isLearner === isLearner)
      .map(({ id }) => id);
  }
}

function added(id: NodeId, url: number, isLearner: boolean): MembershipChange {
  const member: Member = { id, name: "", peerUrls: [`http://m${url}:2380`], clientUrls: [], isLearner };
  return { kind: "add", member };
}

/** Ids and URLs come from small sets, so that most kinds of refusal happen. */
function randomChange(random: SeededRandom): MembershipChange {
  const id = nodeId(BigInt(3 + random.below(9)));
  const url = 1 + random.below(14);
  switch (random.below(5)) {
    case 0:
      return added(id, url, false);
    case 1:
      return added(id, url, true);
    case 2:
      return { kind: "promote", id: random.below(8) === 0 ? self : id };
    case 3:
      return { kind: "remove", id };
    default:
      return { kind: "update", id: random.below(4) === 0 ? partner : id, peerUrls: [`http://m${url}:2380`] };
  }
}

function entryOf(change: MembershipChange, index: number): Entry {
  const data = raftCodecs.ConfChange.encode(confChangeOf(change, BigInt(index)));
  return { type: "EntryConfChange", term: 1, index, data };
}

const promptLog: LogStore = {
  append: (_append, done) => done?.(),
  saveSnapshot: (_snapshot, _releaseIndex, done) => done(),
  installSnapshot: (_snapshot, _hardState, done) => done(),
  close: (done) => done(),
};

/** The peers that the network was told of. */
interface Peers {
  readonly urls: Map<NodeId, readonly string[]>;
}

function start(contents: LogContents, engine: MemoryEngine, peers: Peers, clock: TurnClock): Replica {
  const replica = new Replica({
    ...quietOptions(),
    nodeId: self,
    contents,
    log: promptLog,
    engine,
    network: {
      send() {},
      addPeer: (id, urls) => peers.urls.set(id, urls),
      updatePeer: (id, urls) => peers.urls.set(id, urls),
      removePeer: (id) => peers.urls.delete(id),
      activeSinceMs: () => undefined,
    },
    onRemoved: () => assert.fail("nobody removes this member"),
    learnersMax,
    clock,
  });
  replica.start(() => {});
  clock.runDeferred();
  return replica;
}

const noConf: ConfState = {
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};
const noSnapshot: LogSnapshot = { index: 0, term: 0, confState: noConf, data: emptyBytes };

function checkAgreement(replica: Replica, engine: MemoryEngine, model: Model, peers: Peers): void {
  const wanted = model.list();
  assert.deepEqual(replica.members.list(), wanted, "the members that clients see");
  assert.deepEqual(new Members(new Overlay(engine)).list(), wanted, "the members in the store");
  for (const id of model.removed) assert.ok(replica.members.isRemoved(id), `${id} was removed`);
  const { voters, learners } = replica.raftStatus.config;
  assert.deepEqual([...voters].sort(byId), model.ids(false), "Raft's voters");
  assert.deepEqual([...learners].sort(byId), model.ids(true), "Raft's learners");
  const others = wanted.filter(({ id }) => id !== self).map(({ id, peerUrls }) => [id, peerUrls] as const);
  const talkedTo = [...peers.urls].sort(([a], [b]) => byId(a, b));
  assert.deepEqual(talkedTo, others, "the peers of the network");
}

function byId(a: NodeId, b: NodeId): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function runSeed(seed: number): { readonly made: number; readonly refused: number } {
  const random = new SeededRandom(seed);
  const model = new Model();
  const changes = [added(self, 1, false), added(partner, 2, false)];
  for (let i = 0; i < changesPerSeed; i++) changes.push(randomChange(random));
  const entries = changes.map((change, i) => entryOf(change, i + 1));
  let image: MemoryImage | undefined;
  let snapshot = noSnapshot;
  let made = 0;
  let position = 0;
  while (position < entries.length) {
    const before = position;
    position = Math.min(entries.length, Math.max(2, position + 1 + random.below(5)));
    for (const change of changes.slice(before, position)) if (model.apply(change)) made++;
    const engine = new MemoryEngine(image === undefined ? {} : { image });
    const peers: Peers = { urls: new Map() };
    const clock = new TurnClock();
    const contents: LogContents = {
      nodeId: self,
      clusterId: 7n,
      hardState: { term: 1, vote: noNode, commit: position },
      snapshot,
      entries: entries.slice(snapshot.index, position),
    };
    const replica = start(contents, engine, peers, clock);
    assert.equal(replica.appliedIndex, position);
    // A crash now loses what was not flushed: the next start applies it again from the log.
    if (random.below(3) === 0) continue;
    replica.flush(() => {});
    clock.runDeferred();
    checkAgreement(replica, engine, model, peers);
    image = engine.image();
    if (random.below(2) === 0) {
      const { config: confState } = replica.raftStatus;
      snapshot = { index: position, term: 1, confState, data: utf8("{}") };
    }
  }
  must(image, "at least one step of a seed is flushed");
  return { made, refused: changes.length - made };
}

test("R20 Raft's configuration, stored members and listed members agree after every change and restart", () => {
  let made = 0;
  let refused = 0;
  for (let seed = 1; seed <= seedCount; seed++) {
    try {
      const counts = runSeed(seed);
      made += counts.made;
      refused += counts.refused;
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  assert.ok(made > seedCount * 8, `changes were made: ${made}`);
  assert.ok(refused > seedCount * 8, `changes were refused: ${refused}`);
});
