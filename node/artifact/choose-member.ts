// Which member a snapshot is taken from: not the leader where another one is as good.

import type { MemberStatus } from "./member-client.ts";

/** A member this far behind the others' logs is not asked: its snapshot would be of the past. */
const lagMax = 10_000;

/** Undefined when none can give a snapshot that counts. */
export function chooseMember(statuses: readonly MemberStatus[]): MemberStatus | undefined {
  const newest = Math.max(0, ...statuses.map((one) => one.raftIndex));
  const fit = statuses.filter((one) => one.hasLeader && !one.isLearner && newest - one.raftIndex <= lagMax);
  return fit.toSorted(
    (a, b) =>
      Number(a.isLeader) - Number(b.isLeader) ||
      b.raftIndex - a.raftIndex ||
      (a.endpoint < b.endpoint ? -1 : 1),
  )[0];
}
