// The replica: drives one member. Purpose: one loop over Raft, the log and the state machines; proposals wait here
// for their entry, reads for their index. It talks to log, engine, clock and network through ports by submit and
// completion calls, never promises, so that main.ts and the simulator make the same `new Replica({...})`.
// It must not know sockets, files, gRPC or the texts of errors. Tested by the simulator.
//
// The order that everything rests on: an entry is appended and synced before its append is answered for, committed
// before it is applied, applied before its proposer hears of it; the store is flushed behind the log (flusher.ts).

import { Applier } from "../apply/applier.ts";
import { type Outcome, refused } from "../apply/outcome.ts";
import { Lessor } from "../lease/lessor.ts";
import { assert, never } from "../lib/assert.ts";
import type { Engine } from "../lib/backend.ts";
import { textOf } from "../lib/bytes.ts";
import type { Clock } from "../lib/clock.ts";
import { FatalError } from "../lib/fatal.ts";
import { hexId, type NodeId, noNode } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import type { Metrics } from "../lib/metrics.ts";
import type { Random } from "../lib/random.ts";
import { decodeMember } from "../membership/member.ts";
import { Members } from "../membership/members.ts";
import { Overlay } from "../mvcc/overlay.ts";
import { Store } from "../mvcc/store.ts";
import { WatchHub } from "../mvcc/watch-hub.ts";
import { MemoryStorage } from "../raft/memory-storage.ts";
import { RawNode } from "../raft/raw-node.ts";
import type { Ready, SoftState } from "../raft/ready.ts";
import { codecs } from "../wire/codecs.ts";
import type { ConfState, Entry, HardState, Message } from "../wire/raft.ts";
import { raftCodecs } from "../wire/raft-codec.ts";
import type { InternalRaftRequest } from "../wire/rpc.ts";
import { type AutoCompaction, AutoCompactor } from "./auto-compactor.ts";
import { type DurableState, readDurableState } from "./durable-state.ts";
import { Flusher } from "./flusher.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import type { LogContents, LogStore } from "./log-store.ts";
import { type ProposalDone, Proposals } from "./proposals.ts";
import { ReadBarrier, type ReadDone } from "./read-barrier.ts";
import { RequestIds } from "./request-ids.ts";
import { type AppliedState, Snapshotter } from "./snapshotter.ts";

/** Sends messages to other members. It never blocks, and it may lose any of them. */
export interface Network {
  send(messages: readonly Message[]): void;
}

export interface ReplicaOptions {
  readonly nodeId: NodeId;
  readonly contents: LogContents;
  /** Entries of a cluster that begins with this start; empty when the log held anything. */
  readonly bootstrap: readonly Entry[];
  /** Attributes that the member publishes once it runs. */
  readonly name: string;
  readonly clientUrls: readonly string[];
  readonly log: LogStore;
  readonly engine: Engine;
  readonly network: Network;
  readonly clock: Clock;
  /** Wall-clock milliseconds at the start; only request ids are made from it. */
  readonly startMs: number;
  readonly random: Random;
  readonly logger: Logger;
  readonly heartbeatIntervalMs: number;
  readonly electionTicks: number;
  readonly preVote: boolean;
  readonly snapshotCount: number;
  readonly snapshotCatchupEntries: number;
  readonly flushIntervalMs: number;
  readonly flushBytesMax: number;
  readonly requestBytesMax: number;
  readonly compactionBatchRecords: number;
  readonly compactionPauseMs: number;
  readonly progressNotifyIntervalMs: number;
  readonly hasLeaseCheckpoints: boolean;
  /** Undefined: off. */
  readonly autoCompaction: AutoCompaction | undefined;
  /** Applying one entry longer than this is worth a warning. */
  readonly slowApplyMs: number;
  readonly metrics: Metrics;
}

/** Committed entries that wait to be applied: above this new proposals are turned away, as in etcd. */
const applyLagMax = 5000;
/** Entries applied before control returns to the event loop, so that heartbeats leave on time. */
const applySliceEntries = 1000;
/** Requests of this member that wait at a time: far above what the streams of a busy member hold. */
const compactionBatchBytesMax = 4 * 1024 * 1024;
const waitingCountMax = 100_000;
/** Requests held while there is no leader. */
const heldBytesMax = 64 * 1024 * 1024;
const messageBytesMax = 1024 * 1024;
const inflightMessagesMax = 512;
const uncommittedBytesMax = 1024 * 1024 * 1024;
const readRetryMs = 500;
const hubIntervalMs = 100;
/** How long a lagging watcher waits for the next round of catching up. */
const watchSyncDelayMs = 10;
/** What etcd allows a message above the request limit. */
const grpcOverheadBytes = 512 * 1024;
const decidedClusterVersion = "3.6.0";

type Lifecycle = "created" | "running" | "stopping" | "stopped";

export class Replica {
  readonly store: Store;
  readonly lessor: Lessor;
  readonly members: Members;
  readonly hub: WatchHub;
  readonly applier: Applier;
  readonly #options: ReplicaOptions;
  readonly #overlay: Overlay;
  readonly #storage = new MemoryStorage();
  readonly #rawNode: RawNode;
  readonly #requestIds: RequestIds;
  readonly #proposals = new Proposals(waitingCountMax);
  readonly #barrier: ReadBarrier;
  #isReadRoundDue = false;
  readonly #flusher: Flusher;
  readonly #snapshotter: Snapshotter;
  readonly #keeper: LeaseKeeper;
  readonly #autoCompactor: AutoCompactor | undefined;
  #lifecycle: Lifecycle = "created";
  #softState: SoftState = { lead: noNode, state: "StateFollower" };
  #hardState: HardState;
  /** A HardState with this commit is durable, and so is every entry up to it. */
  #loggedCommit: number;
  #confState: ConfState;
  // Invariant: #appliedIndex <= #hardState.commit.
  #appliedIndex: number;
  #appliedTerm: number;
  #applyQueue: Message[] = [];
  #applyOffset = 0;
  #isApplyDeferred = false;
  #isDriving = false;
  #isDriveDeferred = false;
  #isScrubbing = false;
  /** Requests that arrived while there was no leader. */
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #isPublishing = false;
  #whenReady: (() => void)[] = [];

  /**
   * Throws FatalError STORE_DAMAGED when store and log do not belong together.
   */
  constructor(options: ReplicaOptions) {
    this.#options = options;
    const { contents, clock, nodeId } = options;
    this.#overlay = new Overlay(options.engine);
    const durable = readDurableState(this.#overlay);
    this.#appliedIndex = durable?.index ?? 0;
    this.#appliedTerm = durable?.term ?? 0;
    this.#loadStorage(contents, durable);
    this.#confState = durable?.confState ?? contents.snapshot.confState;
    const { bootstrap } = options;
    this.#storage.append(bootstrap);
    this.#hardState =
      bootstrap.length > 0
        ? { term: 1, vote: noNode, commit: bootstrap.length }
        : { ...contents.hardState, commit: Math.max(contents.hardState.commit, this.#appliedIndex) };
    this.#storage.setHardState(this.#hardState);
    this.#loggedCommit = contents.hardState.commit;

    this.members = new Members(this.#overlay);
    this.lessor = new Lessor(this.#overlay, { minTtlSeconds: this.#minTtlSeconds() });
    this.store = new Store(this.#overlay, { leases: this.lessor });
    this.hub = new WatchHub(
      {
        history: this.store.history,
        random: options.random,
        onSyncWanted: () => clock.after(watchSyncDelayMs, () => this.#syncWatchers()),
      },
      {
        progressIntervalMs: options.progressNotifyIntervalMs,
        fragmentBytesMax: options.requestBytesMax + grpcOverheadBytes,
      },
    );
    this.applier = new Applier({
      store: this.store,
      lessor: this.lessor,
      members: this.members,
      hub: this.hub,
      backend: this.#overlay,
      nowMs: () => clock.nowMs(),
      metrics: options.metrics,
    });
    this.#requestIds = new RequestIds(nodeId, options.startMs);
    this.#rawNode = new RawNode({
      id: nodeId,
      electionTicks: options.electionTicks,
      heartbeatTicks: 1,
      storage: this.#storage,
      random: options.random,
      logger: {
        debug: (line) => options.logger.debug(line),
        info: (line) => options.logger.info(line),
        warning: (line) => options.logger.warn(line),
        error: (line) => options.logger.error(line),
      },
      applied: this.#appliedIndex,
      asyncStorageWrites: true,
      messageBytesMax,
      uncommittedBytesMax,
      inflightMessagesMax,
      checkQuorum: true,
      preVote: options.preVote,
    });
    this.#barrier = new ReadBarrier(
      {
        nextId: () => this.#requestIds.next(),
        startRound: (context) => {
          this.#rawNode.readIndex(context);
          this.#driveSoon();
        },
        nowMs: () => clock.nowMs(),
        timeoutMs: this.#requestTimeoutMs(),
        retryMs: readRetryMs,
        countMax: waitingCountMax,
      },
      this.#appliedIndex,
    );
    this.#snapshotter = new Snapshotter(
      {
        log: options.log,
        storage: this.#storage,
        logger: options.logger,
        snapshotCount: options.snapshotCount,
        catchupEntries: options.snapshotCatchupEntries,
      },
      contents.snapshot.index,
    );
    this.#flusher = new Flusher(
      {
        overlay: this.#overlay,
        clock,
        intervalMs: options.flushIntervalMs,
        layerBytesMax: options.flushBytesMax,
        appliedState: () => this.#appliedState(),
        whenLogged: (index, done) => this.#whenLogged(index, done),
        onFlushed: (state) => {
          this.#snapshotter.onFlushed(state);
          this.#applySome();
        },
        observeSeconds: (seconds) => options.metrics.backendCommitSeconds.observe(seconds),
      },
      this.#appliedIndex,
    );
    this.#keeper = new LeaseKeeper({
      lessor: this.lessor,
      clock,
      isLeader: () => this.isLeader,
      revoke: (ID, done) => this.propose({ leaseRevoke: { ID } }, done),
      checkpoint: (due) => {
        const checkpoints = due.map(({ id, remainingTtlSeconds }) => ({
          ID: id,
          remainingTTL: remainingTtlSeconds,
        }));
        this.propose({ leaseCheckpoint: { checkpoints } }, () => {});
      },
      hasCheckpoints: options.hasLeaseCheckpoints,
      onExpired: () => options.metrics.leasesExpired.increment(),
    });
    const policy = options.autoCompaction;
    this.#autoCompactor =
      policy === undefined
        ? undefined
        : new AutoCompactor({
            policy,
            clock,
            logger: options.logger,
            isLeader: () => this.isLeader,
            currentRevision: () => this.store.currentRevision,
            compact: (revision, done) => this.propose({ compaction: { revision, physical: false } }, done),
          });
  }

  /** Begins. `onReady` runs once the member has a leader and the cluster knows its name and client URLs. */
  start(onReady: () => void): void {
    assert(this.#lifecycle === "created", "a replica starts once");
    this.#lifecycle = "running";
    this.#whenReady.push(onReady);
    const { bootstrap, log } = this.#options;
    if (bootstrap.length === 0) {
      this.#run();
      return;
    }
    // The first entries and their commit are on disk before Raft counts on them.
    const hardState = this.#hardState;
    log.append({ hardState, entries: bootstrap }, () => {
      this.#loggedCommit = hardState.commit;
      this.#run();
    });
  }

  /** Stops taking requests, makes everything applied durable, closes log and engine, then calls `done`. */
  stop(done: () => void): void {
    assert(this.#lifecycle === "running", "a running replica is stopped", { lifecycle: this.#lifecycle });
    this.#lifecycle = "stopping";
    this.#keeper.stop();
    this.#autoCompactor?.stop();
    this.#proposals.failAll(refused("stopped"));
    this.#barrier.failAll({ ok: false, reason: "stopped" });
    this.#flusher.flushAll(() => {
      this.#lifecycle = "stopped";
      this.#flusher.stop();
      this.#options.log.close(() => this.#options.engine.close(done));
    });
  }

  get isLeader(): boolean {
    return this.#softState.state === "StateLeader";
  }

  /** The leader that this member knows, or `noNode`. */
  get leader(): NodeId {
    return this.#softState.lead;
  }

  get nodeId(): NodeId {
    return this.#options.nodeId;
  }

  get clusterId(): bigint {
    return this.#options.contents.clusterId;
  }

  get term(): number {
    return this.#hardState.term;
  }

  get committedIndex(): number {
    return this.#hardState.commit;
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  get pendingProposals(): number {
    return this.#proposals.count;
  }

  get sizes(): { readonly sizeBytes: number; readonly sizeInUseBytes: number } {
    return this.#options.engine.size();
  }

  /** Makes everything applied so far durable in the store. */
  flush(done: () => void): void {
    this.#flusher.flushAll(done);
  }

  /**
   * Puts a request into the log. `done` runs once: when the request was applied on this member, was refused before
   * it was proposed, or took too long (then it may still be applied later).
   */
  propose(operation: Partial<Omit<InternalRaftRequest, "header">>, done: ProposalDone): void {
    const observed: ProposalDone = (outcome) => {
      if (!outcome.ok && outcome.refusal.startsWith("timeout"))
        this.#options.metrics.proposalsFailed.increment();
      done(outcome);
    };
    if (this.#lifecycle !== "running") {
      done(refused("stopped"));
      return;
    }
    if (this.#hardState.commit - this.#appliedIndex > applyLagMax || this.#proposals.isFull) {
      done(refused("tooManyRequests"));
      return;
    }
    const requestId = this.#requestIds.next();
    const data = codecs.InternalRaftRequest.encode(
      codecs.InternalRaftRequest.create({
        ...operation,
        header: { ID: requestId, username: "", authRevision: 0 },
      }),
    );
    if (data.length > this.#options.requestBytesMax) {
      done(refused("requestTooLarge"));
      return;
    }
    if (this.leader === noNode && this.#heldBytes + data.length > heldBytesMax) {
      done(refused("tooManyRequests"));
      return;
    }
    const deadlineMs = this.#options.clock.nowMs() + this.#requestTimeoutMs();
    this.#proposals.add(requestId, deadlineMs, observed);
    this.#proposeBytes(data);
  }

  /** Calls back when a read may be served that reflects everything committed before this call. */
  readBarrier(done: ReadDone): void {
    if (this.#lifecycle !== "running") {
      done({ ok: false, reason: "stopped" });
      return;
    }
    this.#barrier.add(done);
    this.#beginReadsSoon();
  }

  /** One round for all reads that arrive until it begins, and the next one for those that missed it. */
  #beginReadsSoon(): void {
    if (!this.#barrier.wantsRound || this.#isReadRoundDue) return;
    this.#isReadRoundDue = true;
    this.#options.clock.defer(() => {
      this.#isReadRoundDue = false;
      this.#barrier.begin();
    });
  }

  /** A message from another member. */
  receive(message: Message): void {
    if (this.#lifecycle !== "running") return;
    this.#rawNode.step(message);
    this.#driveSoon();
  }

  #run(): void {
    this.#flusher.start();
    this.#keeper.start();
    this.#autoCompactor?.start();
    this.#tickLater();
    this.#hubLater();
    if (this.#isCompactionUnfinished()) this.#scrub();
    this.#campaignIfAlone();
    this.#drive();
  }

  #loadStorage(contents: LogContents, durable: DurableState | undefined): void {
    const { snapshot, entries } = contents;
    if (snapshot.index > 0) {
      const { index, term, confState, data } = snapshot;
      this.#storage.applySnapshot({ data, metadata: { index, term, confState } });
    }
    this.#storage.append(entries);
    if (durable === undefined) {
      if (snapshot.index === 0) return;
      throw new FatalError(
        "STORE_DAMAGED",
        `the store is empty but the log begins after index ${snapshot.index}`,
        {
          index: snapshot.index,
        },
      );
    }
    const { index, term, confState } = durable;
    const loggedTerm = this.#storage.term(index);
    if (loggedTerm !== term) {
      throw new FatalError(
        "STORE_DAMAGED",
        `the store has applied index ${index} of term ${term}, the log has ` +
          `${loggedTerm === undefined ? "no such entry" : `term ${loggedTerm} there`} ` +
          `(it holds ${this.#storage.firstIndex()} to ${this.#storage.lastIndex()})`,
        { index },
      );
    }
    if (index > snapshot.index) this.#storage.createSnapshot(index, { confState, data: snapshot.data });
  }

  #minTtlSeconds(): number {
    const { electionTicks, heartbeatIntervalMs } = this.#options;
    return Math.ceil((3 * electionTicks) / 2 / (1000 / heartbeatIntervalMs));
  }

  #requestTimeoutMs(): number {
    return 5000 + 2 * this.#options.electionTicks * this.#options.heartbeatIntervalMs;
  }

  #appliedState(): AppliedState {
    return {
      index: this.#appliedIndex,
      term: this.#appliedTerm,
      confState: this.#confState,
      members: this.members.list(),
      clusterVersion: this.members.clusterVersion,
    };
  }

  #tickLater(): void {
    const { clock, heartbeatIntervalMs } = this.#options;
    clock.after(heartbeatIntervalMs, () => {
      if (this.#lifecycle !== "running") return;
      this.#rawNode.tick();
      this.#proposals.expire(clock.nowMs(), refused("timeout"));
      this.#barrier.onTick();
      this.#drive();
      this.#tickLater();
    });
  }

  /** Catching-up watchers and periodic progress. */
  #hubLater(): void {
    const { clock } = this.#options;
    clock.after(hubIntervalMs, () => {
      if (this.#lifecycle !== "running") return;
      this.hub.tick(clock.nowMs());
      this.#syncWatchers();
      this.#hubLater();
    });
  }

  #syncWatchers(): void {
    if (this.#lifecycle === "running" && this.hub.syncStep()) {
      this.#options.clock.defer(() => this.#syncWatchers());
    }
  }

  #proposeBytes(data: Uint8Array): void {
    if (this.leader === noNode) {
      this.#held.push(data);
      this.#heldBytes += data.length;
      return;
    }
    // A proposal that Raft drops stays with the waiting requests and times out there, as in etcd.
    this.#rawNode.propose(data);
    this.#driveSoon();
  }

  /** Everything that arrives within one turn of the event loop goes through Raft together. */
  #driveSoon(): void {
    if (this.#isDriveDeferred) return;
    this.#isDriveDeferred = true;
    this.#options.clock.defer(() => {
      this.#isDriveDeferred = false;
      this.#drive();
    });
  }

  #drive(): void {
    if (this.#isDriving || this.#lifecycle === "stopped") return;
    this.#isDriving = true;
    while (this.#rawNode.hasReady()) this.#handle(this.#rawNode.ready());
    this.#isDriving = false;
    this.#beginReadsSoon();
  }

  #handle(ready: Ready): void {
    if (ready.hardState !== undefined) this.#hardState = ready.hardState;
    if (ready.softState !== undefined) this.#onSoftState(ready.softState);
    for (const { context, index } of ready.readStates) this.#barrier.onReadState(context, index);
    if (ready.messages.length > 0) this.#options.network.send(ready.messages);
    for (const message of ready.storageMessages) {
      if (message.type === "MsgStorageAppend") this.#append(message, ready);
      else if (message.type === "MsgStorageApply") this.#applyQueue.push(message);
      else assert(false, "a storage message is an append or an apply", { type: message.type });
    }
    this.#applySome();
  }

  #append(message: Message, ready: Ready): void {
    assert(message.snapshot === undefined, "a single member receives no snapshot");
    const { entries, responses } = message;
    const commit = this.#hardState.commit;
    const append = { hardState: ready.hardState, entries };
    // Where only the commit moved, entries under way are answered for by the append that carries them, in this term.
    const isCommitOnly =
      entries.length === 0 && responses.every((one) => one.type === "MsgStorageAppendResp");
    if (!ready.mustSync && isCommitOnly) {
      this.#options.log.append(append);
      return;
    }
    this.#options.log.append(append, () => {
      this.#storage.append(entries);
      this.#loggedCommit = Math.max(this.#loggedCommit, commit);
      this.#deliver(responses);
      this.#drive();
    });
  }

  #deliver(responses: readonly Message[]): void {
    const remote: Message[] = [];
    for (const response of responses) {
      if (response.to === this.nodeId) this.#rawNode.step(response);
      else remote.push(response);
    }
    if (remote.length > 0) this.#options.network.send(remote);
  }

  #whenLogged(index: number, done: () => void): void {
    assert(index <= this.#hardState.commit, "only committed entries are applied", { index });
    if (this.#loggedCommit >= index) {
      done();
      return;
    }
    const hardState = this.#hardState;
    this.#options.log.append({ hardState, entries: [] }, () => {
      this.#loggedCommit = Math.max(this.#loggedCommit, hardState.commit);
      done();
    });
  }

  #onSoftState(softState: SoftState): void {
    const before = this.#softState;
    this.#softState = softState;
    if (before.state === "StateLeader" && softState.state !== "StateLeader") this.lessor.demote();
    if (softState.lead === before.lead || softState.lead === noNode) return;
    this.#options.metrics.leaderChanges.increment();
    this.#barrier.onLeaderChanged();
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const data of held) this.#proposeBytes(data);
  }

  #applySome(): void {
    if (this.#isApplyDeferred || this.#lifecycle === "stopped") return;
    let left = applySliceEntries;
    while (true) {
      const message = this.#applyQueue[0];
      if (message === undefined) break;
      const entry = message.entries[this.#applyOffset];
      if (entry === undefined) {
        this.#applyQueue.shift();
        this.#applyOffset = 0;
        this.#deliver(message.responses);
        this.#campaignIfAlone();
        continue;
      }
      // Both layers of the overlay are full: the end of a flush calls here again.
      if (this.#flusher.isFull) break;
      if (left-- === 0) {
        this.#isApplyDeferred = true;
        this.#options.clock.defer(() => {
          this.#isApplyDeferred = false;
          this.#applySome();
          this.#drive();
        });
        break;
      }
      this.#applyOffset++;
      this.#applyEntry(entry);
      this.#flusher.onApplied();
    }
    this.#barrier.onApplied(this.#appliedIndex);
    this.#driveSoonIfReady();
  }

  /** A cluster of one need not wait an election timeout for a vote of its own. */
  #campaignIfAlone(): void {
    const { voters } = this.#confState;
    const isAlone = voters.length === 1 && voters[0] === this.nodeId;
    if (isAlone && this.#softState.state === "StateFollower") this.#rawNode.campaign();
  }

  #driveSoonIfReady(): void {
    if (!this.#isDriving && this.#rawNode.hasReady()) this.#driveSoon();
  }

  #applyEntry(entry: Entry): void {
    assert(entry.index === this.#appliedIndex + 1, "entries are applied in order, each once", {
      index: entry.index,
      applied: this.#appliedIndex,
    });
    let waiting: bigint | undefined;
    let outcome: Outcome | undefined;
    switch (entry.type) {
      case "EntryNormal":
        if (entry.data.length === 0) this.#onFirstEntryOfTerm();
        else {
          const request = this.#decode(entry);
          waiting = request.header?.ID;
          outcome = this.#applyRequest(request);
        }
        break;
      case "EntryConfChange":
        this.#applyConfChange(entry);
        break;
      case "EntryConfChangeV2":
        throw new FatalError(
          "UNKNOWN_ENTRY",
          `entry ${entry.index} is a joint membership change, which is never proposed`,
          {
            index: entry.index,
          },
        );
      default:
        never(entry.type);
    }
    this.#appliedIndex = entry.index;
    this.#appliedTerm = entry.term;
    if (waiting !== undefined && outcome !== undefined) this.#proposals.complete(waiting, outcome);
    if (this.#isCompactionUnfinished()) this.#scrub();
    this.#publish();
  }

  #applyRequest(request: InternalRaftRequest): Outcome {
    const { clock, metrics, logger, slowApplyMs } = this.#options;
    const startedMs = clock.nowMs();
    const outcome = this.applier.apply(request);
    const tookMs = clock.nowMs() - startedMs;
    if (tookMs > slowApplyMs) {
      metrics.slowApplies.increment();
      logger.warn("apply request took too long", {
        took: `${tookMs.toFixed(3)}ms`,
        "expected-duration": `${slowApplyMs}ms`,
      });
    }
    return outcome;
  }

  #decode(entry: Entry): InternalRaftRequest {
    const unknown = codecs.InternalRaftRequest.unknownField(entry.data);
    if (unknown !== undefined) {
      throw new FatalError(
        "UNKNOWN_ENTRY",
        `entry ${entry.index} has field ${unknown}, which this version does not know`,
        {
          index: entry.index,
        },
      );
    }
    return codecs.InternalRaftRequest.decode(entry.data);
  }

  /** A leader's empty entry: everything of earlier terms is applied, so its leases can count from now. */
  #onFirstEntryOfTerm(): void {
    if (!this.isLeader) return;
    const { electionTicks, heartbeatIntervalMs, clock } = this.#options;
    this.lessor.promote(clock.nowMs(), electionTicks * heartbeatIntervalMs);
  }

  #applyConfChange(entry: Entry): void {
    const change = raftCodecs.ConfChange.decode(entry.data);
    const member = decodeMember(textOf(change.context));
    assert(change.type === "ConfChangeAddNode", "a single member only ever adds itself", {
      type: change.type,
    });
    this.members.add(member);
    this.#confState = this.#rawNode.applyConfChange(change);
    this.#options.logger.info("added member", {
      "cluster-id": hexId(this.clusterId),
      "local-member-id": hexId(this.nodeId),
      "added-peer-id": hexId(member.id),
      "added-peer-peer-urls": member.peerUrls,
      "added-peer-is-learner": member.isLearner,
    });
  }

  /** Tells the cluster this member's name and client URLs, and as leader its version, where that is not known yet. */
  #publish(): void {
    if (this.#isPublishing || this.#lifecycle !== "running" || this.leader === noNode) return;
    const { name, clientUrls, nodeId, logger } = this.#options;
    const known = this.members.get(nodeId);
    if (known === undefined) return;
    const isPublished = known.name === name && sameTexts(known.clientUrls, clientUrls);
    if (!isPublished) {
      this.#isPublishing = true;
      const memberAttributes = { name, clientUrls };
      this.propose({ clusterMemberAttrSet: { memberID: nodeId, memberAttributes } }, (outcome) => {
        this.#isPublishing = false;
        if (outcome.ok)
          logger.info("published local member to cluster through raft", { "local-member-id": hexId(nodeId) });
        else this.#publishLater();
      });
      return;
    }
    if (this.isLeader && this.members.clusterVersion === undefined) {
      this.#isPublishing = true;
      this.propose({ clusterVersionSet: { ver: decidedClusterVersion } }, (outcome) => {
        this.#isPublishing = false;
        if (!outcome.ok) this.#publishLater();
      });
      return;
    }
    const waiting = this.#whenReady;
    this.#whenReady = [];
    for (const onReady of waiting) onReady();
  }

  #publishLater(): void {
    this.#options.clock.after(this.#options.heartbeatIntervalMs, () => this.#publish());
  }

  #isCompactionUnfinished(): boolean {
    const { finishedRevision, revision } = this.store.compaction;
    return finishedRevision < revision;
  }

  /** Scrubs in slices with pauses, also what an earlier run began. */
  #scrub(): void {
    if (this.#isScrubbing) return;
    this.#isScrubbing = true;
    const { clock, compactionBatchRecords, compactionPauseMs } = this.#options;
    const limits = { recordsMax: compactionBatchRecords, bytesMax: compactionBatchBytesMax };
    const step = (): void => {
      if (this.#lifecycle !== "running") return;
      // A scrub writes to the overlay, too: it waits while both layers are full.
      const progress = this.#flusher.isFull ? "working" : this.store.compaction.step(limits);
      if (progress === "idle") this.#isScrubbing = false;
      else clock.after(compactionPauseMs, step);
    };
    clock.defer(step);
  }
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i]);
}
