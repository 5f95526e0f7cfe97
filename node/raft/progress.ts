// What a leader knows of one member's log, and how fast it may send to it.

import { assert } from "../lib/assert.ts";
import type { NodeId } from "../lib/ids.ts";
import { Inflights } from "./inflights.ts";

/**
 * StateProbe: the end of the member's log is not known, so one message at a time.
 * StateReplicate: it is known, so messages stream within the inflight window.
 * StateSnapshot: the entries the member needs are compacted; nothing is sent until the snapshot is dealt with.
 */
export type ProgressState = "StateProbe" | "StateReplicate" | "StateSnapshot";

/** A copy for status answers and log lines. */
export interface ProgressStatus {
  readonly id: NodeId;
  readonly state: ProgressState;
  readonly match: number;
  readonly next: number;
  readonly isLearner: boolean;
  readonly isPaused: boolean;
  /** Index of the snapshot under way, or zero. */
  readonly pendingSnapshot: number;
  /** A message of the member arrived since the last check-quorum round. */
  readonly recentActive: boolean;
  readonly inflightCount: number;
  readonly inflightIsFull: boolean;
}

export class Progress {
  readonly id: NodeId;
  isLearner: boolean;
  state: ProgressState = "StateProbe";
  recentActive: boolean;
  readonly #inflights: Inflights;
  // Invariant: match < next. Everything up to match is known to equal the leader's log.
  #match = 0;
  #next: number;
  /** The highest commit index the member was told, or was about to be told. */
  #sentCommit = 0;
  #pendingSnapshot = 0;
  /** No append until an answer arrives: after a probe, or with a full window. */
  #appendsPaused = false;

  constructor(
    id: NodeId,
    options: {
      readonly isLearner: boolean;
      readonly next: number;
      readonly recentActive: boolean;
      readonly inflightCountMax: number;
      readonly inflightBytesMax: number;
    },
  ) {
    this.id = id;
    this.isLearner = options.isLearner;
    this.recentActive = options.recentActive;
    this.#next = options.next;
    this.#inflights = new Inflights({
      countMax: options.inflightCountMax,
      bytesMax: options.inflightBytesMax,
    });
  }

  get match(): number {
    return this.#match;
  }

  get next(): number {
    return this.#next;
  }

  get windowIsFull(): boolean {
    return this.#inflights.isFull;
  }

  get isPaused(): boolean {
    return this.state === "StateSnapshot" || this.#appendsPaused;
  }

  /** As on the first day of a term: nothing is known but, for the leader itself, its own log. */
  reset(options: { readonly match: number; readonly next: number }): void {
    this.#enter("StateProbe");
    this.recentActive = false;
    this.#match = options.match;
    this.#next = options.next;
    this.#sentCommit = 0;
    assert(this.#match < this.#next, "match reached next");
  }

  becomeProbe(): void {
    // After a snapshot the member has at least that, provided it was installed; if not, the probe finds out.
    const from = this.state === "StateSnapshot" ? Math.max(this.#match, this.#pendingSnapshot) : this.#match;
    this.#enter("StateProbe");
    this.#moveNext(from + 1);
  }

  becomeReplicate(): void {
    this.#enter("StateReplicate");
    this.#next = this.#match + 1;
  }

  becomeSnapshot(index: number): void {
    this.#enter("StateSnapshot");
    this.#pendingSnapshot = index;
    this.#next = index + 1;
    this.#sentCommit = index;
  }

  /** An append with `count` entries of `bytes` payload, starting at `next`, is on its way. */
  sentEntries(count: number, bytes: number): void {
    assert(this.state !== "StateSnapshot", "an append was sent to a member that waits for a snapshot");
    if (this.state === "StateReplicate") {
      if (count > 0) {
        this.#next += count;
        this.#inflights.add(this.#next - 1, bytes);
      }
      this.#appendsPaused = this.#inflights.isFull;
    } else if (count > 0) {
      this.#appendsPaused = true;
    }
  }

  sentCommit(commit: number): void {
    this.#sentCommit = commit;
  }

  /** Whether telling the member `commit` would move its commit index, as far as what was sent lets it. */
  canBumpCommit(commit: number): boolean {
    return commit > this.#sentCommit && this.#sentCommit < this.#next - 1;
  }

  /** The member has everything up to `index`. False when that was known. */
  acknowledge(index: number): boolean {
    if (index <= this.#match) return false;
    this.#match = index;
    this.#next = Math.max(this.#next, index + 1);
    this.#appendsPaused = false;
    return true;
  }

  /**
   * The member refused the append that followed entry `rejected` and suggests to try after `hint`. False when
   * the refusal is an old one, overtaken by what is known since.
   */
  refused(rejected: number, hint: number): boolean {
    if (this.state === "StateReplicate") {
      if (rejected <= this.#match) return false;
      this.#moveNext(this.#match + 1);
      return true;
    }
    if (this.#next - 1 !== rejected) return false;
    this.#moveNext(Math.max(Math.min(rejected, hint + 1), this.#match + 1));
    this.#appendsPaused = false;
    return true;
  }

  freeInflights(index: number): void {
    this.#inflights.freeUpTo(index);
  }

  pauseAppends(): void {
    this.#appendsPaused = true;
  }

  resumeAppends(): void {
    this.#appendsPaused = false;
  }

  forgetSnapshot(): void {
    this.#pendingSnapshot = 0;
  }

  status(): ProgressStatus {
    return {
      id: this.id,
      state: this.state,
      match: this.#match,
      next: this.#next,
      isLearner: this.isLearner,
      isPaused: this.isPaused,
      pendingSnapshot: this.#pendingSnapshot,
      recentActive: this.recentActive,
      inflightCount: this.#inflights.count,
      inflightIsFull: this.#inflights.isFull,
    };
  }

  #enter(state: ProgressState): void {
    this.state = state;
    this.#appendsPaused = false;
    this.#pendingSnapshot = 0;
    this.#inflights.clear();
  }

  #moveNext(next: number): void {
    assert(this.#match < next, "match reached next", { match: this.#match, next });
    this.#next = next;
    this.#sentCommit = Math.min(this.#sentCommit, next - 1);
  }
}

/** "StateReplicate match=11 next=12 paused inactive inflight=3[full]", parts that do not apply left out. */
export function describeProgress(status: ProgressStatus): string {
  let text = `${status.state} match=${status.match} next=${status.next}`;
  if (status.isLearner) text += " learner";
  if (status.isPaused) text += " paused";
  if (status.pendingSnapshot > 0) text += ` pendingSnap=${status.pendingSnapshot}`;
  if (!status.recentActive) text += " inactive";
  if (status.inflightCount > 0) text += ` inflight=${status.inflightCount}`;
  if (status.inflightCount > 0 && status.inflightIsFull) text += "[full]";
  return text;
}
