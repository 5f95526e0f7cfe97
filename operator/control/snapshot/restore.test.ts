// What a restore comes to before and after the cluster's own part, and what is refused.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Operation } from "../../api/cluster-status.ts";
import type { RestoreStatus } from "../../api/restore.ts";
import type { SnapshotStatus } from "../../api/snapshot.ts";
import type { AgentResult, JobFact, Restore, Snapshot } from "../../model/snapshot-objects.ts";
import { podOf, templateHashOf } from "../../render/pod.ts";
import { decide } from "../decide.ts";
import { observationOf, type Situation } from "../testing/situation.ts";
import { decideRestore, type RestoreDecision } from "./decide-restore.ts";

const sha256 = "a".repeat(64);
const source = { pvc: { claimName: "backups", path: "a.db" } };
const [made, later] = ["2026-01-01T11:00:00Z", "2026-01-01T11:30:00Z"];
const verified = (status: "True" | "False") => ({
  ...{ type: "Verified", status, reason: "Restored", message: "other bytes", lastTransitionTime: later },
});

function snapshotOf(status: SnapshotStatus): Snapshot {
  return {
    metadata: { name: "s", namespace: "default", uid: "uid-s" },
    spec: {
      clusterRef: { name: "c" },
      destination: { pvc: { claimName: "backups" } },
      deletionPolicy: "Retain",
      activeDeadlineSeconds: 60,
    },
    status,
  };
}

const artifact = { uri: "pvc://backups/c/s-uid-s.db", sizeBytes: 5, sha256 };
const sound = snapshotOf({ phase: "Succeeded", artifact, conditions: [verified("True")] });
const damaged = snapshotOf({ phase: "Succeeded", artifact, conditions: [verified("False")] });

interface Given {
  readonly spec?: object;
  readonly status?: RestoreStatus;
  readonly createdAt?: string;
  readonly cluster?: Situation;
  readonly withoutCluster?: boolean;
  readonly snapshots?: readonly Snapshot[];
  readonly jobs?: readonly Partial<JobFact>[];
}

function restoreOf({ spec = { source }, status, createdAt = later }: Given): Restore {
  return {
    metadata: { name: "back", namespace: "default", uid: "uid-r", creationTimestamp: createdAt },
    spec: {
      ...{ clusterRef: { name: "c" }, consent: "c", bumpRevision: 1_000, activeDeadlineSeconds: 60 },
      ...spec,
    },
    ...(status === undefined ? {} : { status }),
  };
}

function decided(given: Given): RestoreDecision {
  const { cluster } = observationOf(given.cluster ?? {});
  const job: JobFact = {
    ...{ name: "back-verify", uid: "job", ownerUid: "uid-r", isTerminating: false },
    ...{ outcome: "Complete", message: "", isRunning: false, result: undefined },
  };
  const born = { ...cluster, metadata: { ...cluster.metadata, creationTimestamp: made } };
  return decideRestore({
    nowMs: Date.parse("2026-01-01T12:00:00Z"),
    restore: restoreOf(given),
    cluster: given.withoutCluster === true ? undefined : born,
    snapshots: given.snapshots ?? [],
    jobs: (given.jobs ?? []).map((one) => ({ ...job, ...one })),
  });
}

function told({ status }: RestoreDecision, type = "Complete"): string | undefined {
  const found = status.conditions?.find((one) => one.type === type);
  return found && `${found.status} ${found.reason}`;
}

const proof: AgentResult = {
  verification: { isSound: true, revision: 7, hash: 9, totalKeys: 1, storageVersion: "3.6.0" },
};

test("the snapshot is proven by a Job before the cluster is touched", () => {
  const first = decided({});
  assert.deepEqual(first.action, { kind: "CreateJob", source });
  assert.equal(first.status.phase, "Verifying");
  const proven = decided({ status: first.status, jobs: [{ result: proof }] });
  assert.deepEqual([told(proven, "Verified"), proven.status.revision], ["True Restored", 7]);
  assert.equal(decided({ status: proven.status, jobs: [{ result: proof }] }).action, undefined);
  const other = decided({ spec: { snapshotRef: { name: "s" } }, snapshots: [sound] });
  assert.deepEqual(other.action, {
    kind: "CreateJob",
    source: { pvc: { claimName: "backups", path: "c/s-uid-s.db" }, sha256 },
  });
});

test("what cannot be restored ends it, and the cluster never hears of it", () => {
  const verification = { isSound: false, reason: "DigestDiffers", message: "other bytes" } as const;
  const changed = decided({ jobs: [{ result: { verification } }] });
  assert.deepEqual(
    [changed.status.phase, told(changed), told(changed, "Verified")],
    [...["Failed", "False SnapshotDamaged", "False NotSound"]],
  );
  const failed = decided({ jobs: [{ outcome: "Failed", result: { error: "denied" } }] });
  assert.deepEqual([failed.status.phase, told(failed)], ["Failed", "False JobFailed"]);
  const known = decided({ spec: { snapshotRef: { name: "s" } }, snapshots: [damaged] });
  assert.deepEqual([known.status.phase, told(known)], ["Failed", "False SnapshotNotUsable"]);
  const missing = decided({ spec: { snapshotRef: { name: "s" } } });
  assert.deepEqual([missing.status.phase, told(missing)], ["Pending", "False SnapshotNotUsable"]);
});

test("a cluster made after the restore is not what it was meant for", () => {
  const old = decided({ createdAt: "2026-01-01T10:00:00Z" });
  assert.deepEqual([old.status.phase, told(old)], ["Failed", "False ClusterIsNewer"]);
  assert.equal(told(decided({ withoutCluster: true })), "False ClusterNotFound");
});

test("it tells what is done to the cluster, and its end", () => {
  const operation: Operation = {
    ...{ type: "Restore", member: "c-0-n", run: "back", runUid: "uid-r", startedAt: later, holder: "o" },
    ...{ reason: "EtcdLikeRestore back", message: "a Pod is waited for" },
  };
  const during = decided({ cluster: { status: { operation } } });
  assert.equal(during.status.phase, "Restoring");
  assert.equal(during.status.conditions?.[0]?.message, "a Pod is waited for");
  const lastRestore = { name: "back", uid: "uid-r", completedAt: later };
  const after = decided({ cluster: { status: { lastRestore } } });
  assert.deepEqual([after.status.phase, after.status.completedAt], ["Succeeded", later]);
});

const proven = { phase: "Verifying", conditions: [verified("True")] } as const;

test("the cluster begins the oldest proven restore, whatever else is in flight, and none twice", () => {
  const begun = (situation: Situation) => {
    const { step } = decide(observationOf(situation));
    return step.kind === "Begin" ? [step.operation.type, step.operation.runUid] : [step.kind];
  };
  const restores = [restoreOf({ status: proven })];
  assert.deepEqual(begun({ restores }), ["Restore", "uid-r"]);
  assert.deepEqual(begun({ restores, hasQuorum: false }), ["Restore", "uid-r"]);
  const operation: Operation = {
    ...{ type: "Update", member: "c-1", startedAt: later, holder: "o", reason: "r" },
  };
  assert.deepEqual(begun({ restores, status: { operation } }), ["Restore", "uid-r"]);
  const lastRestore = { name: "back", uid: "uid-r", completedAt: later };
  assert.deepEqual(begun({ restores, status: { lastRestore } }), ["Rest"]);
  assert.deepEqual(begun({ restores: [restoreOf({ status: { phase: "Verifying" } })] }), ["Rest"]);
  assert.deepEqual(begun({ restores, spec: { paused: true } }), ["Wait"]);
  const waiting = {
    ...restoreOf({}),
    metadata: { ...restoreOf({}).metadata, uid: "uid-0", creationTimestamp: made },
  };
  assert.deepEqual(begun({ restores: [...restores, waiting] }), ["Rest"], "the older one comes first");
});

test("a member that is left is accepted if it is one, and its volume named before anything stops", () => {
  const spec = { survivor: { member: "c-1" } };
  const accepted = decided({ spec });
  assert.deepEqual([accepted.action, told(accepted, "Verified")], [undefined, "Unknown Survivor"]);
  const unknown = decided({ spec: { survivor: { member: "c-9" } } });
  assert.deepEqual([unknown.status.phase, told(unknown)], ["Failed", "False MemberNotFound"]);
  const restores = [restoreOf({ spec, status: accepted.status })];
  const { step } = decide(observationOf({ restores, hasQuorum: false }));
  assert.ok(step.kind === "Begin" && step.operation.type === "Restore");
  const next = (withoutVolume: readonly string[]) =>
    decide(
      observationOf({ restores, hasQuorum: false, withoutVolume, status: { operation: step.operation } }),
    ).step;
  const made = next([]);
  assert.ok(made.kind === "Act" && made.action.kind === "CreateMember");
  assert.deepEqual(made.action.spec.restoreFrom, {
    survivor: { volumeName: "data-c-1" },
    bumpRevision: 1_000,
  });
  const refused = next(["c-1"]);
  assert.ok(refused.kind === "Wait" && refused.reason === "RestoreRefused");
});

test("a new cluster waits for its snapshot, and says what is wrong with it", () => {
  const blocked = (snapshots: readonly Snapshot[]) => {
    const spec = { bootstrap: { restoreFrom: { snapshotRef: { name: "s" }, bumpRevision: 1 } } };
    const { step } = decide(
      observationOf({ members: [], spec, snapshots, hasQuorum: false, status: { clusterId: undefined } }),
    );
    return step.kind === "Wait" ? `${step.reason}: ${step.message}` : step.kind;
  };
  assert.equal(blocked([]), "RestoreRefused: there is no EtcdLikeSnapshot s");
  assert.equal(blocked([damaged]), "RestoreRefused: EtcdLikeSnapshot s is damaged: other bytes");
  assert.equal(
    blocked([snapshotOf({ phase: "Running" })]),
    "RestoreRefused: EtcdLikeSnapshot s is not taken yet",
  );
  assert.equal(blocked([sound]), "Begin");
});

test("only the Pod that forms the cluster restores, and no update follows from it", () => {
  const plain = observationOf({});
  const restoreFrom = { source: { ...source, sha256 }, bumpRevision: 1_000 };
  const members = plain.members.map((one) => ({ ...one, spec: { ...one.spec, restoreFrom } }));
  const observation = { ...plain, members };
  const initOf = (state: "new" | "existing") =>
    (podOf(observation, "c-0", state)["spec"] as { initContainers?: { args: string[] }[] }).initContainers;
  assert.equal(initOf("existing"), undefined);
  assert.deepEqual(initOf("new")?.[0]?.args, [
    ...["snapshot", "bootstrap", "/artifacts/a.db", `--sha256=${sha256}`],
    ...["--name=c-0", "--data-dir=/var/lib/etcdlike/data"],
    "--initial-advertise-peer-urls=http://c-0.c-peer.default.svc:2380",
    ...["--initial-cluster-token=token", "--initial-cluster-state=$(ETCD_INITIAL_CLUSTER_STATE)"],
    "--bump-revision=1000",
  ]);
  assert.equal(templateHashOf(observation, "c-0"), templateHashOf(plain, "c-0"));
});
