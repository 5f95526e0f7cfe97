// Observations from a few words: a healthy cluster named c with members c-0, c-1, ..., and what is different.
import type { ClusterStatus } from "../../api/cluster-status.ts";
import type { SecretFact } from "../../model/certificates.ts";
import type { ExitReason } from "../../model/exits.ts";
import { initialClusterOf, peerUrlOf } from "../../model/names.ts";
import type { Cluster, Defrag, Member } from "../../model/objects.ts";
import type { Observation, Probe, RosterEntry } from "../../model/observation.ts";
import type { Restore, Snapshot } from "../../model/snapshot-objects.ts";
import { objectKey, renderedObjects } from "../../render/objects.ts";
import { templateHashOf } from "../../render/pod.ts";

export interface Situation {
  /** Number of members there are, and are wanted. */
  readonly replicas?: number;
  readonly members?: readonly string[];
  readonly spec?: object;
  readonly status?: { readonly [K in keyof ClusterStatus]?: ClusterStatus[K] | undefined };
  readonly leader?: string;
  readonly hasQuorum?: boolean;
  /** Members that do not answer, and since when none of the ill ones was well. */
  readonly silent?: readonly string[];
  readonly awaySeconds?: number;
  readonly exits?: Readonly<Record<string, { readonly reason: ExitReason; readonly restarts: number }>>;
  /** Members whose Pods find no node, with the scheduler's words; they are to be named in `silent` too. */
  readonly unschedulable?: Readonly<Record<string, string>>;
  readonly withoutPod?: readonly string[];
  /** Members of the live list that do not vote. */
  readonly learners?: readonly string[];
  readonly withoutVolume?: readonly string[];
  readonly outdated?: readonly string[];
  /** Members whose EtcdLikeMember the user deleted. */
  readonly deleted?: readonly string[];
  /** Members that answer for another cluster. */
  readonly foreign?: readonly string[];
  readonly foreignMembers?: readonly string[];
  readonly defrags?: readonly Defrag[];
  readonly snapshots?: readonly Snapshot[];
  readonly restores?: readonly Restore[];
  readonly alarms?: readonly { readonly memberId: string; readonly alarm: string }[];
  /** Size, used part and quota of every store; 1, 1 and 0 without it. */
  readonly sizes?: readonly [number, number, number];
  /** Further volumes. */
  readonly volumes?: readonly string[];
  readonly strays?: readonly RosterEntry[];
  readonly secrets?: readonly SecretFact[];
  readonly annotations?: Readonly<Record<string, string>>;
}

export const nowMs = Date.parse("2026-01-01T12:00:00Z");

const rotation = { renewBeforeSeconds: 30 * 86_400, caOverlapSeconds: 7 * 86_400 };
const noTls = {
  peer: { mode: "None", source: "Auto" },
  client: { mode: "None", source: "Auto" },
  rotation,
} as const;

/** A spec.tls with these modes, certificates by the operator. */
export function tlsOf(peer: "None" | "Mutual", client: "None" | "Server" | "Mutual", more: object = {}) {
  return {
    peer: { mode: peer, source: "Auto" },
    client: { mode: client, source: "Auto", ...more },
    rotation,
  } as const;
}
const boundVolume = {
  bound: { requestedBytes: 2 ** 30, capacityBytes: 2 ** 30, isFileSystemPending: false },
};

export function observationOf(situation: Situation): Observation {
  const count = situation.replicas ?? 3;
  const names = situation.members ?? Array.from({ length: count }, (_, slot) => `c-${slot}`);
  const cluster = clusterOf(situation, names);
  const silent = new Set([...(situation.silent ?? []), ...Object.keys(situation.exits ?? {})]);
  const leader = situation.leader ?? names.find((name) => !silent.has(name));
  const hasQuorum = situation.hasQuorum ?? names.length > 0;
  const entries = names.map((name, slot) => ({
    id: `a${slot}`,
    name,
    peerUrl: peerUrlOf(cluster, name),
    isLearner: situation.learners?.includes(name) === true,
  }));
  const running = names.filter((name) => situation.withoutPod?.includes(name) !== true);
  const [dbSizeBytes, dbInUseBytes, dbQuotaBytes] = situation.sizes ?? [1, 1, 0];
  const probeOf = (name: string): Probe =>
    silent.has(name)
      ? { isAnswered: false, error: "connection refused" }
      : {
          isAnswered: true,
          clusterId: situation.foreign?.includes(name) === true ? "bad" : "c1",
          memberId: `a${names.indexOf(name)}`,
          leaderId: hasQuorum ? `a${names.indexOf(leader ?? "")}` : "0",
          isLearner: false,
          isParticipating: hasQuorum,
          raftIndex: 100,
          version: "0.1.0",
          dbSizeBytes,
          dbInUseBytes,
          dbQuotaBytes,
        };
  const observation: Observation = {
    nowMs,
    holder: "operator",
    cluster,
    members: names.map((name, slot) => memberOf(situation, name, slot)),
    foreignMembers: situation.foreignMembers ?? [],
    defrags: situation.defrags ?? [],
    snapshots: situation.snapshots ?? [],
    restores: situation.restores ?? [],
    pods: [],
    volumes: [
      ...names
        .filter((name) => situation.withoutVolume?.includes(name) !== true)
        .map((name) => `data-${name}`),
      ...(situation.volumes ?? []),
    ].map((name) => ({
      name,
      isTerminating: false,
      isQuarantined: false,
      isLost: false,
      clusterId: "c1",
      ...boundVolume,
    })),
    probes: Object.fromEntries(running.map((name) => [name, probeOf(name)])),
    roster: hasQuorum
      ? {
          clusterId: "c1",
          members: [...entries, ...(situation.strays ?? [])],
          alarms: situation.alarms ?? [],
        }
      : undefined,
    objectHashes: {},
    secrets: situation.secrets ?? [],
    access: undefined,
    settings: { memberImageRepository: "etcdlike" },
  };
  const voters = hasQuorum ? entries.length : 0;
  return {
    ...observation,
    objectHashes: Object.fromEntries(
      renderedObjects(observation, voters).map(({ object, hash }) => [objectKey(object), hash]),
    ),
    pods: running.map((name) => {
      const exit = situation.exits?.[name];
      const unschedulable = situation.unschedulable?.[name];
      return {
        name,
        uid: `uid-${name}`,
        phase: "Running",
        isTerminating: false,
        isReady: !silent.has(name),
        ...(unschedulable === undefined
          ? { nodeName: `node-${name}`, address: `10.0.0.${names.indexOf(name)}` }
          : { unschedulable }),
        role: "voter",
        templateHash: situation.outdated?.includes(name) === true ? "old" : templateHashOf(observation, name),
        initialClusterState: "existing",
        initialCluster: initialClusterOf(cluster, observation.roster?.members ?? []),
        ...(exit === undefined ? {} : { exit: { code: 60, reason: exit.reason, message: "" } }),
        restarts: exit?.restarts ?? 0,
      };
    }),
  };
}

function clusterOf(situation: Situation, names: readonly string[]): Cluster {
  const since = new Date(nowMs - (situation.awaySeconds ?? 0) * 1000).toISOString();
  const silent = [...(situation.silent ?? []), ...Object.keys(situation.exits ?? {})];
  const status = {
    clusterId: "c1",
    votingMembers: names.length,
    members: names.map((name) => ({
      name,
      health: silent.includes(name) ? ("Unreachable" as const) : ("Healthy" as const),
      since,
    })),
    ...situation.status,
  };
  return {
    metadata: {
      name: "c",
      namespace: "default",
      uid: "uid",
      generation: 1,
      ...(situation.annotations === undefined ? {} : { annotations: situation.annotations }),
    },
    spec: {
      replicas: situation.replicas ?? 3,
      version: "0.1.0",
      image: { pullPolicy: "IfNotPresent" },
      storage: { size: "1Gi", accessMode: "ReadWriteOnce", reclaimPolicy: "Retain" },
      template: { terminationGracePeriodSeconds: 30 },
      spread: { mode: "Preferred", topologyKeys: ["kubernetes.io/hostname"] },
      services: { client: { type: "ClusterIP" } },
      tls: noTls,
      options: {},
      updateStrategy: { type: "RollingMember" },
      healing: { replaceAfterSeconds: 900, maintenanceSeconds: 14_400, maxReplacementsPerHour: 2 },
      maintenance: {},
      monitoring: { scrape: "PodMonitor" },
      paused: false,
      progressDeadlineSeconds: 600,
      ...situation.spec,
    },
    status: Object.fromEntries(
      Object.entries(status).filter(([, value]) => value !== undefined),
    ) as ClusterStatus,
  };
}

function memberOf(situation: Situation, name: string, slot: number): Member {
  return {
    metadata: {
      name,
      namespace: "default",
      uid: `uid-of-${name}`,
      ...(situation.deleted?.includes(name) === true ? { deletionTimestamp: "2026-01-01T11:59:00Z" } : {}),
    },
    spec: {
      clusterName: "c",
      clusterToken: "token",
      clusterId: "c1",
      slot,
      role: slot === 0 ? "Seed" : "Joiner",
      initialCluster: `${name}=http://${name}`,
      volumeName: `data-${name}`,
      storage: { size: "1Gi" },
    },
  };
}
