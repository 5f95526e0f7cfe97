// Every alert on series: of a cluster that is well none fires; of one thing gone wrong its alert does, after its time
// and alone. Prometheus' own rules and engine evaluate.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { toolPath } from "../tools/toolchain.ts";

const rules = readFileSync(
  join(import.meta.dirname, "..", "..", "charts", "etcdlike", "files", "rules.yaml"),
  "utf8",
);

/** Seconds between samples; that of the tool. */
const stepSeconds = 15;
/** When something goes wrong. */
const onsetSeconds = 1_200;
const before = onsetSeconds / stepSeconds;
const day = 86_400;

/** Values of series, in Prometheus' notation, by their names. */
type Series = Readonly<Record<string, string>>;

interface Firing {
  readonly alert: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

async function firing(series: Series, atSeconds: number): Promise<readonly Firing[]> {
  const lines = Object.entries(series).map(([name, values]) => `${name} ${values}`);
  const input = JSON.stringify({ rules, series: lines, atSeconds });
  const outcome = spawnSync(await toolPath("check-queries"), ["alerts"], { input, encoding: "utf8" });
  assert.equal(outcome.status, 0, outcome.stderr);
  return JSON.parse(outcome.stdout) as readonly Firing[];
}

function always(value: number): string {
  return `${value}x2000`;
}

/** One value until the onset, then another. */
function becomes(value: number, later: number): string {
  return `${value}x${before} ${later}x2000`;
}

/** A counter that grows by these amounts a step, until the onset and then. */
function grows(by: number, later = by): string {
  return `0+${by}x${before} ${by * before}+${later}x2000`;
}

/** Not there until the onset. */
function appears(value: number): string {
  return `_x${before} ${value}x2000`;
}

/** Gone from the onset on. */
function ends(value: number): string {
  return `${value}x${before} stale`;
}

const pods = ["c-0", "c-1", "c-2"];
const ofPod = (pod: string, more = "") => `{namespace="default",pod="${pod}"${more}}`;
const cluster = `namespace="default",cluster="c"`;
const operator = `namespace="etcdlike",pod="operator"`;
const condition = (type: string, reason: string) =>
  `etcdlike_cluster_condition{${cluster},condition="${type}",reason="${reason}"}`;
const schedule = `{${cluster},schedule="nightly"}`;
const syncs = (pod: string, le: string) =>
  `etcd_disk_wal_fsync_duration_seconds_bucket${ofPod(pod, `,le="${le}"`)}`;
const runs = (result: string) =>
  `controller_runtime_reconcile_total{${operator},controller="etcdlikecluster",result="${result}"}`;

const well: Series = {
  ...Object.fromEntries(
    pods.flatMap((pod) => [
      [`etcdlike_build_info${ofPod(pod)}`, always(1)],
      [`etcd_server_has_leader${ofPod(pod)}`, always(1)],
      [`etcd_mvcc_db_total_size_in_bytes${ofPod(pod)}`, always(1e6)],
      [`etcd_server_quota_backend_bytes${ofPod(pod)}`, always(2e9)],
      [`etcd_server_leader_changes_seen_total${ofPod(pod)}`, always(1)],
      [`etcd_server_proposals_failed_total${ofPod(pod)}`, always(0)],
      [syncs(pod, "0.128"), grows(100)],
      [syncs(pod, "1.024"), grows(100)],
      [syncs(pod, "+Inf"), grows(100)],
    ]),
  ),
  [condition("Available", "QuorumHealthy")]: always(1),
  [condition("Degraded", "AllHealthy")]: always(0),
  [condition("Progressing", "Idle")]: always(0),
  [condition("StorageReady", "Sized")]: always(1),
  [`etcdlike_cluster_desired_members{${cluster}}`]: always(3),
  [`etcdlike_cluster_healthy_members{${cluster}}`]: always(3),
  [`etcdlike_operator_certificate_expiry_timestamp_seconds{${cluster},plane="peer"}`]: always(90 * day),
  [`leader_election_master_status{${operator}}`]: always(1),
  [`etcdlike_operator_watch_silence_seconds{${operator},kind="Pod"}`]: always(20),
  [runs("success")]: grows(10),
  [runs("error")]: always(1),
  [`etcdlike_snapshot_schedule_last_run_timestamp_seconds${schedule}`]: always(100),
  [`etcdlike_snapshot_schedule_last_success_timestamp_seconds${schedule}`]: always(100),
  [`etcdlike_snapshot_refuted{${cluster},snapshot="s"}`]: always(0),
  // The etcd of a control plane is somebody else's, whatever happens to it.
  [`etcd_server_has_leader{namespace="kube-system",pod="etcd-host"}`]: always(0),
  [`etcd_mvcc_db_total_size_in_bytes{namespace="kube-system",pod="etcd-host"}`]: always(99),
  [`etcd_server_quota_backend_bytes{namespace="kube-system",pod="etcd-host"}`]: always(100),
  [`etcd_server_proposals_failed_total{namespace="kube-system",pod="etcd-host"}`]: grows(100),
};

interface Wrong {
  readonly alert: string;
  /** Seconds after the onset at which it does not fire yet, and at which it does. */
  readonly silent: number;
  readonly fires: number;
  readonly series: Series;
  /** What its text has to carry. */
  readonly says: string;
}

const wrongs: readonly Wrong[] = [
  {
    alert: "EtcdlikeQuorumLost",
    silent: 15,
    fires: 60,
    series: {
      [condition("Available", "QuorumHealthy")]: ends(1),
      [condition("Available", "QuorumLost")]: appears(0),
    },
    says: "default/c",
  },
  {
    alert: "EtcdlikeMemberWithoutLeader",
    silent: 45,
    fires: 75,
    series: { [`etcd_server_has_leader${ofPod("c-1")}`]: becomes(1, 0) },
    says: "default/c-1",
  },
  {
    alert: "EtcdlikeMembersMissing",
    silent: 885,
    fires: 930,
    series: { [`etcdlike_cluster_healthy_members{${cluster}}`]: becomes(3, 2) },
    says: "default/c",
  },
  {
    alert: "EtcdlikeAlarm",
    silent: 45,
    fires: 75,
    series: {
      [condition("Degraded", "AllHealthy")]: ends(0),
      [condition("Degraded", "AlarmNoSpace")]: appears(1),
    },
    says: "AlarmNoSpace",
  },
  {
    alert: "EtcdlikeDatabaseNearQuota",
    silent: 585,
    fires: 630,
    series: { [`etcd_mvcc_db_total_size_in_bytes${ofPod("c-2")}`]: becomes(1e6, 1.8e9) },
    says: "90%",
  },
  {
    alert: "EtcdlikeSlowDisk",
    silent: 585,
    fires: 960,
    series: {
      [syncs("c-0", "0.128")]: grows(100, 90),
      [syncs("c-0", "1.024")]: grows(100, 100),
    },
    says: "default/c-0",
  },
  {
    alert: "EtcdlikeLeaderChanges",
    silent: 285,
    fires: 600,
    series: { [`etcd_server_leader_changes_seen_total${ofPod("c-0")}`]: `1x${before} 2+1x10 12x2000` },
    says: "default/c-0",
  },
  {
    alert: "EtcdlikeProposalsFail",
    silent: 285,
    fires: 480,
    series: { [`etcd_server_proposals_failed_total${ofPod("c-0")}`]: grows(0, 15) },
    says: "default/c-0",
  },
  {
    alert: "EtcdlikeOperationStuck",
    silent: 585,
    fires: 630,
    series: {
      [condition("Progressing", "Idle")]: ends(0),
      [condition("Progressing", "Blocked")]: appears(0),
    },
    says: "Blocked",
  },
  {
    alert: "EtcdlikeStorageNotReady",
    silent: 1_785,
    fires: 1_830,
    series: {
      [condition("StorageReady", "Sized")]: ends(1),
      [condition("StorageReady", "Resizing")]: appears(0),
    },
    says: "Resizing",
  },
  {
    alert: "EtcdlikeCertificateExpires",
    silent: 585,
    fires: 630,
    series: {
      [`etcdlike_operator_certificate_expiry_timestamp_seconds{${cluster},plane="peer"}`]: becomes(
        90 * day,
        4 * day,
      ),
    },
    says: "default/c (peer)",
  },
  {
    alert: "EtcdlikeOperatorDown",
    silent: 285,
    fires: 330,
    series: { [`leader_election_master_status{${operator}}`]: becomes(1, 0) },
    says: "No etcdlike operator",
  },
  {
    alert: "EtcdlikeOperatorErrors",
    silent: 885,
    fires: 1_200,
    series: { [runs("error")]: grows(0, 1) },
    says: "passes failed",
  },
  {
    alert: "EtcdlikeOperatorBlind",
    silent: 285,
    fires: 330,
    series: { [`etcdlike_operator_watch_silence_seconds{${operator},kind="Pod"}`]: becomes(20, 400) },
    says: "hears nothing of Pod",
  },
  {
    alert: "EtcdlikeSnapshotsMissing",
    silent: 7_185,
    fires: 7_230,
    series: { [`etcdlike_snapshot_schedule_last_run_timestamp_seconds${schedule}`]: becomes(100, 1_200) },
    says: "default/nightly",
  },
  {
    alert: "EtcdlikeSnapshotDamaged",
    silent: 45,
    fires: 75,
    series: { [`etcdlike_snapshot_refuted{${cluster},snapshot="s"}`]: becomes(0, 1) },
    says: "default/s",
  },
];

test("nothing fires while a cluster is well, however long", async () => {
  for (const atSeconds of [stepSeconds, onsetSeconds, 6 * 3_600]) {
    assert.deepEqual(await firing(well, atSeconds), []);
  }
});

for (const { alert, silent, fires, series, says } of wrongs) {
  test(`${alert} fires after its time, and alone`, async () => {
    const known = Object.keys(series).every((name) => name in well || series[name]?.startsWith("_"));
    assert.ok(known, "a series that goes wrong was well before");
    assert.deepEqual(await firing({ ...well, ...series }, onsetSeconds + silent), []);
    const fired = await firing({ ...well, ...series }, onsetSeconds + fires);
    assert.deepEqual([...new Set(fired.map((one) => one.alert))], [alert]);
    const texts = JSON.stringify(fired[0]?.annotations);
    assert.ok(texts.includes(says), texts);
    assert.doesNotMatch(texts, /error|<no value>/);
  });
}

test("every alert goes through here", () => {
  const declared = [...rules.matchAll(/- alert: (\S+)/g)].map(([, name = ""]) => name);
  assert.deepEqual(wrongs.map(({ alert }) => alert).toSorted(), declared.toSorted());
});
