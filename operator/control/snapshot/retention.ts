// Which snapshots of a schedule are kept no longer.
import type { ScheduleSpec } from "../../api/snapshot-schedule.ts";
import type { Snapshot } from "../../model/snapshot-objects.ts";

export interface Expired {
  readonly snapshot: Snapshot;
  readonly why: string;
}

/**
 * Oldest first. Never the newest verified one, nor one that is being taken. One that failed goes with the verified ones
 * of its time.
 */
export function expired(
  snapshots: readonly Snapshot[],
  { keepLast, maxAgeSeconds }: ScheduleSpec["retention"],
  nowMs: number,
): readonly Expired[] {
  const ended = snapshots
    .filter(({ metadata, status }) => metadata.deletionTimestamp === undefined && isEnded(status?.phase))
    .toSorted((a, b) => createdMs(b) - createdMs(a) || (a.metadata.name < b.metadata.name ? 1 : -1));
  const verified = ended.filter(isVerified);
  const newest = verified[0];
  const oldestKept = keepLast === undefined ? undefined : verified[keepLast - 1];
  const found = ended.flatMap((snapshot): Expired[] => {
    if (snapshot === newest) return [];
    if (oldestKept !== undefined && createdMs(snapshot) < createdMs(oldestKept)) {
      return [{ snapshot, why: `${keepLast} newer ones are verified` }];
    }
    const isOld = maxAgeSeconds !== undefined && nowMs - createdMs(snapshot) > maxAgeSeconds * 1000;
    return isOld ? [{ snapshot, why: `it is older than ${maxAgeSeconds} s` }] : [];
  });
  return found.reverse();
}

function isEnded(phase: string | undefined): boolean {
  return phase === "Succeeded" || phase === "Failed";
}

function isVerified({ status }: Snapshot): boolean {
  return (
    status?.conditions?.some(({ type, status: holds }) => type === "Verified" && holds === "True") === true
  );
}

function createdMs({ metadata }: Snapshot): number {
  return Date.parse(metadata.creationTimestamp ?? "");
}
