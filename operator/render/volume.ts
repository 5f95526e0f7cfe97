import { annotations, apiVersion, labels, resources } from "../api/group.ts";
import type { Json } from "../api/schema.ts";
import { must } from "../lib/assert.ts";
import type { Observation } from "../model/observation.ts";
import { podLabels } from "./pod.ts";

/** The volume claim of a member. Until it is latched there is nothing on it to be kept: it goes with the member. */
export function volumeClaimOf(
  { cluster, members }: Observation,
  name: string,
): { readonly [key: string]: Json } {
  const { metadata: of, spec } = must(
    members.find((one) => one.metadata.name === name),
    "a volume is made for a member that exists",
    { name },
  );
  const { metadata } = cluster;
  const uid = must(of.uid, "a stored object has a uid");
  const member = { apiVersion, kind: resources.member.kind, name, uid };
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      name: spec.volumeName,
      namespace: metadata.namespace,
      labels: { ...podLabels(metadata.name, name), [labels.slot]: String(spec.slot) },
      annotations: {
        [annotations.clusterUid]: metadata.uid,
        [annotations.clusterToken]: spec.clusterToken,
        ...(spec.clusterId === undefined ? {} : { [annotations.clusterId]: spec.clusterId }),
      },
      ownerReferences: spec.clusterId === undefined ? [member] : volumeOwnersOf(cluster),
    },
    spec: {
      accessModes: [cluster.spec.storage.accessMode],
      resources: { requests: { storage: spec.storage.size } },
      ...(spec.storage.storageClassName === undefined
        ? {}
        : { storageClassName: spec.storage.storageClassName }),
    },
  };
}

/** Of a volume with a cluster's data: only under Delete it goes with its cluster. */
export function volumeOwnersOf({
  metadata,
  spec,
}: Observation["cluster"]): readonly { readonly [key: string]: Json }[] {
  if (spec.storage.reclaimPolicy !== "Delete") return [];
  return [{ apiVersion, kind: resources.cluster.kind, name: metadata.name, uid: metadata.uid }];
}
