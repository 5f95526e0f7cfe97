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

/** Sends messages to other members. It never blocks, and it may lose any of them. */
export interface Network {
  send(messages: readonly Message[]): void;
}

export interface ReplicaOptions {
  readonly nodeId: NodeId;
  readonly contents: LogContents;
  /** Entries of a cluster that begins with this start; empty when the log held anything. */
  readonly bootstrap: readonly Entry[];
  /** Attributes that the member publishes once it runs. */
  readonly name: string;
  readonly clientUrls: readonly string[];
  readonly log: LogStore;
  readonly engine: Engine;
  readonly network: Network;
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
