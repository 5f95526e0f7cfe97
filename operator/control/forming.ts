// The steps by which a first member becomes a cluster of its own: volume, Pod, the latch, the vote.
import { must } from "../lib/assert.ts";
import { act, type Step, wait } from "./decision.ts";
import type { MemberView, View } from "./view.ts";

/** `isFormed`: the cluster's id is on record. Undefined when all is done. */
export function stepToForm(
  view: View,
  seed: MemberView,
  { isFormed, why }: { readonly isFormed: boolean; readonly why: string },
): Step | undefined {
  const { name } = seed;
  if (seed.volume === undefined && !isFormed) return act({ kind: "CreateVolume", member: name, why });
  if (seed.pod === undefined) {
    return act({ kind: "CreatePod", member: name, initialClusterState: isFormed ? "existing" : "new", why });
  }
  if (!isFormed) {
    if (seed.probe?.isParticipating !== true) return stepToWaitFor(seed);
    const { clusterToken } = must(seed.member, "the seed has an object").spec;
    return { kind: "Latch", clusterId: seed.probe.clusterId, clusterToken };
  }
  if (seed.pod.role === "voter") return undefined;
  const clusterId = must(
    view.observation.cluster.status?.clusterId,
    "the id of a formed cluster is on record",
  );
  return (
    stepToLatch(view, seed, clusterId) ??
    act({ kind: "UpdatePod", name, role: "voter", why: "the cluster is formed and its id recorded" })
  );
}

function stepToWaitFor(seed: MemberView): Step {
  const error = seed.pod?.restoreError;
  if (error !== undefined)
    return wait(`${seed.name} cannot begin with the snapshot: ${error}`, "RestoreRefused");
  return wait(`${seed.name} has not formed the cluster yet: ${seed.reason}`);
}

/** The cluster's id goes onto the member, its volume and its Pod, so that none of them can form another. */
function stepToLatch(view: View, seed: MemberView, clusterId: string): Step | undefined {
  const why = "no second cluster may be formed from here";
  const member = must(seed.member, "the seed has an object");
  if (member.spec.clusterId === undefined) {
    return act({ kind: "UpdateMember", name: seed.name, clusterId, why });
  }
  if (seed.volume !== undefined && seed.volume.clusterId === undefined) {
    return act({ kind: "LatchVolume", name: seed.volume.name, clusterId, why });
  }
  if (seed.pod !== undefined && seed.pod.initialClusterState !== "existing" && !seed.pod.isTerminating) {
    return act({ kind: "UpdatePod", name: seed.name, initialClusterState: "existing", why });
  }
  return view.hasQuorum ? undefined : wait(`${seed.name} does not answer: ${seed.reason}`);
}
