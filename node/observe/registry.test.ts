import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeId } from "../lib/ids.ts";
import { methods } from "../wire/services.ts";
import { createMetrics } from "./registry.ts";
import type { StatusReading } from "./status.ts";

const reading: StatusReading = {
  memberId: nodeId(0x628170c800dbceen),
  clusterVersion: "3.6",
  hasLeader: true,
  isLeader: false,
  isLearner: false,
  isInstalling: false,
  isDefragmenting: false,

  committedIndex: 12,
  appliedIndex: 11,
  pendingProposals: 1,
  quotaBackendBytes: 2_147_483_648,
  dbSizeBytes: 20_480,
  dbSizeInUseBytes: 16_384,
  openReadTransactions: 0,
  currentRevision: 7,
  compactRevision: -1,
  watchStreams: 0,
  watchers: 0,
  slowWatchers: 0,
  pendingEvents: 0,
  lastCompactionSeconds: 0,
  authRevision: 1,
};

test("a histogram has etcd's buckets, cumulated", async () => {
  const metrics = createMetrics({ isExtensive: false, features: [] });
  metrics.core.walFsyncSeconds.observe(0.003);
  metrics.core.walFsyncSeconds.observe(0.004);
  metrics.core.walFsyncSeconds.observe(100);
  const lines = (await metrics.scrape())
    .split("\n")
    .filter((line) => line.startsWith("etcd_disk_wal_fsync_duration_seconds"));
  const name = "etcd_disk_wal_fsync_duration_seconds";
  assert.equal(lines.length, 14 + 3);
  assert.deepEqual(lines.slice(0, 4), [
    `${name}_bucket{le="0.001"} 0`,
    `${name}_bucket{le="0.002"} 0`,
    `${name}_bucket{le="0.004"} 2`,
    `${name}_bucket{le="0.008"} 2`,
  ]);
  assert.deepEqual(lines.slice(-4), [
    `${name}_bucket{le="8.192"} 2`,
    `${name}_bucket{le="+Inf"} 3`,
    `${name}_sum 100.007`,
    `${name}_count 3`,
  ]);
});

test("bounds are written as Go writes them", async () => {
  const text = await createMetrics({ isExtensive: false, features: [] }).scrape();
  assert.match(text, /^etcd_debugging_lease_ttl_total_bucket\{le="1\.048576e\+06"\} 0$/m);
  assert.match(text, /^etcd_server_range_duration_seconds_bucket\{success="true",le="52\.4288"\} 0$/m);
});

test("gauges of the member are asked for once at every scrape", async () => {
  const metrics = createMetrics({
    isExtensive: false,
    features: [{ name: "LeaseCheckpoint", stage: "ALPHA", isOn: true }],
  });
  let readings = 0;
  metrics.attachStatus(() => {
    readings += 1;
    return { ...reading, appliedIndex: 10 + readings };
  });
  const first = await metrics.scrape();
  const second = await metrics.scrape();
  assert.equal(readings, 2);
  assert.match(first, /^# TYPE etcd_server_proposals_applied_total gauge$/m);
  assert.match(first, /^etcd_server_proposals_applied_total 11$/m);
  assert.match(second, /^etcd_server_proposals_applied_total 12$/m);
  assert.match(first, /^etcd_server_id\{server_id="628170c800dbcee"\} 1$/m);
  assert.match(first, /^etcd_cluster_version\{cluster_version="3\.6"\} 1$/m);
  assert.match(first, /^etcd_server_feature_enabled\{name="LeaseCheckpoint",stage="ALPHA"\} 1$/m);
  assert.match(first, /^process_resident_memory_bytes [1-9]\d*$/m);
});

test("every measured method has a series for each code, and durations only when extensive", async () => {
  const count = (text: string, start: string): number =>
    text.split("\n").filter((line) => line.startsWith(start)).length;
  const measured = methods.filter(({ service }) => !/Lock|Election/.test(service)).length;
  const basic = await createMetrics({ isExtensive: false, features: [] }).scrape();
  assert.equal(count(basic, "grpc_server_handled_total{"), measured * 17);
  assert.equal(count(basic, "grpc_server_handling_seconds"), 0);
  const extensive = await createMetrics({ isExtensive: true, features: [] }).scrape();
  assert.equal(count(extensive, "grpc_server_handling_seconds_count"), measured);
});

test("clients cannot make series without end", async () => {
  const metrics = createMetrics({ isExtensive: false, features: [] });
  for (let i = 0; i < 1000; i++) metrics.grpc.clientRequest("unary", `made up ${i}`);
  const lines = (await metrics.scrape())
    .split("\n")
    .filter((line) => line.startsWith("etcd_server_client_requests_total{"));
  assert.equal(lines.length, 101);
  assert.ok(
    lines.includes('etcd_server_client_requests_total{type="unary",client_api_version="unknown"} 900'),
  );
});
