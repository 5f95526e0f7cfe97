// What a scrape asks the member for, once, and the gauges made of the answer.

import { hexId, type NodeId } from "../lib/ids.ts";
import { type Family, gaugeFamily, type Labels } from "./instruments.ts";

/** The member's state at one moment. */
export interface StatusReading {
  readonly memberId: NodeId;
  /** "3.6", or undefined before the cluster has decided. */
  readonly clusterVersion: string | undefined;
  readonly hasLeader: boolean;
  readonly isLeader: boolean;
  readonly isLearner: boolean;
  readonly isInstalling: boolean;
  readonly isDefragmenting: boolean;
  readonly committedIndex: number;
  readonly appliedIndex: number;
  readonly pendingProposals: number;
  readonly quotaBackendBytes: number;

  readonly dbSizeBytes: number;
  readonly dbSizeInUseBytes: number;
  readonly openReadTransactions: number;

  readonly currentRevision: number;
  readonly compactRevision: number;
  readonly watchStreams: number;
  readonly watchers: number;
  readonly slowWatchers: number;
  readonly pendingEvents: number;
  /** Unix seconds of the last finished compaction; zero if there was none. */
  readonly lastCompactionSeconds: number;
  readonly authRevision: number;
}

/** `read` runs once for each scrape, when the first of the gauges is asked. */
export function statusFamilies(read: () => StatusReading): readonly Family[] {
  const unlabelled: readonly (readonly [string, string, (status: StatusReading) => number])[] = [
    ["etcd_server_has_leader", "Whether the member knows a leader.", (s) => Number(s.hasLeader)],
    ["etcd_server_is_leader", "Whether the member leads.", (s) => Number(s.isLeader)],
    ["etcd_server_is_learner", "Whether the member is a learner.", (s) => Number(s.isLearner)],
    ["etcd_server_quota_backend_bytes", "Quota of the store in bytes.", (s) => s.quotaBackendBytes],
    ["etcd_server_proposals_committed_total", "Index of the last committed entry.", (s) => s.committedIndex],
    ["etcd_server_proposals_applied_total", "Index of the last applied entry.", (s) => s.appliedIndex],
    ["etcd_server_proposals_pending", "Proposals without an answer yet.", (s) => s.pendingProposals],
    [
      "etcd_server_snapshot_apply_in_progress_total",
      "Snapshots being applied.",
      (s) => Number(s.isInstalling),
    ],
    ["etcd_mvcc_db_total_size_in_bytes", "Size of the store's file.", (s) => s.dbSizeBytes],
    ["etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes of it that hold data.", (s) => s.dbSizeInUseBytes],
    ["etcd_mvcc_db_open_read_transactions", "Open read transactions.", (s) => s.openReadTransactions],
    ["etcd_debugging_mvcc_current_revision", "The store's current revision.", (s) => s.currentRevision],
    ["etcd_debugging_mvcc_compact_revision", "The last compacted revision.", (s) => s.compactRevision],
    ["etcd_debugging_mvcc_watch_stream_total", "Open watch streams.", (s) => s.watchStreams],
    ["etcd_debugging_mvcc_watcher_total", "Watchers.", (s) => s.watchers],
    ["etcd_debugging_mvcc_slow_watcher_total", "Watchers that are behind.", (s) => s.slowWatchers],
    ["etcd_debugging_mvcc_pending_events_total", "Events waiting to be sent.", (s) => s.pendingEvents],
    [
      "etcd_debugging_mvcc_db_compaction_last",
      "When the last compaction ended.",
      (s) => s.lastCompactionSeconds,
    ],
    ["etcd_debugging_auth_revision", "The revision of users and roles.", (s) => s.authRevision],
    ["etcd_disk_defrag_inflight", "Whether a defragmentation runs.", (s) => Number(s.isDefragmenting)],
  ];
  const labelled: readonly (readonly [string, string, (status: StatusReading) => Labels | undefined])[] = [
    ["etcd_server_id", "The member's id, as a label.", (s) => ({ server_id: hexId(s.memberId) })],
    [
      "etcd_cluster_version",
      "The cluster's version, as a label.",
      (s) => (s.clusterVersion === undefined ? undefined : { cluster_version: s.clusterVersion }),
    ],
    [
      "etcd_network_known_peers",
      "The members this one knows.",
      (s) => ({ Local: hexId(s.memberId), Remote: hexId(s.memberId) }),
    ],
  ];
  const latest = oncePerTurn(read);
  return [
    ...unlabelled.map(([name, help, value]) =>
      gaugeFamily(name, help, () => [{ labels: {}, value: value(latest()) }]),
    ),
    ...labelled.map(([name, help, labelsOf]) =>
      gaugeFamily(name, help, () => {
        const labels = labelsOf(latest());
        return labels === undefined ? [] : [{ labels, value: 1 }];
      }),
    ),
  ];
}

/** A scrape asks all its families without giving way in between, so one reading serves them. */
function oncePerTurn<T>(read: () => T): () => T {
  let current: { readonly value: T } | undefined;
  return () => {
    if (current === undefined) {
      current = { value: read() };
      queueMicrotask(() => {
        current = undefined;
      });
    }
    return current.value;
  };
}
