// The next step of the operation that is recorded in status. Each is found from what is there now, so an operator
// that comes back after a crash, or another one, goes on where the last one stopped.
import type { Operation } from "../api/cluster-status.ts";
import { must, never } from "../lib/assert.ts";
import { canonical } from "../lib/canonical.ts";
import { remedies } from "../model/exits.ts";
import { stepOfAdopt } from "./adopt.ts";
import { act, type Step, wait } from "./decision.ts";
import { stepOfDefragment } from "./defragment.ts";
import { stepToForm } from "./forming.ts";
import { reasonToReplace } from "./healing.ts";
import { freeSlot, isStuck, memberSpecOf, stepBack, stepToLearner, stepToVoter } from "./joining.ts";
import { stepOfRestore } from "./restore.ts";
import { originOf } from "./restore-source.ts";
import {
  hasLostVolume,
  isBeyondRestart,
  isHealthyVoter,
  type MemberView,
  mayRemove,
  mayRestart,
  type View,
} from "./view.ts";

export interface Rendered {
  /** Hash of the Pod that spec asks for, by member. */
  readonly templateHash: (member: string) => string;
}

export function stepOf(view: View, operation: Operation, rendered: Rendered): Step {
  switch (operation.type) {
    case "Bootstrap":
      return stepOfBootstrap(view, operation);
    case "Add":
      return stepOfAdd(view, operation);
    case "Replace":
      return stepOfReplace(view, operation);
    case "Remove":
      return stepOfRemove(view, operation);
    case "Update":
      return stepOfUpdate(view, operation, rendered);
    case "Defragment":
      return stepOfDefragment(view, operation);
    case "Adopt":
      return stepOfAdopt(view, operation);
    case "Restore":
      return stepOfRestore(view, operation);
    default:
      return never(operation.type);
  }
}

function stepOfBootstrap(view: View, { member: name, reason: why }: Operation): Step {
  const { observation } = view;
  const seed = find(view, name);
  const found = originOf(observation);
  if (seed?.member === undefined) {
    if (!found.ok) return wait(found.message, "RestoreRefused");
    // It is decided anew: there are volumes to be taken over instead.
    if (observation.cluster.spec.bootstrap?.adoptFrom !== undefined) return { kind: "Finish" };
    const spec = memberSpecOf(observation, name, 0, "Seed");
    const origin = found.origin === undefined ? {} : { restoreFrom: found.origin };
    return act({ kind: "CreateMember", name, spec: { ...spec, ...origin }, why });
  }
  const isFormed = observation.cluster.status?.clusterId !== undefined;
  const isOther = found.ok && canonical(found.origin ?? {}) !== canonical(seed.member.spec.restoreFrom ?? {});
  if (!isFormed && isOther && seed.probe === undefined) return stepBackFromBootstrap(seed);
  return stepToForm(view, seed, { isFormed, why }) ?? { kind: "Finish" };
}

/** It has begun with something else than spec says now: it goes with its volume, and is made again. */
function stepBackFromBootstrap({ name, pod, volume }: MemberView): Step {
  const why = "spec.bootstrap was changed before the cluster was formed";
  if (pod !== undefined && !pod.isTerminating) return act({ kind: "DeletePod", name, uid: pod.uid, why });
  if (pod !== undefined) return wait(`the Pod of ${name} is being deleted`);
  if (volume !== undefined && !volume.isTerminating)
    return act({ kind: "DeleteVolume", name: volume.name, why });
  if (volume !== undefined) return wait(`the volume of ${name} is being deleted`);
  return act({ kind: "DeleteMember", name, why });
}

function stepOfAdd(view: View, operation: Operation): Step {
  const { member: name, reason: why } = operation;
  const joiner = find(view, name);
  const isVoter = joiner?.entry !== undefined && !joiner.entry.isLearner;
  if (!isVoter) {
    if (operation.isAbandoned === true)
      return stepBack(view, name, "it did not join in time") ?? retryLater();
    if (isOverdue(view, operation)) return { kind: "Amend", operation: { ...operation, isAbandoned: true } };
    // A learner whose disk is lost will never catch up.
    if (joiner !== undefined && isBeyondRestart(joiner)) {
      return { kind: "Amend", operation: { ...operation, isAbandoned: true } };
    }
    const joining = stepToLearner(view, name, joiner?.member?.spec.slot ?? freeSlot(view), why);
    if (joining !== undefined) return joining;
  }
  return stepToVoter(must(joiner, "a member that joins is known"), why) ?? { kind: "Finish" };
}

function stepOfReplace(view: View, operation: Operation): Step {
  const { member: oldName, reason: why } = operation;
  const newName = must(operation.replacement, "a replacement has a name");
  const [old, joiner] = [find(view, oldName), find(view, newName)];
  const isVoter = joiner?.entry !== undefined && !joiner.entry.isLearner;
  if (isVoter) return stepAfterReplacing(view, joiner, old, why);

  const hasLeft = view.hasQuorum && old?.entry === undefined;
  if (!hasLeft) {
    const isCured = old !== undefined && isHealthyVoter(old) && !isGivenUp(old);
    if (operation.isAbandoned === true) {
      return (
        stepBack(view, newName, "the member is not replaced after all") ??
        (isCured ? { kind: "Finish" } : retryLater())
      );
    }
    if (isCured || isOverdue(view, operation)) {
      return { kind: "Amend", operation: { ...operation, isAbandoned: true } };
    }
    if (operation.order === "RemoveFirst")
      return stepToRemove(view, must(old, "a member in the list is known"), why);
  }
  const joining = stepToLearner(view, newName, slotFor(view, old), why);
  if (joining !== undefined) return joining;
  const learner = must(joiner, "a learner that answers is known");
  if (!hasLeft) {
    if (!hasCaughtUp(view, learner)) return wait(`${newName} catches up`);
    // The only voter cannot leave before there is another.
    if (view.voters.length === 1) return stepToVoter(learner, why) ?? { kind: "Finish" };
    return stepToRemove(view, must(old, "a member in the list is known"), why);
  }
  return stepToVoter(learner, why) ?? { kind: "Finish" };
}

/** The new member votes: the old one leaves the list if it had not, and its Pod, volume and object are put away. */
function stepAfterReplacing(view: View, joiner: MemberView, old: MemberView | undefined, why: string): Step {
  if (!view.hasQuorum) return wait("the member list is out of reach", "QuorumLost");
  if (old?.entry !== undefined) return stepToRemove(view, old, why);
  const settled = stepToVoter(joiner, why);
  if (settled?.kind === "Act") return settled;
  return stepAway(view, old, "Quarantine", why) ?? settled ?? { kind: "Finish" };
}

function stepOfRemove(view: View, { member: name, reason: why }: Operation): Step {
  if (!view.hasQuorum) return wait("removing a member needs a quorum", "QuorumLost");
  const leaving = find(view, name);
  if (leaving?.entry !== undefined) return stepToRemove(view, leaving, why);
  return (
    stepAway(view, leaving, view.observation.cluster.spec.storage.reclaimPolicy, why) ?? { kind: "Finish" }
  );
}

/** Out of the live list, the leadership moved away before. */
function stepToRemove(view: View, leaving: MemberView, why: string): Step {
  const entry = must(leaving.entry, "a member that leaves is in the list");
  if (!mayRemove(view, leaving)) {
    return wait(`without ${leaving.name} the rest would have no quorum`, "NotSafe");
  }
  return (
    stepToMoveLeader(view, leaving, why) ??
    act({ kind: "RemoveMember", member: leaving.name, id: entry.id, why })
  );
}

function stepToMoveLeader(view: View, from: MemberView, why: string): Step | undefined {
  if (!from.isLeader || view.voters.length < 2) return undefined;
  const best = view.members
    .filter((one) => one.name !== from.name && isHealthyVoter(one) && !isGivenUp(one))
    .toSorted((a, b) => (b.probe?.raftIndex ?? 0) - (a.probe?.raftIndex ?? 0))[0];
  if (best?.entry === undefined) return wait("no other voter can lead", "NotSafe");
  return act({ kind: "MoveLeader", from: from.name, to: best.name, toId: best.entry.id, why });
}

/** Pod, volume and object of a member that is out of the live list. */
function stepAway(
  view: View,
  leaving: MemberView | undefined,
  volumeFate: "Delete" | "Retain" | "Quarantine",
  why: string,
): Step | undefined {
  if (leaving === undefined) return undefined;
  const { pod, volume, name } = leaving;
  if (pod !== undefined && !pod.isTerminating) return act({ kind: "DeletePod", name, uid: pod.uid, why });
  if (pod !== undefined && !isStuck(view, leaving)) return wait(`the Pod of ${name} is being deleted`);
  if (volume !== undefined && volumeFate === "Delete" && !volume.isTerminating) {
    return act({ kind: "DeleteVolume", name: volume.name, why });
  }
  if (volume !== undefined && volumeFate !== "Delete" && !volume.isQuarantined && !volume.isTerminating) {
    return act({ kind: "QuarantineVolume", name: volume.name, reason: why, why });
  }
  if (leaving.member !== undefined) return act({ kind: "DeleteMember", name, why });
  return undefined;
}

function stepOfUpdate(view: View, { member: name, reason: why }: Operation, rendered: Rendered): Step {
  const updated = find(view, name);
  if (updated?.member === undefined) return { kind: "Finish" };
  const { pod } = updated;
  // Healing has to be free to act on what a restart does not cure, a Pod that cannot go among it.
  if (updated.health !== "Healthy" && reasonToReplace(view, updated) !== undefined) return { kind: "Finish" };
  if (pod === undefined) {
    if (updated.volume === undefined) return { kind: "Finish" };
    return act({ kind: "CreatePod", member: name, initialClusterState: "existing", why });
  }
  if (pod.isTerminating) return wait(`the Pod of ${name} is being deleted`);
  if (pod.templateHash !== rendered.templateHash(name)) {
    if (!mayRestart(view, updated)) return wait(`without ${name} there would be no quorum`, "NotSafe");
    return stepToMoveLeader(view, updated, why) ?? act({ kind: "DeletePod", name, uid: pod.uid, why });
  }
  if (updated.health === "Healthy") return { kind: "Finish" };
  return wait(`${name} is not healthy yet: ${updated.reason}`);
}

function find(view: View, name: string): MemberView | undefined {
  return view.members.find((one) => one.name === name);
}

/** Whether this member goes even if it is well. */
function isGivenUp(of: MemberView): boolean {
  if (of.member?.metadata.deletionTimestamp !== undefined) return true;
  if (isBeyondRestart(of) || hasLostVolume(of)) return true;
  return of.exitReason !== undefined && remedies[of.exitReason] === "Remove";
}

function slotFor(view: View, old: MemberView | undefined): number {
  return old?.member?.spec.slot ?? freeSlot(view);
}

/** The server only promotes a learner that has nine tenths of the leader's log; before, nothing is removed. */
function hasCaughtUp(view: View, learner: MemberView): boolean {
  const leaderIndex = view.leader?.probe?.raftIndex;
  return leaderIndex !== undefined && (learner.probe?.raftIndex ?? 0) >= leaderIndex * 0.9;
}

function isOverdue(view: View, { startedAt }: Operation): boolean {
  const { nowMs, cluster } = view.observation;
  return nowMs - Date.parse(startedAt) > cluster.spec.progressDeadlineSeconds * 1000;
}

const retryAfterMs = 60_000;

function retryLater(): Step {
  return { kind: "Finish", retryAfterMs };
}
