// What the leader does about leases as time passes: proposes the revocation of expired ones and, where they are
// switched on, checkpoints of the time that is left. Everything takes effect through the log; a follower's
// keeper does nothing.

import type { Lessor } from "../lease/lessor.ts";
import type { Clock } from "../lib/clock.ts";
import type { LeaseId } from "../lib/ids.ts";
import type { ProposalDone } from "./proposals.ts";

/** etcd's pace: a scan every half second, at most a thousand revocations a second, sixteen under way. */
const scanMs = 500;
const revokesPerScanMax = 500;
const revokesInFlightMax = 16;

export interface LeaseKeeperOptions {
  readonly lessor: Lessor;
  readonly clock: Clock;
  readonly isLeader: () => boolean;
  readonly revoke: (id: LeaseId, done: ProposalDone) => void;
  readonly checkpoint: (
    due: readonly { readonly id: LeaseId; readonly remainingTtlSeconds: number }[],
  ) => void;
  readonly hasCheckpoints: boolean;
  readonly onExpired: () => void;
}

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  readonly #inFlight = new Set<LeaseId>();
  #due: LeaseId[] = [];
  #isStopped = false;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#isStopped) return;
    this.#options.clock.after(scanMs, () => {
      this.#scan();
      this.start();
    });
  }

  stop(): void {
    this.#isStopped = true;
  }

  #scan(): void {
    const { lessor, clock } = this.#options;
    if (this.#isStopped || !this.#options.isLeader()) {
      this.#due = [];
      return;
    }
    // The lessor names a lease once in a while, so those that are still due stay.
    const room = revokesPerScanMax - this.#due.length;
    for (const id of lessor.expired(clock.nowMs(), room)) if (!this.#inFlight.has(id)) this.#due.push(id);
    this.#revokeNext();
    if (this.#options.hasCheckpoints) {
      const due = lessor.checkpointsDue(clock.nowMs());
      if (due.length > 0) this.#options.checkpoint(due);
    }
  }

  #revokeNext(): void {
    const { lessor, clock } = this.#options;
    while (this.#inFlight.size < revokesInFlightMax) {
      const id = this.#due.shift();
      if (id === undefined) return;
      // A keepalive may have come while the lease waited for its turn.
      if (!this.#options.isLeader() || !lessor.isExpired(id, clock.nowMs())) continue;
      this.#inFlight.add(id);
      this.#options.onExpired();
      this.#options.revoke(id, () => {
        // Whatever the outcome: a lease that is still there and expired comes up in the next scan.
        this.#inFlight.delete(id);
        this.#revokeNext();
      });
    }
  }
}
