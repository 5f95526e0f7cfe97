// Runs of EtcdLikeDefrag: one member after the other, the leader last, only while every member is well and the
// rest would have a quorum without it. What came of each stands in the run, so a run goes on where it was left.
import type { Operation } from "../api/cluster-status.ts";
import type { DefragOutcome, DefragRule, DefragSpec, DefragStatus } from "../api/defrag.ts";
import { must } from "../lib/assert.ts";
import { secondTime } from "../lib/time.ts";
import type { Defrag } from "../model/objects.ts";
import { act, begin, type Step, wait } from "./decision.ts";
import { reasonToSkip } from "./defrag-rule.ts";
import { compare, type MemberView, mayRestart, type View } from "./view.ts";

/** Runs that the policy made are kept this long. */
const policyTtlSeconds = 86_400;
// Closer to the quota than this, the alarm would be back at once.
const disarmBelow = 0.9;

/** The next step of the runs there are, and of the policy; undefined when there is nothing to do. */
export function stepToDefragment(view: View): Step | undefined {
  const runs = view.observation.defrags.toSorted(
    (a, b) =>
      compare(a.metadata.creationTimestamp ?? "", b.metadata.creationTimestamp ?? "") ||
      compare(a.metadata.name, b.metadata.name),
  );
  const expired = runs.find((run) => isExpired(run, view.observation.nowMs));
  if (expired !== undefined) {
    const why = "ttlSecondsAfterFinished is over";
    return act({ kind: "DeleteDefrag", name: expired.metadata.name, why });
  }
  const run = runs.find((one) => !isOver(one) && one.metadata.deletionTimestamp === undefined);
  return run === undefined ? stepOfPolicy(view) : stepOfRun(view, run);
}

/** The one member that the recorded operation is about. It ends early when anything else needs attention. */
export function stepOfDefragment(view: View, operation: Operation): Step {
  const { member: name, reason: why } = operation;
  const run = view.observation.defrags.find((one) => one.metadata.name === operation.run);
  const entry = run?.status?.members?.find((one) => one.name === name);
  if (run === undefined || entry === undefined || !isOpen(entry)) return { kind: "Finish" };
  const member = view.members.find((one) => one.name === name);
  if (member?.entry === undefined && view.hasQuorum) {
    return record(run, name, { outcome: "Skipped", reason: "it is not a member any more" });
  }
  if (member === undefined || obstacleOf(view, member) !== undefined) return { kind: "Finish" };
  const elapsedMs = view.observation.nowMs - Date.parse(operation.startedAt);
  if (elapsedMs > run.spec.memberTimeoutSeconds * 1_000) {
    const reason = `it took longer than ${run.spec.memberTimeoutSeconds} s`;
    return record(run, name, { outcome: "Failed", reason });
  }
  if (entry.outcome === "Pending") return record(run, name, { outcome: "Running" });
  return act({ kind: "Defragment", run: run.metadata.name, member: name, why });
}

/** The status of a run with another outcome for one of its members. */
export function withOutcome(
  status: DefragStatus,
  member: string,
  change: Partial<DefragOutcome>,
): DefragStatus {
  const members = (status.members ?? []).map((one) => (one.name === member ? { ...one, ...change } : one));
  return { ...status, members };
}

/** What a run says while its cluster is not there; undefined when it says so already, or is over. */
export function statusWithoutCluster(run: Defrag): DefragStatus | undefined {
  const message = `there is no EtcdLikeCluster ${run.spec.clusterRef.name} in this namespace`;
  if (isOver(run) || run.status?.message === message) return undefined;
  return { ...run.status, phase: run.status?.phase ?? "Pending", message };
}

function stepOfRun(view: View, run: Defrag): Step {
  const ill = view.members.find((one) => one.health !== "Healthy" || one.probe === undefined);
  if (ill !== undefined) {
    return told(run, `no member is defragmented while ${ill.name} is not healthy: ${ill.reason}`);
  }
  const { status } = run;
  if (status?.members === undefined) return write(run, plannedStatus(view, run), "its members are chosen");
  const open = status.members
    .filter(isOpen)
    .map((entry) => ({ entry, member: view.members.find((one) => one.name === entry.name) }))
    .toSorted((a, b) => Number(a.member?.isLeader === true) - Number(b.member?.isLeader === true));
  const [next] = open;
  if (next === undefined) return stepToFinish(view, run, status);
  if (next.member === undefined) {
    return record(run, next.entry.name, { outcome: "Skipped", reason: "it is not a member any more" });
  }
  const obstacle = obstacleOf(view, next.member);
  if (obstacle !== undefined) return told(run, obstacle);
  return begin(view.observation, {
    type: "Defragment",
    member: next.entry.name,
    run: run.metadata.name,
    reason: `${run.metadata.name} asks for it`,
  });
}

function obstacleOf(view: View, member: MemberView): string | undefined {
  const ill = view.members.find((one) => one.health !== "Healthy");
  if (ill !== undefined) return `${ill.name} is not healthy: ${ill.reason}`;
  // While a store is rewritten its disk is busy, and should it fail, the rest has to go on.
  return mayRestart(view, member) ? undefined : `without ${member.name} there would be no quorum`;
}

function plannedStatus(view: View, { spec }: Defrag): DefragStatus {
  const members = view.members.slice(0, 20).map((one): DefragOutcome => {
    const probe = must(one.probe, "a healthy member was asked");
    const reason = reasonToSkip(spec.rule, probe);
    return {
      name: one.name,
      role: probe.isLearner ? "Learner" : one.isLeader ? "Leader" : "Follower",
      outcome: reason === undefined ? "Pending" : "Skipped",
      ...(reason === undefined ? {} : { reason }),
      dbSizeBytesBefore: probe.dbSizeBytes,
    };
  });
  return { phase: "Running", startedAt: secondTime(view.observation.nowMs), members };
}

function stepToFinish(view: View, run: Defrag, { message: _, ...status }: DefragStatus): Step {
  const { nowMs, roster } = view.observation;
  const members = status.members ?? [];
  const failed = members.filter((one) => one.outcome === "Failed");
  const done = members.filter((one) => one.outcome === "Defragmented");
  const phase = failed.length === 0 ? "Succeeded" : done.length === 0 ? "Failed" : "PartiallySucceeded";
  const message = failed.map((one) => `${one.name}: ${one.reason ?? ""}`).join(", ");
  const full = (roster?.alarms ?? []).filter(({ alarm }) => alarm === "NOSPACE");
  const hasRoom = view.members.every(({ probe }) => {
    return probe !== undefined && probe.dbSizeBytes < probe.dbQuotaBytes * disarmBelow;
  });
  const disarm = done.length > 0 && hasRoom ? full.map(({ memberId }) => memberId) : [];
  const completedAt = secondTime(nowMs);
  const finished: DefragStatus = {
    ...status,
    phase,
    ...(message === "" ? {} : { message: message.slice(0, 1_024) }),
    completedAt,
    reclaimedBytes: done.reduce(
      (sum, one) =>
        sum + Math.max(0, one.dbSizeBytesBefore - (one.dbSizeBytesAfter ?? one.dbSizeBytesBefore)),
      0,
    ),
    conditions: [
      {
        type: "Complete",
        status: "True",
        observedGeneration: run.metadata.generation ?? 0,
        lastTransitionTime: completedAt,
        reason: phase,
        message: message.slice(0, 4_096),
      },
    ],
  };
  return write(run, finished, "every member has its outcome", disarm);
}

/** Makes a run when a member is above what the cluster's spec allows, no sooner than the interval after the last. */
function stepOfPolicy(view: View): Step | undefined {
  const { cluster, nowMs } = view.observation;
  const policy = cluster.spec.maintenance.defrag;
  if (policy === undefined) return undefined;
  const last = cluster.status?.defragmentedAt;
  if (last !== undefined && nowMs - Date.parse(last) < policy.minIntervalSeconds * 1_000) return undefined;
  if (view.members.some((one) => one.health !== "Healthy")) return undefined;
  const { minIntervalSeconds: _, ...thresholds } = policy;
  const rule: DefragRule = { all: false, ...thresholds };
  const full = view.members.find(
    ({ probe }) => probe !== undefined && reasonToSkip(rule, probe) === undefined,
  );
  if (full === undefined) return undefined;
  const spec: DefragSpec = {
    clusterRef: { name: cluster.metadata.name },
    rule,
    memberTimeoutSeconds: 3_600,
    ttlSecondsAfterFinished: policyTtlSeconds,
  };
  const name = `${cluster.metadata.name}-policy-${Math.floor(nowMs / 1_000).toString(36)}`;
  return act({ kind: "CreateDefrag", name, spec, why: `${full.name} is above spec.maintenance.defrag` });
}

/** Says in the run what it waits for, once. */
function told(run: Defrag, message: string): Step {
  if (run.status?.message === message) return wait(message);
  const phase = run.status?.phase ?? "Pending";
  return write(run, { ...run.status, phase, message }, message);
}

function record(run: Defrag, member: string, change: Partial<DefragOutcome>): Step {
  const { message: _, ...status } = run.status ?? {};
  return write(run, withOutcome(status, member, change), `${member}: ${change.reason ?? "its turn"}`);
}

function write(run: Defrag, status: DefragStatus, why: string, disarm: readonly string[] = []): Step {
  return act({ kind: "WriteDefrag", name: run.metadata.name, status, disarm, why });
}

function isOpen({ outcome }: DefragOutcome): boolean {
  return outcome === "Pending" || outcome === "Running";
}

function isOver({ status }: Defrag): boolean {
  return status?.completedAt !== undefined;
}

function isExpired({ spec, status, metadata }: Defrag, nowMs: number): boolean {
  const { ttlSecondsAfterFinished: ttl } = spec;
  if (ttl === undefined || status?.completedAt === undefined) return false;
  if (metadata.deletionTimestamp !== undefined) return false;
  return nowMs - Date.parse(status.completedAt) >= ttl * 1_000;
}
