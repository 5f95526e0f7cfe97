import assert from "node:assert/strict";
import { test } from "node:test";
import { Registry } from "prom-client";
import { decide } from "./control/decide.ts";
import { observationOf } from "./control/testing/situation.ts";
import { clusterFigures } from "./figures.ts";
import { registerClusterMetrics } from "./runtime/cluster-metrics.ts";
import { registerSnapshotMetrics, type ScheduleFigures } from "./runtime/snapshot-metrics.ts";

async function shown(registry: Registry): Promise<readonly string[]> {
  return (await registry.metrics()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

test("a cluster's conditions are shown with their reasons, as alerts ask for them", async () => {
  const observation = observationOf({ silent: ["c-1", "c-2"], hasQuorum: false });
  const { status } = decide(observation);
  const registry = new Registry();
  const cluster = { ...observation.cluster, status };
  let clusters = [clusterFigures(cluster)];
  registerClusterMetrics(registry, () => clusters);
  const lines = await shown(registry);
  const labels = 'namespace="default",cluster="c"';
  for (const line of [
    `etcdlike_cluster_desired_members{${labels}} 3`,
    `etcdlike_cluster_condition{${labels},condition="Available",reason="QuorumLost"} 0`,
    `etcdlike_cluster_condition{${labels},condition="StorageReady",reason="Sized"} 1`,
  ]) {
    assert.ok(lines.includes(line), line);
  }
  clusters = [];
  assert.deepEqual(await shown(registry), [], "one that is gone takes its series along");
});

test("a schedule without a success yet is behind its last run", async () => {
  const registry = new Registry();
  const schedule: ScheduleFigures = {
    namespace: "a",
    name: "daily",
    cluster: "c",
    lastRunSeconds: 7,
    lastSuccessSeconds: 0,
  };
  const snapshot = { namespace: "a", name: "s", cluster: "c", isRefuted: true };
  registerSnapshotMetrics(
    registry,
    () => [schedule],
    () => [snapshot],
  );
  assert.deepEqual(await shown(registry), [
    'etcdlike_snapshot_schedule_last_run_timestamp_seconds{namespace="a",schedule="daily",cluster="c"} 7',
    'etcdlike_snapshot_schedule_last_success_timestamp_seconds{namespace="a",schedule="daily",cluster="c"} 0',
    'etcdlike_snapshot_refuted{namespace="a",snapshot="s",cluster="c"} 1',
  ]);
});
