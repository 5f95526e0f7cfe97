// What every service shares: the member they speak for, response headers, and the bridge from the replica's
// callbacks to the promises of handlers.

import type { Applied } from "../apply/outcome.ts";
import type { Clock } from "../lib/clock.ts";
import type { Metrics } from "../lib/metrics.ts";
import type { ReadOutcome } from "../replica/read-barrier.ts";
import type { Replica } from "../replica/replica.ts";
import type { InternalRaftRequest, ResponseHeader } from "../wire/rpc.ts";
import type { Answer, Call } from "./call.ts";
import { apiError } from "./errors.ts";

export interface MemberApiOptions {
  readonly replica: Replica;
  readonly clock: Clock;
  /** `--max-txn-ops`. */
  readonly txnOpsMax: number;
  /** `--max-request-bytes`. */
  readonly requestBytesMax: number;
  /** Bytes of the store above which new data is refused; zero or less without a quota. */
  readonly quotaBytes: number;
  readonly metrics: Metrics;
}

/** One slice of a long read: well below the time between heartbeats. */
export const readSlice = { recordsMax: 1000, bytesMax: 1024 * 1024 } as const;

type Case = Applied["case"];
type AppliedOf<C extends Case> = Extract<Applied, { readonly case: C }>;

export class MemberApi {
  readonly options: MemberApiOptions;
  readonly replica: Replica;
  readonly #givingWay: (() => void)[] = [];

  constructor(options: MemberApiOptions) {
    this.options = options;
    this.replica = options.replica;
  }

  /** The header of an answer about the store at `revision`. */
  header(revision: number): ResponseHeader {
    const { clusterId, nodeId, term } = this.replica;
    return { clusterId, memberId: nodeId, revision, raftTerm: term };
  }

  get currentRevision(): number {
    return this.replica.store.currentRevision;
  }

  /**
   * Proposes, and answers with what `respond` makes of it once the request was applied here. Hot: puts pass here, so
   * there is no promise.
   */
  proposeFor<C extends Case, Response>(
    operation: Partial<Omit<InternalRaftRequest, "header">>,
    expected: C,
    answer: Answer<Response>,
    respond: (header: ResponseHeader, applied: AppliedOf<C>) => Response,
  ): void {
    this.replica.propose(operation, (outcome) => {
      if (!outcome.ok) answer.fail(apiError(outcome.refusal));
      else if (outcome.applied.case !== expected) {
        answer.fail(new Error(`a request was answered as ${outcome.applied.case}, expected ${expected}`));
      } else answer.succeed(respond(this.header(outcome.revision), outcome.applied as AppliedOf<C>));
    });
  }

  /** Runs `fn` when a read reflects everything committed before this call; what it throws fails the answer. */
  afterBarrier(answer: Answer<never>, fn: () => void): void {
    this.replica.readBarrier((outcome: ReadOutcome) => {
      if (!outcome.ok) {
        answer.fail(apiError(outcome.reason));
        return;
      }
      try {
        fn();
      } catch (error) {
        answer.fail(error);
      }
    });
  }

  /** Proposes and waits until the request was applied here. Rejects with an ApiError. */
  propose<C extends Case>(
    operation: Partial<Omit<InternalRaftRequest, "header">>,
    expected: C,
  ): Promise<{ readonly revision: number; readonly applied: AppliedOf<C> }> {
    return new Promise((resolve, reject) => {
      this.replica.propose(operation, (outcome) => {
        if (!outcome.ok) reject(apiError(outcome.refusal));
        else if (outcome.applied.case !== expected) {
          reject(new Error(`a request was answered as ${outcome.applied.case}, expected ${expected}`));
        } else resolve({ revision: outcome.revision, applied: outcome.applied as AppliedOf<C> });
      });
    });
  }

  /** Waits until a read reflects everything committed before this call. Rejects with an ApiError. */
  readBarrier(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.replica.readBarrier((outcome: ReadOutcome) => {
        if (outcome.ok) resolve();
        else reject(apiError(outcome.reason));
      });
    });
  }

  /**
   * Runs sliced work to its end, giving way after every slice. `step` answers true when it was the last one.
   * Rejects with an ApiError when the client went away meanwhile.
   */
  async inSlices(step: () => boolean, call: Pick<Call, "isCancelled">): Promise<void> {
    const checkStore = this.storeCheck();
    while (!step()) {
      await this.givingWay();
      checkStore();
      if (call.isCancelled) throw apiError("canceled");
    }
  }

  /**
   * For work that reads the store in slices: throws an ApiError, which tells clients to try again, once a snapshot of
   * another member has taken the store's place since this call.
   */
  storeCheck(): () => void {
    const { store } = this.replica;
    const { replacements } = store;
    return () => {
      if (store.replacements !== replacements) throw apiError("leaderChanged");
    };
  }

  /**
   * Lets everything run that is ready now. Those who give way go on one after the other, one in every turn of the
   * event loop, so that a turn stays short, and writes and heartbeats are prompt, however many long reads there are.
   */
  givingWay(): Promise<void> {
    return new Promise((resolve) => {
      this.#givingWay.push(resolve);
      if (this.#givingWay.length === 1) this.#letNextGoOn();
    });
  }

  #letNextGoOn(): void {
    this.options.clock.defer(() => {
      this.#givingWay.shift()?.();
      if (this.#givingWay.length > 0) this.#letNextGoOn();
    });
  }

  delay(ms: number): Promise<void> {
    return new Promise((resolve) => this.options.clock.after(ms, resolve));
  }
}
