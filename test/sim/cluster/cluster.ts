// The members of a run and the world that they live in: virtual time, the network between them, and the history that
// everything they do is held against. Who works on them and what goes wrong is told from outside, through hooks.

import { assert } from "../../../node/lib/assert.ts";
import { utf8 } from "../../../node/lib/bytes.ts";
import { FatalError } from "../../../node/lib/fatal.ts";
import { type LeaseId, leaseId, type NodeId } from "../../../node/lib/ids.ts";
import type { Random } from "../../../node/lib/random.ts";
import { encodeMember, type Member } from "../../../node/membership/member.ts";
import type { Replica } from "../../../node/replica/replica.ts";
import type { MemoryImage } from "../../../node/storage/memory/engine.ts";
import type { Entry, Message } from "../../../node/wire/raft.ts";
import { raftCodecs } from "../../../node/wire/raft-codec.ts";
import { Scheduler, type SimEvent } from "../scheduler.ts";
import { Agreement } from "./agreement.ts";
import { History } from "./history.ts";
import { VirtualNetwork } from "./network.ts";
import { RuleBook } from "./rules.ts";
import type { ClusterSettings } from "./settings.ts";
import { type MemberDefect, SimMember } from "./sim-member.ts";

export interface ClusterHooks {
  /** A granted vote has left this member. */
  readonly onVoted: (id: NodeId) => void;
  /** A heartbeat that is to confirm reads has left this leader. */
  readonly onConfirms: (id: NodeId) => void;
  readonly onFatal: (member: SimMember, error: FatalError) => void;
  /** Once a term. */
  readonly onElected: (leader: Replica) => void;
  readonly onLeaseRevoked: (id: LeaseId) => void;
  /** The life of a member is about to end, and everything that clients had on it. False: nothing can be read any more. */
  readonly onEnds: (replica: Replica, isReadable: boolean) => void;
}

export interface SimClusterOptions {
  readonly settings: ClusterSettings;
  readonly defect: MemberDefect | undefined;
  readonly print: ((line: string) => void) | undefined;
  /** For what happens in members, and for the network. */
  readonly faultRandom: Random;
  readonly networkRandom: Random;
  readonly hooks: ClusterHooks;
}

const clusterId = 0x14f7c3a90bd2e681n;
const checkEveryEvents = 200;
/** After an end of a connection, and that many see it refused then. */
const redialMs = 100;
const noticePercent = 70;
/** A sender hears of a store's arrival by then. */
const storeReportMs = 600;

export class SimCluster {
  readonly scheduler = new Scheduler();
  readonly rules = new RuleBook();
  readonly history = new History(this.rules);
  readonly agreement = new Agreement(this.rules);
  readonly settings: ClusterSettings;
  readonly network: VirtualNetwork;
  readonly members = new Map<NodeId, SimMember>();
  readonly happened = new Map<string, number>();
  readonly #options: SimClusterOptions;
  /** Indexes of the membership changes that a member's log was given. */
  readonly #changesInLog = new Map<NodeId, readonly number[]>();
  readonly #memberOfLife = new Map<number, SimMember>();
  /** Has met a damaged record of its store. */
  #damaged: SimMember | undefined;
  /** Nothing goes wrong any more. */
  isHealed = false;
  events = 0;

  constructor(options: SimClusterOptions) {
    this.#options = options;
    this.settings = options.settings;
    this.network = new VirtualNetwork({
      scheduler: this.scheduler,
      random: options.networkRandom,
      settings: options.settings.network,
      deliver: (message, store) => this.#deliver(message, store),
      onUnreachable: (from, to) => this.members.get(from)?.replica?.reportUnreachable(to),
    });
  }

  /** Runs what comes next. */
  step(): void {
    const event = this.scheduler.next();
    assert(event !== undefined, "there is always something to come");
    const member = this.#memberOfLife.get(event.life);
    if (member !== undefined && member.pausedUntilUs > event.timeUs) {
      this.#postpone(event, member);
      return;
    }
    this.events++;
    this.#options.print?.(`${this.scheduler.nowMs.toFixed(3)} m${member?.id ?? "-"} ${event.kind}`);
    this.attempt(() => {
      event.run();
      if (member?.replica?.isLeader === true) this.#onLeads(member, member.replica);
      if (this.events % checkEveryEvents === 0) this.check();
    });
  }

  /** Runs something that reads from members: one that meets a damaged record of its store ends, as its process would. */
  attempt(run: () => void): void {
    try {
      run();
    } catch (error) {
      if (!(error instanceof FatalError) || error.reason !== "STORE_DAMAGED") throw error;
    }
    const damaged = this.#damaged;
    this.#damaged = undefined;
    if (damaged !== undefined) this.crash(damaged, false);
  }

  /** Throws RuleBroken when members that have applied the same are not the same. */
  check(): void {
    const replicas = this.running();
    for (const replica of replicas) this.agreement.membershipAgreement(replica);
    this.agreement.equalHashes(replicas);
  }

  running(): Replica[] {
    return [...this.members.values()]
      .map(({ replica }) => replica)
      .filter((replica) => replica !== undefined);
  }

  leader(): Replica | undefined {
    return this.running().find(({ isLeader }) => isLeader);
  }

  note(what: string): void {
    this.happened.set(what, (this.happened.get(what) ?? 0) + 1);
  }

  after(delayMs: number, kind: string, run: () => void): void {
    this.scheduler.at(delayMs, { life: 0, kind, run });
  }

  /** A member with an empty disk, that is down. */
  add(id: NodeId, bootstrap: readonly Entry[]): SimMember {
    const { hooks, defect, faultRandom } = this.#options;
    const member = new SimMember(id, {
      scheduler: this.scheduler,
      random: faultRandom,
      settings: this.settings.member,
      clusterId,
      bootstrap,
      defect,
      send: (message, store) => this.#send(message, store),
      onAppend: (one, entry) => {
        this.history.logMatching(one.id, entry);
        if (entry.type === "EntryConfChange") this.#onChangeAppended(one, entry);
      },
      onReplica: (one, replica) => this.#observe(one, replica),
      onRemoved: (one) => {
        this.note("removals");
        one.isRemoved = true;
        this.crash(one, false);
      },
      onFatal: (one, error) => {
        // It is in the middle of something, which ends with what is thrown now.
        if (error.reason === "STORE_DAMAGED") this.#damaged = one;
        hooks.onFatal(one, error);
      },
    });
    this.members.set(id, member);
    return member;
  }

  /** Ends the life of a member; with its machine, what was not synced may be lost. */
  crash(member: SimMember, isPowerCut: boolean): void {
    const { replica } = member;
    if (replica !== undefined) this.#options.hooks.onEnds(replica, !member.isLost);
    member.crash(isPowerCut);
    if (replica !== undefined && !isPowerCut) this.#tellOthers(member);
  }

  /** A machine that goes on refuses connections to a process that has ended; those who dial soon enough learn of it. */
  #tellOthers(gone: SimMember): void {
    const { networkRandom } = this.#options;
    for (const other of this.members.values()) {
      if (other === gone || networkRandom.below(100) >= noticePercent) continue;
      this.after(redialMs + networkRandom.below(redialMs), "refused", () => {
        if (gone.replica === undefined) other.replica?.reportGone(gone.id);
      });
    }
  }

  /** What a paused member is sent waits for it, as in the buffers of its sockets. */
  #deliver(message: Message, store: MemoryImage | undefined): void {
    const member = this.members.get(message.to);
    if (member === undefined) return;
    const waitUs = member.pausedUntilUs - this.scheduler.nowUs;
    const lateMs = waitUs / 1000 + member.peersReadLateMs;
    if (waitUs > 0) this.after(lateMs, "deliver late", () => this.#deliver(message, store));
    else member.receive(message, store);
  }

  #send(message: Message, store: MemoryImage | undefined): void {
    const { type, from, to, term, reject, context } = message;
    // Who asks for votes has its own.
    if (type === "MsgVote") this.history.oneVoteATerm(from, term, from);
    if (type === "MsgVoteResp" && !reject) {
      this.history.oneVoteATerm(from, term, to);
      this.#options.hooks.onVoted(from);
    }
    if (type === "MsgHeartbeat" && context.length > 0) this.#options.hooks.onConfirms(from);
    this.network.send(message, store);
    if (store === undefined) return;
    this.note("stores sent");
    const sender = this.members.get(message.from);
    const replica = sender?.replica;
    const run = (): void => replica?.reportSnapshot(message.to, true);
    this.scheduler.at(storeReportMs, { life: sender?.life ?? 0, kind: "sent", run });
  }

  #postpone({ kind, life, run }: SimEvent, member: SimMember): void {
    const delayMs = (member.pausedUntilUs - this.scheduler.nowUs) / 1000;
    this.scheduler.at(delayMs, { kind, life, run });
  }

  #onLeads(member: SimMember, leader: Replica): void {
    const { nodeId, term } = leader;
    if (!this.history.electionSafety(nodeId, term)) return;
    this.note("elections");
    this.#options.hooks.onElected(leader);
    this.history.leaderCompleteness(nodeId, term, member.lastIndex);
  }

  /** Members append what a leader sends whatever it is; the rule is the leader's. */
  #onChangeAppended(member: SimMember, { index, term }: Entry): void {
    const changes = (this.#changesInLog.get(member.id) ?? []).filter((change) => change < index);
    const { replica } = member;
    if (replica?.isLeader === true && replica.term === term) {
      this.history.oneChangeAtATime(member.id, changes.at(-1), replica.appliedIndex);
    }
    this.#changesInLog.set(member.id, [...changes, index]);
  }

  #observe(member: SimMember, replica: Replica): void {
    const { history } = this;
    this.#memberOfLife.set(member.life, member);
    const { applier, hub } = replica;
    const apply = applier.apply.bind(applier);
    applier.apply = (request) => {
      const index = replica.appliedIndex + 1;
      const revoked = request.leaseRevoke === undefined ? undefined : leaseId(request.leaseRevoke.ID);
      const outcome = apply(request);
      const effect = outcome.ok ? `${outcome.applied.case} ${outcome.revision}` : outcome.refusal;
      history.stateMachineSafety(member.id, index, `${request.idHigh} ${request.idLow}`, effect);
      if (revoked !== undefined && outcome.ok) this.#options.hooks.onLeaseRevoked(revoked);
      return outcome;
    };
    const notify = hub.notify.bind(hub);
    hub.notify = (revisionEvents) => {
      history.revision(member.id, revisionEvents);
      notify(revisionEvents);
    };
  }
}

export function newestOf(replicas: readonly Replica[]): Replica {
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
