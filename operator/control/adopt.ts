// Volumes that a former cluster of this name left behind become its members again, under their old identities: the
// names, and with them the peer URLs, stand on the volumes. Only on request, and only those of the cluster named.
import type { Operation } from "../api/cluster-status.ts";
import { peerUrlOf } from "../model/names.ts";
import type { Observation, VolumeFact } from "../model/observation.ts";
import { act, begin, type Step, wait } from "./decision.ts";
import { compare, type View } from "./view.ts";

interface Adoptable {
  readonly volume: VolumeFact;
  readonly member: string;
  readonly slot: number;
}

/** What to do about volumes that no member of this cluster has, before it is formed; undefined without any. */
export function stepBeforeAdopting(view: View): Step | undefined {
  const { observation } = view;
  const own = observation.members.map((one) => one.spec.volumeName);
  const kept = observation.volumes.filter((one) => !own.includes(one.name));
  const adoptFrom = observation.cluster.spec.bootstrap?.adoptFrom;
  if (adoptFrom === undefined) {
    if (kept.length === 0) return undefined;
    const ids = [...new Set(kept.flatMap(({ clusterId }) => (clusterId === undefined ? [] : [clusterId])))];
    const way = ids.map((id) => `spec.bootstrap.adoptFrom.clusterId: ${id}`).join(" or ");
    return wait(
      `volumes of a cluster of this name exist, which a new cluster must not take over: ${listOf(kept)}. ` +
        `${way === "" ? "" : `Take them over with ${way}, `}delete them, or use another name`,
      "VolumesExist",
    );
  }
  const { clusterId } = adoptFrom;
  const [first] = adoptableOf(observation, clusterId);
  if (first === undefined) {
    const there = kept.length === 0 ? "none" : listOf(kept);
    return wait(
      `no volume of the cluster ${clusterId} can be taken over; there are: ${there}`,
      "VolumesExist",
    );
  }
  return begin(observation, {
    type: "Adopt",
    member: first.member,
    clusterId,
    reason: `spec.bootstrap.adoptFrom names the cluster ${clusterId}`,
  });
}

/** Members for all of the volumes first, the latch next: from then on the volumes are a cluster like any other. */
export function stepOfAdopt(view: View, { clusterId = "", reason: why, startedAt }: Operation): Step {
  const { observation } = view;
  const { cluster, members, nowMs } = observation;
  const adoptable = adoptableOf(observation, clusterId);
  const initialCluster = adoptable
    .map(({ member }) => `${member}=${peerUrlOf(cluster, member)}`)
    .sort()
    .join(",");
  for (const { volume, member: name, slot } of adoptable) {
    if (members.some((one) => one.metadata.name === name)) continue;
    const { size, storageClassName } = cluster.spec.storage;
    const spec = {
      clusterName: cluster.metadata.name,
      clusterToken: volume.clusterToken ?? "",
      clusterId,
      slot,
      role: "Joiner" as const,
      initialCluster,
      volumeName: volume.name,
      storage: { size, ...(storageClassName === undefined ? {} : { storageClassName }) },
    };
    return act({ kind: "CreateMember", name, spec, why });
  }
  const stranger = adoptable.find(({ volume }) => volume.clusterUid !== cluster.metadata.uid);
  if (stranger !== undefined) return act({ kind: "ClaimVolume", name: stranger.volume.name, why });
  if (cluster.status?.clusterId === undefined) {
    const clusterToken = adoptable[0]?.volume.clusterToken;
    return { kind: "Latch", clusterId, ...(clusterToken === undefined ? {} : { clusterToken }) };
  }
  const isOverdue = nowMs - Date.parse(startedAt) > cluster.spec.progressDeadlineSeconds * 1_000;
  if (view.hasQuorum || isOverdue) return { kind: "Finish" };
  return wait("the members start on their volumes");
}

/** By member; of a volume that was put aside nobody knows whether it is behind. */
function adoptableOf({ volumes }: Observation, clusterId: string): readonly Adoptable[] {
  return volumes
    .filter((one) => one.clusterId === clusterId && !one.isQuarantined && !one.isTerminating && !one.isLost)
    .flatMap((volume) => {
      const { member, slot } = volume;
      return member === undefined || slot === undefined ? [] : [{ volume, member, slot }];
    })
    .toSorted((a, b) => compare(a.member, b.member));
}

function listOf(volumes: readonly VolumeFact[]): string {
  return volumes
    .map(({ name, clusterId, isQuarantined }) => {
      const of = clusterId === undefined ? "of no known cluster" : `of cluster ${clusterId}`;
      return `${name} (${of}${isQuarantined ? ", put aside" : ""})`;
    })
    .join(", ");
}
