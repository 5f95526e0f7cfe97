// Everything a decision is made from, read once into plain data.
import type { SecretFact } from "./certificates.ts";
import type { ExitReason } from "./exits.ts";
import type { Cluster, Defrag, Member } from "./objects.ts";
import type { Restore, Snapshot } from "./snapshot-objects.ts";

export interface Observation {
  /** Wall clock. */
  readonly nowMs: number;
  /** Identity of this operator. */
  readonly holder: string;
  readonly cluster: Cluster;
  /** Members of this very cluster object, by its uid. */
  readonly members: readonly Member[];
  /** Members that carry the cluster's name and belong to an earlier object of that name. */
  readonly foreignMembers: readonly string[];
  /** Runs that name this cluster. */
  readonly defrags: readonly Defrag[];
  /** All of the namespace. */
  readonly snapshots: readonly Snapshot[];
  /** Those that name this cluster. */
  readonly restores: readonly Restore[];
  readonly pods: readonly PodFact[];
  readonly volumes: readonly VolumeFact[];
  /** By member name; a member without an address is not there. */
  readonly probes: Readonly<Record<string, Probe>>;
  /** As a member with a quorum behind it tells; undefined without quorum. */
  readonly roster: Roster | undefined;
  /** Hashes that the cluster's Services and policies carry, by kind and name. */
  readonly objectHashes: Readonly<Record<string, string>>;
  /** Secrets with certificates: those made for this cluster, and those that its spec names. */
  readonly secrets: readonly SecretFact[];
  /** How members are spoken to; undefined in clear text, or while there is no certificate for it. Holds a key. */
  readonly access: MemberAccess | undefined;
  readonly settings: Settings;
}

export interface MemberAccess {
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}

/** How this operator was started. */
export interface Settings {
  /** Image of members whose cluster names none. */
  readonly memberImageRepository: string;
}

export interface PodFact {
  readonly name: string;
  readonly uid: string;
  readonly phase: string;
  readonly isTerminating: boolean;
  /** When its time to stop is over, wall clock. */
  readonly terminatingSinceMs?: number;
  readonly isReady: boolean;
  readonly nodeName?: string;
  /** What the scheduler says while it finds no node for it. */
  readonly unschedulable?: string;
  readonly address?: string;
  readonly templateHash?: string;
  readonly role?: string;
  readonly initialCluster?: string;
  readonly initialClusterState?: string;
  /** How its container ended last, if it is not running now. */
  readonly exit?: PodExit;
  readonly restarts: number;
  /** Why the snapshot could not be restored, in the agent's words; until it could. */
  readonly restoreError?: string;
}

export interface PodExit {
  readonly code: number;
  /** The member's own word; undefined for an end without one. */
  readonly reason?: ExitReason;
  readonly message: string;
}

export interface VolumeFact {
  readonly name: string;
  readonly isTerminating: boolean;
  readonly isQuarantined: boolean;
  /** The bound volume is gone. */
  readonly isLost: boolean;
  readonly clusterId?: string;
  readonly clusterToken?: string;
  /** Of the cluster object that it belongs to, or belonged to. */
  readonly clusterUid?: string;
  /** The member it was made for. */
  readonly member?: string;
  readonly slot?: number;
  /** Once it is bound. */
  readonly bound?: {
    readonly requestedBytes: number;
    readonly capacityBytes: number;
    readonly isFileSystemPending: boolean;
  };
  /** The API server did not take this size; wall clock. */
  readonly resizeRefusal?: ResizeRefusal;
}

export interface ResizeRefusal {
  readonly size: string;
  readonly atMs: number;
  readonly message: string;
}

export type Probe =
  | {
      readonly isAnswered: true;
      readonly clusterId: string;
      readonly memberId: string;
      /** "0" without a leader. */
      readonly leaderId: string;
      readonly isLearner: boolean;
      /** A linearizable read was answered. */
      readonly isParticipating: boolean;
      readonly raftIndex: number;
      readonly version: string;
      readonly dbSizeBytes: number;
      readonly dbInUseBytes: number;
      /** 0 without one. */
      readonly dbQuotaBytes: number;
    }
  | { readonly isAnswered: false; readonly error: string };

export interface Roster {
  readonly clusterId: string;
  readonly members: readonly RosterEntry[];
  readonly alarms: readonly { readonly memberId: string; readonly alarm: string }[];
}

export interface RosterEntry {
  readonly id: string;
  /** Empty until the member has started. */
  readonly name: string;
  readonly peerUrl: string;
  readonly isLearner: boolean;
}
