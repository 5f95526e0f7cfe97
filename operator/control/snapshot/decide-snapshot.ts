// From what is seen of a snapshot to its status and the one next thing to do for it. Pure. A snapshot changes nothing in
// its cluster, so it stands beside whatever is done there.
import type { Condition } from "../../api/conditions.ts";
import { snapshotFinalizer } from "../../api/group.ts";
import type { SnapshotStatus } from "../../api/snapshot.ts";
import { secondTime } from "../../lib/time.ts";
import { clientUrlOf } from "../../model/names.ts";
import type { Cluster } from "../../model/objects.ts";
import type { AgentResult, JobFact, Snapshot, Task } from "../../model/snapshot-objects.ts";
import { jobNameOf, verifyRequestOf } from "../../render/agent-job.ts";
import { uriOf } from "../../render/artifact.ts";
import { withConditions } from "./conditions.ts";

export interface SnapshotObservation {
  readonly nowMs: number;
  readonly snapshot: Snapshot;
  readonly cluster: Cluster | undefined;
  /** Jobs that carry the snapshot's name; those of an earlier snapshot of that name, too. */
  readonly jobs: readonly JobFact[];
}

export type SnapshotAction =
  | { readonly kind: "AddFinalizer" | "RemoveFinalizer" }
  | { readonly kind: "CreateJob"; readonly task: Task; readonly endpoints: readonly string[] }
  | { readonly kind: "DeleteJob"; readonly name: string; readonly uid: string };

export interface SnapshotDecision {
  /** Written first, if it differs. */
  readonly status: SnapshotStatus;
  readonly action: SnapshotAction | undefined;
  /** When to look again if nothing changes; undefined waits for a change. */
  readonly requeueAfterMs: number | undefined;
}

const waitMs = 5_000;

export function decideSnapshot(observation: SnapshotObservation): SnapshotDecision {
  const { snapshot } = observation;
  if (snapshot.metadata.deletionTimestamp !== undefined) return decideDeletion(observation);
  const { phase } = snapshot.status ?? {};
  if (phase === "Succeeded" || phase === "Failed") return decideVerification(observation);
  // Before anything is stored, it is settled that it will be removed.
  if (snapshot.spec.deletionPolicy === "Delete" && !hasFinalizer(snapshot)) {
    return decision(observation, {}, { kind: "AddFinalizer" });
  }
  return decideTaking(observation);
}

function decideTaking(observation: SnapshotObservation): SnapshotDecision {
  const { cluster, snapshot, nowMs } = observation;
  const job = jobOf(observation, "Take");
  if (job === "Foreign")
    return pending(observation, "NameInUse", "a Job of an earlier snapshot is still there");
  if (job === undefined) {
    if (cluster === undefined) {
      return pending(
        observation,
        "ClusterNotFound",
        `there is no EtcdLikeCluster ${snapshot.spec.clusterRef.name}`,
      );
    }
    const endpoints = endpointsOf(cluster);
    if (endpoints.length === 0)
      return pending(observation, "ClusterNotReady", "no member of the cluster is healthy");
    const startedAt = snapshot.status?.startedAt ?? secondTime(nowMs);
    return decision(
      observation,
      { phase: "Running", startedAt },
      { kind: "CreateJob", task: "Take", endpoints },
      complete("False", "Running", "the snapshot is being taken"),
    );
  }
  if (job.outcome === "Active") return decision(observation, { phase: "Running" }, undefined);
  if (job.outcome === "Failed") {
    const message = job.result?.error ?? job.message;
    const failed = complete("False", "JobFailed", message);
    return decision(observation, { phase: "Failed", completedAt: secondTime(nowMs) }, undefined, failed);
  }
  const { result } = job;
  // Its Pod is gone with what it said. Another Job finds what is stored already.
  if (result?.artifact === undefined) {
    return decision(observation, {}, { kind: "DeleteJob", name: job.name, uid: job.uid });
  }
  return decision(observation, takenStatus(observation, result), undefined, ...takenConditions(result));
}

function takenStatus({ snapshot, nowMs }: SnapshotObservation, result: AgentResult): Partial<SnapshotStatus> {
  const { artifact, clusterId, endpoint, verification } = result;
  const verdict = verification?.isSound === true ? verification : undefined;
  const member = endpoint === undefined ? undefined : /^https?:\/\/([^.:/]+)/.exec(endpoint)?.[1];
  const request = verifyRequestOf(snapshot);
  return {
    phase: verdict === undefined ? "Failed" : "Succeeded",
    ...(artifact === undefined ? {} : { artifact: { uri: uriOf(snapshot), ...artifact } }),
    ...(clusterId === undefined ? {} : { clusterId }),
    ...(member === undefined ? {} : { member }),
    completedAt: secondTime(nowMs),
    verifiedAt: secondTime(nowMs),
    // What was asked for before there was anything to verify is answered, too.
    ...(request === undefined ? {} : { verifyRequest: request }),
    ...(verdict === undefined
      ? {}
      : {
          revision: verdict.revision,
          hash: verdict.hash,
          totalKeys: verdict.totalKeys,
          storageVersion: verdict.storageVersion,
        }),
  };
}

function takenConditions({ verification }: AgentResult): readonly Verdict[] {
  return [complete("True", "Stored", "the snapshot is stored"), verifiedOf(verification)];
}

function verifiedOf(verification: AgentResult["verification"]): Verdict {
  if (verification === undefined) return verified("Unknown", "NotVerified", "the agent did not verify it");
  if (verification.isSound) {
    return verified("True", "Restored", `it was restored, and holds revision ${verification.revision}`);
  }
  return verified("False", reasonOf(verification.reason), verification.message);
}

/** A condition's reason is one word of letters. */
function reasonOf(text: string): string {
  return /^[A-Z][A-Za-z]{0,62}$/.test(text) ? text : "NotSound";
}

/** Once it is taken, a new value of the annotation has it verified again. */
function decideVerification(observation: SnapshotObservation): SnapshotDecision {
  const { snapshot, nowMs } = observation;
  const request = verifyRequestOf(snapshot);
  const isAsked = request !== undefined && request !== snapshot.status?.verifyRequest;
  if (!isAsked || snapshot.status?.artifact === undefined) return decision(observation, {}, undefined);
  const job = jobOf(observation, "Verify");
  if (job === "Foreign") return { ...decision(observation, {}, undefined), requeueAfterMs: waitMs };
  if (job === undefined) {
    return decision(observation, {}, { kind: "CreateJob", task: "Verify", endpoints: [] });
  }
  if (job.outcome === "Active") return decision(observation, {}, undefined);
  const answered = { verifyRequest: request, verifiedAt: secondTime(nowMs) };
  if (job.outcome === "Failed") {
    const message = job.result?.error ?? job.message;
    return decision(observation, answered, undefined, verified("Unknown", "JobFailed", message));
  }
  if (job.result?.verification === undefined) {
    return decision(observation, {}, { kind: "DeleteJob", name: job.name, uid: job.uid });
  }
  return decision(observation, answered, undefined, verifiedOf(job.result.verification));
}

/** The stored file goes first, if it is to go; a Job that could still write it before that. */
function decideDeletion(observation: SnapshotObservation): SnapshotDecision {
  const { snapshot } = observation;
  if (!hasFinalizer(snapshot)) return decision(observation, {}, undefined);
  const taking = jobOf(observation, "Take");
  const isUntouched = taking === undefined && snapshot.status?.startedAt === undefined;
  if (isUntouched) return decision(observation, {}, { kind: "RemoveFinalizer" });
  if (typeof taking === "object" && taking.outcome === "Active" && !taking.isTerminating) {
    return decision(observation, {}, { kind: "DeleteJob", name: taking.name, uid: taking.uid });
  }
  if (typeof taking === "object" && taking.isRunning) {
    return { ...decision(observation, {}, undefined), requeueAfterMs: waitMs };
  }
  const job = jobOf(observation, "Delete");
  if (job === "Foreign") return { ...decision(observation, {}, undefined), requeueAfterMs: waitMs };
  if (job === undefined)
    return decision(observation, {}, { kind: "CreateJob", task: "Delete", endpoints: [] });
  if (job.outcome === "Complete") return decision(observation, {}, { kind: "RemoveFinalizer" });
  if (job.outcome === "Active" || job.isTerminating) {
    return { ...decision(observation, {}, undefined), requeueAfterMs: waitMs };
  }
  const message = `the stored file could not be removed: ${job.result?.error ?? job.message}`;
  const kept = complete(
    snapshot.status?.artifact === undefined ? "False" : "True",
    "DeletionFailed",
    message,
  );
  return decision(observation, {}, { kind: "DeleteJob", name: job.name, uid: job.uid }, kept);
}

function hasFinalizer({ metadata }: Snapshot): boolean {
  return metadata.finalizers?.includes(snapshotFinalizer) === true;
}

function jobOf({ jobs, snapshot }: SnapshotObservation, task: Task): JobFact | "Foreign" | undefined {
  const name = jobNameOf(snapshot, task);
  const job = jobs.find((one) => one.name === name);
  return job === undefined || job.ownerUid === snapshot.metadata.uid ? job : "Foreign";
}

/** Of members that were healthy when they were last asked; the agent chooses among them. */
function endpointsOf(cluster: Cluster): readonly string[] {
  return (cluster.status?.members ?? [])
    .filter(({ health, role }) => health === "Healthy" && role !== "Learner")
    .map(({ name }) => clientUrlOf(cluster, name));
}

type Verdict = Pick<Condition, "type" | "status" | "reason" | "message">;

function complete(status: Condition["status"], reason: string, message: string): Verdict {
  return { type: "Complete", status, reason, message };
}

function verified(status: Condition["status"], reason: string, message: string): Verdict {
  return { type: "Verified", status, reason, message };
}

function pending(observation: SnapshotObservation, reason: string, message: string): SnapshotDecision {
  const status = { phase: "Pending" as const };
  const waiting = decision(observation, status, undefined, complete("False", reason, message));
  return { ...waiting, requeueAfterMs: waitMs };
}

function decision(
  { snapshot, nowMs }: SnapshotObservation,
  change: Partial<SnapshotStatus>,
  action: SnapshotAction | undefined,
  ...verdicts: readonly Verdict[]
): SnapshotDecision {
  const before = snapshot.status ?? {};
  const conditions = withConditions(before.conditions, verdicts, {
    nowMs,
    generation: snapshot.metadata.generation,
  });
  return {
    status: { ...before, ...change, ...(conditions.length === 0 ? {} : { conditions }) },
    action,
    // The watch brings what the action changed, and usually before.
    requeueAfterMs: action === undefined ? undefined : waitMs,
  };
}
