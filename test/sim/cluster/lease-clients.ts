// Clients that hold leases: they are granted, renewed at whoever leads, revoked now and then, and otherwise expire no
// earlier than they may.

import type { LeaseId } from "../../../node/lib/ids.ts";
import { leaseId } from "../../../node/lib/ids.ts";
import type { Random } from "../../../node/lib/random.ts";
import type { Replica } from "../../../node/replica/replica.ts";
import { codecs } from "../../../node/wire/codecs.ts";
import type { SimCluster } from "./cluster.ts";

/** A clock runs so much faster or slower at most, in percent. */
export const clockErrorPercent = 10;

/** A former leader is asked so long after an election: its own view of a lease has parted from the new leader's then. */
const hearsayMs = 2_000;

interface HeldLease {
  readonly ttlMs: number;
  /** When the last renewal that was answered was asked for. */
  renewedAtMs: number;
}

export class LeaseClients {
  readonly #cluster: SimCluster;
  readonly #random: Random;
  /** Those that nobody has asked to revoke. */
  readonly #held = new Map<LeaseId, HeldLease>();
  /** Those that were revoked: the answer to a grant may come behind it. */
  readonly #gone = new Set<LeaseId>();
  /** Clients want no leases any more, and those that are held come to their end. */
  isAbandoned = false;
  #leader: Replica | undefined;

  constructor(cluster: SimCluster, random: Random) {
    this.#cluster = cluster;
    this.#random = random;
  }

  /** The key that is put with the lease. */
  keyOf(id: LeaseId): string {
    return `lease${id}`;
  }

  grant(replica: Replica, done: (id: LeaseId | undefined) => void): void {
    const id = leaseId(BigInt(1 + this.#random.below(1_000_000)));
    const ttl = 2 + this.#random.below(4);
    const beganMs = this.#cluster.scheduler.nowMs;
    const leaseGrant = codecs.LeaseGrantRequest.create({ ID: id, TTL: ttl });
    replica.propose({ leaseGrant }, (outcome) => {
      if (!outcome.ok || outcome.applied.case !== "leaseGrant") {
        done(undefined);
        return;
      }
      this.#cluster.note("leases");
      if (!this.#gone.has(id))
        this.#held.set(id, { ttlMs: outcome.applied.ttlSeconds * 1000, renewedAtMs: beganMs });
      done(id);
    });
  }

  /** At whoever leads, after it has shown that it does. */
  renew(done: () => void): void {
    const leader = this.#cluster.leader();
    const id = this.#any();
    if (leader === undefined || id === undefined || this.isAbandoned) {
      done();
      return;
    }
    this.#renewAt(leader, id, done);
  }

  /** A member begins to lead. A while later somebody who has not heard of it asks the one before to renew leases. */
  onElected(leader: Replica): void {
    const former = this.#leader;
    this.#leader = leader;
    if (former === undefined || former === leader) return;
    this.#cluster.after(hearsayMs, "renewals", () => {
      if (former.isLeader || !this.#cluster.running().includes(former)) return;
      this.#cluster.note("renewals at a former leader");
      for (const id of this.#held.keys()) this.#renewAt(former, id, () => {});
    });
  }

  /** Once the member has shown that it has applied what was acknowledged before. */
  #renewAt(replica: Replica, id: LeaseId, done: () => void): void {
    const beganMs = this.#cluster.scheduler.nowMs;
    replica.readBarrier((outcome) => {
      done();
      const nowMs = this.#cluster.members.get(replica.nodeId)?.nowMs();
      if (!outcome.ok || nowMs === undefined) return;
      const renewal = replica.lessor.renew(id, nowMs);
      const lease = this.#held.get(id);
      if (!renewal.ok || lease === undefined || renewal.hasCheckpoint) return;
      this.#cluster.note("renewals");
      lease.renewedAtMs = Math.max(lease.renewedAtMs, beganMs);
    });
  }

  /** Once that is answered, the lease's key is gone for good. */
  revoke(replica: Replica, done: () => void): void {
    const id = this.#any();
    if (id === undefined || this.isAbandoned) {
      done();
      return;
    }
    this.#held.delete(id);
    replica.propose({ leaseRevoke: codecs.LeaseRevokeRequest.create({ ID: id }) }, (outcome) => {
      done();
      if (!outcome.ok) return;
      this.#cluster.note("revocations");
      this.#cluster.history.revokedLease(id, this.keyOf(id), outcome.revision);
    });
  }

  /** A revocation was applied on some member. Of a lease that no client has revoked, it is that of an expiry. */
  onRevoked(id: LeaseId): void {
    this.#gone.add(id);
    const lease = this.#held.get(id);
    if (lease === undefined) return;
    this.#held.delete(id);
    this.#cluster.note("expiries");
    const elapsedMs = this.#cluster.scheduler.nowMs - lease.renewedAtMs;
    const shortestMs = (lease.ttlMs * 100) / (100 + clockErrorPercent) - 1;
    this.#cluster.history.leaseExpiry(id, elapsedMs, shortestMs);
  }

  /** Leases that nobody has revoked and that have not expired. */
  get heldCount(): number {
    return this.#held.size;
  }

  #any(): LeaseId | undefined {
    const ids = [...this.#held.keys()];
    return ids[this.#random.below(Math.max(1, ids.length))];
  }
}
