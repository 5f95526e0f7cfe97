// Snapshots and schedules on a real API server with its job controller: rules, Jobs under the restricted standard, and
// what becomes of an agent's last words. Nothing runs the Pods here; the test says how they ended.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { KubeConfig } from "@kubernetes/client-node";
import { observationOf } from "../../operator/control/testing/situation.ts";
import { createTransport } from "../../operator/kube/transport.ts";
import { silentLogger } from "../../operator/lib/log.ts";
import { realClock } from "../../operator/lib/real-clock.ts";
import { SnapshotController } from "../../operator/snapshots/controller.ts";
import { type ControlPlane, startControlPlane } from "./support/control-plane.ts";
import { eventually } from "./support/eventually.ts";
import { apply, type Cli, kubectlFor } from "./support/kubectl.ts";

const crds = join(import.meta.dirname, "..", "..", "crds");
const stop = new AbortController();

let bed: ControlPlane;
let kubectl: Cli;
let running: Promise<unknown> = Promise.resolve();

before(async () => {
  bed = await startControlPlane({ withControllers: true });
  kubectl = await kubectlFor(bed.adminKubeconfig);
  await kubectl("create", "-f", crds);
  await kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", crds);
  await kubectl("label", "namespace", "default", "pod-security.kubernetes.io/enforce=restricted");
  const config = new KubeConfig();
  config.loadFromFile(bed.adminKubeconfig);
  const client = createTransport(config, { userAgent: "etcdlike-test" });
  const { cluster } = observationOf({});
  const controller = new SnapshotController({
    ...{ client, namespaces: ["default"], clock: realClock, random: Math.random, log: silentLogger },
    clusters: () => [cluster as never],
  });
  const reflecting = controller.watched.map(({ reflector }) => reflector.run(stop.signal));
  await eventually("the copies are read", async () =>
    controller.watched.every(({ reflector }) => reflector.hasSynced),
  );
  const settings = { memberImageRepository: "etcdlike" };
  const passing = controller.run({ client, settings, tell: () => {} }, stop.signal);
  running = Promise.all([...reflecting, passing]);
});

after(async () => {
  stop.abort();
  await running;
  await bed.stop();
});

const destination = {
  s3: {
    bucket: "backups",
    prefix: "night/ly",
    endpoint: "https://s3.example:9000",
    credentialsSecretRef: { name: "keys" },
  },
};
const object = (kind: string, name: string, spec: object) => ({
  ...{ apiVersion: "etcdlike.io/v1alpha1", kind, metadata: { name, namespace: "default" }, spec },
});
const snapshot = (name: string, spec: object = {}) =>
  object("EtcdLikeSnapshot", name, { clusterRef: { name: "c" }, destination, ...spec });
const schedule = (name: string, spec: object = {}) =>
  object("EtcdLikeSnapshotSchedule", name, {
    ...{ clusterRef: { name: "c" }, schedule: "0 3 * * *", template: { destination }, ...spec },
  });

const restore = (spec: object) =>
  object("EtcdLikeRestore", "no", {
    ...{ clusterRef: { name: "c" }, consent: "c", snapshotRef: { name: "s" }, ...spec },
  });
const cluster = (restoreFrom: object) => object("EtcdLikeCluster", "no", { bootstrap: { restoreFrom } });

const pvc = { claimName: "backups" };
const s3 = destination.s3;
const refused: readonly (readonly [string, object, RegExp])[] = [
  ["two destinations", snapshot("no", { destination: { s3, pvc } }), /exactly one of s3 and pvc is given/],
  ["no destination", snapshot("no", { destination: {} }), /exactly one of s3 and pvc is given/],
  [
    "a path that leaves its folder",
    snapshot("no", { destination: { pvc: { ...pvc, subPath: "../a" } } }),
    /subPath/,
  ],
  ["a name that Jobs cannot have", snapshot("n".repeat(53)), /DNS label of at most 52 characters/],
  ["six fields", schedule("no", { schedule: "0 0 3 * * *" }), /spec.schedule/],
  ["a name that its snapshots cannot have", schedule("n".repeat(42)), /DNS label of at most 41 characters/],
  ["a restore without consent", restore({ consent: "other" }), /consent is the name of the cluster/],
  [
    "a restore from two places",
    restore({ source: { pvc: { claimName: "b", path: "a.db" } } }),
    /exactly one of snapshotRef, source and survivor is given/,
  ],
  ["a cluster from no snapshot", cluster({}), /exactly one of snapshotRef and source is given/],
  [
    "a cluster from a path that leaves its volume",
    cluster({ source: { pvc: { claimName: "b", path: "a/../../b" } } }),
    /path/,
  ],
];

for (const [what, given, text] of refused) {
  test(`${what} is refused`, async () => {
    const outcome = await apply(kubectl, given);
    assert.notEqual(outcome.code, 0);
    assert.match(outcome.stderr, text);
  });
}

test("defaults are stored, and the spec of a snapshot cannot change", async () => {
  const later = schedule("defaults", { suspend: true });
  assert.equal((await apply(kubectl, later)).code, 0);
  const { spec } = JSON.parse(await kubectl("get", "elss", "defaults", "-o", "json"));
  assert.deepEqual(
    [spec.timeZone, spec.concurrencyPolicy, spec.template.deletionPolicy, spec.retention],
    ["Etc/UTC", "Forbid", "Delete", {}],
  );
  await apply(kubectl, snapshot("fixed", { clusterRef: { name: "none" } }));
  const changed = await apply(kubectl, snapshot("fixed"));
  assert.match(changed.stderr, /the spec of a snapshot cannot change/);
  await eventually(
    "it waits for its cluster",
    async () =>
      (await kubectl("get", "els", "fixed", "-o", "jsonpath={.status.conditions[0].reason}")) ===
      "ClusterNotFound",
  );
});

/** As a kubelet would say it. */
async function endPod(job: string, message: object, exitCode = 0): Promise<void> {
  const selector = ["-l", `batch.kubernetes.io/job-name=${job}`];
  const name = await eventually(`${job} has a Pod`, async () =>
    (
      await kubectl("get", "pods", ...selector, "-o", "jsonpath={.items[0].metadata.name}").catch(() => "")
    ).trim(),
  );
  const now = new Date().toISOString();
  const terminated = { exitCode, message: JSON.stringify(message), startedAt: now, finishedAt: now };
  const status = {
    phase: exitCode === 0 ? "Succeeded" : "Failed",
    containerStatuses: [
      { name: "agent", image: "i", imageID: "i", ready: false, restartCount: 0, state: { terminated } },
    ],
  };
  const patch = JSON.stringify({ status });
  await kubectl("patch", "pod", name, "--subresource=status", "--type=merge", "-p", patch);
}

test("a snapshot's Job is admitted, reports, and its stored file is removed with it", async () => {
  assert.equal((await apply(kubectl, snapshot("one", { deletionPolicy: "Delete" }))).code, 0);
  await eventually("its Job is made", async () => {
    const names = await kubectl("get", "jobs", "-o", "name");
    return names.includes("job.batch/one-take");
  });
  const job = JSON.parse(await kubectl("get", "job", "one-take", "-o", "json"));
  const [agent] = job.spec.template.spec.containers;
  const uid = await kubectl("get", "els", "one", "-o", "jsonpath={.metadata.uid}");
  assert.deepEqual(agent.args.slice(0, 5), [
    ...["snapshot", "upload", `s3://backups/night/ly/c/one-${uid}.db`],
    ...["--s3-region=us-east-1", "--s3-endpoint=https://s3.example:9000"],
  ]);
  await endPod("one-take", {
    artifact: { sizeBytes: 5, sha256: "a".repeat(64) },
    verification: { isSound: true, revision: 7, hash: 9, totalKeys: 3, storageVersion: "3.6.0" },
  });
  await kubectl("wait", "--for=condition=Verified", "els/one", "--timeout=60s");
  const columns = await kubectl("get", "els", "one", "--no-headers");
  assert.match(columns, /^one\s+c\s+Succeeded\s+True\s+7\s+5\s/);

  await kubectl("annotate", "els", "one", "etcdlike.io/verify=again");
  const verifying = await eventually("a Job verifies it", async () => {
    const names = await kubectl("get", "jobs", "-o", "jsonpath={.items[*].metadata.name}");
    return names.split(" ").find((name) => name.startsWith("one-v"));
  });
  await endPod(verifying, {
    verification: { isSound: false, reason: "DigestDiffers", message: "other bytes" },
  });
  await kubectl("wait", "--for=condition=Verified=False", "els/one", "--timeout=60s");

  await kubectl("delete", "els", "one", "--wait=false");
  await endPod("one-delete", {});
  await eventually("it is gone", async () => !(await kubectl("get", "els", "-o", "name")).includes("/one"));
});

test("a Job that fails says why in the snapshot's own words", async () => {
  const spec = { activeDeadlineSeconds: 30 };
  assert.equal((await apply(kubectl, snapshot("failing", spec))).code, 0);
  await endPod("failing-take", { error: "no member can give a snapshot" }, 1);
  await eventually("it failed", async () => {
    const message = await kubectl("get", "els", "failing", "-o", "jsonpath={.status.conditions[0].message}");
    return message.includes("no member can give a snapshot");
  });
  assert.equal(await kubectl("get", "els", "failing", "-o", "jsonpath={.status.phase}"), "Failed");
});

test("a schedule makes the snapshot of its time", async () => {
  assert.equal((await apply(kubectl, schedule("often", { schedule: "* * * * *" }))).code, 0);
  const name = await eventually("a snapshot is made", async () => {
    const names = await kubectl("get", "els", "-l", "etcdlike.io/schedule=often", "-o", "name");
    return names
      .trim()
      .split("\n")
      .find((one) => one.includes("often-"));
  });
  await eventually("its time is recorded", async () => {
    const last = await kubectl("get", "elss", "often", "-o", "jsonpath={.status.lastScheduleTime}");
    return last !== "" && name.endsWith(String(Date.parse(last) / 1000));
  });
});
