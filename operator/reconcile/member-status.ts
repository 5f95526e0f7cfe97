// The status of every EtcdLikeMember, from the status of its cluster.
import type { ClusterStatus, MemberStatus } from "../api/cluster-status.ts";
import type { MemberObjectStatus } from "../api/member.ts";
import type { Member } from "../model/objects.ts";
import type { Observation } from "../model/observation.ts";

/** The members whose status differs from what it should be, with what it should be. */
export function memberStatusesOf(
  { members }: Observation,
  { members: statuses = [] }: ClusterStatus,
): readonly { readonly member: Member; readonly status: MemberObjectStatus }[] {
  return members.flatMap((member) => {
    const of = statuses.find((one) => one.name === member.metadata.name);
    if (of === undefined) return [];
    const memberId = of.id;
    const status: MemberObjectStatus = {
      phase: phaseOf(member, of),
      ...(memberId === undefined ? {} : { memberId }),
      ...(of.version === undefined ? {} : { version: of.version }),
    };
    const now = member.status ?? {};
    const isSame =
      now.phase === status.phase &&
      (status.memberId === undefined || now.memberId === status.memberId) &&
      (status.version === undefined || now.version === status.version);
    return isSame ? [] : [{ member, status }];
  });
}

function phaseOf(
  { metadata }: Member,
  { health, role }: MemberStatus,
): NonNullable<MemberObjectStatus["phase"]> {
  if (metadata.deletionTimestamp !== undefined) return "Terminating";
  if (health === "Failed") return "Failed";
  if (health === "Healthy") return role === "Learner" ? "Learner" : "Ready";
  return health === "Stopped" ? "Stopped" : "Pending";
}
