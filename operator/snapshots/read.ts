// What a pass over a snapshot or a schedule is decided from, out of the copies that reflectors keep.
import { labels } from "../api/group.ts";
import type { KubeObject, OwnerReference } from "../kube/objects.ts";
import type { Cluster } from "../model/objects.ts";
import {
  agentResultOf,
  type JobFact,
  type Restore,
  type Schedule,
  type Snapshot,
} from "../model/snapshot-objects.ts";

/** The copies, each in no particular order. */
export interface Copies {
  readonly snapshots: () => Iterable<KubeObject>;
  readonly schedules: () => Iterable<KubeObject>;
  readonly restores: () => Iterable<KubeObject>;
  readonly clusters: () => Iterable<KubeObject>;
  readonly jobs: () => Iterable<KubeObject>;
  /** Of the Jobs. */
  readonly pods: () => Iterable<KubeObject>;
}

interface At {
  readonly namespace: string;
  readonly name: string;
}

export function findIn<T>(objects: Iterable<KubeObject>, { namespace, name }: At): T | undefined {
  for (const object of objects) {
    const { metadata } = object;
    if (metadata.name === name && metadata.namespace === namespace) return object as unknown as T;
  }
  return undefined;
}

export function clusterOf(copies: Copies, { metadata, spec }: Snapshot): Cluster | undefined {
  return findIn(copies.clusters(), { namespace: metadata.namespace, name: spec.clusterRef.name });
}

export function snapshotsOf(copies: Copies, { metadata }: Schedule): readonly Snapshot[] {
  const found = [...copies.snapshots()] as unknown as Snapshot[];
  return found.filter(
    (one) =>
      one.metadata.namespace === metadata.namespace &&
      one.metadata.labels?.[labels.schedule] === metadata.name,
  );
}

interface Job extends KubeObject {
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly message?: string;
    }[];
  };
}

interface AgentPod extends KubeObject {
  readonly status?: {
    readonly phase?: string;
    readonly containerStatuses?: readonly {
      readonly state?: { readonly terminated?: { readonly exitCode: number; readonly message?: string } };
    }[];
  };
}

export function jobsOf(copies: Copies, { metadata }: Snapshot | Restore): readonly JobFact[] {
  const isOurs = (object: KubeObject) =>
    object.metadata.namespace === metadata.namespace &&
    object.metadata.labels?.[labels.snapshot] === metadata.name;
  const pods = [...copies.pods()].filter(isOurs) as AgentPod[];
  return [...copies.jobs()].filter(isOurs).map((job) => jobFactOf(job as Job, pods));
}

export function jobFactOf({ metadata, status }: Job, pods: readonly AgentPod[]): JobFact {
  const uid = metadata.uid ?? "";
  const own = pods.filter((pod) => controllerOf(pod)?.uid === uid);
  const ended = (type: string) =>
    status?.conditions?.find((one) => one.type === type && one.status === "True");
  const failed = ended("Failed");
  return {
    name: metadata.name,
    uid,
    ownerUid: controllerOf({ metadata })?.uid ?? "",
    isTerminating: metadata.deletionTimestamp !== undefined,
    outcome: ended("Complete") !== undefined ? "Complete" : failed !== undefined ? "Failed" : "Active",
    message: failed?.message ?? "",
    isRunning: own.some(({ status: now }) => now?.phase !== "Succeeded" && now?.phase !== "Failed"),
    result: resultOf(own),
  };
}

/** The word of the Pod that succeeded, or of the last that failed. */
function resultOf(pods: readonly AgentPod[]): JobFact["result"] {
  const words = pods
    .toSorted((a, b) =>
      (a.metadata.creationTimestamp ?? "").localeCompare(b.metadata.creationTimestamp ?? ""),
    )
    .flatMap(({ status }) => {
      const end = status?.containerStatuses?.[0]?.state?.terminated;
      const result = end?.message === undefined ? undefined : agentResultOf(end.message);
      return result === undefined ? [] : [{ result, isSuccess: end?.exitCode === 0 }];
    });
  return (words.find(({ isSuccess }) => isSuccess) ?? words.at(-1))?.result;
}

function controllerOf({ metadata }: KubeObject): OwnerReference | undefined {
  return metadata.ownerReferences?.find(({ controller }) => controller === true);
}
