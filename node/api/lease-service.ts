// Leases. Grant and revoke go through the log; keepalive is the leader's own business and never does.

import { type LeaseId, leaseId } from "../lib/ids.ts";
import type {
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseLeasesRequest,
  LeaseLeasesResponse,
  LeaseRevokeRequest,
  LeaseRevokeResponse,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
} from "../wire/rpc.ts";
import type { Call } from "./call.ts";
import { apiError } from "./errors.ts";
import type { LeaderAsker, LeaderCalls } from "./leader-calls.ts";
import type { MemberApi } from "./member-api.ts";
import { checkQuota, leaseBytes } from "./quota.ts";

/** How long a keepalive of an expired lease waits for its revocation before it gives up, as etcd's request timeout. */
const expiredWaitMs = 7000;
const expiredPollMs = 50;

export interface LeaseServiceOptions {
  readonly api: MemberApi;
  readonly leader: LeaderAsker;
  readonly calls: LeaderCalls;
  readonly newLeaseId: () => bigint;
}

export interface LeaseStatus {
  readonly ttlSeconds: number;
  readonly grantedTtlSeconds: number;
  readonly keys: readonly Uint8Array[];
}

export class LeaseService {
  readonly #api: MemberApi;
  readonly #leader: LeaderAsker;
  readonly #calls: LeaderCalls;
  /** 63 random bits, never zero, for clients that leave the choice to us. */
  readonly #newLeaseId: () => bigint;

  constructor({ api, leader, calls, newLeaseId }: LeaseServiceOptions) {
    this.#api = api;
    this.#leader = leader;
    this.#calls = calls;
    this.#newLeaseId = newLeaseId;
  }

  async leaseGrant({ ID, TTL }: LeaseGrantRequest): Promise<LeaseGrantResponse> {
    checkQuota(this.#api, leaseBytes);
    const id = ID === 0n ? leaseId(this.#newLeaseId()) : leaseId(ID);
    const { revision, applied } = await this.#api.propose({ leaseGrant: { ID: id, TTL } }, "leaseGrant");
    return { header: this.#api.header(revision), ID: applied.id, TTL: applied.ttlSeconds, error: "" };
  }

  async leaseRevoke({ ID }: LeaseRevokeRequest): Promise<LeaseRevokeResponse> {
    const { revision } = await this.#api.propose({ leaseRevoke: { ID } }, "leaseRevoke");
    return { header: this.#api.header(revision) };
  }

  async *leaseKeepAlive(
    requests: AsyncIterable<LeaseKeepAliveRequest>,
    call: Call,
  ): AsyncGenerator<LeaseKeepAliveResponse> {
    for await (const { ID } of requests) {
      if (call.isCancelled) return;
      // The header is taken before the renewal, as etcd does: its revision is one that the client may have seen.
      const header = this.#api.header(this.#api.currentRevision);
      yield { header, ID, TTL: await this.#renew(leaseId(ID)) };
    }
  }

  async leaseTimeToLive({ ID, keys }: LeaseTimeToLiveRequest): Promise<LeaseTimeToLiveResponse> {
    const id = leaseId(ID);
    const status = this.#api.replica.isLeader
      ? await this.statusHere(id, keys)
      : await this.#statusAtLeader(id, keys);
    const header = this.#api.header(this.#api.currentRevision);
    if (status === undefined) return { header, ID: id, TTL: -1, grantedTTL: 0, keys: [] };
    const { ttlSeconds: TTL, grantedTtlSeconds: grantedTTL } = status;
    return { header, ID: id, TTL, grantedTTL, keys: [...status.keys] };
  }

  /** As the leader; undefined for a lease that is gone. */
  async statusHere(id: LeaseId, withKeys: boolean): Promise<LeaseStatus | undefined> {
    await this.#api.readBarrier();
    const { lessor, isLeader } = this.#api.replica;
    const status = lessor.status(id, this.#api.options.clock.nowMs());
    // The time that is left is the leader's to tell, and it may have stopped to lead meanwhile.
    if (!isLeader) throw apiError("leaderChanged");
    if (status === undefined) return undefined;
    return {
      ttlSeconds: status.remainingSeconds,
      grantedTtlSeconds: status.ttlSeconds,
      keys: withKeys ? lessor.keysOf(id) : [],
    };
  }

  leaseLeases(_request: LeaseLeasesRequest): LeaseLeasesResponse {
    const leases = this.#api.replica.lessor.leases().map((ID) => ({ ID }));
    return { header: this.#api.header(this.#api.currentRevision), leases };
  }

  /** The TTL in force from now on; 0 for a lease that is gone. */
  async #renew(id: LeaseId): Promise<number> {
    // One that has just stopped to lead asks the next leader, like any other member.
    const renewed = this.#api.replica.isLeader ? await this.renewHere(id) : undefined;
    if (renewed !== undefined) return renewed;
    const answer = await this.#leader.ask(async (url) => {
      const one = await this.#calls.renewLease(url, id);
      return one.ok || one.reason === "notFound" ? one : undefined;
    });
    return answer.ok ? answer.ttlSeconds : 0;
  }

  async #statusAtLeader(id: LeaseId, withKeys: boolean): Promise<LeaseStatus | undefined> {
    const answer = await this.#leader.ask(async (url) => {
      const one = await this.#calls.leaseTimeToLive(url, id, withKeys);
      return one.ok || one.reason === "notFound" ? one : undefined;
    });
    return answer.ok ? answer : undefined;
  }

  /** As the leader, also for other members that were asked; undefined when this member does not lead any more. */
  async renewHere(id: LeaseId): Promise<number | undefined> {
    const { lessor } = this.#api.replica;
    const { clock } = this.#api.options;
    const deadlineMs = clock.nowMs() + expiredWaitMs;
    while (true) {
      // The barrier shows that this member still leads, and that a grant acknowledged before is applied.
      await this.#api.readBarrier();
      const outcome = lessor.renew(id, clock.nowMs());
      if (outcome.ok) {
        this.#api.options.metrics.leasesRenewed.increment();
        // A checkpoint would shorten the renewed lease after a leader change: it is taken back before the answer.
        if (outcome.hasCheckpoint) {
          const checkpoints = [{ ID: id, remainingTTL: 0 }];
          await this.#api.propose({ leaseCheckpoint: { checkpoints } }, "leaseCheckpoint");
        }
        return outcome.ttlSeconds;
      }
      if (outcome.reason === "not found") return 0;
      if (outcome.reason === "not primary") return undefined;
      // Expired and not revoked yet: a success now would be taken back, so the answer waits for the revocation.
      if (clock.nowMs() > deadlineMs) throw apiError("timeout");
      await this.#api.delay(expiredPollMs);
    }
  }
}
