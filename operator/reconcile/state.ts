// The objects of one cluster as the API server has them, from the copies or by fresh lists, and the observation
// that is made from them.
import { annotations, labels } from "../api/group.ts";
import type { Json } from "../api/schema.ts";
import type { KubeObject } from "../kube/objects.ts";
import { amountOf } from "../lib/quantity.ts";
import { exitReasonOf } from "../model/exits.ts";
import type { Cluster, Defrag, Member } from "../model/objects.ts";
import type { PodExit, PodFact, ResizeRefusal, VolumeFact } from "../model/observation.ts";
import { agentResultOf, type Restore, type Snapshot } from "../model/snapshot-objects.ts";
import { objectKey } from "../render/objects.ts";
import type { Secret } from "./secrets.ts";

export interface ClusterState {
  readonly cluster: Cluster | undefined;
  readonly members: readonly Member[];
  readonly defrags: readonly Defrag[];
  /** All of the namespace. */
  readonly snapshots: readonly Snapshot[];
  /** Those that name the cluster. */
  readonly restores: readonly Restore[];
  readonly pods: readonly Pod[];
  readonly volumes: readonly VolumeClaim[];
  /** Those that carry the cluster's label. */
  readonly secrets: readonly Secret[];
  /** Services, disruption budgets and network policies. */
  readonly others: readonly KubeObject[];
}

export interface ContainerState {
  readonly running?: object;
  readonly terminated?: { readonly exitCode: number; readonly message?: string };
}

export interface Pod extends KubeObject {
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: readonly PodCondition[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

interface PodCondition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

export interface ContainerStatus {
  readonly restartCount: number;
  readonly state?: ContainerState;
  readonly lastState?: ContainerState;
}

export interface VolumeClaim extends KubeObject {
  readonly spec?: { readonly resources?: { readonly requests?: { readonly storage?: string | number } } };
  readonly status?: {
    readonly phase?: string;
    readonly capacity?: { readonly storage?: string | number };
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

export function podFactOf(pod: Pod): PodFact {
  const { metadata, status } = pod;
  const notes = metadata.annotations ?? {};
  const container = status?.containerStatuses?.[0];
  const exit = exitOf(container);
  const since = metadata.deletionTimestamp;
  const unplaced = status?.conditions?.find(
    ({ type, status: is, reason }) => type === "PodScheduled" && is === "False" && reason === "Unschedulable",
  );
  return {
    name: metadata.name,
    uid: metadata.uid ?? "",
    phase: status?.phase ?? "Pending",
    isTerminating: since !== undefined,
    ...(since === undefined ? {} : { terminatingSinceMs: Date.parse(since) }),
    isReady: status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true,
    ...(pod.spec?.nodeName === undefined ? {} : { nodeName: pod.spec.nodeName }),
    ...(unplaced === undefined ? {} : { unschedulable: unplaced.message ?? "no node takes it" }),
    ...(status?.podIP === undefined ? {} : { address: status.podIP }),
    ...pick("templateHash", notes[annotations.templateHash]),
    ...pick("role", metadata.labels?.[labels.role]),
    ...pick("initialCluster", notes[annotations.initialCluster]),
    ...pick("initialClusterState", notes[annotations.initialClusterState]),
    ...(exit === undefined ? {} : { exit }),
    restarts: container?.restartCount ?? 0,
    ...pick("restoreError", restoreErrorOf(status?.initContainerStatuses?.[0])),
  };
}

/** Between its attempts the last one's end stands in lastState. */
function restoreErrorOf(container: ContainerStatus | undefined): string | undefined {
  const ended = container?.state?.terminated ?? container?.lastState?.terminated;
  if (ended === undefined || ended.exitCode === 0) return undefined;
  return agentResultOf(ended.message ?? "")?.error ?? `it ended with code ${ended.exitCode}`;
}

/** Of a container that is not running; between restarts its last end stands in lastState. */
function exitOf(
  container: { readonly state?: ContainerState; readonly lastState?: ContainerState } | undefined,
): PodExit | undefined {
  if (container === undefined || container.state?.running !== undefined) return undefined;
  const ended = container.state?.terminated ?? container.lastState?.terminated;
  if (ended === undefined) return undefined;
  const message = ended.message ?? "";
  return { code: ended.exitCode, message, ...pick("reason", exitReasonOf(message)) };
}

export function volumeFactOf({ metadata, spec, status }: VolumeClaim): VolumeFact {
  const { labels: marks = {}, annotations: notes = {} } = metadata;
  const slot = marks[labels.slot];
  const isFileSystemPending =
    status?.conditions?.some((one) => one.type === "FileSystemResizePending" && one.status === "True") ===
    true;
  const bound =
    status?.phase === "Bound"
      ? {
          requestedBytes: amountOf(spec?.resources?.requests?.storage ?? 0),
          capacityBytes: amountOf(status.capacity?.storage ?? 0),
          isFileSystemPending,
        }
      : undefined;
  return {
    name: metadata.name,
    isTerminating: metadata.deletionTimestamp !== undefined,
    isQuarantined: marks[labels.quarantined] === "true",
    isLost: status?.phase === "Lost",
    ...pick("clusterId", notes[annotations.clusterId]),
    ...pick("clusterToken", notes[annotations.clusterToken]),
    ...pick("clusterUid", notes[annotations.clusterUid]),
    ...pick("member", marks[labels.member]),
    ...(slot === undefined ? {} : { slot: Number(slot) }),
    ...pick("bound", bound),
    ...pick("resizeRefusal", resizeRefusalOf(notes[annotations.resizeRefusal])),
  };
}

/** The operator's own note; what somebody else wrote there counts for nothing. */
function resizeRefusalOf(note: string | undefined): ResizeRefusal | undefined {
  if (note === undefined) return undefined;
  try {
    const { size, atMs, message } = JSON.parse(note) as Partial<Record<keyof ResizeRefusal, unknown>>;
    if (typeof size !== "string" || typeof atMs !== "number" || typeof message !== "string") return undefined;
    return { size, atMs, message };
  } catch {
    return undefined;
  }
}

export function objectHashesOf(others: readonly KubeObject[]): Record<string, string> {
  return Object.fromEntries(
    others.map((object) => [
      objectKey(object as unknown as { [key: string]: Json }),
      object.metadata.annotations?.[annotations.templateHash] ?? "",
    ]),
  );
}

function pick<K extends string, V>(name: K, value: V | undefined): { readonly [key in K]?: V } {
  return value === undefined ? {} : ({ [name]: value } as { [key in K]: V });
}
