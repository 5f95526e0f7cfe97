// What a member asks the leader when it does not lead itself. Leases and a learner's progress are the leader's
// business and never go through the log, so these requests are handed on to its peer URLs.

import type { Clock } from "../lib/clock.ts";
import type { LeaseId, NodeId } from "../lib/ids.ts";
import { noNode } from "../lib/ids.ts";
import type { Replica } from "../replica/replica.ts";
import { apiError } from "./errors.ts";

type LeaseFailure = {
  readonly ok: false;
  readonly reason: "notFound" | "applyTimeout" | "notPrimary";
};

/** Each asks one member at one of its peer URLs, and rejects when there was no answer. */
export interface LeaderCalls {
  renewLease(
    url: URL,
    id: LeaseId,
  ): Promise<{ readonly ok: true; readonly ttlSeconds: number } | LeaseFailure>;
  leaseTimeToLive(
    url: URL,
    id: LeaseId,
    withKeys: boolean,
  ): Promise<
    | {
        readonly ok: true;
        readonly ttlSeconds: number;
        readonly grantedTtlSeconds: number;
        readonly keys: readonly Uint8Array[];
      }
    | LeaseFailure
  >;
  promote(
    url: URL,
    id: NodeId,
    authorization: string | undefined,
  ): Promise<
    | { readonly ok: true; readonly membersJson: string }
    | { readonly ok: false; readonly reason: "notFound" | "notLearner" | "notReady" }
    | { readonly ok: false; readonly reason: "other"; readonly text: string }
  >;
}

const retryMs = 50;

export interface LeaderAskerOptions {
  readonly replica: Replica;
  readonly clock: Clock;
}

export class LeaderAsker {
  readonly #options: LeaderAskerOptions;

  constructor(options: LeaderAskerOptions) {
    this.#options = options;
  }

  /**
   * Asks the leader until one answers: `ask` resolves with undefined when another attempt may do better. Rejects with
   * an ApiError when the time is over.
   */
  async ask<T>(ask: (url: URL) => Promise<T | undefined>): Promise<T> {
    const { replica, clock } = this.#options;
    const deadlineMs = clock.nowMs() + replica.requestTimeoutMs;
    while (clock.nowMs() < deadlineMs) {
      const { leader } = replica;
      const urls = leader === noNode ? [] : (replica.members.get(leader)?.peerUrls ?? []);
      for (const url of urls) {
        const answer = await ask(new URL(url)).catch(noAnswer);
        if (answer !== undefined) return answer;
      }
      await new Promise<void>((resolve) => clock.after(retryMs, resolve));
    }
    throw apiError(replica.leader === noNode ? "noLeader" : "timeout");
  }
}

/** A leader out of reach, or one that has just stopped to lead: whoever asks tries again until its time is over. */
function noAnswer(): undefined {
  return undefined;
}
