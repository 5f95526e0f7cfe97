// What metrics say of the objects that the operator watches.
import type { Cluster } from "./model/objects.ts";
import type { Schedule, Snapshot } from "./model/snapshot-objects.ts";
import type { ClusterFigures } from "./runtime/cluster-metrics.ts";
import type { ScheduleFigures, SnapshotFigures } from "./runtime/snapshot-metrics.ts";

export function clusterFigures({ metadata: { namespace, name }, spec, status }: Cluster): ClusterFigures {
  return {
    namespace,
    name,
    desiredMembers: spec.replicas,
    healthyMembers: status?.readyReplicas ?? 0,
    conditions: (status?.conditions ?? []).map(({ type, reason, status: is }) => ({
      type,
      reason,
      isTrue: is === "True",
    })),
  };
}

export function scheduleFigures({ metadata, spec, status }: Schedule): ScheduleFigures {
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    cluster: spec.clusterRef.name,
    lastRunSeconds: secondsOf(status?.lastScheduleTime),
    lastSuccessSeconds: secondsOf(status?.lastSuccessfulTime),
  };
}

export function snapshotFigures({ metadata, spec, status }: Snapshot): SnapshotFigures {
  const verified = status?.conditions?.find(({ type }) => type === "Verified");
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    cluster: spec.clusterRef.name,
    isRefuted: verified?.status === "False",
  };
}

function secondsOf(time: string | undefined): number {
  return time === undefined ? 0 : Date.parse(time) / 1_000;
}
