// From what is seen of a restore to its status and the one next thing to do. Pure. Its snapshot is proven first, by a Job
// that restores it aside; whatever is done to the cluster is decided with the cluster (control/restore.ts) and only
// told here.
import type { ArtifactSource } from "../../api/artifact.ts";
import type { Condition } from "../../api/conditions.ts";
import type { RestoreStatus } from "../../api/restore.ts";
import { secondTime } from "../../lib/time.ts";
import type { Cluster } from "../../model/objects.ts";
import type { JobFact, Restore, Snapshot } from "../../model/snapshot-objects.ts";
import { restoreJobNameOf } from "../../render/agent-job.ts";
import { findSource } from "../restore-source.ts";
import { withConditions } from "./conditions.ts";

export interface RestoreObservation {
  readonly nowMs: number;
  readonly restore: Restore;
  readonly cluster: Cluster | undefined;
  readonly snapshots: readonly Snapshot[];
  /** Jobs that carry its name; those of an earlier object of that name, too. */
  readonly jobs: readonly JobFact[];
}

export type RestoreAction =
  | { readonly kind: "CreateJob"; readonly source: ArtifactSource }
  | { readonly kind: "DeleteJob"; readonly name: string; readonly uid: string };

export interface RestoreDecision {
  /** Written first, if it differs. */
  readonly status: RestoreStatus;
  readonly action: RestoreAction | undefined;
  readonly requeueAfterMs: number | undefined;
}

type Verdict = Pick<Condition, "type" | "status" | "reason" | "message">;

/** The cluster says nothing to the queue of restores. */
const waitMs = 5_000;

export function decideRestore(observation: RestoreObservation): RestoreDecision {
  const { restore, cluster } = observation;
  const { phase } = restore.status ?? {};
  const hasEnded = phase === "Succeeded" || phase === "Failed";
  if (hasEnded || restore.metadata.deletionTimestamp !== undefined) return still(observation);
  const { clusterRef } = restore.spec;
  if (cluster === undefined) {
    return pending(observation, "ClusterNotFound", `there is no EtcdLikeCluster ${clusterRef.name}`);
  }
  if (isOlder(restore, cluster)) {
    return failed(
      observation,
      "ClusterIsNewer",
      "the cluster was made after this restore, which was not meant for it",
    );
  }
  if (cluster.status?.lastRestore?.uid === restore.metadata.uid) {
    const { completedAt } = cluster.status.lastRestore;
    const done = complete("True", "Restored", "the cluster was formed anew from the snapshot");
    return { ...still(observation, { phase: "Succeeded", completedAt }, done), requeueAfterMs: undefined };
  }
  const { operation } = cluster.status ?? {};
  if (operation?.type === "Restore" && operation.runUid === restore.metadata.uid) {
    const told = complete("False", "Restoring", operation.message ?? operation.reason);
    return { ...still(observation, { phase: "Restoring" }, told), requeueAfterMs: waitMs };
  }
  const isProven = restore.status?.conditions?.some(
    ({ type, status }) => type === "Verified" && status === "True",
  );
  if (isProven === true) {
    return { ...still(observation), requeueAfterMs: waitMs };
  }
  return decideProof(observation);
}

function decideProof(observation: RestoreObservation): RestoreDecision {
  const { restore, snapshots, jobs } = observation;
  if (restore.spec.survivor !== undefined) return decideSurvivor(observation, restore.spec.survivor.member);
  const found = findSource(restore.spec, snapshots);
  if (!found.ok) {
    const tell = found.isFinal ? failed : pending;
    return tell(observation, "SnapshotNotUsable", found.message);
  }
  const job = jobs.find(({ name }) => name === restoreJobNameOf(restore.metadata.name));
  if (job !== undefined && job.ownerUid !== restore.metadata.uid) {
    return pending(observation, "NameInUse", "a Job of an earlier restore is still there");
  }
  if (job === undefined) {
    const verifying = complete(
      "False",
      "Verifying",
      "the snapshot is restored aside before any member stops",
    );
    const decision = still(observation, { phase: "Verifying" }, verifying);
    return { ...decision, action: { kind: "CreateJob", source: found.source }, requeueAfterMs: waitMs };
  }
  if (job.outcome === "Active") return still(observation);
  const verdict = job.result?.verification;
  if (job.outcome === "Failed") return failed(observation, "JobFailed", job.result?.error ?? job.message);
  if (verdict === undefined) {
    const action = { kind: "DeleteJob", name: job.name, uid: job.uid } as const;
    return { ...still(observation), action, requeueAfterMs: waitMs };
  }
  if (!verdict.isSound) {
    const damaged: Verdict = {
      type: "Verified",
      status: "False",
      reason: "NotSound",
      message: verdict.message,
    };
    return failed(observation, "SnapshotDamaged", verdict.message, damaged);
  }
  const message = `it was restored aside, and holds revision ${verdict.revision}`;
  const proven: Verdict = { type: "Verified", status: "True", reason: "Restored", message };
  return { ...still(observation, { revision: verdict.revision }, proven), requeueAfterMs: waitMs };
}

function decideSurvivor(observation: RestoreObservation, member: string): RestoreDecision {
  const isThere = observation.cluster?.status?.members?.some(({ name }) => name === member) === true;
  if (!isThere) return failed(observation, "MemberNotFound", `the cluster has no member ${member}`);
  const message = "what the member is left with is read when all members have stopped";
  const accepted: Verdict = { type: "Verified", status: "Unknown", reason: "Survivor", message };
  return { ...still(observation, { phase: "Verifying" }, accepted), requeueAfterMs: waitMs };
}

/** Of whole seconds, as objects carry them. */
function isOlder(restore: Restore, cluster: Cluster): boolean {
  return (
    Date.parse(restore.metadata.creationTimestamp ?? "") <
    Date.parse(cluster.metadata.creationTimestamp ?? "")
  );
}

function complete(status: Condition["status"], reason: string, message: string): Verdict {
  return { type: "Complete", status, reason, message };
}

function pending(observation: RestoreObservation, reason: string, message: string): RestoreDecision {
  const decision = still(observation, { phase: "Pending" }, complete("False", reason, message));
  return { ...decision, requeueAfterMs: waitMs };
}

function failed(
  observation: RestoreObservation,
  reason: string,
  message: string,
  ...more: readonly Verdict[]
): RestoreDecision {
  const completedAt = secondTime(observation.nowMs);
  return still(observation, { phase: "Failed", completedAt }, complete("False", reason, message), ...more);
}

function still(
  { restore, nowMs }: RestoreObservation,
  change: Partial<RestoreStatus> = {},
  ...verdicts: readonly Verdict[]
): RestoreDecision {
  const before = restore.status ?? {};
  const generation = restore.metadata.generation;
  const conditions = withConditions(before.conditions, verdicts, { nowMs, generation });
  return {
    status: { ...before, ...change, ...(conditions.length === 0 ? {} : { conditions }) },
    action: undefined,
    requeueAfterMs: undefined,
  };
}
