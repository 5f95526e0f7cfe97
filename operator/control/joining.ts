// The steps by which a new member comes to be: object, entry in the live list, volume, Pod, vote.

import type { MemberSpec } from "../api/member.ts";
import { clusterTokenOf, initialClusterOf, peerUrlOf, volumeNameOf } from "../model/names.ts";
import type { Observation } from "../model/observation.ts";
import { act, type Step, wait } from "./decision.ts";
import type { MemberView, View } from "./view.ts";

/** Steps until the learner answers; undefined once it does. */
export function stepToLearner(view: View, name: string, slot: number, why: string): Step | undefined {
  const { observation } = view;
  const { cluster, roster } = observation;
  const joiner = view.members.find((one) => one.name === name);
  if (joiner?.member === undefined) {
    return act({ kind: "CreateMember", name, spec: memberSpecOf(observation, name, slot, "Joiner"), why });
  }
  if (roster === undefined) return wait("adding a member needs a quorum", "QuorumLost");
  const peerUrl = peerUrlOf(cluster, name);
  if (joiner.entry === undefined) {
    const other = roster.members.find((entry) => entry.isLearner);
    if (other !== undefined) return wait(`another learner is in the member list: ${other.peerUrl}`);
    return act({ kind: "AddLearner", member: name, peerUrl, why });
  }
  // As long as it has not started, it has to know the members of now.
  const initialCluster = initialClusterOf(cluster, roster.members);
  const hasStarted = joiner.entry.name !== "";
  if (!hasStarted && joiner.member.spec.initialCluster !== initialCluster) {
    return act({ kind: "UpdateMember", name, initialCluster, why: "the members it starts with changed" });
  }
  if (joiner.volume === undefined) {
    if (hasStarted) return undefined;
    return act({ kind: "CreateVolume", member: name, why });
  }
  if (joiner.pod === undefined) {
    return act({ kind: "CreatePod", member: name, initialClusterState: "existing", why });
  }
  if (!hasStarted && joiner.pod.initialCluster !== initialCluster && !joiner.pod.isTerminating) {
    return act({ kind: "UpdatePod", name, initialCluster, why: "the members it starts with changed" });
  }
  if (joiner.probe === undefined) {
    const reason = joiner.pod.unschedulable === undefined ? "Waiting" : "NoEligibleNode";
    return wait(`${name} does not answer yet: ${joiner.reason}`, reason);
  }
  return undefined;
}

/** The last steps: the vote, and a place behind the client Service; undefined when all is done. */
export function stepToVoter(joiner: MemberView, why: string): Step | undefined {
  if (joiner.entry === undefined) return wait(`${joiner.name} is not in the member list`);
  if (joiner.entry.isLearner) {
    return act({ kind: "PromoteMember", member: joiner.name, id: joiner.entry.id, why });
  }
  if (joiner.pod !== undefined && joiner.pod.role !== "voter") {
    return act({ kind: "UpdatePod", name: joiner.name, role: "voter", why: "it votes" });
  }
  // Should it fail from here on, it is healed like any other voter.
  return undefined;
}

/** Steps that take a member that was joining back; undefined when nothing of it is left. */
export function stepBack(view: View, name: string, why: string): Step | undefined {
  const joiner = view.members.find((one) => one.name === name);
  if (!view.hasQuorum) return wait("removing a member needs a quorum", "QuorumLost");
  if (joiner === undefined) return undefined;
  if (joiner.entry !== undefined) {
    return act({ kind: "RemoveMember", member: name, id: joiner.entry.id, why });
  }
  if (joiner.pod !== undefined && !joiner.pod.isTerminating) {
    return act({ kind: "DeletePod", name, uid: joiner.pod.uid, why });
  }
  if (joiner.pod !== undefined && !isStuck(view, joiner)) return wait(`the Pod of ${name} is being deleted`);
  // A learner's volume holds nothing that others do not hold.
  if (joiner.volume !== undefined && !joiner.volume.isTerminating) {
    return act({ kind: "DeleteVolume", name: joiner.volume.name, why });
  }
  if (joiner.member !== undefined) return act({ kind: "DeleteMember", name, why });
  return undefined;
}

const stuckAfterMs = 60_000;

/** Its node does not answer, so nobody confirms that the Pod is gone. It matters no more once it was removed. */
export function isStuck(view: View, of: MemberView): boolean {
  const since = of.pod?.terminatingSinceMs;
  return since !== undefined && view.observation.nowMs - since > stuckAfterMs;
}

export function memberSpecOf(
  { cluster }: Observation,
  name: string,
  slot: number,
  role: "Seed" | "Joiner",
): MemberSpec {
  const { size, storageClassName } = cluster.spec.storage;
  const clusterId = cluster.status?.clusterId;
  return {
    clusterName: cluster.metadata.name,
    clusterToken: cluster.status?.clusterToken ?? clusterTokenOf(cluster),
    ...(clusterId === undefined ? {} : { clusterId }),
    slot,
    role,
    ...(role === "Seed" ? { initialCluster: `${name}=${peerUrlOf(cluster, name)}` } : {}),
    volumeName: volumeNameOf(name),
    storage: { size, ...(storageClassName === undefined ? {} : { storageClassName }) },
  };
}

/** The lowest slot that no member has. */
export function freeSlot(view: View): number {
  const taken = new Set(view.members.map((one) => one.member?.spec.slot));
  let slot = 0;
  while (taken.has(slot)) slot++;
  return slot;
}
