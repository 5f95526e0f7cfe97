// What replicas in tests have in common: nothing is logged or measured, and no timer of theirs is meant to ring.

import { silentLogger } from "../../lib/log.ts";
import { silentMetrics } from "../../lib/metrics.ts";
import { SeededRandom } from "../../lib/random.ts";
import type { ReplicaOptions } from "../options.ts";

type Given = "nodeId" | "contents" | "log" | "engine" | "network" | "onRemoved" | "clock";

export function quietOptions(): Omit<ReplicaOptions, Given> {
  return {
    bootstrap: [],
    name: "m1",
    clientUrls: [],
    learnersMax: 2,
    startMs: 0,
    random: new SeededRandom(1),
    logger: silentLogger,
    heartbeatIntervalMs: 100,
    electionTicks: 10,
    preVote: true,
    snapshotCount: 1_000_000,
    snapshotCatchupEntries: 5000,
    flushIntervalMs: 100,
    flushBytesMax: 1 << 20,
    requestBytesMax: 1 << 20,
    compactionBatchRecords: 1000,
    compactionPauseMs: 10,
    progressNotifyIntervalMs: 600_000,
    hasLeaseCheckpoints: false,
    autoCompaction: undefined,
    slowApplyMs: 1_000_000,
    metrics: silentMetrics,
  };
}
