// What a replica is made of and how it is tuned.

import type { Engine } from "../lib/backend.ts";
import type { Clock } from "../lib/clock.ts";
import type { NodeId } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import type { Metrics } from "../lib/metrics.ts";
import type { Random } from "../lib/random.ts";
import type { Entry, Message } from "../wire/raft.ts";
import type { AutoCompaction } from "./auto-compactor.ts";
import type { LogContents, LogStore } from "./log-store.ts";

/** The other members as the replica needs them. Nothing here blocks, and any message may get lost. */
export interface Network {
  send(messages: readonly Message[]): void;
  /** Begins to talk to a member at these peer URLs. Nothing happens for one that is a peer already. */
  addPeer(id: NodeId, peerUrls: readonly string[]): void;
  updatePeer(id: NodeId, peerUrls: readonly string[]): void;
  removePeer(id: NodeId): void;
  /** Since when the peer has been connected, on the replica's clock; undefined while it is out of reach or none. */
  activeSinceMs(id: NodeId): number | undefined;
}

export interface ReplicaOptions {
  readonly nodeId: NodeId;
  readonly contents: LogContents;
  /** Entries of a cluster that begins with this start; empty for a member that has begun. */
  readonly bootstrap: readonly Entry[];
  /** Attributes that the member publishes once it runs. */
  readonly name: string;
  readonly clientUrls: readonly string[];
  readonly log: LogStore;
  readonly engine: Engine;
  readonly network: Network;
  /** This member was removed from the cluster, as the log says; those who asked for it have been answered. */
  readonly onRemoved: () => void;
  /** `--max-learners`. */
  readonly learnersMax: number;
  readonly clock: Clock;
  /** Wall-clock milliseconds at the start; only request ids are made from it. */
  readonly startMs: number;
  readonly random: Random;
  readonly logger: Logger;
  readonly heartbeatIntervalMs: number;
  readonly electionTicks: number;
  readonly preVote: boolean;
  readonly snapshotCount: number;
  readonly snapshotCatchupEntries: number;
  /** Of the data in log entries that are kept for followers; a fixed size by default. */
  readonly catchupBytesMax?: number;
  readonly flushIntervalMs: number;
  readonly flushBytesMax: number;
  readonly requestBytesMax: number;
  readonly compactionBatchRecords: number;
  readonly compactionPauseMs: number;
  readonly progressNotifyIntervalMs: number;
  readonly hasLeaseCheckpoints: boolean;
  /** Undefined: off. */
  readonly autoCompaction: AutoCompaction | undefined;
  /** Applying one entry longer than this is worth a warning. */
  readonly slowApplyMs: number;
  readonly metrics: Metrics;
}

export function electionTimeoutMs({ electionTicks, heartbeatIntervalMs }: ReplicaOptions): number {
  return electionTicks * heartbeatIntervalMs;
}

/** How long a request may take before it is answered with a timeout, as in etcd. */
export function requestTimeoutMs(options: ReplicaOptions): number {
  return 5000 + 2 * electionTimeoutMs(options);
}

/** A lease has to outlive an election: half as long again, in whole seconds. */
export function minLeaseTtlSeconds(options: ReplicaOptions): number {
  return Math.ceil((3 * electionTimeoutMs(options)) / 2000);
}
