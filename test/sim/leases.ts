// How long each lease has been promised to live, as its clients know it: from the moment of the grant, or of the
// last keepalive that was answered.

import type { InternalRaftRequest } from "../../node/wire/rpc.ts";
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
  /** Revocations that clients have asked for and that are not in the log yet. */
  #asked = new Map<bigint, number>();

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

  /** A client asks for a revocation. */
  revokeAsked(id: bigint): void {
    this.#asked.set(id, (this.#asked.get(id) ?? 0) + 1);
  }

  /** The process is gone, and with it what it had not appended. */
  lifeEnded(): void {
    this.#asked = new Map();
  }

  /** A request enters the log. A revocation that nobody asked for has to be an expiry; whether it is one. */
  appended({ leaseRevoke }: InternalRaftRequest, nowMs: number): boolean {
    if (leaseRevoke === undefined) return false;
    const asked = this.#asked.get(leaseRevoke.ID) ?? 0;
    if (asked > 0) {
      this.#asked.set(leaseRevoke.ID, asked - 1);
      return false;
    }
    const promised = this.#promised.get(leaseRevoke.ID);
    if (promised === undefined) return true;
    const livedMs = nowMs - promised.sinceMs;
    this.#promises.hold(
      "leasesAreNotRevokedEarly",
      livedMs + toleranceMs >= promised.ttlSeconds * 1000,
      () => `lease ${leaseRevoke.ID} of ${promised.ttlSeconds} s is revoked after ${livedMs} ms`,
    );
    return true;
  }
}
