// The replica: drives one member. Purpose: one loop over Raft, the log and the state machines; proposals wait here
// for their entry, reads for their index. It talks to log, engine, clock and network through ports by submit and
// completion calls, never promises, so that main.ts and the simulator make the same `new Replica({...})`.
// It must not know sockets, files, gRPC or the texts of errors. Tested by the simulator.
//
// The order that everything rests on: an entry is appended and synced before its append is answered for, committed
// before it is applied, applied before its proposer hears of it; the store is flushed behind the log (flusher.ts).

import type { Applier } from "../apply/applier.ts";
import { type Outcome, refused } from "../apply/outcome.ts";
import type { Lessor } from "../lease/lessor.ts";
import { assert } from "../lib/assert.ts";
import type { DefragmentOutcome, EngineSize, StoreGeneration } from "../lib/backend.ts";
import { type NodeId, noNode } from "../lib/ids.ts";
import { confChangeOf, type MembershipChange } from "../membership/change.ts";
import type { Members } from "../membership/members.ts";
import { Overlay } from "../mvcc/overlay.ts";
import type { Store } from "../mvcc/store.ts";
import type { WatchHub } from "../mvcc/watch-hub.ts";
import type { MemoryStorage } from "../raft/memory-storage.ts";
import { RawNode, type Status } from "../raft/raw-node.ts";
import type { Ready, SoftState } from "../raft/ready.ts";
import { codecs } from "../wire/codecs.ts";
import { encodePutEntry, encodeTxnEntry } from "../wire/hot-entry.ts";
import type { ConfChange, HardState, Message } from "../wire/raft.ts";
import type { InternalRaftRequest } from "../wire/rpc.ts";
import { ApplyLoop } from "./apply-loop.ts";
import { AutoCompactor } from "./auto-compactor.ts";
import { Background } from "./background.ts";
import { ConfChanges } from "./conf-changes.ts";
import { readDurableState, writeConfState } from "./durable-state.ts";
import { Flusher } from "./flusher.ts";
import { GoneLeader } from "./gone-leader.ts";
import { Inbox } from "./inbox.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { createMachines, type Machines } from "./machines.ts";
import { electionTimeoutMs, type ReplicaOptions, requestTimeoutMs } from "./options.ts";
import { type ProposalDone, Proposals } from "./proposals.ts";
import { Publisher } from "./publisher.ts";
import { raftLines } from "./raft-lines.ts";
import { ReadBarrier, type ReadDone } from "./read-barrier.ts";
import { recover } from "./recover.ts";
import { RequestIds } from "./request-ids.ts";
import { SnapshotReports } from "./snapshot-reports.ts";
import { SnapshotSource } from "./snapshot-source.ts";
import { type AppliedState, Snapshotter } from "./snapshotter.ts";
import { StoreInstallation } from "./store-installation.ts";
import { timeoutReason } from "./timeout-reason.ts";
import { Unproposed } from "./unproposed.ts";

/** Committed entries that wait to be applied: above this new proposals are turned away, as in etcd. */
const applyLagMax = 5000;
/** Requests of this member that wait at a time: far above what the streams of a busy member hold. */
const waitingCountMax = 100_000;
/** Requests that wait for a leader, or for Raft to take more. */
const unproposedBytesMax = 64 * 1024 * 1024;
const messageBytesMax = 1024 * 1024;
const inflightMessagesMax = 512;
/** Above this Raft takes no more, and new requests are turned away: well below what the log's queue holds. */
const uncommittedBytesMax = 256 * 1024 * 1024;
const readRetryMs = 500;
/** Log entries kept in memory for followers that are behind: a quarter of what Raft may hold uncommitted. */
const catchupBytesMax = 64 * 1024 * 1024;
/** More than is written while a snapshot of some gigabytes is sent, and little enough to keep in memory. */
const pinnedBytesMax = 512 * 1024 * 1024;
/** Requests that go to Raft together without waiting for the turn to end: the log gets to work while more are decoded. */
const proposedTogether = 250;
/** Membership changes that wait for a leader: one at a time can be made. */
const unproposedChangesMax = 64;
/** How long a member that was removed goes on, so that the others hear that its removal is committed. */
const removedLingerMs = 1000;

type Lifecycle = "created" | "running" | "stopping" | "stopped";

export class Replica {
  readonly store: Store;
  readonly lessor: Lessor;
  readonly members: Members;
  readonly hub: WatchHub;
  readonly applier: Applier;
  readonly #options: ReplicaOptions;
  readonly #overlay: Overlay;
  readonly #storage: MemoryStorage;
  readonly #rawNode: RawNode;
  readonly #requestIds: RequestIds;
  readonly #proposals = new Proposals(waitingCountMax);
  readonly #barrier: ReadBarrier;
  readonly #applyLoop: ApplyLoop;
  readonly #flusher: Flusher;
  readonly #snapshotter: Snapshotter;
  readonly #snapshotReports: SnapshotReports;
  readonly #keeper: LeaseKeeper;
  readonly #background: Background;
  readonly #publisher: Publisher;
  readonly #autoCompactor: AutoCompactor | undefined;
  readonly #goneLeader: GoneLeader;
  readonly #inbox: Inbox;
  readonly #installation: StoreInstallation;
  #lifecycle: Lifecycle = "created";
  #leaderElectedMs = Number.NEGATIVE_INFINITY;
  #softState: SoftState = { lead: noNode, state: "StateFollower" };
  // Invariant: the applied index is at most #hardState.commit.
  #hardState: HardState;
  /** A HardState with this commit is durable, and so is every entry up to it. */
  #loggedCommit: number;
  /** Requests on their way to Raft: they go together, once a turn, as soon as there is a leader. */
  readonly #unproposed = new Unproposed(unproposedBytesMax);
  #unproposedChanges: { readonly request: number; readonly change: ConfChange }[] = [];
  /** Answers to membership changes, due once Raft knows that they are applied: it takes no further one before. */
  #changesApplied: (() => void)[] = [];
  #defragmentations = 0;
  #isDriving = false;
  #isDriveDue = false;
  #isReadRoundDue = false;

  /** Throws FatalError STORE_DAMAGED when store and log do not belong together. */
  constructor(options: ReplicaOptions) {
    this.#options = options;
    const { contents, clock, logger, metrics } = options;
    const overlay = new Overlay(options.engine);
    this.#overlay = overlay;
    const recovered = recover(contents, options.bootstrap, readDurableState(overlay));
    const state = recovered.applied;
    this.#storage = recovered.storage;
    this.#hardState = recovered.hardState;
    this.#loggedCommit = contents.hardState.commit;

    const machines = createMachines(overlay, options, () => this.#background.onSyncWanted());
    const { members, lessor, store, hub, applier } = machines;
    this.members = members;
    this.lessor = lessor;
    this.store = store;
    this.hub = hub;
    this.applier = applier;

    this.#requestIds = new RequestIds(options.nodeId, options.startMs);
    this.#rawNode = this.#createRawNode(state.index);
    this.#barrier = this.#createBarrier(state.index);
    const confChanges = new ConfChanges({
      nodeId: options.nodeId,
      clusterId: contents.clusterId,
      members,
      network: options.network,
      logger,
      learnersMax: options.learnersMax,
      applyToRaft: (change) => this.#rawNode.applyConfChange(change),
      currentRevision: () => store.currentRevision,
      onRemoved: () => this.#onRemoved(),
    });
    const isStoreFull = (): boolean => this.#flusher.isFull;
    this.#applyLoop = new ApplyLoop(
      {
        applier,
        clock,
        logger,
        metrics,
        slowApplyMs: options.slowApplyMs,
        isStoreFull,
        onApplied: (idLow, idHigh, outcome) => {
          const request = this.#requestIds.request(idLow, idHigh);
          if (request !== undefined) this.#proposals.complete(request, outcome);
        },
        applyConfChange: (change) => {
          const applied = confChanges.apply(change);
          writeConfState(overlay, applied.confState);
          return applied;
        },
        onConfChanged: (changeId, outcome) => {
          const request = this.#requestIds.requestOf(changeId);
          if (request === undefined) return;
          this.#changesApplied.push(() => this.#proposals.complete(request, outcome));
        },
        onTermBegins: () => this.#onTermBegins(),
        afterEntry: () => this.#afterEntry(),
        onMessageDone: (message) => {
          this.#deliver(message.responses);
          const answers = this.#changesApplied;
          this.#changesApplied = [];
          for (const answer of answers) answer();
          this.#campaignIfAlone();
        },
        onSliceDone: (index) => {
          this.#background.scrub();
          this.#publisher.check();
          this.#barrier.onApplied(index);
          this.#driveSoon();
        },
      },
      state,
    );
    this.#snapshotter = new Snapshotter(
      {
        log: options.log,
        storage: this.#storage,
        logger,
        snapshotCount: options.snapshotCount,
        catchupEntries: options.snapshotCatchupEntries,
        catchupBytesMax: options.catchupBytesMax ?? catchupBytesMax,
        pinnedBytesMax,
        raftAppliedIndex: () => this.#rawNode.basicStatus().applied,
      },
      contents.snapshot.index,
    );
    this.#snapshotReports = new SnapshotReports({
      clock,
      report: (peer, ok) => {
        if (this.#lifecycle !== "running") return;
        this.#rawNode.reportSnapshot(peer, ok);
        this.#driveSoon();
      },
    });
    this.#flusher = new Flusher(
      {
        overlay,
        clock,
        intervalMs: options.flushIntervalMs,
        layerBytesMax: options.flushBytesMax,
        appliedState: () => this.#appliedState(),
        whenLogged: (index, done) => this.#whenLogged(index, done),
        onFlushed: (flushed) => {
          this.#snapshotter.onFlushed(flushed);
          this.#applyLoop.run();
        },
        observeSeconds: (seconds) => metrics.backendCommitSeconds.observe(seconds),
      },
      state.index,
    );
    this.#background = new Background({
      clock,
      store,
      hub,
      compactionBatchRecords: options.compactionBatchRecords,
      compactionPauseMs: options.compactionPauseMs,
      isStoreFull,
      metrics,
    });
    this.#publisher = new Publisher({
      nodeId: options.nodeId,
      name: options.name,
      clientUrls: options.clientUrls,
      members,
      clock,
      logger,
      retryMs: options.heartbeatIntervalMs,
      hasCaughtUp: () => this.leader !== noNode && this.#applyLoop.state.term === this.term,
      isLeader: () => this.isLeader,
      propose: (request, done) => this.propose(request, done),
    });
    this.#installation = this.#createInstallation(machines);
    this.#keeper = this.#createKeeper();
    this.#autoCompactor = this.#createAutoCompactor();
    this.#goneLeader = this.#createGoneLeader();
    this.#inbox = new Inbox({
      rawNode: this.#rawNode,
      logger,
      isRunning: () => this.#lifecycle === "running",
      onStepped: () => this.#driveSoon(),
    });
  }

  /**
   * Begins. `onReady` runs once the member has applied an entry of its leader's term, and so everything that was
   * ever acknowledged before, and the cluster knows its name and client URLs.
   */
  start(onReady: () => void): void {
    assert(this.#lifecycle === "created", "a replica starts once");
    this.#lifecycle = "running";
    this.#publisher.onReady(onReady);
    const { bootstrap, log, network } = this.#options;
    for (const { id, peerUrls } of this.members.list()) if (id !== this.nodeId) network.addPeer(id, peerUrls);
    if (this.members.isRemoved(this.nodeId)) this.#onRemoved();
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
    this.#background.stop();
    this.#publisher.stop();
    this.#proposals.failAll(refused("stopped"));
    this.#barrier.failAll({ ok: false, reason: "stopped" });
    // Nothing more is applied, or a flush could begin, and save a snapshot, behind the last one.
    this.#applyLoop.stop();
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

  /** As the members are stored; false for a member that has not read of its own addition yet. */
  get isLearner(): boolean {
    return this.members.get(this.nodeId)?.isLearner ?? false;
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
    return this.#applyLoop.index;
  }

  /** A snapshot of another member is taking the place of what this one has. */
  get isInstalling(): boolean {
    return this.#installation.isUnderWay;
  }

  /** Raft's own view. Progress is known to a leader only. */
  get raftStatus(): Status {
    return this.#rawNode.status();
  }

  /** Since when the member has been connected, on the replica's clock; undefined while it is out of reach. */
  activeSinceMs(id: NodeId): number | undefined {
    return this.#options.network.activeSinceMs(id);
  }

  /** `--max-learners`. */
  get learnersMax(): number {
    return this.#options.learnersMax;
  }

  get heartbeatIntervalMs(): number {
    return this.#options.heartbeatIntervalMs;
  }

  /** How long a request may take. */
  get requestTimeoutMs(): number {
    return requestTimeoutMs(this.#options);
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

  /** Gives the free space in the store's file back to the disk. The member goes on meanwhile. `done` runs once. */
  defragment(done: (outcome: DefragmentOutcome) => void): void {
    if (this.#lifecycle !== "running") {
      done({ ok: false, reason: "interrupted" });
      return;
    }
    const { engine, logger, clock, metrics } = this.#options;
    const before = engine.size();
    const startedMs = clock.nowMs();
    this.#defragmentations++;
    logger.info("defragmenting", sizeFields(before));
    engine.defragment((outcome) => {
      this.#defragmentations--;
      const seconds = (clock.nowMs() - startedMs) / 1000;
      if (outcome.ok) {
        metrics.backendDefragSeconds.observe(seconds);
        logger.info("finished defragmenting directory", {
          ...sizeFields(engine.size()),
          "took-seconds": seconds,
        });
      } else logger.warn("failed to defragment", outcome);
      done(outcome);
    });
  }

  get isDefragmenting(): boolean {
    return this.#defragmentations > 0;
  }

  /** What a snapshot of this moment holds. Whoever opened it closes it: it holds compactions back. */
  openSnapshot(): SnapshotSource {
    return new SnapshotSource(this.#overlay, this.store, this.#appliedState());
  }

  /**
   * Puts a request into the log. `done` runs once: when the request was applied on this member, was refused before
   * it was proposed, or took too long (then it may still be applied later).
   */
  propose(operation: Partial<Omit<InternalRaftRequest, "header">>, done: ProposalDone): void {
    if (this.#lifecycle !== "running") {
      done(refused("stopped"));
      return;
    }
    if (this.committedIndex - this.appliedIndex > applyLagMax || this.#proposals.isFull) {
      done(refused("tooManyRequests"));
      return;
    }
    const request = this.#requestIds.next();
    const data = this.#encode(request, operation);
    if (data.length > this.#options.requestBytesMax) {
      done(refused("requestTooLarge"));
      return;
    }
    if (!this.#unproposed.hasRoom(data.length)) {
      done(refused("tooManyRequests"));
      return;
    }
    this.#await(request, done);
    this.#unproposed.push(request, data);
    if (this.#unproposed.count % proposedTogether === 0) this.#drive();
    else this.#driveSoon();
  }

  /**
   * For what only a leader may decide, at this very moment: it goes to Raft at once or not at all. A request that waited
   * would be forwarded to the next leader, with which clients have renewed what it ends.
   */
  proposeAsLeader(operation: Partial<Omit<InternalRaftRequest, "header">>, done: ProposalDone): void {
    const isLeader = this.#lifecycle === "running" && this.#rawNode.basicStatus().state === "StateLeader";
    const request = this.#requestIds.next();
    if (!isLeader || this.#rawNode.propose(this.#encode(request, operation)) !== "accepted") {
      done(refused("notProposed"));
      return;
    }
    this.#await(request, done);
    this.#driveSoon();
  }

  /**
   * Puts a membership change into the log. `done` runs once, as with `propose`; while another change is under way
   * Raft drops this one, and it times out.
   */
  proposeChange(change: MembershipChange, done: ProposalDone): void {
    if (this.#lifecycle !== "running") {
      done(refused("stopped"));
      return;
    }
    if (this.#proposals.isFull || this.#unproposedChanges.length >= unproposedChangesMax) {
      done(refused("tooManyRequests"));
      return;
    }
    const request = this.#requestIds.next();
    this.#await(request, done);
    this.#unproposedChanges.push({ request, change: confChangeOf(change, this.#requestIds.wide(request)) });
    this.#driveSoon();
  }

  /** Asks Raft to make a voter the leader. Whether it came to that shows in `leader`. */
  transferLeadership(to: NodeId): void {
    if (this.#lifecycle !== "running") return;
    this.#rawNode.transferLeader(to);
    this.#driveSoon();
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

  /**
   * A snapshot from another member: the message, and the store that its bytes were made into. It takes the place of
   * what this member has when it is ahead, and is discarded otherwise.
   */
  receiveSnapshot(message: Message, generation: StoreGeneration): void {
    if (this.#lifecycle === "running") this.#installation.receive(message, generation);
    else generation.discard();
  }

  /** Keeps log entries behind `index` in memory until the returned function is called: a snapshot is on its way. */
  pinLog(index: number): () => void {
    return this.#snapshotter.pin(index);
  }

  /** A message from another member, but a snapshot. Throws FatalError DATA_LOST when entries of this one are gone. */
  receive(message: Message): void {
    this.#inbox.receive(message);
  }

  /** A message from somebody who says to be another member. It cannot end this one. */
  receiveUnproven(message: Message): void {
    this.#inbox.receiveUnproven(message);
  }

  /** Messages to this peer were lost. */
  reportUnreachable(id: NodeId): void {
    if (this.#lifecycle !== "running") return;
    this.#rawNode.reportUnreachable(id);
    this.#driveSoon();
  }

  /** The process of this member has ended: its address refuses connections. */
  reportGone(id: NodeId): void {
    if (this.#lifecycle === "running") this.#goneLeader.onGone(id);
  }

  /** What became of a MsgSnap to this peer. */
  reportSnapshot(id: NodeId, ok: boolean): void {
    if (this.#lifecycle !== "running") return;
    if (ok) this.#snapshotReports.succeeded(id);
    else this.#snapshotReports.failed(id);
  }

  #encode(request: number, operation: Partial<Omit<InternalRaftRequest, "header">>): Uint8Array {
    const { put, txn } = operation;
    const idLow = this.#requestIds.low(request);
    const idHigh = this.#requestIds.high(request);
    if (put !== undefined) return encodePutEntry({ idLow, idHigh, put });
    if (txn !== undefined) return encodeTxnEntry({ idLow, idHigh, txn });
    const header = { ID: this.#requestIds.wide(request), username: "", authRevision: 0 };
    return codecs.InternalRaftRequest.encode(codecs.InternalRaftRequest.create({ ...operation, header }));
  }

  #await(request: number, done: ProposalDone): void {
    const deadlineMs = this.#options.clock.nowMs() + requestTimeoutMs(this.#options);
    this.#proposals.add(request, deadlineMs, done);
  }

  #run(): void {
    this.#flusher.start();
    this.#keeper.start();
    this.#autoCompactor?.start();
    this.#background.start();
    this.#tickLater();
    this.#campaignIfAlone();
    this.#drive();
  }

  #tickLater(): void {
    const { clock, heartbeatIntervalMs } = this.#options;
    clock.after(heartbeatIntervalMs, () => {
      if (this.#lifecycle !== "running") return;
      this.#rawNode.tick();
      const expired = this.#proposals.expire(clock.nowMs(), (id, deadlineMs) =>
        this.#timeout(id, deadlineMs),
      );
      if (expired > 0) this.#options.metrics.proposalsFailed.increment(expired);
      this.#barrier.onTick();
      this.#drive();
      this.#tickLater();
    });
  }

  #timeout(request: number, deadlineMs: number): Outcome {
    if (this.#unproposed.takeBack(request)) return refused("notProposed");
    const startedMs = deadlineMs - requestTimeoutMs(this.#options);
    const reason = timeoutReason(startedMs, {
      nodeId: this.nodeId,
      leader: this.leader,
      leaderElectedMs: this.#leaderElectedMs,
      electionTimeoutMs: electionTimeoutMs(this.#options),
      memberIds: this.members.list().map(({ id }) => id),
      activeSinceMs: (id) => this.activeSinceMs(id),
    });
    return refused(reason);
  }

  #createRawNode(applied: number): RawNode {
    const { nodeId, electionTicks, random, logger, preVote } = this.#options;
    return new RawNode({
      id: nodeId,
      electionTicks,
      heartbeatTicks: 1,
      storage: this.#storage,
      random,
      logger: raftLines(logger),
      applied,
      asyncStorageWrites: true,
      messageBytesMax,
      uncommittedBytesMax,
      inflightMessagesMax,
      checkQuorum: true,
      preVote,
    });
  }

  #createBarrier(appliedIndex: number): ReadBarrier {
    return new ReadBarrier(
      {
        nextId: () => this.#requestIds.wide(this.#requestIds.next()),
        startRound: (context) => {
          this.#rawNode.readIndex(context);
          this.#driveSoon();
        },
        nowMs: () => this.#options.clock.nowMs(),
        timeoutMs: requestTimeoutMs(this.#options),
        retryMs: readRetryMs,
        countMax: waitingCountMax,
      },
      appliedIndex,
    );
  }

  #createInstallation(machines: Machines): StoreInstallation {
    const { nodeId, log, engine, network, logger } = this.#options;
    return new StoreInstallation({
      ...{ nodeId, log, engine, network, logger },
      ...machines,
      overlay: this.#overlay,
      storage: this.#storage,
      applyLoop: this.#applyLoop,
      flusher: this.#flusher,
      snapshotter: this.#snapshotter,
      isRunning: () => this.#lifecycle === "running",
      offer: (message) => {
        this.#rawNode.step(message);
        this.#drive();
      },
      onLogged: (index) => {
        this.#loggedCommit = Math.max(this.#loggedCommit, index);
      },
      deliver: (responses) => this.#deliver(responses),
      drive: () => this.#drive(),
      onRemoved: () => this.#onRemoved(),
      onInstalled: (index) => {
        this.#barrier.onApplied(index);
        this.#publisher.check();
      },
    });
  }

  #createKeeper(): LeaseKeeper {
    const { clock, hasLeaseCheckpoints, metrics } = this.#options;
    return new LeaseKeeper({
      lessor: this.lessor,
      clock,
      isLeader: () => this.isLeader,
      revoke: (ID, done) => this.proposeAsLeader({ leaseRevoke: { ID } }, done),
      checkpoint: (due) => {
        const checkpoints = due.map(({ id, remainingTtlSeconds }) => ({
          ID: id,
          remainingTTL: remainingTtlSeconds,
        }));
        // A lost one is made again in the next interval.
        this.proposeAsLeader({ leaseCheckpoint: { checkpoints } }, () => {});
      },
      hasCheckpoints: hasLeaseCheckpoints,
      onExpired: () => metrics.leasesExpired.increment(),
    });
  }

  #createGoneLeader(): GoneLeader {
    const { nodeId, clock, heartbeatIntervalMs, preVote } = this.#options;
    return new GoneLeader({
      nodeId,
      clock,
      heartbeatIntervalMs,
      preVote,
      voters: () => this.#applyLoop.state.confState.voters,
      leader: () => this.leader,
      term: () => this.term,
      forgetLeader: () => {
        this.#rawNode.forgetLeader();
        this.#driveSoon();
      },
      campaign: () => {
        if (this.#lifecycle !== "running") return;
        this.#rawNode.campaign();
        this.#driveSoon();
      },
    });
  }

  #createAutoCompactor(): AutoCompactor | undefined {
    const { autoCompaction: policy, clock, logger } = this.#options;
    if (policy === undefined) return undefined;
    return new AutoCompactor({
      policy,
      clock,
      logger,
      isLeader: () => this.isLeader,
      currentRevision: () => this.store.currentRevision,
      compact: (revision, done) => this.propose({ compaction: { revision, physical: false } }, done),
    });
  }

  #appliedState(): AppliedState {
    const { clusterVersion } = this.members;
    return { ...this.#applyLoop.state, members: this.members.list(), clusterVersion };
  }

  /** What arrives within one turn of the event loop goes through Raft together. */
  #driveSoon(): void {
    if (this.#isDriveDue || this.#isDriving) return;
    this.#isDriveDue = true;
    this.#options.clock.defer(() => {
      this.#isDriveDue = false;
      this.#drive();
    });
  }

  #drive(): void {
    if (this.#isDriving || this.#lifecycle === "stopped") return;
    this.#isDriving = true;
    this.#proposeAll();
    while (this.#rawNode.hasReady()) {
      this.#handle(this.#rawNode.ready());
      this.#proposeAll();
    }
    this.#isDriving = false;
    this.#beginReadsSoon();
  }

  #proposeAll(): void {
    if (this.leader === noNode) return;
    this.#proposeChanges();
    if (this.#unproposed.isEmpty) return;
    // What Raft does not take now stays, and goes with a later tick or times out.
    if (this.#rawNode.proposeAll(this.#unproposed.entries) === "accepted") this.#unproposed.clear();
  }

  /** A change whose request timed out meanwhile is not worth making any more. */
  #proposeChanges(): void {
    while (true) {
      const first = this.#unproposedChanges[0];
      if (first === undefined) return;
      const { request, change } = first;
      if (this.#proposals.has(request) && this.#rawNode.proposeConfChange(change) !== "accepted") return;
      this.#unproposedChanges.shift();
    }
  }

  #handle(ready: Ready): void {
    if (ready.hardState !== undefined) this.#hardState = ready.hardState;
    if (ready.softState !== undefined) this.#onSoftState(ready.softState);
    for (const { context, index } of ready.readStates) this.#barrier.onReadState(context, index);
    const { messages, votes } = withoutVotes(ready.messages);
    if (messages.length > 0) this.#options.network.send(messages);
    for (const message of ready.storageMessages) {
      if (message.type === "MsgStorageAppend") this.#append(message, ready, votes);
      else this.#applyLoop.push(message);
    }
    this.#applyLoop.run();
  }

  /** `votes` are what a candidate asks for: they leave once its term and its log are on disk. */
  #append(message: Message, ready: Ready, votes: readonly Message[]): void {
    if (message.snapshot !== undefined) {
      this.#installation.install(message, this.#hardState, votes);
      return;
    }
    const { entries } = message;
    const responses = votes.length === 0 ? message.responses : [...message.responses, ...votes];
    const append = { hardState: ready.hardState, entries };
    // Where only the commit moved, entries under way are answered for by the append that carries them, in this term.
    const isCommitOnly =
      entries.length === 0 && responses.every((one) => one.type === "MsgStorageAppendResp");
    if (!ready.mustSync && isCommitOnly) {
      this.#options.log.append(append);
      return;
    }
    const { commit } = this.#hardState;
    this.#options.log.append(append, () => {
      this.#storage.append(entries);
      this.#loggedCommit = Math.max(this.#loggedCommit, commit);
      this.#answerAppend(responses);
    });
  }

  #answerAppend(responses: readonly Message[]): void {
    if (this.#installation.keepsBack(responses)) return;
    this.#deliver(responses);
    this.#drive();
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
    assert(index <= this.committedIndex, "only committed entries are applied", { index });
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
    if (before.state === "StateLeader" && softState.state !== "StateLeader") {
      this.lessor.demote();
      this.#snapshotReports.clear();
    }
    if (softState.lead === before.lead || softState.lead === noNode) return;
    this.#leaderElectedMs = this.#options.clock.nowMs();
    this.#options.metrics.leaderChanges.increment();
    this.#barrier.onLeaderChanged();
    this.#publisher.check();
  }

  /**
   * Everything of earlier terms is applied when a leader's first entry is, so its leases can count from now. A change of
   * the members that Raft does not take leaves an empty entry, too: that begins nothing.
   */
  #onTermBegins(): void {
    if (!this.isLeader || this.lessor.isPrimary) return;
    this.lessor.promote(this.#options.clock.nowMs(), electionTimeoutMs(this.#options));
  }

  #afterEntry(): void {
    this.#flusher.onApplied();
  }

  #onRemoved(): void {
    this.#options.clock.after(removedLingerMs, () => {
      if (this.#lifecycle === "running") this.#options.onRemoved();
    });
  }

  /** A cluster of one need not wait an election timeout for a vote of its own. */
  #campaignIfAlone(): void {
    const { voters } = this.#applyLoop.state.confState;
    const isAlone = voters.length === 1 && voters[0] === this.nodeId;
    if (isAlone && this.#softState.state === "StateFollower") this.#rawNode.campaign();
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
}

/**
 * Raft lets a candidate ask for votes before its own term is on disk. One that loses the power then, when it has already
 * won by the votes of others, would begin the term again, with another log, and win it again.
 */
function withoutVotes(messages: readonly Message[]): {
  readonly messages: readonly Message[];
  readonly votes: readonly Message[];
} {
  if (!messages.some(isVoteRequest)) return { messages, votes: [] };
  return { messages: messages.filter((one) => !isVoteRequest(one)), votes: messages.filter(isVoteRequest) };
}

function isVoteRequest({ type }: Message): boolean {
  return type === "MsgVote";
}

function sizeFields({ sizeBytes, sizeInUseBytes }: EngineSize): Readonly<Record<string, number>> {
  return { "current-db-size-bytes": sizeBytes, "current-db-size-in-use-bytes": sizeInUseBytes };
}
