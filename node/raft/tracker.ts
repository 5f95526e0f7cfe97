// The configuration in force, the progress of every member in it, and the votes of the election under way.

import { must } from "../lib/assert.ts";
import type { NodeId } from "../lib/ids.ts";
import type { ConfState } from "../wire/raft.ts";
import { emptyConfState, membersOf } from "./conf-state.ts";
import { Progress } from "./progress.ts";
import { type AckedIndexer, jointCommitted, jointVote, type VoteResult } from "./quorum.ts";

export interface InflightLimits {
  readonly inflightCountMax: number;
  readonly inflightBytesMax: number;
}

export class Tracker implements AckedIndexer {
  readonly #limits: InflightLimits;
  #config: ConfState = emptyConfState;
  #progress = new Map<NodeId, Progress>();
  #members: readonly Progress[] = [];
  #votes = new Map<NodeId, boolean>();

  constructor(limits: InflightLimits) {
    this.#limits = limits;
  }

  get config(): ConfState {
    return this.#config;
  }

  /** Every member's progress, by ascending id: the order in which messages are produced. */
  get members(): readonly Progress[] {
    return this.#members;
  }

  progress(id: NodeId): Progress | undefined {
    return this.#progress.get(id);
  }

  /** Whether the member is all of the quorum. A leader that was removed and left one voter behind is not. */
  isAlone(id: NodeId): boolean {
    const { voters, votersOutgoing } = this.#config;
    return voters.length === 1 && voters[0] === id && votersOutgoing.length === 0;
  }

  /**
   * Takes over a configuration. Members that stay keep their progress, unless they are in `fresh`; new ones start
   * at the end of the log, where a probe sorts out what they need, and count as active so that adding one does not
   * by itself cost the leader its quorum.
   */
  switchTo(
    config: ConfState,
    options: { readonly fresh: ReadonlySet<NodeId>; readonly lastIndex: number },
  ): void {
    const progress = new Map<NodeId, Progress>();
    for (const id of membersOf(config)) {
      const isLearner = config.learners.includes(id);
      const known = options.fresh.has(id) ? undefined : this.#progress.get(id);
      const next = Math.max(options.lastIndex, 1);
      const member = known ?? new Progress(id, { isLearner, next, recentActive: true, ...this.#limits });
      member.isLearner = isLearner;
      progress.set(id, member);
    }
    this.#config = config;
    this.#progress = progress;
    this.#members = [...progress.values()];
  }

  /** Forgets all progress and takes over a configuration as if it were the first. */
  restore(config: ConfState, lastIndex: number): void {
    this.#votes.clear();
    this.switchTo(config, { fresh: new Set(membersOf(config)), lastIndex });
  }

  ackedIndex(voter: NodeId): number | undefined {
    return this.#progress.get(voter)?.match;
  }

  /** The highest index that enough voters have. */
  committed(): number {
    return jointCommitted(this.#config.voters, this.#config.votersOutgoing, this);
  }

  /** Enough voters were heard of since their activity was last cleared. */
  quorumIsActive(): boolean {
    const active = new Map<NodeId, boolean>();
    for (const member of this.#members) if (!member.isLearner) active.set(member.id, member.recentActive);
    return jointVote(this.#config.voters, this.#config.votersOutgoing, active) === "VoteWon";
  }

  clearVotes(): void {
    this.#votes.clear();
  }

  /** The first answer of a voter counts; a repeated or contradicting one does not. */
  recordVote(voter: NodeId, granted: boolean): void {
    if (!this.#votes.has(voter)) this.#votes.set(voter, granted);
  }

  /** Counts of current voters only, while the result follows from the quorum rules. */
  tally(): { readonly granted: number; readonly rejected: number; readonly result: VoteResult } {
    let granted = 0;
    let rejected = 0;
    for (const member of this.#members) {
      if (member.isLearner || !this.#votes.has(member.id)) continue;
      if (must(this.#votes.get(member.id), "a vote just found")) granted++;
      else rejected++;
    }
    const result = jointVote(this.#config.voters, this.#config.votersOutgoing, this.#votes);
    return { granted, rejected, result };
  }
}
