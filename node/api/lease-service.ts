// Leases. Grant and revoke go through the log; keepalive is the leader's own business and never does.

import { leaseId } from "../lib/ids.ts";
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
import type { MemberApi } from "./member-api.ts";
import { checkQuota, leaseBytes } from "./quota.ts";

/** How long a keepalive of an expired lease waits for its revocation before it gives up, as etcd's request timeout. */
const expiredWaitMs = 7000;
const expiredPollMs = 50;

export class LeaseService {
  readonly #api: MemberApi;
  /** 63 random bits, never zero, for clients that leave the choice to us. */
  readonly #newLeaseId: () => bigint;

  constructor(api: MemberApi, newLeaseId: () => bigint) {
    this.#api = api;
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
    await this.#api.readBarrier();
    const { lessor } = this.#api.replica;
    const id = leaseId(ID);
    const status = lessor.status(id, this.#api.options.clock.nowMs());
    const header = this.#api.header(this.#api.currentRevision);
    if (status === undefined) return { header, ID: id, TTL: -1, grantedTTL: 0, keys: [] };
    return {
      header,
      ID: id,
      TTL: status.remainingSeconds,
      grantedTTL: status.ttlSeconds,
      keys: keys ? lessor.keysOf(id) : [],
    };
  }

  leaseLeases(_request: LeaseLeasesRequest): LeaseLeasesResponse {
    const leases = this.#api.replica.lessor.leases().map((ID) => ({ ID }));
    return { header: this.#api.header(this.#api.currentRevision), leases };
  }

  /** The TTL in force from now on; 0 for a lease that is gone. */
  async #renew(id: ReturnType<typeof leaseId>): Promise<number> {
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
      if (outcome.reason === "not primary") throw apiError("notLeader");
      // Expired and not revoked yet: a success now would be taken back, so the answer waits for the revocation.
      if (clock.nowMs() > deadlineMs) throw apiError("timeout");
      await this.#api.delay(expiredPollMs);
    }
  }
}
