// How long each lease has been promised to live, as its clients know it: from the moment of the grant, or of the
// last keepalive that was answered.

import type { Promises } from "./promises.ts";

interface Promised {
  readonly ttlSeconds: number;
  sinceMs: number;
}

/** Timers come late and fractions are cut off. */
const toleranceMs = 1;

export class LeaseLedger {
  readonly #promises: Promises;
  readonly #promised = new Map<bigint, Promised>();
  constructor(promises: Promises) {
    this.#promises = promises;
  }

  granted(id: bigint, ttlSeconds: number, nowMs: number): void {
    this.#promised.set(id, { ttlSeconds, sinceMs: nowMs });
  }

  /** An answered keepalive, whose renewal was at `renewedMs`. */
  renewed(id: bigint, renewedMs: number): void {
    const promised = this.#promised.get(id);
    if (promised !== undefined) promised.sinceMs = Math.max(promised.sinceMs, renewedMs);
  }

  revoked(id: bigint): void {
    this.#promised.delete(id);
  }

  /** The member proposes to revoke a lease because its time is over. */
  expiring(id: bigint, nowMs: number): void {
    const promised = this.#promised.get(id);
    if (promised === undefined) return;
    const livedMs = nowMs - promised.sinceMs;
    this.#promises.hold(
      "leasesAreNotRevokedEarly",
      livedMs + toleranceMs >= promised.ttlSeconds * 1000,
      () => `lease ${id} of ${promised.ttlSeconds} s is revoked after ${livedMs} ms`,
    );
  }
}
