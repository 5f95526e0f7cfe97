// When a member is past waiting for.
import { remedies } from "../model/exits.ts";
import { hasLostVolume, isBeyondRestart, isInMaintenance, type MemberView, type View } from "./view.ts";

/** Why a member has to be replaced by another; undefined while it has not. */
export function reasonToReplace(view: View, one: MemberView): string | undefined {
  const { nowMs, cluster } = view.observation;
  if (one.member?.metadata.deletionTimestamp !== undefined) return "its EtcdLikeMember was deleted";
  if (one.member === undefined) return "it has no EtcdLikeMember";
  if (isBeyondRestart(one)) return `it ended with ${one.exitReason}`;
  if (hasLostVolume(one)) return "its volume is lost";
  if (one.health === "Healthy") return undefined;
  if (one.exitReason !== undefined && remedies[one.exitReason] === "Report") return undefined;
  const awaySeconds = (nowMs - one.sinceMs) / 1000;
  const { replaceAfterSeconds, maintenanceSeconds } = cluster.spec.healing;
  const patienceSeconds = isInMaintenance(one)
    ? Math.max(maintenanceSeconds, replaceAfterSeconds)
    : replaceAfterSeconds;
  if (awaySeconds < patienceSeconds) return undefined;
  return `it was not healthy for ${Math.floor(awaySeconds)} s: ${one.reason}`;
}
