import { annotations, apiVersion, labels, resources } from "../api/group.ts";
import type { Json } from "../api/schema.ts";
import { must } from "../lib/assert.ts";
import type { Observation } from "../model/observation.ts";
import { podLabels } from "./pod.ts";

/** The volume claim of a member. Only under Delete does it go with the cluster. */
export function volumeClaimOf(
  { cluster, members }: Observation,
  name: string,
): { readonly [key: string]: Json } {
  const { spec } = must(
    members.find((one) => one.metadata.name === name),
    "a volume is made for a member that exists",
    { name },
  );
  const { metadata } = cluster;
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
      ownerReferences: volumeOwnersOf(cluster),
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

/** Only under Delete a volume goes with its cluster. */
export function volumeOwnersOf({
  metadata,
  spec,
}: Observation["cluster"]): readonly { readonly [key: string]: Json }[] {
  if (spec.storage.reclaimPolicy !== "Delete") return [];
  return [{ apiVersion, kind: resources.cluster.kind, name: metadata.name, uid: metadata.uid }];
}
