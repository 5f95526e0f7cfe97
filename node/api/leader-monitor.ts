// Tells streams that asked for it when the cluster has been without a leader for too long.

import type { Clock, Timer } from "../lib/clock.ts";
import { noNode } from "../lib/ids.ts";
import type { Replica } from "../replica/replica.ts";

/** So many election timeouts without a leader end a stream that requires one. */
const timeoutsMax = 3;

export class LeaderMonitor {
  readonly #replica: Replica;
  readonly #clock: Clock;
  readonly #electionTimeoutMs: number;
  readonly #waiting = new Set<() => void>();
  #leaderlessCount = 0;
  #timer: Timer | undefined;

  constructor(replica: Replica, clock: Clock, electionTimeoutMs: number) {
    this.#replica = replica;
    this.#clock = clock;
    this.#electionTimeoutMs = electionTimeoutMs;
  }

  hasLeader(): boolean {
    return this.#replica.leader !== noNode;
  }

  /** Runs `fn` once when there was no leader for three election timeouts. Returns how to stop waiting. */
  onLeaderLost(fn: () => void): () => void {
    this.#waiting.add(fn);
    this.#timer ??= this.#watch();
    return () => this.#waiting.delete(fn);
  }

  stop(): void {
    this.#waiting.clear();
    this.#timer?.cancel();
  }

  #watch(): Timer {
    return this.#clock.after(this.#electionTimeoutMs, () => {
      this.#leaderlessCount = this.hasLeader() ? 0 : this.#leaderlessCount + 1;
      if (this.#leaderlessCount >= timeoutsMax) {
        const lost = [...this.#waiting];
        this.#waiting.clear();
        for (const fn of lost) fn();
      }
      this.#timer = this.#waiting.size > 0 ? this.#watch() : undefined;
    });
  }
}
