// What this member answers other members, beside Raft: the services that clients use, in the peer protocol's words.

import type { ClusterService } from "./api/cluster-service.ts";
import { ApiError } from "./api/errors.ts";
import type { LeaseService } from "./api/lease-service.ts";
import type { MaintenanceService } from "./api/maintenance-service.ts";
import type { MemberApi } from "./api/member-api.ts";
import type { LeaseId } from "./lib/ids.ts";
import { encodeMembers } from "./membership/member.ts";
import type { LeaseRefusal, MemberPort, PromoteAnswer } from "./peer/port.ts";

export interface PeerAnswersOptions {
  readonly api: MemberApi;
  readonly cluster: ClusterService;
  readonly lease: LeaseService;
  readonly maintenance: MaintenanceService;
}

/** Nobody on the other side of a peer's request can cancel it. */
const peerCall = {
  metadata: new Map<string, string>(),
  isCancelled: false,
  onCancel() {},
  abort() {},
} as const;

export function peerAnswers({ api, cluster, lease, maintenance }: PeerAnswersOptions): MemberPort {
  const { replica } = api;
  return {
    clusterVersion: () => replica.members.clusterVersion,
    storageVersion: () => replica.applier.storageVersion,
    membersJson: () => encodeMembers(replica.members.list()),
    async promote(id) {
      try {
        return { ok: true, membersJson: encodeMembers(await cluster.promoteHere(id)) };
      } catch (error) {
        return promoteRefusal(error);
      }
    },
    async hashKv(revision) {
      try {
        const answer = await maintenance.hashKV({ revision }, peerCall);
        return {
          ok: true,
          currentRevision: answer.header?.revision ?? 0,
          hash: answer.hash,
          compactRevision: answer.compactRevision,
          hashRevision: answer.hashRevision,
        };
      } catch (error) {
        const { code, message } = asApiError(error);
        if (code !== "OutOfRange") throw error;
        return { ok: false, reason: message.includes("compacted") ? "compacted" : "futureRevision" };
      }
    },
    async renewLease(id) {
      if (!replica.isLeader) return { ok: false, reason: "notPrimary" };
      return leaseAnswer(async () => {
        const ttlSeconds = await lease.renewHere(id);
        if (ttlSeconds === undefined) return notPrimary;
        return ttlSeconds === 0 ? notFound : { ok: true, ttlSeconds };
      });
    },
    async leaseTimeToLive(id: LeaseId, withKeys: boolean) {
      if (!replica.isLeader) return { ok: false, reason: "notPrimary" };
      return leaseAnswer(async () => {
        const status = await lease.statusHere(id, withKeys);
        return status === undefined ? notFound : { ok: true, ...status };
      });
    },
    async isDowngradeEnabled() {
      try {
        await api.readBarrier();
        return { ok: true, isEnabled: replica.members.downgrade.isEnabled };
      } catch (error) {
        return { ok: false, text: asApiError(error).message };
      }
    },
  };
}

const notPrimary: { readonly ok: false; readonly reason: LeaseRefusal } = { ok: false, reason: "notPrimary" };
const notFound: { readonly ok: false; readonly reason: LeaseRefusal } = { ok: false, reason: "notFound" };

async function leaseAnswer<T>(
  ask: () => Promise<T>,
): Promise<T | { readonly ok: false; readonly reason: LeaseRefusal }> {
  try {
    return await ask();
  } catch (error) {
    const { code } = asApiError(error);
    return { ok: false, reason: code === "Unavailable" ? "applyTimeout" : "notPrimary" };
  }
}

function promoteRefusal(error: unknown): PromoteAnswer {
  const { message } = asApiError(error);
  if (message.includes("member not found")) return { ok: false, reason: "notFound" };
  if (message.includes("in sync with leader")) return { ok: false, reason: "notReady" };
  if (message.includes("can only promote a learner")) return { ok: false, reason: "notLearner" };
  return { ok: false, reason: "other", text: message };
}

/** Anything else is a bug, and goes on to end the process. */
function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  throw error;
}
