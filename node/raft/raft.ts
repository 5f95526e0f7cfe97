// The state of one member and the transitions between its roles. What a message does in which role is in the
// step-*.ts files, which work on this class; nothing outside this folder sees it.

import { assert } from "../lib/assert.ts";
import { hexId, type NodeId, noNode } from "../lib/ids.ts";
import type { Entry, HardState, Message } from "../wire/raft.ts";
import { canonicalConfState, describeConfig, votersOf } from "./conf-state.ts";
import { type CompleteRaftConfig, completeConfig, type RaftConfig } from "./config.ts";
import { payloadBytesOf } from "./entry-size.ts";
import { RaftLog } from "./log.ts";
import type { RaftLogger } from "./logger.ts";
import { type MessageFields, newMessage, waitsForDisk } from "./message.ts";
import { ReadOnly } from "./read-only.ts";
import type { RaftState, ReadState, SoftState } from "./ready.ts";
import { Tracker } from "./tracker.ts";

export class Raft {
  readonly id: NodeId;
  readonly config: CompleteRaftConfig;
  readonly logger: RaftLogger;
  readonly log: RaftLog;
  readonly tracker: Tracker;

  term = 0;
  vote: NodeId = noNode;
  state: RaftState = "StateFollower";
  lead: NodeId = noNode;

  /** The member that a leader hands over to; it takes no proposals meanwhile. */
  leadTransferee: NodeId = noNode;
  /**
   * A conf change is only appended when the applied index has reached this: at most one is uncommitted or unapplied.
   * Set high rather than exact: a new leader cannot know what its predecessor left in the log.
   */
  pendingConfIndex = 0;
  /** Payload of the leader's own uncommitted entries. Entries of earlier terms are not counted. */
  uncommittedBytes = 0;

  readOnly = new ReadOnly();
  readStates: ReadState[] = [];
  /** Reads that wait until the leader has committed in its term, as before it does not know the commit index. */
  pendingReads: Message[] = [];

  /** Ticks since the leader was heard of, or, on a leader, since the last check-quorum round. */
  electionElapsed = 0;
  heartbeatElapsed = 0;
  /** Random in [electionTicks, 2 * electionTicks), anew for every term, so that candidates rarely collide. */
  randomizedElectionTicks = 0;

  /** Messages that may leave at once, */
  messages: Message[] = [];
  /** and those that answer for what is not on disk yet. */
  messagesAfterAppend: Message[] = [];

  constructor(config: RaftConfig) {
    this.config = completeConfig(config);
    const { storage, logger } = this.config;
    this.id = config.id;
    this.logger = logger;
    this.log = new RaftLog(storage, { logger, applyingBytesMax: this.config.applyingBytesMax });
    this.tracker = new Tracker({
      inflightCountMax: this.config.inflightMessagesMax,
      inflightBytesMax: this.config.inflightBytesMax,
    });

    const { hardState, confState } = storage.initialState();
    this.tracker.restore(canonicalConfState(confState), this.log.lastIndex());
    this.logConfig();
    if (hardState !== undefined && !isEmptyHardState(hardState)) {
      this.log.loadCommitted(hardState.commit);
      this.term = hardState.term;
      this.vote = hardState.vote;
    }
    if (this.config.applied > 0) this.log.appliedTo(this.config.applied, 0);
    this.becomeFollower(this.term, noNode);
    logger.info(
      `newRaft ${hexId(this.id)} [peers: [${votersOf(this.tracker.config).map(hexId).join(",")}], term: ${this.term}, ` +
        `commit: ${this.log.committed}, applied: ${this.log.applied}, lastindex: ${this.log.lastIndex()}, ` +
        `lastterm: ${this.log.lastTerm()}]`,
    );
  }

  /** The member's name in log lines. */
  get name(): string {
    return hexId(this.id);
  }

  softState(): SoftState {
    return { lead: this.lead, state: this.state };
  }

  hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.log.committed };
  }

  becomeFollower(term: number, lead: NodeId): void {
    this.#reset(term);
    this.lead = lead;
    this.state = "StateFollower";
    this.logger.info(`${this.name} became follower at term ${this.term}`);
  }

  becomeCandidate(): void {
    assert(this.state !== "StateLeader", "a leader cannot become a candidate");
    this.#reset(this.term + 1);
    this.vote = this.id;
    this.state = "StateCandidate";
    this.logger.info(`${this.name} became candidate at term ${this.term}`);
  }

  /** Changes neither term nor vote: a pre-vote that fails leaves no trace. */
  becomePreCandidate(): void {
    assert(this.state !== "StateLeader", "a leader cannot become a pre-candidate");
    this.tracker.clearVotes();
    this.lead = noNode;
    this.state = "StatePreCandidate";
    this.logger.info(`${this.name} became pre-candidate at term ${this.term}`);
  }

  becomeLeader(): void {
    assert(this.state !== "StateFollower", "a follower becomes a leader only by way of an election");
    this.#reset(this.term);
    this.lead = this.id;
    this.state = "StateLeader";
    const own = this.tracker.progress(this.id);
    assert(own !== undefined, "a leader is not in its own configuration");
    own.becomeReplicate();
    own.recentActive = true;
    this.pendingConfIndex = this.log.lastIndex();
    const accepted = this.appendOwn([{ type: "EntryNormal", term: 0, index: 0, data: noData }]);
    assert(accepted, "the first entry of a leader was dropped");
    this.logger.info(`${this.name} became leader at term ${this.term}`);
  }

  #reset(term: number): void {
    if (this.term !== term) {
      this.term = term;
      this.vote = noNode;
    }
    this.lead = noNode;
    this.electionElapsed = 0;
    this.heartbeatElapsed = 0;
    this.randomizedElectionTicks =
      this.config.electionTicks + this.config.random.below(this.config.electionTicks);
    this.leadTransferee = noNode;
    this.tracker.clearVotes();
    const lastIndex = this.log.lastIndex();
    for (const member of this.tracker.members) {
      member.reset({ match: member.id === this.id ? lastIndex : 0, next: lastIndex + 1 });
    }
    this.pendingConfIndex = 0;
    this.uncommittedBytes = 0;
    this.readOnly = new ReadOnly();
    this.pendingReads = [];
  }

  /**
   * Queues a message, with this member as sender unless the fields name one. All carry the current term but votes,
   * which name the term they are about, and forwarded proposals and reads, which are valid in any.
   */
  send(fields: MessageFields): void {
    const message = newMessage({ ...fields, from: fields.from ?? this.id, term: this.#termOf(fields) });
    if (waitsForDisk(message.type)) {
      this.messagesAfterAppend.push(message);
      return;
    }
    assert(message.to !== this.id, "a message to oneself that does not wait for the disk");
    this.messages.push(message);
  }

  #termOf(fields: MessageFields): number {
    switch (fields.type) {
      case "MsgVote":
      case "MsgVoteResp":
      case "MsgPreVote":
      case "MsgPreVoteResp":
        assert(fields.term !== undefined && fields.term > 0, "a vote without a term");
        return fields.term;
      case "MsgProp":
      case "MsgReadIndex":
        return 0;
      default:
        return this.term;
    }
  }

  /** Appends proposals to the leader's log. False when too much is uncommitted already. Hot: once per batch. */
  appendOwn(proposals: readonly Entry[]): boolean {
    const bytes = payloadBytesOf(proposals);
    // An empty entry, and the first one of any size, always passes: a leader must be able to make progress.
    const isOver = this.uncommittedBytes + bytes > this.config.uncommittedBytesMax;
    if (this.uncommittedBytes > 0 && bytes > 0 && isOver) {
      this.logger.warning(
        `${this.name} appending new entries to log would exceed uncommitted entry size limit; dropping proposal`,
      );
      return false;
    }
    this.uncommittedBytes += bytes;
    const first = this.log.lastIndex() + 1;
    const entries = new Array<Entry>(proposals.length);
    for (let i = 0; i < proposals.length; i++) {
      const { type, data } = proposals[i] as Entry;
      entries[i] = { type, term: this.term, index: first + i, data };
    }
    const last = this.log.append(entries);
    // The leader's own acknowledgement: it counts towards the quorum once its disk has the entries.
    this.send({ type: "MsgAppResp", to: this.id, index: last });
    return true;
  }

  reduceUncommitted(bytes: number): void {
    this.uncommittedBytes = Math.max(0, this.uncommittedBytes - bytes);
  }

  /** Commits what a quorum has, if that reaches into this term. */
  maybeCommit(): boolean {
    return this.log.commitOwnTerm(this.tracker.committed(), this.term);
  }

  hasCommittedInTerm(): boolean {
    return this.log.matches(this.log.committed, this.term);
  }

  /** A voter whose log is whole: an uninstalled snapshot could be lost again. */
  isPromotable(): boolean {
    const own = this.tracker.progress(this.id);
    return own !== undefined && !own.isLearner && !this.log.hasSnapshot();
  }

  logConfig(): void {
    this.logger.info(`${this.name} switched to configuration ${describeConfig(this.tracker.config)}`);
  }
}

const noData = new Uint8Array(0);

function isEmptyHardState(state: HardState): boolean {
  return state.term === 0 && state.vote === noNode && state.commit === 0;
}
