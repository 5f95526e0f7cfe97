// Why a request timed out, as far as the member can tell. Clients read it from the error's text, so the rules are
// etcd's: was there an election while it waited, and was the member connected all the time.

import { assert } from "../lib/assert.ts";
import { type NodeId, noNode } from "../lib/ids.ts";

export type TimeoutReason = "timeout" | "timeoutConnectionLost" | "timeoutLeaderFailure";

export interface TimeoutView {
  readonly nodeId: NodeId;
  readonly leader: NodeId;
  /** When the leader was first seen; before any time when there never was one. */
  readonly leaderElectedMs: number;
  readonly electionTimeoutMs: number;
  /** Of all members, this one included. Empty on a member that has not read of its own addition yet: it never leads. */
  readonly memberIds: readonly NodeId[];
  /** Undefined while the member is out of reach. */
  readonly activeSinceMs: (id: NodeId) => number | undefined;
}

export function timeoutReason(startedMs: number, view: TimeoutView): TimeoutReason {
  const { nodeId, leader, leaderElectedMs, electionTimeoutMs, memberIds, activeSinceMs } = view;
  const previousLostMs = leaderElectedMs - 2 * electionTimeoutMs;
  if (startedMs > previousLostMs && startedMs < leaderElectedMs) return "timeoutLeaderFailure";
  const isConnected = (id: NodeId): boolean => {
    const sinceMs = activeSinceMs(id);
    return id === nodeId || (sinceMs !== undefined && sinceMs < startedMs);
  };
  if (leader === noNode) return "timeout";
  if (leader !== nodeId) return isConnected(leader) ? "timeout" : "timeoutConnectionLost";
  assert(memberIds.length > 0, "a leader knows the members");
  const quorum = Math.floor(memberIds.length / 2) + 1;
  return memberIds.filter(isConnected).length >= quorum ? "timeout" : "timeoutConnectionLost";
}
