// Linearizable reads. A read may be served once the member has applied everything that was committed when the
// read arrived; that index comes from a ReadIndex round of Raft (thesis section 6.4). Reads that arrive while a
// round is under way wait for the next one. Every round, a retry too, has a context of its own: an answer to an
// earlier round must not confirm a later one.

import { assert } from "../lib/assert.ts";
import { equalBytes } from "../lib/bytes.ts";

export type ReadOutcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: "leaderChanged" | "timeout" | "tooManyRequests" | "stopped" };

export type ReadDone = (outcome: ReadOutcome) => void;

interface Read {
  readonly deadlineMs: number;
  readonly done: ReadDone;
}

export interface ReadBarrierOptions {
  /** A number never used before, by no earlier run of this member either. */
  readonly nextId: () => bigint;
  /** Starts a ReadIndex round under this context. The answer comes through `onReadState`, or never. */
  readonly startRound: (context: Uint8Array) => void;
  readonly nowMs: () => number;
  readonly timeoutMs: number;
  /** After this long without an answer the round starts again, under a new context. */
  readonly retryMs: number;
  readonly countMax: number;
}

const served: ReadOutcome = { ok: true };

export class ReadBarrier {
  readonly #options: ReadBarrierOptions;
  #appliedIndex: number;
  #waiting: Read[] = [];
  #inRound: Read[] = [];
  #roundContext: Uint8Array | undefined;
  #roundStartedMs = 0;
  /** Rounds that were answered with an index that is not applied yet, in order of index. */
  #confirmed: { readonly index: number; readonly reads: Read[] }[] = [];
  #count = 0;

  constructor(options: ReadBarrierOptions, appliedIndex: number) {
    this.#options = options;
    this.#appliedIndex = appliedIndex;
  }

  get count(): number {
    return this.#count;
  }

  /** True when reads wait for a round to begin: the driver then calls `begin` soon, gathering what else arrives. */
  get wantsRound(): boolean {
    return this.#waiting.length > 0 && this.#roundContext === undefined;
  }

  add(done: ReadDone): void {
    if (this.#count >= this.#options.countMax) {
      done({ ok: false, reason: "tooManyRequests" });
      return;
    }
    this.#count++;
    this.#waiting.push({ deadlineMs: this.#options.nowMs() + this.#options.timeoutMs, done });
  }

  begin(): void {
    if (!this.wantsRound) return;
    this.#inRound = this.#waiting;
    this.#waiting = [];
    this.#startRound();
  }

  onReadState(context: Uint8Array, index: number): void {
    if (this.#roundContext === undefined || !equalBytes(context, this.#roundContext)) return;
    this.#roundContext = undefined;
    const reads = this.#inRound;
    this.#inRound = [];
    if (index <= this.#appliedIndex) this.#finish(reads, served);
    else this.#confirmed.push({ index, reads });
  }

  onApplied(index: number): void {
    assert(index >= this.#appliedIndex, "the applied index never goes back", {
      index,
      before: this.#appliedIndex,
    });
    this.#appliedIndex = index;
    while (true) {
      const first = this.#confirmed[0];
      if (first === undefined || first.index > index) return;
      this.#confirmed.shift();
      this.#finish(first.reads, served);
    }
  }

  /** A round that a former leader may have answered is worth nothing: its reads fail, the client decides. */
  onLeaderChanged(): void {
    this.#roundContext = undefined;
    const reads = this.#inRound;
    this.#inRound = [];
    this.#finish(reads, { ok: false, reason: "leaderChanged" });
  }

  /** Called on every Raft tick: retries a lost round, ends reads that waited too long. */
  onTick(): void {
    const nowMs = this.#options.nowMs();
    const timeout: ReadOutcome = { ok: false, reason: "timeout" };
    this.#inRound = this.#expire(this.#inRound, nowMs, timeout);
    this.#waiting = this.#expire(this.#waiting, nowMs, timeout);
    this.#confirmed = this.#confirmed
      .map(({ index, reads }) => ({ index, reads: this.#expire(reads, nowMs, timeout) }))
      .filter(({ reads }) => reads.length > 0);
    if (this.#roundContext === undefined) return;
    if (this.#inRound.length === 0) this.#roundContext = undefined;
    else if (nowMs - this.#roundStartedMs >= this.#options.retryMs) this.#startRound();
  }

  failAll(outcome: ReadOutcome): void {
    const reads = [...this.#confirmed.flatMap(({ reads }) => reads), ...this.#inRound, ...this.#waiting];
    this.#confirmed = [];
    this.#inRound = [];
    this.#waiting = [];
    this.#roundContext = undefined;
    this.#finish(reads, outcome);
  }

  #startRound(): void {
    const context = new Uint8Array(8);
    new DataView(context.buffer).setBigUint64(0, this.#options.nextId());
    this.#roundContext = context;
    this.#roundStartedMs = this.#options.nowMs();
    this.#options.startRound(context);
  }

  #expire(reads: Read[], nowMs: number, outcome: ReadOutcome): Read[] {
    if (reads.length === 0 || (reads[0] as Read).deadlineMs > nowMs) return reads;
    const kept = reads.filter((read) => read.deadlineMs > nowMs);
    this.#finish(
      reads.filter((read) => read.deadlineMs <= nowMs),
      outcome,
    );
    return kept;
  }

  #finish(reads: readonly Read[], outcome: ReadOutcome): void {
    this.#count -= reads.length;
    for (const read of reads) read.done(outcome);
  }
}
