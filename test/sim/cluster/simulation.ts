// A run of one seed: a cluster of one, three or five members under virtual time, with everything going wrong that
// chance chooses, and clients that work on it. First only safety is asked for; then the faults end, and the cluster has
// to make progress and to be one again.

import { assert } from "../../../node/lib/assert.ts";
import { textOf, utf8 } from "../../../node/lib/bytes.ts";
import { FatalError } from "../../../node/lib/fatal.ts";
import { hexId, type LeaseId, leaseId, type NodeId, nodeId, noLease } from "../../../node/lib/ids.ts";
import { type Random, SeededRandom } from "../../../node/lib/random.ts";
import type { MembershipChange } from "../../../node/membership/change.ts";
import { encodeMember, type Member } from "../../../node/membership/member.ts";
import type { Replica } from "../../../node/replica/replica.ts";
import { codecs } from "../../../node/wire/codecs.ts";
import { KeyValueScan } from "../../../node/wire/hot-kv.ts";
import type { Entry } from "../../../node/wire/raft.ts";
import { raftCodecs } from "../../../node/wire/raft-codec.ts";
import { CompareResult, CompareTarget } from "../../../node/wire/rpc.ts";
import { Scheduler, type SimEvent } from "../scheduler.ts";
import { History, type RuleName } from "./history.ts";
import { VirtualNetwork } from "./network.ts";
import {
  electionTicks,
  heartbeatIntervalMs,
  type MemberDefect,
  type MemberSettings,
  SimMember,
} from "./sim-member.ts";
import { Watching } from "./watching.ts";

export interface ClusterRunOptions {
  readonly seed: number;
  readonly events: number;
  /** Of every member. A new one for each run, as it may remember. */
  readonly defect?: MemberDefect;
  readonly print?: (line: string) => void;
}

export interface ClusterRunResult {
  readonly seed: number;
  readonly members: number;
  readonly events: number;
  readonly virtualMs: number;
  readonly asked: ReadonlyMap<RuleName, number>;
  readonly happened: ReadonlyMap<string, number>;
}

const clusterId = 0x14f7c3a90bd2e681n;
const keysCount = 8;
const clientsCount = 6;
const checkEveryEvents = 200;
const livenessMs = 60_000;
/** A clock runs so much faster or slower at most, in percent. */
const clockErrorPercent = 10;

/** Throws RuleBroken, or what an assertion of a member throws. */
export function runCluster(options: ClusterRunOptions): ClusterRunResult {
  return new ClusterSimulation(options).run();
}

class ClusterSimulation {
  readonly #options: ClusterRunOptions;
  readonly #scheduler = new Scheduler();
  readonly #history = new History();
  readonly #random: Random;
  readonly #faultRandom: Random;
  readonly #network: VirtualNetwork;
  readonly #settings: MemberSettings;
  readonly #members = new Map<NodeId, SimMember>();
  readonly #memberOfLife = new Map<number, SimMember>();
  readonly #happened = new Map<string, number>();
  readonly #leases = new Map<LeaseId, { ttlMs: number; renewedAtMs: number }>();
  readonly #watching: Watching;
  readonly #voterCount: number;
  #nextId: number;
  #values = 0;
  #isHealed = false;
  #isChanging = false;
  #events = 0;

  constructor(options: ClusterRunOptions) {
    this.#options = options;
    const stream = (number: number): SeededRandom => new SeededRandom(options.seed * 16 + number);
    const draw = stream(0);
    const pick = <T>(...choices: readonly T[]): T => choices[draw.below(choices.length)] as T;
    this.#random = stream(1);
    this.#faultRandom = stream(2);
    this.#voterCount = pick(1, 3, 3, 3, 5);
    this.#nextId = this.#voterCount + 1;
    this.#settings = {
      snapshotCount: pick(20, 100, 10_000),
      snapshotCatchupEntries: pick(1, 20, 5_000),
      segmentBytes: pick(4_096, 65_536),
      flushIntervalMs: pick(20, 100, 1_000),
      preVote: pick(true, true, false),
      hasLeaseCheckpoints: pick(true, false),
      logStepMsMax: pick(2, 10, 60),
      flushMsMax: pick(5, 100),
    };
    this.#network = new VirtualNetwork({
      scheduler: this.#scheduler,
      random: stream(3),
      settings: {
        drop: pick(0, 0, 5, 25),
        duplicate: pick(0, 5, 30),
        delayMsMax: pick(2, 10, 80),
        clog: pick(0, 0, 2),
      },
      deliver: (message, store) => this.#members.get(message.to)?.receive(message, store),
      onUnreachable: (from, to) => this.#members.get(from)?.replica?.reportUnreachable(to),
    });
    this.#watching = new Watching(this.#history, this.#scheduler);
  }

  run(): ClusterRunResult {
    const ids = Array.from({ length: this.#voterCount }, (_, i) => nodeId(BigInt(i + 1)));
    const bootstrap = firstEntries(ids);
    for (const id of ids) this.#add(id, bootstrap);
    for (const member of this.#members.values()) member.start();
    for (let i = 0; i < clientsCount; i++) this.#clientLater();
    this.#faultLater();
    while (this.#events < this.#options.events) this.#step();
    this.#heal();
    this.#askForProgress();
    const { seed } = this.#options;
    return {
      seed,
      members: this.#voterCount,
      events: this.#events,
      virtualMs: this.#scheduler.nowMs,
      asked: this.#history.asked,
      happened: this.#happened,
    };
  }

  #step(): void {
    const event = this.#scheduler.next();
    assert(event !== undefined, "there is always something to come");
    const member = this.#memberOfLife.get(event.life);
    if (member !== undefined && member.pausedUntilUs > event.timeUs) {
      this.#postpone(event, member);
      return;
    }
    this.#events++;
    this.#options.print?.(`${this.#scheduler.nowMs.toFixed(3)} m${member?.id ?? "-"} ${event.kind}`);
    event.run();
    const replica = member?.replica;
    if (replica?.isLeader === true && this.#history.electionSafety(replica.nodeId, replica.term)) {
      this.#note("elections");
      this.#history.leaderCompleteness(replica.nodeId, replica.term, (member as SimMember).lastIndex);
    }
    if (this.#events % checkEveryEvents === 0) this.#check();
  }

  #postpone({ kind, life, run }: SimEvent, member: SimMember): void {
    const delayMs = (member.pausedUntilUs - this.#scheduler.nowUs) / 1000;
    this.#scheduler.at(delayMs, { kind, life, run });
  }

  #check(): void {
    const replicas = this.#running();
    for (const replica of replicas) this.#history.membershipAgreement(replica);
    this.#history.equalHashes(replicas);
  }

  #running(): Replica[] {
    return [...this.#members.values()]
      .map(({ replica }) => replica)
      .filter((replica) => replica !== undefined);
  }

  #note(what: string): void {
    this.#happened.set(what, (this.#happened.get(what) ?? 0) + 1);
  }

  #add(id: NodeId, bootstrap: readonly Entry[]): SimMember {
    const history = this.#history;
    const member = new SimMember(id, {
      scheduler: this.#scheduler,
      random: this.#faultRandom,
      settings: this.#settings,
      clusterId,
      bootstrap,
      defect: this.#options.defect,
      send: (message, store) => {
        if (store !== undefined) this.#note("stores sent");
        if (message.type === "MsgVoteResp" && !message.reject) this.#voted(message.from);
        this.#network.send(message, store);
        if (store === undefined) return;
        const replica = this.#members.get(message.from)?.replica;
        const run = (): void => replica?.reportSnapshot(message.to, true);
        this.#scheduler.at(600, { life: this.#members.get(message.from)?.life ?? 0, kind: "sent", run });
      },
      onAppend: (one, entry) => history.logMatching(one.id, entry),
      onReplica: (one, replica) => this.#observe(one, replica),
      onRemoved: (one) => {
        this.#note("removals");
        one.isRemoved = true;
        one.crash(false);
      },
      onFatal: (one, error) => this.#onFatal(one, error),
    });
    this.#members.set(id, member);
    return member;
  }

  #observe(member: SimMember, replica: Replica): void {
    const history = this.#history;
    this.#memberOfLife.set(member.life, member);
    const { applier, hub } = replica;
    const apply = applier.apply.bind(applier);
    applier.apply = (request) => {
      const index = replica.appliedIndex + 1;
      const revoked = request.leaseRevoke === undefined ? undefined : leaseId(request.leaseRevoke.ID);
      const outcome = apply(request);
      const effect = outcome.ok ? `${outcome.applied.case} ${outcome.revision}` : outcome.refusal;
      history.stateMachineSafety(member.id, index, request.header?.ID, effect);
      if (revoked !== undefined && outcome.ok) this.#leaseEnded(revoked);
      return outcome;
    };
    const notify = hub.notify.bind(hub);
    hub.notify = (revisionEvents) => {
      history.revision(member.id, revisionEvents);
      notify(revisionEvents);
    };
  }

  // Clients.

  #clientLater(): void {
    const run = (): void => this.#act(() => this.#clientLater());
    this.#scheduler.at(1 + this.#random.below(120), { life: 0, kind: "client", run });
  }

  /** One client does one thing and goes on when it is answered, or when it has waited for long. */
  #act(goOn: () => void): void {
    let isOver = false;
    const over = (): void => {
      if (!isOver) goOn();
      isOver = true;
    };
    this.#scheduler.at(9_000, { life: 0, kind: "patience", run: over });
    const replicas = this.#running();
    const replica = replicas[this.#random.below(Math.max(1, replicas.length))];
    if (replica === undefined) return;
    const choice = this.#random.below(100);
    const key = `k${this.#random.below(keysCount)}`;
    if (choice < 40) this.#put(replica, key, noLease, over);
    else if (choice < 48) this.#delete(replica, key, over);
    else if (choice < 58) this.#swap(replica, key, over);
    else if (choice < 80) this.#read(replica, key, over);
    else if (choice < 84) this.#grant(replica, over);
    else if (choice < 90) this.#renew(over);
    else if (choice < 92) this.#compact(replica, over);
    else {
      this.#watching.act(replica, this.#random);
      over();
    }
  }

  #put(replica: Replica, key: string, lease: LeaseId, done: () => void): void {
    const value = `v${++this.#values}`;
    const { floor } = this.#history;
    const put = codecs.PutRequest.create({ key: utf8(key), value: utf8(value), lease });
    replica.propose({ put }, (outcome) => {
      done();
      if (!outcome.ok) return;
      this.#note("writes");
      this.#history.acknowledgedWrite({
        key,
        value,
        revision: outcome.revision,
        floor,
        index: replica.appliedIndex,
      });
    });
  }

  #delete(replica: Replica, key: string, done: () => void): void {
    const { floor } = this.#history;
    const deleteRange = codecs.DeleteRangeRequest.create({ key: utf8(key) });
    replica.propose({ deleteRange }, (outcome) => {
      done();
      if (!outcome.ok || outcome.applied.case !== "deleteRange") return;
      const { revision } = outcome;
      if (outcome.applied.value.deleted === 0) {
        this.#history.linearizableRead({ key, value: undefined, revision, floor });
      } else {
        this.#history.acknowledgedWrite({
          key,
          value: undefined,
          revision,
          floor,
          index: replica.appliedIndex,
        });
      }
    });
  }

  /** Writes if the key is as it was read a moment ago, and reads it otherwise. */
  #swap(replica: Replica, key: string, done: () => void): void {
    const { floor } = this.#history;
    const value = `v${++this.#values}`;
    const expected = this.#history.valueAt(key, this.#history.newest) ?? "none";
    const txn = codecs.TxnRequest.create({
      compare: [
        codecs.Compare.create({
          result: CompareResult.EQUAL,
          target: CompareTarget.VALUE,
          key: utf8(key),
          targetUnion: { case: "value", value: utf8(expected) },
        }),
      ],
      success: [
        {
          request: {
            case: "requestPut",
            value: codecs.PutRequest.create({ key: utf8(key), value: utf8(value) }),
          },
        },
      ],
      failure: [],
    });
    replica.propose({ txn }, (outcome) => {
      done();
      if (!outcome.ok || outcome.applied.case !== "txn" || !outcome.applied.value.succeeded) return;
      this.#note("swaps");
      this.#history.acknowledgedWrite({
        key,
        value,
        revision: outcome.revision,
        floor,
        index: replica.appliedIndex,
      });
    });
  }

  #read(replica: Replica, key: string, done: () => void): void {
    const { floor } = this.#history;
    replica.readBarrier((outcome) => {
      done();
      if (!outcome.ok) return;
      const answer = replica.store.range(codecs.RangeRequest.create({ key: utf8(key) }));
      assert(answer.ok, "the current revision can be read");
      const [kv] = answer.kvs;
      const value = kv === undefined ? undefined : textOf(new KeyValueScan(kv).value);
      this.#note("reads");
      this.#history.linearizableRead({ key, value, revision: answer.revision, floor });
    });
  }

  #grant(replica: Replica, done: () => void): void {
    const id = leaseId(BigInt(1 + this.#random.below(1_000_000)));
    const ttl = 2 + this.#random.below(4);
    const beganMs = this.#scheduler.nowMs;
    const leaseGrant = codecs.LeaseGrantRequest.create({ ID: id, TTL: ttl });
    replica.propose({ leaseGrant }, (outcome) => {
      if (!outcome.ok || outcome.applied.case !== "leaseGrant") {
        done();
        return;
      }
      this.#note("leases");
      this.#leases.set(id, { ttlMs: outcome.applied.ttlSeconds * 1000, renewedAtMs: beganMs });
      this.#put(replica, `lease${id}`, id, done);
    });
  }

  /** At whoever leads, after it has shown that it does. */
  #renew(done: () => void): void {
    const leader = this.#running().find(({ isLeader }) => isLeader);
    const ids = [...this.#leases.keys()];
    const id = ids[this.#random.below(Math.max(1, ids.length))];
    if (leader === undefined || id === undefined) {
      done();
      return;
    }
    const beganMs = this.#scheduler.nowMs;
    leader.readBarrier((outcome) => {
      done();
      if (!outcome.ok) return;
      const member = this.#members.get(leader.nodeId);
      const nowMs = (member as SimMember).nowMs();
      const renewal = leader.lessor.renew(id, nowMs);
      const lease = this.#leases.get(id);
      if (!renewal.ok || lease === undefined || renewal.hasCheckpoint) return;
      this.#note("renewals");
      lease.renewedAtMs = Math.max(lease.renewedAtMs, beganMs);
    });
  }

  /** Clients here never revoke: a lease that ends has expired. */
  #leaseEnded(id: LeaseId): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    this.#leases.delete(id);
    this.#note("expiries");
    const elapsedMs = this.#scheduler.nowMs - lease.renewedAtMs;
    this.#history.leaseExpiry(id, elapsedMs, (lease.ttlMs * 100) / (100 + clockErrorPercent) - 1);
  }

  #compact(replica: Replica, done: () => void): void {
    const revision = Math.max(1, replica.store.currentRevision - this.#random.below(20));
    replica.propose({ compaction: { revision, physical: false } }, (outcome) => {
      done();
      if (outcome.ok) this.#note("compactions");
    });
  }

  // Faults.

  #faultLater(): void {
    const run = (): void => {
      if (this.#isHealed) return;
      this.#fault();
      this.#faultLater();
    };
    this.#scheduler.at(200 + this.#faultRandom.below(1_500), { life: 0, kind: "fault", run });
  }

  #fault(): void {
    const random = this.#faultRandom;
    const alive = [...this.#members.values()].filter(({ isRemoved }) => !isRemoved);
    const member = alive[random.below(alive.length)] as SimMember;
    const others = alive.filter((one) => one !== member).map(({ id }) => id);
    const choice = random.below(100);
    if (choice < 22) {
      if (member.replica !== undefined) this.#crash(member, choice < 14);
    } else if (choice < 34) {
      this.#note("pauses");
      member.pausedUntilUs = this.#scheduler.nowUs + random.below(4_000_000);
    } else if (choice < 44) {
      this.#note("partitions");
      this.#network.partition([member.id], others);
    } else if (choice < 52) {
      this.#note("one-way cuts");
      for (const other of others) if (random.below(2) === 0) this.#network.cut(member.id, other);
    } else if (choice < 68) {
      this.#network.mend();
    } else if (choice < 76) {
      const rate = 100 + random.below(2 * clockErrorPercent + 1) - clockErrorPercent;
      member.setClockRate(rate / 100);
      this.#note("clock rates");
    } else if (choice < 79) {
      this.#failDisk(member);
    } else if (choice < 84) {
      this.#note("transfers");
      const leader = this.#running().find(({ isLeader }) => isLeader);
      if (others.length > 0) leader?.transferLeadership(member.id);
    } else {
      this.#changeMembers(random);
    }
  }

  /** A call of its disk fails soon, and a little later the machine may do, too. */
  #failDisk(member: SimMember): void {
    const random = this.#faultRandom;
    member.disk.failAfter(random.below(12), random.below(3) === 0 ? "ENOSPC" : "EIO");
    const { life } = member;
    const run = (): void => {
      if (member.replica !== undefined && member.life === life && !this.#isHealed) this.#crash(member, true);
    };
    if (random.below(2) === 0) this.#scheduler.at(random.below(1_000), { life: 0, kind: "power cut", run });
  }

  #crash(member: SimMember, isPowerCut: boolean): void {
    this.#note(isPowerCut ? "power cuts" : "kills");
    if (member.replica !== undefined) this.#watching.forget(member.replica);
    member.crash(isPowerCut);
    if (this.#mayLoseOne()) this.#loseDisk(member);
    this.#startLater(member);
  }

  /** Now and then one dies right after its vote has left, and is back before the election is over. */
  #voted(id: NodeId): void {
    const member = this.#members.get(id);
    if (member === undefined || this.#isHealed || this.#faultRandom.below(4) > 0) return;
    const run = (): void => {
      if (member.replica === undefined) return;
      this.#note("crashes after a vote");
      this.#watching.forget(member.replica);
      member.crash(true);
      this.#startLater(member, 20);
    };
    this.#scheduler.at(0, { life: member.life, kind: "crash after a vote", run });
  }

  #startLater(member: SimMember, withinMs = 3_000): void {
    const run = (): void => this.#start(member);
    this.#scheduler.at(this.#faultRandom.below(withinMs), { life: 0, kind: "restart", run });
  }

  #start(member: SimMember): void {
    if (member.isRemoved || member.isLost || member.replica !== undefined) return;
    try {
      member.start();
    } catch (error) {
      if (!(error instanceof FatalError)) throw error;
      this.#onFatal(member, error);
    }
  }

  /** A member whose disk has failed ends and comes back; one whose log is damaged says so, and does not. */
  #onFatal(member: SimMember, { reason, message }: FatalError): void {
    if (reason === "WAL_DAMAGED" && member.isFlipped) {
      member.isLost = true;
      this.#note("damaged logs refused");
      return;
    }
    const isPlanted = member.disk.failures > member.failuresSeen;
    assert(isPlanted && (reason === "IO_ERROR" || reason === "DISK_FULL"), "a member ended without a fault", {
      member: member.id,
      reason,
      message,
    });
    member.failuresSeen = member.disk.failures;
    this.#note("disk errors");
    const { life } = member;
    const run = (): void => {
      if (member.life === life) this.#crash(member, this.#faultRandom.below(2) === 0);
    };
    this.#scheduler.at(1, { life: 0, kind: "exit", run });
  }

  /** A quorum has to be left: one at a time, of three or more. */
  #mayLoseOne(): boolean {
    const isAnyLost = [...this.#members.values()].some(
      (one) => (one.isLost || one.isFlipped) && !one.isRemoved,
    );
    if (isAnyLost || this.#isHealed || this.#isChanging || this.#faultRandom.below(8) > 0) return false;
    const replicas = this.#running();
    if (replicas.length === 0) return false;
    return (
      newestOf(replicas)
        .members.list()
        .filter(({ isLearner }) => !isLearner).length >= 3
    );
  }

  #loseDisk(member: SimMember): void {
    if (this.#faultRandom.below(2) === 0) {
      member.isFlipped = member.flipBit();
      if (member.isFlipped) this.#note("bit flips");
    } else {
      // What a real member finds out from its peers before it starts: it forgot its vote, and must not come back.
      member.isLost = true;
      this.#note("wiped disks");
    }
  }

  /** Adds a member, mostly as a learner first, or removes one; the cluster keeps about its size. */
  #changeMembers(random: Random): void {
    const leader = this.#running().find(({ isLeader }) => isLeader);
    if (leader === undefined || this.#isChanging) return;
    const members = leader.members.list();
    const lost = members.find(({ id }) => this.#members.get(id)?.isLost === true);
    const learner = members.find(({ isLearner }) => isLearner);
    const voters = members.filter(({ isLearner }) => !isLearner);
    let change: MembershipChange;
    if (lost !== undefined) change = { kind: "remove", id: lost.id };
    else if (learner !== undefined && random.below(3) > 0) {
      const progress = leader.raftStatus.progress.find(({ id }) => id === learner.id);
      const isReady = progress !== undefined && progress.match + 10 >= leader.committedIndex;
      change = isReady ? { kind: "promote", id: learner.id } : { kind: "remove", id: learner.id };
      if (!isReady && random.below(4) > 0) return;
    } else if (voters.length > this.#voterCount || (voters.length >= 3 && random.below(3) === 0)) {
      change = { kind: "remove", id: (voters[random.below(voters.length)] as Member).id };
    } else if (voters.length <= this.#voterCount && learner === undefined) {
      const id = nodeId(BigInt(this.#nextId++));
      change = { kind: "add", member: memberOf(id, random.below(4) > 0) };
      this.#add(id, []).start();
    } else {
      const { id } = members[random.below(members.length)] as Member;
      change = { kind: "update", id, peerUrls: [`http://m${id}:${random.below(60_000)}`] };
    }
    this.#isChanging = true;
    leader.proposeChange(change, (outcome) => {
      this.#isChanging = false;
      if (outcome.ok) this.#note(`members: ${change.kind}`);
    });
    // A crash of the leader leaves nobody to answer.
    this.#scheduler.at(10_000, { life: 0, kind: "patience", run: () => (this.#isChanging = false) });
  }

  // The end.

  #heal(): void {
    this.#isHealed = true;
    this.#network.heal();
    for (const member of this.#members.values()) {
      member.setClockRate(1);
      member.pausedUntilUs = 0;
      member.disk.failAfter(Number.POSITIVE_INFINITY, "EIO");
      this.#start(member);
    }
  }

  /** Whether those that can run are a quorum. */
  #hasQuorum(): boolean {
    const members = newestOf(this.#running()).members.list();
    const voters = members.filter(({ isLearner }) => !isLearner);
    const able = voters.filter(({ id }) => this.#members.get(id)?.isLost !== true);
    return 2 * able.length > voters.length;
  }

  /** Every member that is one takes a write, and then all of them hold the same. */
  #askForProgress(): void {
    if (!this.#hasQuorum()) {
      this.#note("quorums lost");
      return;
    }
    const untilMs = this.#scheduler.nowMs + livenessMs;
    const answered = new Set<NodeId>();
    const isDone = (): boolean => {
      const replicas = this.#ownMembers();
      const indexes = new Set(replicas.map(({ appliedIndex }) => appliedIndex));
      return replicas.every(({ nodeId: id }) => answered.has(id)) && indexes.size === 1;
    };
    const ask = (): void => {
      for (const replica of this.#ownMembers()) {
        if (!answered.has(replica.nodeId))
          this.#put(replica, "last", noLease, () => answered.add(replica.nodeId));
      }
    };
    for (let nextAskMs = 0; !isDone(); ) {
      this.#history.liveness(this.#scheduler.nowMs < untilMs, () => {
        const states = this.#running().map(
          (one) =>
            `${hexId(one.nodeId)} ${one.isLeader ? "leads" : `follows ${hexId(one.leader)}`} term ${one.term} ` +
            `commit ${one.committedIndex} applied ${one.appliedIndex}`,
        );
        return `no progress within ${livenessMs} ms after the faults ended: ${states.join("; ")}`;
      });
      if (this.#scheduler.nowMs >= nextAskMs) {
        ask();
        nextAskMs = this.#scheduler.nowMs + 10 * electionTicks * heartbeatIntervalMs;
      }
      this.#step();
    }
    this.#check();
    for (const replica of this.#ownMembers()) this.#watching.drain(replica);
  }

  /** Those that the cluster counts as its own; one whose addition was never committed waits in vain. */
  #ownMembers(): Replica[] {
    const replicas = this.#running();
    const newest = newestOf(replicas);
    return replicas.filter(({ nodeId: id }) => newest.members.get(id) !== undefined);
  }
}

function newestOf(replicas: readonly Replica[]): Replica {
  return replicas.reduce((a, b) => (b.appliedIndex > a.appliedIndex ? b : a));
}

export function memberOf(id: NodeId, isLearner: boolean): Member {
  return { id, name: "", peerUrls: [`http://m${id}:2380`], clientUrls: [], isLearner };
}

/** The addition of each first member, as a new cluster begins. */
export function firstEntries(ids: readonly NodeId[]): readonly Entry[] {
  return ids.map((id, at) => {
    const context = utf8(encodeMember({ ...memberOf(id, false), name: `m${id}` }));
    const data = raftCodecs.ConfChange.encode({ id: 0n, type: "ConfChangeAddNode", nodeId: id, context });
    return { type: "EntryConfChange", term: 1, index: at + 1, data };
  });
}
