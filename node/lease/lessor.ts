// The lessor: which leases exist, what is attached to them, and, on the leader only, when they expire.
//
// Existence and attachments are replicated state: they change only as log entries are applied, and are the same on
// every member. Expiry is not: only the primary (the lessor of the leader) has deadlines, on its own monotonic
// clock, and what comes of them goes through the log. Times are passed in; none is ever stored.
// It knows nothing of Raft, of revisions beyond their bytes, and of who proposes. Leases are in memory, their
// attachments only in the backend. Tested by tables, and by random histories against a plain model.

import { assert } from "../lib/assert.ts";
import type { Backend, Cursor } from "../lib/backend.ts";
import { compareBytes } from "../lib/bytes.ts";
import { type LeaseId, noLease } from "../lib/ids.ts";
import { type Deadline, DeadlineHeap, newDeadline } from "./deadline-heap.ts";
import { attachmentKey, attachmentRange, decodeLease, encodeLease, leaseKey } from "./record.ts";

/** A longer one is refused. */
export const ttlMaxSeconds = 9_000_000_000;

export interface LessorOptions {
  /** A shorter TTL is raised to this: a lease has to outlive an election. */
  readonly minTtlSeconds: number;
  /** Between checkpoints of one lease; leases with less than this left get none. */
  readonly checkpointIntervalMs: number;
  /** When an expired lease comes up again, in case that its revocation was lost. */
  readonly expiredRetryMs: number;
  /** After a leader change at most so many leases expire within one second. */
  readonly expiriesPerSecondMax: number;
}

export const defaultLessorOptions: LessorOptions = {
  minTtlSeconds: 2,
  checkpointIntervalMs: 300_000,
  expiredRetryMs: 3_000,
  expiriesPerSecondMax: 500,
};

interface Lease {
  readonly id: LeaseId;
  readonly ttlSeconds: number;
  /** From the last checkpoint; zero if the whole TTL counts. */
  remainingTtlSeconds: number;
  /** Infinite unless this lessor is primary. */
  expiryMs: number;
  /** Invariant: on the primary it is scheduled, and not after `expiryMs` unless the lease was reported expired. */
  readonly expiry: Deadline<Lease>;
  readonly checkpoint: Deadline<Lease>;
}

export type GrantOutcome =
  | { readonly ok: true; readonly ttlSeconds: number }
  | { readonly ok: false; readonly reason: "no id" | "exists" | "ttl too large" };

export type RevokeOutcome =
  | { readonly ok: true; readonly keys: readonly Uint8Array[] }
  | { readonly ok: false; readonly reason: "not found" };

export type RenewOutcome =
  | {
      readonly ok: true;
      readonly ttlSeconds: number;
      /** A checkpoint would shorten the lease after a leader change. Answer after one of zero is applied. */
      readonly hasCheckpoint: boolean;
    }
  /** Expired: its revocation is on the way. Answer "not found" once it is gone, or "not primary" if that comes first. */
  | { readonly ok: false; readonly reason: "not primary" | "not found" | "expired" };

export interface LeaseStatus {
  readonly ttlSeconds: number;
  /** Whole seconds left; MAX_SAFE_INTEGER when this lessor is not primary. */
  readonly remainingSeconds: number;
}

export interface LeaseCheckpoint {
  readonly id: LeaseId;
  readonly remainingTtlSeconds: number;
}

export class Lessor {
  readonly #backend: Backend;
  readonly #options: LessorOptions;
  readonly #leases = new Map<LeaseId, Lease>();
  readonly #expiries = new DeadlineHeap<Lease>();
  readonly #checkpoints = new DeadlineHeap<Lease>();
  #isPrimary = false;

  /** Reads the leases of the backend; their number is what start-up costs. */
  constructor(backend: Backend, options: Partial<LessorOptions> = {}) {
    this.#backend = backend;
    this.#options = { ...defaultLessorOptions, ...options };
    this.#load();
  }

  get isPrimary(): boolean {
    return this.#isPrimary;
  }

  get size(): number {
    return this.#leases.size;
  }

  has(id: LeaseId): boolean {
    return this.#leases.has(id);
  }

  /** Applies a grant. The caller has chosen an id where the client left it to us. */
  grant(id: LeaseId, ttlSeconds: number, nowMs: number): GrantOutcome {
    if (id === noLease) return { ok: false, reason: "no id" };
    if (ttlSeconds > ttlMaxSeconds) return { ok: false, reason: "ttl too large" };
    if (this.#leases.has(id)) return { ok: false, reason: "exists" };
    const lease = newLease(id, Math.max(ttlSeconds, this.#options.minTtlSeconds), 0);
    this.#leases.set(id, lease);
    this.#persist(lease);
    if (this.#isPrimary) this.#setExpiry(lease, nowMs + lease.ttlSeconds * 1000, nowMs);
    return { ok: true, ttlSeconds: lease.ttlSeconds };
  }

  /**
   * Applies a revocation: the lease is gone, and the caller deletes its keys in one revision, in the order given.
   * Those deletions detach them.
   */
  revoke(id: LeaseId): RevokeOutcome {
    const lease = this.#leases.get(id);
    if (lease === undefined) return { ok: false, reason: "not found" };
    const keys = this.keysOf(id).sort(compareBytes);
    this.#leases.delete(id);
    this.#expiries.remove(lease.expiry);
    this.#checkpoints.remove(lease.checkpoint);
    this.#backend.delete("lease", leaseKey(id));
    return { ok: true, keys };
  }

  /** A put with this lease made the version of `key` at `revision` (17 bytes). `key` is kept. */
  attach(id: LeaseId, key: Uint8Array, revision: Uint8Array): void {
    assert(this.#leases.has(id), "a key is attached to a lease that exists", { id });
    this.#backend.put("lease_keys", attachmentKey(id, revision), key);
  }

  /** The version of `key` that a put made at `revision` with this lease is no longer the newest one. */
  detach(id: LeaseId, _key: Uint8Array, revision: Uint8Array): void {
    this.#backend.delete("lease_keys", attachmentKey(id, revision));
  }

  /** The keys attached to a lease, in the order of their revisions. */
  keysOf(id: LeaseId): Uint8Array[] {
    const keys: Uint8Array[] = [];
    forEachRecord(this.#backend.cursor("lease_keys", attachmentRange(id)), ({ value }) => keys.push(value));
    return keys;
  }

  /** On the primary, after it has made sure that it still leads: the lease lives for its full TTL from now on. */
  renew(id: LeaseId, nowMs: number): RenewOutcome {
    if (!this.#isPrimary) return { ok: false, reason: "not primary" };
    const lease = this.#leases.get(id);
    if (lease === undefined) return { ok: false, reason: "not found" };
    // Its revocation may be in the log already, so a success would be a promise that is not kept.
    if (lease.expiryMs <= nowMs) return { ok: false, reason: "expired" };
    lease.expiryMs = nowMs + lease.ttlSeconds * 1000;
    // The scheduled deadline usually stays and is moved when its time comes, which makes a renewal cheap. But one
    // that a leader change put off may be later than this.
    if (lease.expiry.dueMs > lease.expiryMs) this.#expiries.schedule(lease.expiry, lease.expiryMs);
    this.#scheduleCheckpoint(lease, nowMs);
    return { ok: true, ttlSeconds: lease.ttlSeconds, hasCheckpoint: lease.remainingTtlSeconds > 0 };
  }

  status(id: LeaseId, nowMs: number): LeaseStatus | undefined {
    const lease = this.#leases.get(id);
    if (lease === undefined) return undefined;
    const { ttlSeconds, expiryMs } = lease;
    if (expiryMs === Number.POSITIVE_INFINITY)
      return { ttlSeconds, remainingSeconds: Number.MAX_SAFE_INTEGER };
    // Plus zero: a fraction of a second past the deadline is 0, not -0.
    return { ttlSeconds, remainingSeconds: Math.trunc((expiryMs - nowMs) / 1000) + 0 };
  }

  /** Sorted by expiry, then by id. */
  leases(): readonly LeaseId[] {
    return this.#sorted().map(({ id }) => id);
  }

  /**
   * This member leads now. Every lease gets its TTL again, or what its checkpoint left, and `extendMs`, the time
   * that nobody could renew it in; where that lets too many expire in one second, later ones get more.
   */
  promote(nowMs: number, extendMs: number): void {
    this.#isPrimary = true;
    this.#expiries.clear();
    this.#checkpoints.clear();
    for (const lease of this.#leases.values()) {
      lease.expiryMs = nowMs + extendMs + ttlInForce(lease) * 1000;
    }
    const sorted = this.#sorted();
    const { expiriesPerSecondMax } = this.#options;
    for (const [i, lease] of sorted.entries()) {
      const earlier = sorted[i - expiriesPerSecondMax];
      const earliestMs = earlier === undefined ? Number.NEGATIVE_INFINITY : earlier.expiryMs + 1000;
      this.#setExpiry(lease, Math.max(lease.expiryMs, earliestMs), nowMs);
    }
  }

  /** This member no longer leads: nothing expires here. */
  demote(): void {
    this.#isPrimary = false;
    this.#expiries.clear();
    this.#checkpoints.clear();
    for (const lease of this.#leases.values()) lease.expiryMs = Number.POSITIVE_INFINITY;
  }

  /**
   * Up to `max` leases to revoke, the longest expired first. One that is reported and not revoked is reported
   * again after a while. Ask `isExpired` again at the moment of proposing.
   */
  expired(nowMs: number, max: number): LeaseId[] {
    const ids: LeaseId[] = [];
    for (;;) {
      const first = this.#expiries.first();
      if (first === undefined || first.dueMs > nowMs || ids.length >= max) return ids;
      const lease = first.item;
      if (lease.expiryMs > nowMs) {
        this.#expiries.schedule(first, lease.expiryMs);
      } else {
        ids.push(lease.id);
        this.#expiries.schedule(first, nowMs + this.#options.expiredRetryMs);
      }
    }
  }

  /** False on a lessor that is not primary, whatever it reported before. */
  isExpired(id: LeaseId, nowMs: number): boolean {
    const lease = this.#leases.get(id);
    return lease !== undefined && lease.expiryMs <= nowMs;
  }

  /** Up to `max` checkpoints to propose, where checkpoints are switched on. Call it about twice a second. */
  checkpointsDue(nowMs: number, max = 500): LeaseCheckpoint[] {
    const due: LeaseCheckpoint[] = [];
    for (;;) {
      const first = this.#checkpoints.first();
      if (first === undefined || first.dueMs > nowMs || due.length >= max) return due;
      const lease = first.item;
      this.#checkpoints.remove(first);
      this.#scheduleCheckpoint(lease, nowMs);
      const remainingTtlSeconds = Math.ceil((lease.expiryMs - nowMs) / 1000);
      // A lease with its whole TTL ahead, and an expired one, have nothing to note.
      if (remainingTtlSeconds <= 0 || remainingTtlSeconds >= lease.ttlSeconds) continue;
      due.push({ id: lease.id, remainingTtlSeconds });
    }
  }

  /** Applies a checkpoint; false if the lease is gone. Members agree on `isPersisted` by cluster version and flag. */
  applyCheckpoint({ id, remainingTtlSeconds }: LeaseCheckpoint, isPersisted: boolean): boolean {
    const lease = this.#leases.get(id);
    if (lease === undefined) return false;
    lease.remainingTtlSeconds = remainingTtlSeconds;
    if (isPersisted) this.#persist(lease);
    return true;
  }

  /** The backend was replaced by a snapshot: forgets everything and reads it again. */
  restored(): void {
    this.demote();
    this.#leases.clear();
    this.#load();
  }

  #load(): void {
    forEachRecord(this.#backend.cursor("lease", { start: new Uint8Array(0) }), ({ value }) => {
      const { id, ttlSeconds, remainingTtlSeconds } = decodeLease(value);
      this.#leases.set(
        id,
        newLease(id, Math.max(ttlSeconds, this.#options.minTtlSeconds), remainingTtlSeconds),
      );
    });
  }

  #persist(lease: Lease): void {
    this.#backend.put("lease", leaseKey(lease.id), encodeLease(lease));
  }

  #setExpiry(lease: Lease, expiryMs: number, nowMs: number): void {
    lease.expiryMs = expiryMs;
    this.#expiries.schedule(lease.expiry, expiryMs);
    this.#scheduleCheckpoint(lease, nowMs);
  }

  #scheduleCheckpoint(lease: Lease, nowMs: number): void {
    const { checkpointIntervalMs } = this.#options;
    if (lease.checkpoint.position >= 0 || lease.expiryMs - nowMs <= checkpointIntervalMs) return;
    this.#checkpoints.schedule(lease.checkpoint, nowMs + checkpointIntervalMs);
  }

  #sorted(): Lease[] {
    return [...this.#leases.values()].sort((a, b) => {
      if (a.expiryMs !== b.expiryMs) return a.expiryMs < b.expiryMs ? -1 : 1;
      return a.id < b.id ? -1 : 1;
    });
  }
}

function newLease(id: LeaseId, ttlSeconds: number, remainingTtlSeconds: number): Lease {
  const lease: { -readonly [K in keyof Lease]?: Lease[K] } = {};
  return Object.assign(lease, {
    id,
    ttlSeconds,
    remainingTtlSeconds,
    expiryMs: Number.POSITIVE_INFINITY,
    expiry: newDeadline(lease as Lease),
    checkpoint: newDeadline(lease as Lease),
  });
}

function ttlInForce(lease: Lease): number {
  return lease.remainingTtlSeconds > 0 ? lease.remainingTtlSeconds : lease.ttlSeconds;
}

function forEachRecord(cursor: Cursor, visit: (record: Cursor) => void): void {
  while (cursor.next()) visit(cursor);
  cursor.close();
}
