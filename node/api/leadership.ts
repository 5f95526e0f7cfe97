// Handing leadership over: on request, and before a leader stops.

import { hexId, type NodeId, noNode } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import { apiError } from "./errors.ts";
import type { MemberApi } from "./member-api.ts";

/** Resolves when `to` leads. Rejects with an ApiError when that takes longer than any request may. */
export async function moveLeadership(
  api: MemberApi,
  to: NodeId,
  call?: { readonly isCancelled: boolean },
): Promise<void> {
  const { replica, options } = api;
  const { clock } = options;
  const deadlineMs = clock.nowMs() + replica.requestTimeoutMs;
  replica.transferLeadership(to);
  while (replica.leader !== to) {
    if (call?.isCancelled === true) throw apiError("canceled");
    if (clock.nowMs() >= deadlineMs) throw apiError("timeoutLeaderTransfer");
    await api.delay(replica.heartbeatIntervalMs);
  }
}

/** A leader that is about to stop hands over to the voter that has been connected longest, as etcd does. */
export async function leaveLeadership(api: MemberApi, log: Logger): Promise<void> {
  const { replica } = api;
  const fields = {
    "local-member-id": hexId(replica.nodeId),
    "current-leader-member-id": hexId(replica.leader),
  };
  if (!replica.isLeader) {
    log.info("skipped leadership transfer; local server is not leader", fields);
    return;
  }
  const others = replica.members.list().filter(({ id, isLearner }) => !isLearner && id !== replica.nodeId);
  if (others.length === 0) {
    log.info("skipped leadership transfer for single voting member cluster", fields);
    return;
  }
  let longest = noNode;
  let longestSinceMs = Number.POSITIVE_INFINITY;
  for (const { id } of others) {
    const sinceMs = replica.activeSinceMs(id) ?? Number.POSITIVE_INFINITY;
    if (sinceMs < longestSinceMs) [longest, longestSinceMs] = [id, sinceMs];
  }
  if (longest === noNode) {
    log.warn("leadership transfer failed", { ...fields, error: "no other voter is within reach" });
    return;
  }
  log.info("leadership transfer starting", { ...fields, "transferee-member-id": hexId(longest) });
  try {
    await moveLeadership(api, longest);
    log.info("leadership transfer finished", { ...fields, "new-leader-member-id": hexId(longest) });
  } catch (error) {
    log.warn("leadership transfer failed", { ...fields, error });
  }
}
