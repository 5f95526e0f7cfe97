// From an observation to the one next thing to do. Pure: the same observation gives the same decision, and every
// decision says why. Tested by tables (decide.test.ts) and by a run that crashes at every step
// (crash-safety.test.ts).

import type { Operation } from "../api/cluster-status.ts";
import { labels } from "../api/group.ts";
import { initialClusterOf, memberNameOf, memberOfPeerUrl, schemeOf, volumeNameOf } from "../model/names.ts";
import type { Observation } from "../model/observation.ts";
import { objectKey, renderedObjects } from "../render/objects.ts";
import { templateHashOf } from "../render/pod.ts";
import { stepBeforeAdopting } from "./adopt.ts";
import { problemToStart, stepToCertificates } from "./certificates.ts";
import { act, begin, type Step, wait } from "./decision.ts";
import { stepToDefragment } from "./defragment.ts";
import { stepToGrow } from "./grow.ts";
import { reasonToReplace } from "./healing.ts";
import { stepOf } from "./operations.ts";
import { dueRestore } from "./restore.ts";
import { originOf } from "./restore-source.ts";
import { type Decision, statusOf } from "./status.ts";
import {
  compare,
  isHealthyVoter,
  type MemberView,
  mayRemove,
  mayRestart,
  type View,
  viewOf,
} from "./view.ts";

export function decide(observation: Observation): Decision {
  const view = viewOf(observation);
  const hashes = new Map<string, string>();
  const templateHash = (member: string) => {
    const hash = hashes.get(member) ?? templateHashOf(observation, member);
    hashes.set(member, hash);
    return hash;
  };
  return statusOf(view, withCertificates(view, nextStep(view, { templateHash })), { templateHash });
}

/** No Pod is made before what it mounts. */
function withCertificates({ observation }: View, step: Step): Step {
  if (step.kind !== "Act" || step.action.kind !== "CreatePod") return step;
  const problem = problemToStart(observation, step.action.member);
  if (problem === undefined) return step;
  return wait(`${step.action.member} is not started: ${problem}`, "CertificateProblem");
}

interface Rendered {
  readonly templateHash: (member: string) => string;
}

function nextStep(view: View, rendered: Rendered): Step {
  const { observation } = view;
  const { cluster } = observation;
  const { spec } = cluster;
  const status = cluster.status ?? {};
  if (spec.paused) return wait("spec.paused is set", "Paused");
  const mismatch = schemeMismatch(view);
  if (mismatch !== undefined) return wait(mismatch, "NotSafe");
  const object = renderedObjects(observation, view.voters.length).find(
    (one) => observation.objectHashes[objectKey(one.object)] !== one.hash,
  );
  if (object !== undefined) {
    return act({ kind: "ApplyObject", object: object.object, why: `${objectKey(object.object)} differs` });
  }

  const certificate = stepToCertificates(observation);
  if (certificate !== undefined) return certificate;

  const operation = status.operation;
  // It takes the place of whatever is in flight: that is about members which stop now.
  if (operation?.type === "Restore") return stepOf(view, operation, rendered);
  const restore = status.clusterId === undefined ? undefined : dueRestore(view);
  if (restore !== undefined) {
    const { name, uid } = restore.metadata;
    const reason = `EtcdLikeRestore ${name}`;
    return begin(observation, { type: "Restore", member: newName(view, 0), run: name, runUid: uid, reason });
  }
  if (status.clusterId === undefined) {
    if (operation !== undefined) return stepOf(view, operation, rendered);
    return stepBeforeBootstrap(view);
  }
  const grown = stepToGrow(view);
  if (grown !== undefined) return grown;
  if (spec.replicas === 0) return stepToHibernate(view);

  // A member without a Pod is not there whatever else is planned.
  const missing = stepToPods(view, operation);
  if (missing !== undefined) return missing;
  if (operation !== undefined) return stepOf(view, operation, rendered);
  if (!view.hasQuorum) return wait("too few members answer to change anything", "QuorumLost");
  return (
    stepToMark(view) ??
    stepToHeal(view) ??
    stepToTidy(view) ??
    stepToScale(view) ??
    stepToUpdate(view, rendered) ??
    stepToDefragment(view) ?? { kind: "Rest" }
  );
}

/** Members are known by peer URLs: under another scheme than spec's nothing the operator made would find another. */
function schemeMismatch({ observation: { cluster, roster } }: View): string | undefined {
  const scheme = schemeOf(cluster, "peer");
  const other = roster?.members.find(
    ({ peerUrl }) => memberOfPeerUrl(cluster, peerUrl) !== undefined && !peerUrl.startsWith(`${scheme}://`),
  );
  if (other === undefined) return undefined;
  return `spec.tls.peer asks for ${scheme}, and the cluster has a member at ${other.peerUrl}`;
}

/** The first member forms the cluster, unless anything says that there is one already. */
function stepBeforeBootstrap(view: View): Step {
  const { observation } = view;
  const { members, foreignMembers, cluster } = observation;
  const latched = members.find((one) => one.spec.clusterId !== undefined);
  if (latched?.spec.clusterId !== undefined) return { kind: "Latch", clusterId: latched.spec.clusterId };
  if (foreignMembers.length > 0) {
    return wait(`members of an earlier cluster of this name are still there: ${foreignMembers.join(", ")}`);
  }
  const seed = members.find((one) => one.spec.role === "Seed");
  const kept = stepBeforeAdopting(view);
  if (kept !== undefined) return kept;
  if (seed === undefined && cluster.spec.replicas === 0) return { kind: "Rest" };
  const found = originOf(observation);
  if (seed === undefined && !found.ok) return wait(found.message, "RestoreRefused");
  return begin(observation, {
    type: "Bootstrap",
    member: seed?.metadata.name ?? newName(view, 0),
    reason: "the first member forms the cluster",
  });
}

function stepToHibernate(view: View): Step {
  const running = view.members.filter((one) => one.pod !== undefined && !one.pod.isTerminating);
  const last = running.toSorted((a, b) => Number(a.isLeader) - Number(b.isLeader))[0];
  if (last?.pod !== undefined) {
    return act({
      kind: "DeletePod",
      name: last.name,
      uid: last.pod.uid,
      why: "replicas is 0: all members stop",
    });
  }
  return { kind: "Rest" };
}

/** Members whose Pod is missing or has ended for good get another on the same volume; that alone heals most. */
function stepToPods(view: View, operation: Operation | undefined): Step | undefined {
  for (const one of view.members) {
    // Also one that is to go: until it has left the list, its vote counts.
    if (one.member === undefined) continue;
    // Without a quorum nobody knows who still counts, so everybody gets the Pod that may bring it back.
    if (view.hasQuorum && operation !== undefined && isCaredFor(operation, one.name)) continue;
    const { pod, volume } = one;
    if (pod !== undefined && !pod.isTerminating && (pod.phase === "Failed" || pod.phase === "Succeeded")) {
      const why = `its Pod ended: ${pod.phase}`;
      return act({ kind: "DeletePod", name: one.name, uid: pod.uid, why });
    }
    const isUsable = volume !== undefined && !volume.isTerminating && !volume.isLost && !volume.isQuarantined;
    const isOut = view.hasQuorum && one.entry === undefined;
    if (pod === undefined && isUsable && !isOut && one.member.spec.initialCluster !== undefined) {
      const why = "the member has no Pod";
      return act({ kind: "CreatePod", member: one.name, initialClusterState: "existing", why });
    }
  }
  return undefined;
}

/** Whether the operation itself decides about this member's Pod. One that is being replaced may still come back. */
function isCaredFor(operation: Operation, name: string): boolean {
  if (operation.type === "Defragment" || operation.type === "Adopt") return false;
  return name === (operation.type === "Replace" ? operation.replacement : operation.member);
}

/** Voters, and only they, stand behind the client Service; and every Pod knows the members of now. */
function stepToMark(view: View): Step | undefined {
  const { cluster, roster } = view.observation;
  if (roster === undefined) return undefined;
  const initialCluster = initialClusterOf(cluster, roster.members);
  for (const { name, pod, entry } of view.members) {
    if (pod === undefined || entry === undefined || pod.isTerminating) continue;
    const role = entry.isLearner ? "learner" : "voter";
    if (pod.role !== role) {
      return act({
        kind: "UpdatePod",
        name,
        role,
        why: `its label ${labels.role} was ${pod.role ?? "missing"}`,
      });
    }
    if (pod.initialCluster !== initialCluster) {
      const why = "should its disk be lost, it asks the members of now";
      return act({ kind: "UpdatePod", name, initialCluster, why });
    }
  }
  return undefined;
}

function stepToHeal(view: View): Step | undefined {
  const { observation } = view;
  const { cluster, nowMs } = observation;
  const voters = view.members.filter((one) => one.entry !== undefined && !one.entry.isLearner);
  const order = (one: MemberView) => (one.health === "Healthy" ? 2 : one.health === "Failed" ? 0 : 1);
  const candidates = voters
    .map((one) => ({ one, reason: reasonToReplace(view, one) }))
    .filter((each): each is { one: MemberView; reason: string } => each.reason !== undefined)
    .toSorted((a, b) => order(a.one) - order(b.one));
  const [first] = candidates;
  if (first === undefined) return undefined;
  const { one, reason } = first;
  if (view.voters.length === 1 && one.health !== "Healthy") {
    return wait(`the only voter ${one.name} cannot be replaced: ${reason}`, "DataLost");
  }
  if (view.voters.length > 1 && !mayRemove(view, one)) {
    return wait(`${one.name} cannot be replaced while the rest would have no quorum: ${reason}`, "NotSafe");
  }
  const count = (cluster.status?.replacedAt ?? []).filter((at) => nowMs - Date.parse(at) < hourMs).length;
  const isAsked = one.member?.metadata.deletionTimestamp !== undefined;
  if (!isAsked && count >= cluster.spec.healing.maxReplacementsPerHour) {
    return wait(`${one.name} is not replaced: ${count} were within an hour`, "RateLimited");
  }
  return (
    stepToWaitForRetry(view) ??
    begin(observation, {
      type: "Replace",
      member: one.name,
      replacement: newName(view, one.member?.spec.slot ?? 0),
      order: "LearnerFirst",
      reason,
    })
  );
}

const hourMs = 3_600_000;

/** What an operation left behind whose record was lost, or somebody else put there. */
function stepToTidy(view: View): Step | undefined {
  for (const one of view.members) {
    if (one.entry === undefined) {
      // A joiner that was never added waits for its turn; one that was in the cluster has been removed.
      const isRemoved = one.member?.metadata.deletionTimestamp !== undefined || hasServed(one);
      const type = isRemoved ? "Remove" : "Add";
      const reason = isRemoved ? "it is not in the member list any more" : "it was about to join";
      return begin(view.observation, { type, member: one.name, reason });
    }
    if (!one.entry.isLearner) continue;
    const isOurs = one.member !== undefined && one.member.metadata.deletionTimestamp === undefined;
    const reason = isOurs ? "it was about to join" : "it is a learner without an EtcdLikeMember";
    return begin(view.observation, { type: isOurs ? "Add" : "Remove", member: one.name, reason });
  }
  return undefined;
}

function hasServed(one: MemberView): boolean {
  return one.pod !== undefined || one.member?.spec.initialCluster !== undefined;
}

function stepToScale(view: View): Step | undefined {
  const { replicas } = view.observation.cluster.spec;
  const count = view.members.length;
  if (count < replicas) {
    const ill = view.members.find((one) => !isHealthyVoter(one));
    if (ill !== undefined) return wait(`no member is added while ${ill.name} is not healthy: ${ill.reason}`);
    return (
      stepToWaitForRetry(view) ??
      begin(view.observation, {
        type: "Add",
        member: newName(view, freeSlotOf(view)),
        reason: `replicas is ${replicas}, members are ${count}`,
      })
    );
  }
  if (count === replicas) return undefined;
  const victim = view.members.toSorted(victimOrder(view))[0];
  if (victim === undefined) return undefined;
  if (!mayRemove(view, victim)) {
    return wait(`${victim.name} cannot leave while the rest would have no quorum`, "NotSafe");
  }
  return begin(view.observation, {
    type: "Remove",
    member: victim.name,
    reason: `replicas is ${replicas}, members are ${count}`,
  });
}

function freeSlotOf(view: View): number {
  const taken = new Set(view.members.map((one) => one.member?.spec.slot));
  let slot = 0;
  while (taken.has(slot)) slot++;
  return slot;
}

/** Who leaves first: the ill, those who share a node, the highest slot; the leader last of the healthy. */
function victimOrder(view: View): (a: MemberView, b: MemberView) => number {
  const onNode = (one: MemberView) =>
    view.members.filter(
      (other) => other.pod?.nodeName !== undefined && other.pod.nodeName === one.pod?.nodeName,
    ).length;
  return (a, b) =>
    Number(a.health === "Healthy") - Number(b.health === "Healthy") ||
    Number(a.isLeader) - Number(b.isLeader) ||
    onNode(b) - onNode(a) ||
    (b.member?.spec.slot ?? 0) - (a.member?.spec.slot ?? 0) ||
    compare(a.name, b.name);
}

function stepToUpdate(view: View, { templateHash }: Rendered): Step | undefined {
  const { spec } = view.observation.cluster;
  const outdated = view.members
    .filter((one) => one.pod !== undefined && one.pod.templateHash !== templateHash(one.name))
    .toSorted(
      (a, b) =>
        Number(a.health === "Healthy") - Number(b.health === "Healthy") ||
        Number(a.isLeader) - Number(b.isLeader),
    )[0];
  if (outdated === undefined || spec.updateStrategy.type === "OnDelete") return undefined;
  const stopper = view.members.find((one) => one.exitReason === "UNKNOWN_ENTRY");
  if (stopper !== undefined && stopper.name !== outdated.name) {
    return wait(`nothing is updated: ${stopper.name} ended with UNKNOWN_ENTRY`, "NotSafe");
  }
  const ill = view.members.find((one) => one.health !== "Healthy" && one.name !== outdated.name);
  if (ill !== undefined)
    return wait(`${outdated.name} is not updated while ${ill.name} is not healthy: ${ill.reason}`);
  const problem = problemToStart(view.observation, outdated.name);
  if (problem !== undefined) {
    return wait(`${outdated.name} is not updated: ${problem}`, "CertificateProblem");
  }
  if (!mayRestart(view, outdated))
    return wait(`without ${outdated.name} there would be no quorum`, "NotSafe");
  return begin(view.observation, {
    type: "Update",
    member: outdated.name,
    reason: "its Pod is not what spec says",
  });
}

function stepToWaitForRetry(view: View): Step | undefined {
  const { cluster, nowMs } = view.observation;
  const at = cluster.status?.retryAfter;
  if (at === undefined || nowMs >= Date.parse(at)) return undefined;
  return wait(`a member did not join in time; the next try is after ${at}`);
}

/** A name never given out before, nor in use by anything that is left of one. */
function newName(view: View, slot: number): string {
  const { cluster, members, volumes, pods } = view.observation;
  const used = new Set([
    ...[...members.map((one) => one.metadata.name), ...view.members.map((one) => one.name)].map(volumeNameOf),
    ...pods.map((one) => volumeNameOf(one.name)),
    ...volumes.map((one) => one.name),
  ]);
  let incarnation = cluster.status?.incarnations ?? 0;
  while (used.has(volumeNameOf(memberNameOf(cluster, slot, incarnation)))) incarnation++;
  return memberNameOf(cluster, slot, incarnation);
}
