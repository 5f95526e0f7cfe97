// What a snapshot comes to, step by step, and what stops it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { annotations, snapshotFinalizer } from "../../api/group.ts";
import type { SnapshotStatus } from "../../api/snapshot.ts";
import {
  type AgentResult,
  agentResultOf,
  type JobFact,
  type Snapshot,
} from "../../model/snapshot-objects.ts";
import { jobNameOf } from "../../render/agent-job.ts";
import { observationOf } from "../testing/situation.ts";
import { decideSnapshot, type SnapshotDecision } from "./decide-snapshot.ts";

const nowMs = Date.parse("2026-01-01T12:00:00Z");
const now = "2026-01-01T12:00:00Z";
const sha256 = "a".repeat(64);
const s3 = {
  ...{ bucket: "backups", region: "us-east-1", forcePathStyle: true, credentialsSecretRef: { name: "keys" } },
};

interface Given {
  readonly status?: SnapshotStatus;
  readonly deletionPolicy?: "Retain" | "Delete";
  readonly isDeleted?: boolean;
  readonly finalizers?: readonly string[];
  readonly verify?: string;
  readonly jobs?: readonly Partial<JobFact>[];
  readonly silent?: readonly string[];
  readonly withoutCluster?: boolean;
}

function snapshotOf(given: Given): Snapshot {
  return {
    metadata: {
      ...{ name: "nightly", namespace: "default", uid: "uid-1", generation: 1 },
      ...(given.finalizers === undefined ? {} : { finalizers: given.finalizers }),
      ...(given.isDeleted === true ? { deletionTimestamp: now } : {}),
      ...(given.verify === undefined ? {} : { annotations: { [annotations.verify]: given.verify } }),
    },
    spec: {
      clusterRef: { name: "c" },
      destination: { s3: { ...s3, prefix: "a/b" } },
      deletionPolicy: given.deletionPolicy ?? "Retain",
      activeDeadlineSeconds: 3_600,
    },
    ...(given.status === undefined ? {} : { status: given.status }),
  };
}

function decide(given: Given): SnapshotDecision {
  const { cluster } = observationOf({ silent: given.silent ?? [], leader: "c-1" });
  const jobs = (given.jobs ?? []).map((job): JobFact => ({ ...baseJob, ...job }));
  const seen = given.withoutCluster === true ? undefined : cluster;
  return decideSnapshot({ nowMs, snapshot: snapshotOf(given), cluster: seen, jobs });
}

const baseJob: JobFact = {
  ...{ name: "nightly-take", uid: "job-1", ownerUid: "uid-1", isTerminating: false },
  ...{ outcome: "Active", message: "", isRunning: true, result: undefined },
};

const sound: AgentResult = {
  artifact: { sizeBytes: 5, sha256 },
  endpoint: "https://c-2.c-peer.default.svc:2379",
  clusterId: "c1",
  verification: { isSound: true, revision: 7, hash: 99, totalKeys: 3, storageVersion: "3.6.0" },
};
const ended = { outcome: "Complete", isRunning: false } as const;
const taken: SnapshotStatus = {
  ...{ phase: "Succeeded", startedAt: now, artifact: { uri: "s3://x", sizeBytes: 5, sha256 } },
  ...{ revision: 7, hash: 99 },
};

function conditionOf({ status }: SnapshotDecision, type: string): string | undefined {
  const found = status.conditions?.find((one) => one.type === type);
  return found && `${found.status} ${found.reason}`;
}

test("a Job is made for the healthy members, and what it is about stands in status first", () => {
  const { status, action } = decide({ silent: ["c-0"] });
  assert.deepEqual(action, {
    kind: "CreateJob",
    task: "Take",
    endpoints: ["c-1", "c-2"].map((name) => `${scheme}://${name}.c-peer.default.svc:2379`),
  });
  assert.deepEqual([status.phase, status.startedAt], ["Running", now]);
});

const scheme = observationOf({}).cluster.spec.tls.client.mode === "None" ? "http" : "https";

test("without a cluster, or a healthy member of it, it waits and says for what", () => {
  const missing = decide({ withoutCluster: true });
  assert.deepEqual([missing.action, missing.status.phase], [undefined, "Pending"]);
  assert.equal(conditionOf(missing, "Complete"), "False ClusterNotFound");
  const silent = decide({ silent: ["c-0", "c-1", "c-2"] });
  assert.deepEqual([silent.action, conditionOf(silent, "Complete")], [undefined, "False ClusterNotReady"]);
});

test("what the agent reported becomes the record", () => {
  const running = { phase: "Running", startedAt: now } as const;
  const done = decide({ status: running, jobs: [{ ...ended, result: sound }] });
  const { conditions: _, ...status } = done.status;
  assert.deepEqual(status, {
    phase: "Succeeded",
    startedAt: now,
    completedAt: now,
    verifiedAt: now,
    artifact: { uri: "s3://backups/a/b/c/nightly-uid-1.db", sizeBytes: 5, sha256 },
    ...{ revision: 7, hash: 99, totalKeys: 3, storageVersion: "3.6.0", clusterId: "c1", member: "c-2" },
  });
  assert.equal(conditionOf(done, "Complete"), "True Stored");
  assert.equal(conditionOf(done, "Verified"), "True Restored");
});

test("what was stored and cannot be restored is a failure, and not verified", () => {
  const verification = { isSound: false, reason: "NotRestorable", message: "no key bucket" } as const;
  const done = decide({ jobs: [{ ...ended, result: { ...sound, verification } }] });
  assert.deepEqual([done.status.phase, done.status.artifact?.sha256], ["Failed", sha256]);
  assert.equal(conditionOf(done, "Complete"), "True Stored");
  assert.equal(conditionOf(done, "Verified"), "False NotRestorable");
});

test("a Job that failed tells why, and one whose word is lost is run again", () => {
  const failed = decide({
    jobs: [{ outcome: "Failed", message: "BackoffLimit", result: { error: "no bucket" } }],
  });
  assert.equal(failed.status.conditions?.[0]?.message, "no bucket");
  assert.equal(failed.status.phase, "Failed");
  const lost = decide({ jobs: [ended] });
  assert.deepEqual(lost.action, { kind: "DeleteJob", name: "nightly-take", uid: "job-1" });
});

test("a Job of an earlier snapshot of this name is not taken for its own", () => {
  const { action, status } = decide({ jobs: [{ ...ended, ownerUid: "uid-0", result: sound }] });
  assert.deepEqual([action, status.phase], [undefined, "Pending"]);
});

test("a new value of the annotation has it verified again, once", () => {
  const asked = decide({ status: taken, verify: "1" });
  assert.deepEqual(asked.action, { kind: "CreateJob", task: "Verify", endpoints: [] });
  const job = { ...ended, name: jobNameOf(snapshotOf({ verify: "1" }), "Verify") };
  const verification = { isSound: false, reason: "DigestDiffers", message: "other bytes" } as const;
  const found = decide({ status: taken, verify: "1", jobs: [{ ...job, result: { verification } }] });
  assert.equal(conditionOf(found, "Verified"), "False DigestDiffers");
  assert.deepEqual([found.status.verifyRequest, found.status.phase], ["1", "Succeeded"]);
  assert.equal(decide({ status: found.status, verify: "1" }).action, undefined);
  assert.equal(decide({ status: found.status, verify: "2" }).action?.kind, "CreateJob");
});

test("the stored file goes with the object only if it is to, and before it", () => {
  assert.equal(decide({ isDeleted: true, status: taken }).action, undefined);
  assert.deepEqual(decide({ deletionPolicy: "Delete" }).action, { kind: "AddFinalizer" });
  const base: Given = {
    ...{ deletionPolicy: "Delete", finalizers: ["other", snapshotFinalizer], isDeleted: true },
  };
  assert.deepEqual(decide(base).action, { kind: "RemoveFinalizer" }, "nothing was ever stored");
  const stored = { ...base, status: taken };
  const taking = { outcome: "Active" } as const;
  assert.equal(decide({ ...stored, jobs: [taking] }).action?.kind, "DeleteJob", "it could still write");
  const stopping = { ...taking, isTerminating: true };
  assert.equal(decide({ ...stored, jobs: [stopping] }).action, undefined, "its Pod is still there");
  assert.deepEqual(decide({ ...stored, jobs: [{ ...baseJob, ...ended }] }).action, {
    ...{ kind: "CreateJob", task: "Delete", endpoints: [] },
  });
  const removing = { name: "nightly-delete", ...ended };
  assert.deepEqual(decide({ ...stored, jobs: [removing] }).action, { kind: "RemoveFinalizer" });
  const failed = decide({
    ...stored,
    jobs: [{ ...removing, outcome: "Failed", result: { error: "denied" } }],
  });
  assert.equal(failed.action?.kind, "DeleteJob", "it is tried again");
  assert.equal(conditionOf(failed, "Complete"), "True DeletionFailed");
});

test("last words that are none, or not what they should be, count as not said", () => {
  assert.equal(agentResultOf("segmentation fault"), undefined);
  assert.deepEqual(agentResultOf('log line\n{"artifact":{"sizeBytes":"5","sha256":"zz"},"error":1}\n'), {});
  assert.deepEqual(agentResultOf('{"verification":{"isSound":true,"revision":-1.5}}'), {});
  assert.deepEqual(agentResultOf(JSON.stringify(sound)), sound);
});
