// The status that goes with a decision. It is written before anything is done, so what is in flight is on record,
// and it tells the truth while members are down.
import type { ClusterStatus, MemberStatus } from "../api/cluster-status.ts";
import type { Condition } from "../api/conditions.ts";
import { labels } from "../api/group.ts";
import { secondTime } from "../lib/time.ts";
import { clusterTokenOf } from "../model/names.ts";
import { type Action, isAboutCertificates } from "./action.ts";
import { type CertificatesReport, certificatesReportOf } from "./certificates.ts";
import type { Step } from "./decision.ts";
import { storageVerdict } from "./grow.ts";
import { isHealthyVoter, type MemberView, quorumText, type View } from "./view.ts";

export interface Decision {
  /** Written first, if it differs from what is there. */
  readonly status: ClusterStatus;
  readonly action: Action | undefined;
  readonly step: Step;
  /** When to look again if nothing changes; 0 at once. */
  readonly requeueAfterMs: number;
}

const waitMs = 2_000;
const restMs = 10_000;
const hourMs = 3_600_000;
// A status that only says when it was probed is written this often at most.
const probeTimeStepMs = 60_000;

export function statusOf(
  view: View,
  step: Step,
  { templateHash }: { readonly templateHash: (member: string) => string },
): Decision {
  const { cluster, nowMs } = view.observation;
  const before = cluster.status ?? {};
  const recorded = recordOf(view, step);
  const report = certificatesReportOf(view.observation);
  const members = view.members.slice(0, 20).map((one) => memberStatusOf(view, one));
  const updated = view.members.filter((one) => one.pod?.templateHash === templateHash(one.name)).length;
  const withoutConditions: ClusterStatus = {
    observedGeneration: cluster.metadata.generation ?? 0,
    replicas: view.members.length,
    readyReplicas: view.members.filter((one) => one.health === "Healthy").length,
    updatedReplicas: updated,
    ...(view.hasQuorum
      ? { votingMembers: view.voters.length, learners: view.learners.length, quorum: quorumText(view) }
      : lastKnownQuorum(before, view)),
    selector: `${labels.cluster}=${cluster.metadata.name}`,
    clusterToken:
      (step.kind === "Latch" ? step.clusterToken : undefined) ??
      before.clusterToken ??
      clusterTokenOf(cluster),
    ...(view.leader === undefined ? {} : { leader: view.leader.name }),
    ...(lowestVersion(view) ??
      (before.currentVersion === undefined ? {} : { currentVersion: before.currentVersion })),
    ...probeTimeOf(before, nowMs),
    members,
    ...(report.certificates === undefined ? {} : { certificates: report.certificates }),
    ...recorded,
  };
  const conditions = conditionsOf(view, step, withoutConditions, report).map((condition) =>
    withTransition(condition, before.conditions ?? [], nowMs),
  );
  return {
    status: { ...withoutConditions, conditions },
    action: step.kind === "Act" ? step.action : undefined,
    step,
    requeueAfterMs: step.kind === "Rest" ? restMs : step.kind === "Wait" ? waitMs : 0,
  };
}

/** What must not be lost: the latch, the operation in flight, how many names were given out, what was tried. */
function recordOf(view: View, step: Step): Partial<ClusterStatus> {
  const { cluster, nowMs } = view.observation;
  const before = cluster.status ?? {};
  const clusterId = step.kind === "Latch" ? step.clusterId : before.clusterId;
  const operation =
    step.kind === "Begin" || step.kind === "Amend"
      ? step.operation
      : step.kind === "Finish"
        ? undefined
        : before.operation && withMessage(before.operation, step);
  const begun = step.kind === "Begin" ? step.operation.type : undefined;
  const givesName = begun === "Bootstrap" || begun === "Add" || begun === "Replace" || begun === "Restore";
  const defragmentedAt = begun === "Defragment" ? secondTime(nowMs) : before.defragmentedAt;
  const replacedAt = [
    ...(before.replacedAt ?? []).filter((at) => nowMs - Date.parse(at) < hourMs),
    ...(begun === "Replace" ? [secondTime(nowMs)] : []),
  ].slice(-20);
  const restored = step.kind === "Finish" ? restoreOf(before.operation, nowMs) : undefined;
  const lastRestore = restored ?? before.lastRestore;
  const retryAfter =
    step.kind === "Finish" && step.retryAfterMs !== undefined
      ? secondTime(nowMs + step.retryAfterMs)
      : before.retryAfter;
  return {
    ...(clusterId === undefined ? {} : { clusterId }),
    ...(operation === undefined ? {} : { operation }),
    incarnations: (before.incarnations ?? 0) + (givesName ? 1 : 0),
    ...(replacedAt.length === 0 ? {} : { replacedAt }),
    ...(defragmentedAt === undefined ? {} : { defragmentedAt }),
    ...(lastRestore === undefined ? {} : { lastRestore }),
    ...(retryAfter === undefined || Date.parse(retryAfter) <= nowMs ? {} : { retryAfter }),
  };
}

/** One that was not taken back. */
function restoreOf(operation: ClusterStatus["operation"], nowMs: number): ClusterStatus["lastRestore"] {
  if (operation?.type !== "Restore" || operation.isAbandoned === true) return undefined;
  return { name: operation.run ?? "", uid: operation.runUid ?? "", completedAt: secondTime(nowMs) };
}

function withMessage(operation: NonNullable<ClusterStatus["operation"]>, step: Step) {
  const { message: _, ...rest } = operation;
  return step.kind === "Wait" ? { ...rest, message: step.message.slice(0, 1_024) } : rest;
}

function memberStatusOf(view: View, one: MemberView): MemberStatus {
  const { probe, entry, pod } = one;
  const before = view.observation.cluster.status?.members?.find((each) => each.name === one.name);
  const id = probe?.memberId ?? entry?.id ?? before?.id;
  const role =
    entry === undefined ? undefined : entry.isLearner ? "Learner" : one.isLeader ? "Leader" : "Follower";
  const alarms = (view.observation.roster?.alarms ?? [])
    .filter((each) => each.memberId === id)
    .map((each) => each.alarm)
    .toSorted();
  return {
    name: one.name,
    ...(id === undefined ? {} : { id }),
    ...(pod?.nodeName === undefined ? {} : { nodeName: pod.nodeName }),
    ...(role === undefined ? {} : { role }),
    health: one.health,
    ...(one.reason === "" ? {} : { reason: one.reason.slice(0, 256) }),
    since: secondTime(one.sinceMs),
    ...(probe === undefined
      ? {}
      : {
          version: probe.version,
          // Sizes and indexes move all the time; they are shown as of the last time they were written.
          ...coarse(before, probe),
        }),
    ...(alarms.length === 0 ? {} : { alarms }),
  };
}

/** Keeps what was written before unless it is far off, so that a busy cluster is not a stream of writes. */
function coarse(
  before: MemberStatus | undefined,
  probe: { readonly dbSizeBytes: number; readonly dbInUseBytes: number; readonly raftIndex: number },
): Pick<MemberStatus, "dbSizeBytes" | "dbInUseBytes" | "raftIndex"> {
  const near = (old: number | undefined, now: number) =>
    old !== undefined && Math.abs(now - old) <= Math.max(1_000, old * 0.1) ? old : now;
  return {
    dbSizeBytes: near(before?.dbSizeBytes, probe.dbSizeBytes),
    dbInUseBytes: near(before?.dbInUseBytes, probe.dbInUseBytes),
    raftIndex: near(before?.raftIndex, probe.raftIndex),
  };
}

function lastKnownQuorum(before: ClusterStatus, view: View): Partial<ClusterStatus> {
  if (before.votingMembers === undefined) return {};
  const needed = Math.floor(before.votingMembers / 2) + 1;
  const answering = view.members.filter((one) => one.probe !== undefined && !one.probe.isLearner).length;
  return {
    votingMembers: before.votingMembers,
    ...(before.learners === undefined ? {} : { learners: before.learners }),
    quorum: `${Math.min(answering, needed - 1)}/${needed} (+0)`,
  };
}

function lowestVersion(view: View): { readonly currentVersion: string } | undefined {
  const versions = view.members.flatMap((one) => (one.probe === undefined ? [] : [one.probe.version]));
  const parts = (version: string) => version.split(".").map(Number);
  const [lowest] = versions.toSorted((a, b) => {
    const [left, right] = [parts(a), parts(b)];
    return left.map((part, i) => part - (right[i] ?? 0)).find((difference) => difference !== 0) ?? 0;
  });
  return lowest === undefined ? undefined : { currentVersion: lowest };
}

function probeTimeOf(before: ClusterStatus, nowMs: number): Partial<ClusterStatus> {
  const last = before.lastProbeTime;
  if (last !== undefined && nowMs - Date.parse(last) < probeTimeStepMs) return { lastProbeTime: last };
  return { lastProbeTime: secondTime(nowMs) };
}

type Verdict = Pick<Condition, "type" | "reason" | "message"> & { readonly holds: boolean };

function conditionsOf(
  view: View,
  step: Step,
  status: ClusterStatus,
  report: CertificatesReport,
): readonly Omit<Condition, "lastTransitionTime">[] {
  const { cluster } = view.observation;
  const available = availableOf(view, step, status);
  const progressing = progressingOf(view, step, status);
  const degraded = degradedOf(view, report);
  const isComplete = status.clusterId !== undefined && view.members.length === cluster.spec.replicas;
  const isReady =
    available.holds && !progressing.holds && !degraded.holds && (isComplete || cluster.spec.paused);
  const firstProblem = !available.holds
    ? available
    : progressing.holds
      ? progressing
      : degraded.holds
        ? degraded
        : undefined;
  const verdicts: readonly Verdict[] = [
    available,
    progressing,
    degraded,
    {
      type: "Ready",
      holds: isReady,
      reason: firstProblem?.reason ?? (isReady ? "Ready" : "Incomplete"),
      message: firstProblem?.message ?? (isReady ? "all members are healthy" : "members are missing"),
    },
    updatedOf(view, status),
    ...certificatesReadyOf(report),
    storageVerdict(view),
    {
      type: "Paused",
      holds: cluster.spec.paused,
      reason: cluster.spec.paused ? "Paused" : "Active",
      message: cluster.spec.paused ? "spec.paused is set: the operator only reports" : "",
    },
  ];
  return verdicts.map(({ type, holds, reason, message }) => ({
    type,
    status: holds ? "True" : "False",
    observedGeneration: cluster.metadata.generation ?? 0,
    reason,
    message: message.slice(0, 4_096),
  }));
}

function availableOf(view: View, step: Step, status: ClusterStatus): Verdict {
  const type = "Available";
  const { cluster } = view.observation;
  if (status.clusterId === undefined) {
    const problem = problemOf(step);
    const why = problem === undefined ? "" : `: ${problem}`;
    return { type, holds: false, reason: "Bootstrapping", message: `the cluster is not formed yet${why}` };
  }
  if (cluster.spec.replicas === 0) {
    return { type, holds: false, reason: "Hibernated", message: "replicas is 0: no member runs" };
  }
  if (!view.hasQuorum) {
    return {
      type,
      holds: false,
      reason: "QuorumLost",
      message: `no quorum answers; ${status.quorum ?? ""}`.trim(),
    };
  }
  const isWhole = view.voters.every((entry) =>
    view.members.some((one) => one.entry === entry && isHealthyVoter(one)),
  );
  return {
    type,
    holds: true,
    reason: isWhole ? "QuorumHealthy" : "QuorumDegraded",
    message: `healthy voters: ${status.quorum ?? ""}`,
  };
}

const operationReasons = {
  Bootstrap: "Bootstrapping",
  Add: "ScalingOut",
  Replace: "ReplacingMember",
  Remove: "ScalingIn",
  Update: "Updating",
  Defragment: "Defragmenting",
  Adopt: "Adopting",
  Restore: "Restoring",
} as const;

function progressingOf(view: View, step: Step, status: ClusterStatus): Verdict {
  const type = "Progressing";
  const { cluster, nowMs } = view.observation;
  const { operation } = status;
  const problem = problemOf(step);
  if (problem !== undefined) return { type, holds: false, reason: "Blocked", message: problem };
  if (operation !== undefined) {
    const deadlineMs = Date.parse(operation.startedAt) + cluster.spec.progressDeadlineSeconds * 1000;
    const message = `${operation.type} ${operation.member}: ${operation.message ?? operation.reason}`;
    // A run's members have a time limit of their own.
    if (nowMs > deadlineMs && operation.type !== "Defragment")
      return { type, holds: false, reason: "DeadlineExceeded", message };
    return { type, holds: true, reason: operationReasons[operation.type], message };
  }
  if (step.kind === "Wait" && step.reason === "Waiting") {
    return { type, holds: true, reason: "Waiting", message: step.message };
  }
  // Certificates come and go without anybody noticing.
  if (step.kind === "Act" && isAboutCertificates(step.action)) {
    return { type, holds: false, reason: "Idle", message: step.action.why };
  }
  if (step.kind === "Act") return { type, holds: true, reason: "Acting", message: step.action.why };
  return { type, holds: false, reason: "Idle", message: "" };
}

/** What somebody has to do something about. */
function problemOf(step: Step): string | undefined {
  const isProblem = step.kind === "Wait" && step.reason !== "Waiting" && step.reason !== "Paused";
  return isProblem ? step.message : undefined;
}

function degradedOf(view: View, { problems }: CertificatesReport): Verdict {
  const type = "Degraded";
  const alarm = view.observation.roster?.alarms[0];
  if (alarm !== undefined) {
    const reason =
      alarm.alarm === "CORRUPT" ? "AlarmCorrupt" : alarm.alarm === "NOSPACE" ? "AlarmNoSpace" : "Alarm";
    return { type, holds: true, reason, message: `member ${alarm.memberId} raised ${alarm.alarm}` };
  }
  const isHibernated = view.observation.cluster.spec.replicas === 0;
  const ill = isHibernated ? [] : view.members.filter((one) => one.health !== "Healthy");
  const [first] = ill;
  if (first === undefined && problems.length > 0) {
    return { type, holds: true, reason: "CertificateProblem", message: problems.join("; ") };
  }
  if (first === undefined) return { type, holds: false, reason: "AllHealthy", message: "" };
  const list = ill.map((one) => `${one.name} is ${one.health} (${one.reason})`).join(", ");
  return { type, holds: true, reason: "MemberUnhealthy", message: list };
}

function certificatesReadyOf({ certificates, problems, isComplete }: CertificatesReport): readonly Verdict[] {
  const type = "CertificatesReady";
  if (certificates === undefined) return [];
  if (problems.length > 0) return [{ type, holds: false, reason: "Problem", message: problems.join("; ") }];
  if (!isComplete) return [{ type, holds: false, reason: "Issuing", message: "certificates are being made" }];
  return [{ type, holds: true, reason: "Valid", message: "all certificates are there and valid" }];
}

function updatedOf(view: View, status: ClusterStatus): Verdict {
  const type = "AllMembersUpdated";
  const isUpdated = status.updatedReplicas === view.members.length && view.members.length > 0;
  return {
    type,
    holds: isUpdated,
    reason: isUpdated ? "Updated" : "Outdated",
    message: `${status.updatedReplicas} of ${view.members.length} members run what spec says`,
  };
}

function withTransition(
  condition: Omit<Condition, "lastTransitionTime">,
  before: readonly Condition[],
  nowMs: number,
): Condition {
  const old = before.find((one) => one.type === condition.type);
  const isSame = old?.status === condition.status;
  return { ...condition, lastTransitionTime: isSame ? old.lastTransitionTime : secondTime(nowMs) };
}
