// Every metric of a member: etcd's names, labels and buckets, and a few of our own.

import { readdirSync, readFileSync } from "node:fs";
import { collectDefaultMetrics, Registry } from "prom-client";
import { type ErrorCode, errorCodes } from "../api/errors.ts";
import type { GrpcMetrics, MethodMetrics } from "../grpc/metrics.ts";
import type { HealthMetrics } from "../http/status-port.ts";
import type { Metrics } from "../lib/metrics.ts";
import { buildVersion, compatibleVersion } from "../lib/version.ts";
import { type MethodKind, methods } from "../wire/services.ts";
import {
  BucketedValue,
  CountedValue,
  counterFamily,
  doubling,
  type Family,
  gaugeFamily,
  histogramFamily,
  type Labels,
  promMetric,
} from "./instruments.ts";
import { type StatusReading, statusFamilies } from "./status.ts";

export interface RegistryOptions {
  /** Adds histograms of call durations. */
  readonly isExtensive: boolean;
  readonly features: readonly { readonly name: string; readonly stage: string; readonly isOn: boolean }[];
}

export interface MemberMetrics {
  readonly core: Metrics;
  readonly grpc: GrpcMetrics;
  readonly health: HealthMetrics;
  /** Gauges that are asked for at a scrape; called once, when there is a member to ask. */
  attachStatus(read: () => StatusReading): void;
  /** The text of /metrics. */
  scrape(): Promise<string>;
}

export const metricsContentType = "text/plain; version=0.0.4; charset=utf-8";

const diskSeconds = doubling(0.001, 14);
const callSeconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const applySeconds = doubling(0.0001, 20);

export function createMetrics({ isExtensive, features }: RegistryOptions): MemberMetrics {
  const families: Family[] = [];
  const counter = (name: string, help: string): CountedValue => {
    const value = new CountedValue();
    families.push(counterFamily(name, help, value));
    return value;
  };
  const histogram = (name: string, help: string, bounds: readonly number[], labels: Labels = {}) => {
    const value = new BucketedValue(bounds);
    families.push(histogramFamily(name, help, () => [[labels, value]]));
    return value;
  };

  const core = coreMetrics({ families, counter, histogram });
  addIdleFamilies({ families, counter, histogram });
  families.push(
    labelGauge("etcd_server_version", "The compatible version, as a label.", {
      server_version: compatibleVersion,
    }),
    labelGauge("etcd_server_go_version", "The runtime's version, as a label.", {
      server_go_version: `node${process.version}`,
    }),
    labelGauge("etcdlike_build_info", "The build version, as a label.", { version: buildVersion }),
    gaugeFamily("etcd_server_feature_enabled", "Feature gates, one where on.", () =>
      features.map(({ name, stage, isOn }) => ({ labels: { name, stage }, value: Number(isOn) })),
    ),
    gaugeFamily("os_fd_used", "Open file descriptors.", () => [{ labels: {}, value: openDescriptors() }]),
    gaugeFamily("os_fd_limit", "Limit of open file descriptors.", () => [
      { labels: {}, value: descriptorLimit() },
    ]),
  );
  const grpc = grpcMetrics(families, isExtensive, counter);
  const health = healthMetrics(families, counter);
  const scrapes = scrapeMetrics(families);

  const registry = new Registry();
  for (const family of families) registry.registerMetric(promMetric(family));
  collectDefaultMetrics({ register: registry });

  return {
    core,
    grpc,
    health,
    attachStatus(read) {
      for (const family of statusFamilies(read)) registry.registerMetric(promMetric(family));
    },
    async scrape() {
      scrapes.inFlight += 1;
      try {
        const text = await registry.metrics();
        scrapes.succeeded += 1;
        return text;
      } finally {
        scrapes.inFlight -= 1;
      }
    },
  };
}

interface Makers {
  readonly families: Family[];
  readonly counter: (name: string, help: string) => CountedValue;
  readonly histogram: (
    name: string,
    help: string,
    bounds: readonly number[],
    labels?: Labels,
  ) => BucketedValue;
}

function coreMetrics({ families, counter, histogram }: Makers): Metrics {
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
      "Time to send a snapshot of the store.",
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
function addIdleFamilies({ families, counter, histogram }: Makers): void {
  for (const phase of ["rebalance", "spill", "write"]) {
    const name = `etcd_debugging_disk_backend_commit_${phase}_duration_seconds`;
    histogram(name, `Time a flush spends in ${phase}.`, diskSeconds);
  }
  histogram("etcd_snap_db_fsync_duration_seconds", "Time to sync a received store.", diskSeconds);
  histogram("etcd_snap_db_save_total_duration_seconds", "Time to save a received store.", doubling(0.1, 10));
  counter("etcd_server_learner_promote_successes", "Learners promoted.");
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

const grpcTypes: Readonly<Record<MethodKind, string>> = {
  unary: "unary",
  serverStream: "server_stream",
  clientStream: "client_stream",
  bidi: "bidi_stream",
};

/** etcd leaves the lock and election services out of these. */
const unmeasured = new Set(["v3lockpb.Lock", "v3electionpb.Election"]);

/** Client versions told apart; beyond, they count as "unknown", since a client can send any text. */
const clientVersionsMax = 100;

class MethodCounts implements MethodMetrics {
  readonly labels: Labels;
  readonly handledByCode = new Float64Array(errorCodes.length);
  readonly seconds = new BucketedValue(callSeconds);
  startedTotal = 0;
  receivedTotal = 0;
  sentTotal = 0;
  readonly #bytes: { readonly received: CountedValue; readonly sent: CountedValue };

  constructor(labels: Labels, bytes: { readonly received: CountedValue; readonly sent: CountedValue }) {
    this.labels = labels;
    this.#bytes = bytes;
  }

  started(): void {
    this.startedTotal += 1;
  }

  handled(code: ErrorCode, seconds: number): void {
    const position = errorCodes.indexOf(code);
    this.handledByCode[position] = (this.handledByCode[position] as number) + 1;
    this.seconds.observe(seconds);
  }

  received(messageBytes: number): void {
    this.receivedTotal += 1;
    this.#bytes.received.increment(messageBytes);
  }

  sent(messageBytes: number): void {
    this.sentTotal += 1;
    this.#bytes.sent.increment(messageBytes);
  }
}

function grpcMetrics(families: Family[], isExtensive: boolean, counter: Makers["counter"]): GrpcMetrics {
  const bytes = {
    received: counter("etcd_network_client_grpc_received_bytes_total", "Bytes received from gRPC clients."),
    sent: counter("etcd_network_client_grpc_sent_bytes_total", "Bytes sent to gRPC clients."),
  };
  const all = methods.map((method) => {
    const labels = {
      grpc_type: grpcTypes[method.kind],
      grpc_service: method.service,
      grpc_method: method.name,
    };
    return { method, counts: new MethodCounts(labels, bytes) };
  });
  const byPath = new Map(all.map(({ method, counts }) => [method.path, counts]));
  const measured = all.filter(({ method }) => !unmeasured.has(method.service)).map(({ counts }) => counts);
  const total = (name: string, help: string, value: (counts: MethodCounts) => number): Family => ({
    name,
    help,
    type: "counter",
    samples: () => measured.map((counts) => ({ labels: counts.labels, value: value(counts) })),
  });
  families.push(
    total("grpc_server_started_total", "Calls started.", (counts) => counts.startedTotal),
    total("grpc_server_msg_received_total", "Messages received.", (counts) => counts.receivedTotal),
    total("grpc_server_msg_sent_total", "Messages sent.", (counts) => counts.sentTotal),
    {
      name: "grpc_server_handled_total",
      help: "Calls ended, by code.",
      type: "counter",
      samples: () =>
        measured.flatMap((counts) =>
          errorCodes.map((code, i) => ({
            labels: { ...counts.labels, grpc_code: code },
            value: counts.handledByCode[i] as number,
          })),
        ),
    },
  );
  if (isExtensive) {
    families.push(
      histogramFamily("grpc_server_handling_seconds", "Time from start to end of a call.", () =>
        measured.map((counts) => [counts.labels, counts.seconds] as const),
      ),
    );
  }
  const clients = new Map<string, Labels & { type: string }>();
  const clientTotals = new Map<string, CountedValue>();
  families.push({
    name: "etcd_server_client_requests_total",
    help: "Requests by the version of the client.",
    type: "counter",
    samples: () =>
      [...clientTotals].map(([key, value]) => ({ labels: clients.get(key) ?? {}, value: value.value })),
  });
  return {
    method(path) {
      const counts = byPath.get(path);
      if (counts === undefined) throw new Error(`no such method: ${path}`);
      return counts;
    },
    clientRequest(type, version) {
      let key = `${type} ${version}`;
      let value = clientTotals.get(key);
      if (value === undefined) {
        const known = clientTotals.size < clientVersionsMax ? version : "unknown";
        key = `${type} ${known}`;
        value = clientTotals.get(key) ?? new CountedValue();
        clientTotals.set(key, value);
        clients.set(key, { type, client_api_version: known });
      }
      value.increment();
    },
  };
}

function healthMetrics(families: Family[], counter: Makers["counter"]): HealthMetrics {
  const successes = counter("etcd_server_health_success", "Health requests answered with true.");
  const failures = counter("etcd_server_health_failures", "Health requests answered with false.");
  const results = new Map<
    string,
    { readonly labels: Labels; isOk: boolean; passed: number; failed: number }
  >();
  families.push(
    gaugeFamily("etcd_server_healthcheck", "Last result of each check.", () =>
      [...results.values()].map(({ labels, isOk }) => ({ labels, value: Number(isOk) })),
    ),
    {
      name: "etcd_server_healthchecks_total",
      help: "Results of each check.",
      type: "counter",
      samples: () =>
        [...results.values()].flatMap(({ labels, passed, failed }) =>
          [
            { labels: { ...labels, status: "success" }, value: passed },
            { labels: { ...labels, status: "error" }, value: failed },
          ].filter(({ value }) => value > 0),
        ),
    },
  );
  return {
    health(isHealthy) {
      (isHealthy ? successes : failures).increment();
    },
    check(type, name, isOk) {
      const key = `${type} ${name}`;
      const result = results.get(key) ?? { labels: { type, name }, isOk, passed: 0, failed: 0 };
      result.isOk = isOk;
      if (isOk) result.passed += 1;
      else result.failed += 1;
      results.set(key, result);
    },
  };
}

function scrapeMetrics(families: Family[]): { inFlight: number; succeeded: number } {
  const state = { inFlight: 0, succeeded: 0 };
  families.push(
    gaugeFamily("promhttp_metric_handler_requests_in_flight", "Scrapes being served.", () => [
      { labels: {}, value: state.inFlight },
    ]),
    {
      name: "promhttp_metric_handler_requests_total",
      help: "Scrapes by HTTP status.",
      type: "counter",
      samples: () => [
        { labels: { code: "200" }, value: state.succeeded },
        { labels: { code: "500" }, value: 0 },
        { labels: { code: "503" }, value: 0 },
      ],
    },
  );
  return state;
}

function labelGauge(name: string, help: string, labels: Labels): Family {
  return gaugeFamily(name, help, () => [{ labels, value: 1 }]);
}

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

function descriptorLimit(): number {
  const line = readFileSync("/proc/self/limits", "utf8").match(/^Max open files\s+(\d+)/m);
  return line === null ? 0 : Number(line[1]);
}
