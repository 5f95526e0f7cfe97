// Requests that wait for their entry to be applied, by the number of the request. Bounded: the oldest time out, and
// when it is full a new one is turned away before anything was proposed.
//
// Numbers ascend, and requests are mostly answered in their order: a queue in plain arrays. Hot.

import type { Outcome } from "../apply/outcome.ts";
import { assert } from "../lib/assert.ts";

export type ProposalDone = (outcome: Outcome) => void;

/** Answered requests at the front of the arrays that are dropped together. */
const dropCount = 4096;

export class Proposals {
  readonly #countMax: number;
  // Invariant: three arrays of one length; numbers ascend, and deadlines too, since every request waits equally long.
  // Those before #first were answered, and so were those without `done`.
  readonly #requests: number[] = [];
  readonly #deadlinesMs: number[] = [];
  readonly #dones: (ProposalDone | undefined)[] = [];
  #first = 0;
  #count = 0;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count >= this.#countMax;
  }

  add(request: number, deadlineMs: number, done: ProposalDone): void {
    assert(!this.isFull, "a proposal is added only while there is room");
    const last = this.#requests.length - 1;
    assert(last < 0 || (this.#requests[last] as number) < request, "numbers of requests ascend", { request });
    this.#requests.push(request);
    this.#deadlinesMs.push(deadlineMs);
    this.#dones.push(done);
    this.#count++;
  }

  /** True while somebody on this member waits for the request. */
  has(request: number): boolean {
    const position = this.#positionOf(request);
    return position >= 0 && this.#dones[position] !== undefined;
  }

  /** Answers the request, once; nothing happens when nobody waits for it. */
  complete(request: number, outcome: Outcome): void {
    const position = this.#positionOf(request);
    if (position < 0) return;
    const done = this.#dones[position];
    if (done === undefined) return;
    this.#dones[position] = undefined;
    this.#count--;
    if (position === this.#first) this.#passAnswered();
    done(outcome);
  }

  /** Answers every request whose time is over with its own outcome, and tells how many there were. */
  expire(nowMs: number, outcomeOf: (request: number, deadlineMs: number) => Outcome): number {
    let count = 0;
    while (this.#count > 0) {
      const deadlineMs = this.#deadlinesMs[this.#first] as number;
      if (deadlineMs > nowMs) break;
      const request = this.#requests[this.#first] as number;
      this.complete(request, outcomeOf(request, deadlineMs));
      count++;
    }
    return count;
  }

  /** Answers everything that waits now. */
  failAll(outcome: Outcome): void {
    for (const request of this.#requests.slice(this.#first)) this.complete(request, outcome);
  }

  /** -1 for a request that was never added, or answered and dropped. */
  #positionOf(request: number): number {
    const requests = this.#requests;
    let low = this.#first;
    if (requests[low] === request) return low;
    let high = requests.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((requests[middle] as number) < request) low = middle + 1;
      else high = middle;
    }
    return requests[low] === request ? low : -1;
  }

  #passAnswered(): void {
    let first = this.#first;
    while (first < this.#dones.length && this.#dones[first] === undefined) first++;
    if (first === this.#dones.length || first >= dropCount) {
      this.#requests.splice(0, first);
      this.#deadlinesMs.splice(0, first);
      this.#dones.splice(0, first);
      first = 0;
    }
    this.#first = first;
  }
}
