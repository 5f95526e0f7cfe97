// Requests that wait for their entry to be applied, by request id. Bounded: the oldest time out, and when it is
// full a new one is turned away before anything was proposed.

import type { Outcome } from "../apply/outcome.ts";
import { assert } from "../lib/assert.ts";

export type ProposalDone = (outcome: Outcome) => void;

interface Waiting {
  readonly deadlineMs: number;
  readonly done: ProposalDone;
}

export class Proposals {
  readonly #countMax: number;
  // Invariant: insertion order is deadline order, since every request waits equally long.
  readonly #waiting = new Map<bigint, Waiting>();

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get count(): number {
    return this.#waiting.size;
  }

  get isFull(): boolean {
    return this.#waiting.size >= this.#countMax;
  }

  add(requestId: bigint, deadlineMs: number, done: ProposalDone): void {
    assert(!this.isFull, "a proposal is added only while there is room");
    assert(!this.#waiting.has(requestId), "request ids are unique", { requestId });
    this.#waiting.set(requestId, { deadlineMs, done });
  }

  /** True while somebody on this member waits for the request. */
  has(requestId: bigint): boolean {
    return this.#waiting.has(requestId);
  }

  /** Answers the request, once; nothing happens when nobody waits for it. */
  complete(requestId: bigint, outcome: Outcome): void {
    const waiting = this.#waiting.get(requestId);
    if (waiting === undefined) return;
    this.#waiting.delete(requestId);
    waiting.done(outcome);
  }

  /** Answers every request whose time is over with its own outcome, and tells how many there were. */
  expire(nowMs: number, outcomeOf: (requestId: bigint, deadlineMs: number) => Outcome): number {
    let count = 0;
    for (const [requestId, waiting] of this.#waiting) {
      if (waiting.deadlineMs > nowMs) break;
      this.complete(requestId, outcomeOf(requestId, waiting.deadlineMs));
      count++;
    }
    return count;
  }

  /** Answers everything that is left. */
  failAll(outcome: Outcome): void {
    for (const requestId of [...this.#waiting.keys()]) this.complete(requestId, outcome);
  }
}
