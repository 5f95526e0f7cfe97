// The metrics port of the member's core, and names that stay at zero here but that tools look for.

import type { Metrics } from "../lib/metrics.ts";
import type { Makers } from "./families.ts";
import {
  BucketedValue,
  CountedValue,
  doubling,
  gaugeFamily,
  histogramFamily,
  type Labels,
} from "./instruments.ts";

const diskSeconds = doubling(0.001, 14);
const applySeconds = doubling(0.0001, 20);

export function coreMetrics({ families, counter, histogram }: Makers): Metrics {
  const walWriteBytes = new CountedValue();
  const putBytes = new CountedValue();
  // etcd exports these two sums as gauges.
  families.push(
    gaugeFamily("etcd_disk_wal_write_bytes_total", "Bytes written to the log.", () => [
      { labels: {}, value: walWriteBytes.value },
    ]),
    gaugeFamily("etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes of keys and values put.", () => [
      { labels: {}, value: putBytes.value },
    ]),
  );
  const applies = new Map<string, readonly [Labels, BucketedValue]>();
  families.push(
    histogramFamily("etcd_server_apply_duration_seconds", "Time to apply an entry.", () => applies.values()),
  );
  return {
    walWriteSeconds: histogram("etcd_disk_wal_write_duration_seconds", "Time to write the log.", diskSeconds),
    walFsyncSeconds: histogram("etcd_disk_wal_fsync_duration_seconds", "Time to sync the log.", diskSeconds),
    walWriteBytes,
    backendCommitSeconds: histogram(
      "etcd_disk_backend_commit_duration_seconds",
      "Time to flush the store.",
      diskSeconds,
    ),
    backendSnapshotSeconds: histogram(
      "etcd_disk_backend_snapshot_duration_seconds",
      "Time to make the file of a snapshot.",
      doubling(0.01, 17),
    ),
    backendDefragSeconds: histogram(
      "etcd_disk_backend_defrag_duration_seconds",
      "Time to defragment the store.",
      doubling(0.1, 13),
    ),
    snapFsyncSeconds: histogram(
      "etcd_snap_fsync_duration_seconds",
      "Time to sync a .snap file.",
      diskSeconds,
    ),
    snapSaveMarshallingSeconds: histogram(
      "etcd_debugging_snap_save_marshalling_duration_seconds",
      "Time to encode a .snap file.",
      diskSeconds,
    ),
    snapSaveTotalSeconds: histogram(
      "etcd_debugging_snap_save_total_duration_seconds",
      "Time to save a .snap file.",
      diskSeconds,
    ),
    snapDbSyncSeconds: histogram(
      "etcd_snap_db_fsync_duration_seconds",
      "Time to make a received store durable.",
      diskSeconds,
    ),
    snapDbSaveTotalSeconds: histogram(
      "etcd_snap_db_save_total_duration_seconds",
      "Time to receive and save a store.",
      doubling(0.1, 10),
    ),
    puts: counter("etcd_mvcc_put_total", "Puts seen by this member."),
    deletes: counter("etcd_mvcc_delete_total", "Deletes seen by this member."),
    ranges: counter("etcd_mvcc_range_total", "Ranges seen by this member."),
    txns: counter("etcd_mvcc_txn_total", "Transactions seen by this member."),
    putBytes,
    hashSeconds: histogram("etcd_mvcc_hash_duration_seconds", "Time to hash the store.", doubling(0.01, 15)),
    hashRevSeconds: histogram(
      "etcd_mvcc_hash_rev_duration_seconds",
      "Time to hash the keys up to a revision.",
      doubling(0.01, 15),
    ),
    events: counter("etcd_debugging_mvcc_events_total", "Events sent by this member."),
    compactedKeys: counter("etcd_debugging_mvcc_db_compaction_keys_total", "Revisions compacted."),
    compactionPauseMs: histogram(
      "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
      "Length of a slice of a compaction.",
      doubling(1, 13),
    ),
    compactionTotalMs: histogram(
      "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
      "Length of a compaction.",
      doubling(100, 14),
    ),
    indexCompactionPauseMs: histogram(
      "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",
      "Length of a slice of an index compaction.",
      doubling(0.5, 14),
    ),
    leasesGranted: counter("etcd_debugging_lease_granted_total", "Leases granted."),
    leasesRevoked: counter("etcd_debugging_lease_revoked_total", "Leases revoked."),
    leasesRenewed: counter("etcd_debugging_lease_renewed_total", "Leases renewed by the leader."),
    leasesExpired: counter("etcd_debugging_server_lease_expired_total", "Leases expired."),
    leaseTtlSeconds: histogram("etcd_debugging_lease_ttl_total", "Granted lifetimes.", doubling(1, 24)),
    learnersPromoted: counter("etcd_server_learner_promote_successes", "Learners promoted."),
    leaderChanges: counter("etcd_server_leader_changes_seen_total", "Leader changes seen."),
    proposalsFailed: counter("etcd_server_proposals_failed_total", "Proposals that failed."),
    heartbeatSendFailures: counter("etcd_server_heartbeat_send_failures_total", "Late leader heartbeats."),
    slowApplies: counter("etcd_server_slow_apply_total", "Applies that took long."),
    slowReadIndexes: counter("etcd_server_slow_read_indexes_total", "Read barriers that took long."),
    readIndexesFailed: counter("etcd_server_read_indexes_failed_total", "Read barriers that failed."),
    rangeSeconds: histogram("etcd_server_range_duration_seconds", "Time of a range.", applySeconds, {
      success: "true",
    }),
    observeApply(operation, isSuccess, seconds) {
      const key = isSuccess ? operation : `${operation} failed`;
      let child = applies.get(key);
      if (child === undefined) {
        child = [
          { version: "v3", op: operation, success: String(isSuccess) },
          new BucketedValue(applySeconds),
        ];
        applies.set(key, child);
      }
      child[1].observe(seconds);
    },
  };
}

/** Names that dashboards and tools expect and that stay at zero here. */
export function addIdleFamilies({ families, counter, histogram }: Makers): void {
  for (const phase of ["rebalance", "spill", "write"]) {
    const name = `etcd_debugging_disk_backend_commit_${phase}_duration_seconds`;
    histogram(name, `Time a flush spends in ${phase}.`, diskSeconds);
  }
  counter("etcd_debugging_store_expires_total", "Keys of the v2 store that expired.");
  counter("etcd_debugging_store_watch_requests_total", "Watches of the v2 store.");
  counter("etcd_grpc_proxy_events_coalescing_total", "Events coalesced by a proxy.");
  for (const name of [
    "etcd_debugging_store_watchers",
    "etcd_grpc_proxy_cache_hits_total",
    "etcd_grpc_proxy_cache_keys_total",
    "etcd_grpc_proxy_cache_misses_total",
    "etcd_grpc_proxy_watchers_coalescing_total",
  ]) {
    families.push(gaugeFamily(name, "Always zero here.", () => [{ labels: {}, value: 0 }]));
  }
}
