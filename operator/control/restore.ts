// A restore in place. What it begins with was proven before (control/snapshot/decide-restore.ts). From the record on:
// another first member is declared, and with it where its data comes from; all members of before stop, and nothing goes
// on until the last Pod of them is confirmed gone; the new one forms a cluster with another token, so with other ids
// that the old ones cannot join; only then are the old volumes put aside and the old objects deleted. Until the new
// cluster is formed the old volumes are as they were: deleting the EtcdLikeRestore brings the old members back.
import type { Operation } from "../api/cluster-status.ts";
import { clusterTokenOf } from "../model/names.ts";
import type { Restore } from "../model/snapshot-objects.ts";
import { act, type Step, wait } from "./decision.ts";
import { stepToForm } from "./forming.ts";
import { memberSpecOf } from "./joining.ts";
import { originOfRestore } from "./restore-source.ts";
import { compare, type MemberView, type View } from "./view.ts";

/** The restore that is to begin now: the oldest that has not ended, once its snapshot is proven. */
export function dueRestore({ observation }: View): Restore | undefined {
  const { cluster, restores } = observation;
  const bornMs = Date.parse(cluster.metadata.creationTimestamp ?? "1970-01-01T00:00:00Z");
  const [first] = restores
    .filter(({ metadata, status }) => {
      const hasEnded = status?.phase === "Succeeded" || status?.phase === "Failed";
      // One that was made for an earlier cluster of the name has nobody's consent.
      const isOlder = Date.parse(metadata.creationTimestamp ?? "") < bornMs;
      return !hasEnded && !isOlder && metadata.deletionTimestamp === undefined;
    })
    .toSorted(
      (a, b) =>
        compare(a.metadata.creationTimestamp ?? "", b.metadata.creationTimestamp ?? "") ||
        compare(a.metadata.name, b.metadata.name),
    );
  if (first === undefined || cluster.status?.lastRestore?.uid === first.metadata.uid) return undefined;
  const verified = first.status?.conditions?.find(({ type }) => type === "Verified");
  // What a member is left with is only read when all have stopped.
  const isAccepted =
    verified?.status === "True" || (first.spec.survivor !== undefined && verified !== undefined);
  return isAccepted ? first : undefined;
}

export function stepOfRestore(view: View, operation: Operation): Step {
  const { observation } = view;
  const { cluster, pods } = observation;
  const { member: name, reason: why } = operation;
  const seed = view.members.find((one) => one.name === name);
  const isFormed = seed?.member?.spec.clusterId !== undefined || isLatched(view, seed);
  const restore = observation.restores.find(({ metadata }) => metadata.uid === operation.runUid);
  const isGivenUp = restore === undefined || restore.metadata.deletionTimestamp !== undefined;
  if (isGivenUp && !isFormed) return stepBackFromRestore(operation, seed);
  if (seed?.member === undefined) {
    if (restore === undefined) return { kind: "Finish" };
    const found = originOfRestore(restore, observation);
    if (!found.ok) return wait(found.message, found.isFinal ? "RestoreRefused" : "Waiting");
    const { clusterId: _, ...spec } = memberSpecOf(observation, name, 0, "Seed");
    const clusterToken = `${clusterTokenOf(cluster)}-${restore.metadata.uid}`;
    return act({
      kind: "CreateMember",
      name,
      spec: { ...spec, clusterToken, restoreFrom: found.origin },
      why,
    });
  }
  if (!isFormed) {
    const old = pods.filter((pod) => pod.name !== name);
    const running = old.find((pod) => !pod.isTerminating);
    if (running !== undefined) return act({ kind: "DeletePod", name: running.name, uid: running.uid, why });
    // Whoever still runs somewhere still acknowledges writes: it is waited for, however long it takes.
    const [last] = old;
    if (last !== undefined) return wait(`nothing is restored before the Pod ${last.name} is gone`);
  }
  const forming = stepToForm(view, seed, { isFormed, why });
  if (forming !== undefined) return forming;
  return stepToPutAside(view, name, why) ?? { kind: "Finish" };
}

/** The id in status is the new cluster's: it was latched by this operation. */
function isLatched({ observation }: View, seed: MemberView | undefined): boolean {
  const { status } = observation.cluster;
  return seed?.member !== undefined && status?.clusterToken === seed.member.spec.clusterToken;
}

/** The volumes of before, and then the objects that own their Pods. */
function stepToPutAside(view: View, seed: string, why: string): Step | undefined {
  for (const { name, member, volume } of view.members) {
    if (member === undefined || name === seed) continue;
    if (volume !== undefined && !volume.isQuarantined && !volume.isTerminating) {
      return act({ kind: "QuarantineVolume", name: volume.name, reason: why, why });
    }
    return act({ kind: "DeleteMember", name, why });
  }
  return undefined;
}

/** Nothing of before was touched but Pods: the new member goes, and the old ones get theirs again. */
function stepBackFromRestore(operation: Operation, seed: MemberView | undefined): Step {
  const why = "the EtcdLikeRestore was deleted before anything was restored";
  if (operation.isAbandoned !== true)
    return { kind: "Amend", operation: { ...operation, isAbandoned: true } };
  if (seed?.member === undefined) return { kind: "Finish" };
  const { name, pod, volume } = seed;
  if (pod !== undefined && !pod.isTerminating) return act({ kind: "DeletePod", name, uid: pod.uid, why });
  if (pod !== undefined) return wait(`the Pod of ${name} is being deleted`);
  if (volume !== undefined && !volume.isTerminating)
    return act({ kind: "DeleteVolume", name: volume.name, why });
  return act({ kind: "DeleteMember", name, why });
}
