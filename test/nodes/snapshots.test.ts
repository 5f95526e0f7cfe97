// Snapshots and restores on three real nodes, with a real S3 server beside them and members that demand certificates:
// taken, verified, read by etcd's tool; a new cluster from one; one byte changed; a quorum lost and restored in place.
import assert from "node:assert/strict";
import { mkdtemp, access as reach, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, type TestContext, test } from "node:test";
import { eventually } from "../k8s/support/eventually.ts";
import { type Minio, startMinio } from "../tools/minio.ts";
import { toolPath } from "../tools/toolchain.ts";
import { bedEtcdUrl, gateway } from "./bed.ts";
import {
  condition,
  etcdctl,
  firstCluster,
  folderOf,
  get,
  kubectl,
  make,
  memberNames,
  minutes,
  resource,
  status,
  untilReady,
  useBed,
  wipeDisks,
} from "./first-cluster.ts";
import { installOperator } from "./install.ts";
import { run } from "./shell.ts";

let minio: Minio;
let folder: string;

useBed(async () => {
  await installOperator();
  folder = await mkdtemp(join(tmpdir(), "etcdlike-snapshots-"));
  minio = await startMinio(gateway);
});
after(async () => {
  await minio?.stop();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

async function until(t: TestContext, what: string, isTrue: string): Promise<void> {
  const sinceMs = performance.now();
  await kubectl("wait", `--for=condition=${isTrue}`, what, "-n", "apps", "--timeout=8m");
  t.diagnostic(`${what} ${isTrue} after ${((performance.now() - sinceMs) / 1000).toFixed(1)} s`);
}

async function valueAt(key: string): Promise<string> {
  return (await etcdctl(["get", key, "--print-value-only"])).trim();
}

const s3 = () => ({
  bucket: minio.bucket,
  endpoint: minio.endpoint,
  forcePathStyle: true,
  credentialsSecretRef: { name: "keys" },
});

test("a cluster whose members demand certificates is Ready", async (t) => {
  const stringData = { AWS_ACCESS_KEY_ID: minio.accessKey, AWS_SECRET_ACCESS_KEY: minio.secretKey };
  const storage = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
  const metadata = (name: string) => ({ name, namespace: "apps" });
  await make(
    { apiVersion: "v1", kind: "Secret", metadata: metadata("keys"), stringData },
    { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata: metadata("backups"), spec: storage },
    firstCluster({ tls: { client: { mode: "Mutual" } } }),
  );
  await until(t, "elc/first", "Ready");
  for (let i = 0; i < 20; i++) await etcdctl(["put", `key${i}`, `value${i}`]);
});

test("a snapshot in S3 comes from a follower, is verified, and etcd's tool reads it", async (t) => {
  await make(
    resource("EtcdLikeSnapshot", "one", { clusterRef: { name: "first" }, destination: { s3: s3() } }),
  );
  await until(t, "els/one", "Verified");
  assert.notEqual(await get("els/one", ".status.member"), await status("leader"));
  const uri = await get("els/one", ".status.artifact.uri");
  const file = join(folder, "one.db");
  await writeFile(file, await minio.get(uri.replace(`s3://${minio.bucket}/`, "")));
  const { revision, totalKey } = JSON.parse(
    await run(await toolPath("etcdutl"), "snapshot", "status", file, "-w", "json"),
  );
  assert.equal(String(revision), await get("els/one", ".status.revision"));
  assert.equal(totalKey, 20);
});

test("a schedule puts snapshots on a volume, and what it deletes is gone there", async (t) => {
  const destination = { pvc: { claimName: "backups", subPath: "etcd" } };
  const template = { destination, deletionPolicy: "Delete" };
  const schedule = (suspend: boolean) =>
    resource("EtcdLikeSnapshotSchedule", "often", {
      ...{
        clusterRef: { name: "first" },
        schedule: "* * * * *",
        suspend,
        template,
        retention: { keepLast: 1 },
      },
    });
  await make(schedule(false));
  const names = async () => {
    const text = await kubectl("get", "els", "-n", "apps", "-l", "etcdlike.io/schedule=often", "-o", "name");
    return text.trim().split("\n").filter(Boolean);
  };
  const first = await eventually("the first is there", async () => (await names())[0], 3 * minutes);
  await kubectl("wait", "--for=condition=Verified", first, "-n", "apps", "--timeout=5m");
  const uri = await get(first.replace(".etcdlike.io", ""), ".status.artifact.uri");
  const path = join(await folderOf("backups"), uri.replace("pvc://backups/", ""));
  await reach(path);
  await eventually(
    "the second takes its place",
    async () => {
      const now = await names();
      return now.length === 1 && now[0] !== first;
    },
    6 * minutes,
  );
  await assert.rejects(reach(path), /ENOENT/);
  await make(schedule(true));
  t.diagnostic(`kept: ${(await names()).join()}`);
});

test("a new cluster begins with the snapshot", async (t) => {
  await make(beginning("second", { snapshotRef: { name: "one" } }));
  await until(t, "elc/second", "Ready");
  const second = { cluster: "second" };
  const values = await etcdctl(["get", "--prefix", "key", "--print-value-only"], second);
  assert.equal(values.trim().split("\n").length, 20);
  const { header } = JSON.parse(await etcdctl(["get", "key7", "-w", "json"], second));
  assert.ok(header.revision > 1_000_000_000, "nobody takes the new history for the old one");
  await kubectl("delete", "elc", "second", "-n", "apps");
});

/** One member that begins with what is named. */
function beginning(name: string, restoreFrom: object): object {
  return resource("EtcdLikeCluster", name, {
    ...{ replicas: 1, storage: { size: "1Gi" }, bootstrap: { restoreFrom } },
  });
}

async function untilRefused(cluster: string, why: string): Promise<void> {
  await eventually(
    `it is refused: ${why}`,
    async () => {
      const conditions = JSON.parse(
        (await get(`elc/${cluster}`, ".status.conditions")) || "[]",
      ) as Condition[];
      const says = (type: string) =>
        conditions.some((one) => one.type === type && one.status === "False" && one.message.includes(why));
      return says("Ready") && says("Progressing");
    },
    5 * minutes,
  );
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly message: string;
}

test("one byte changed in the store: no cluster begins with it, and none that tried is in the way", async (t) => {
  const uri = await get("els/one", ".status.artifact.uri");
  const key = uri.replace(`s3://${minio.bucket}/`, "");
  const bytes = await minio.get(key);
  const at = Buffer.from(bytes).indexOf("value7");
  bytes[at] = (bytes[at] as number) ^ 1;
  await minio.put(key, bytes);
  // Before anybody has looked again, the record still says that it is sound.
  const third = beginning("third", { snapshotRef: { name: "one" } });
  await make(third);
  await untilRefused("third", "the artifact is refused");
  await kubectl("delete", "elc", "third", "-n", "apps");
  await eventually("nothing is left of it", async () => {
    const left = ["get", "elm,pods,pvc", "-n", "apps", "-l", "etcdlike.io/cluster=third", "-o", "name"];
    return (await kubectl(...left)).trim() === "";
  });
  await make(third);
  await untilRefused("third", "the artifact is refused");

  const file = join(folder, "etcd.db");
  await run(await toolPath("etcdctl"), `--endpoints=${await bedEtcdUrl()}`, "snapshot", "save", file);
  await minio.put("etcd.db", await readFile(file));
  const sinceMs = performance.now();
  await make(beginning("third", { source: { s3: { ...s3(), key: "etcd.db" } } }));
  await until(t, "elc/third", "Ready");
  t.diagnostic(`a file of etcd instead: Ready after ${((performance.now() - sinceMs) / 1000).toFixed(1)} s`);
  const counted = ["get", "/registry/", "--prefix", "--count-only", "-w", "fields"];
  assert.match(await etcdctl(counted, { cluster: "third" }), /"Count" : [1-9]/);
  await kubectl("delete", "elc", "third", "-n", "apps");

  await kubectl("annotate", "els", "one", "-n", "apps", "etcdlike.io/verify=again");
  await until(t, "els/one", "Verified=False");
  await make(beginning("fourth", { snapshotRef: { name: "one" } }));
  await untilRefused("fourth", "EtcdLikeSnapshot one is damaged");
  await kubectl("delete", "elc", "fourth", "-n", "apps");
});

/** Until the status says so. */
async function loseDisks(members: readonly string[]): Promise<void> {
  await wipeDisks(members);
  await eventually(
    "the quorum is lost",
    async () => (await condition("Available", "reason")) === "QuorumLost",
    3 * minutes,
  );
}

/** The restore is over, and three members vote again. */
async function untilRestored(t: TestContext, restore: string, sinceMs: number): Promise<void> {
  await until(t, restore, "Complete");
  await untilReady(t, "three members again", sinceMs, async () => (await status("votingMembers")) === "3");
}

test("a cluster that lost two of its three disks is restored in place, its old volumes kept", async (t) => {
  const pvc = { claimName: "backups" };
  await make(resource("EtcdLikeSnapshot", "last", { clusterRef: { name: "first" }, destination: { pvc } }));
  await until(t, "els/last", "Verified");
  await etcdctl(["put", "later", "lost"]);
  const old = await memberNames();
  await loseDisks(old.slice(0, 2));
  const sinceMs = performance.now();
  const spec = { clusterRef: { name: "first" }, consent: "first", snapshotRef: { name: "last" } };
  await make(resource("EtcdLikeRestore", "back", spec));
  await untilRestored(t, "elr/back", sinceMs);
  assert.equal(await valueAt("key7"), "value7");
  assert.equal(await valueAt("later"), "");
  const kept = await kubectl("get", "pvc", "-n", "apps", "-l", "etcdlike.io/quarantined=true", "-o", "name");
  for (const name of old) assert.ok(kept.includes(`data-${name}`), kept);
});

test("two disks are lost again, and the cluster goes on with what the third member holds", async (t) => {
  await etcdctl(["put", "after", "the restore"]);
  const names = await memberNames();
  const [one = "", two = "", left = ""] = names;
  await loseDisks([one, two]);
  const sinceMs = performance.now();
  const spec = { clusterRef: { name: "first" }, consent: "first", survivor: { member: left } };
  await make(resource("EtcdLikeRestore", "rescue", spec));
  await untilRestored(t, "elr/rescue", sinceMs);
  assert.equal(await valueAt("after"), "the restore");
  assert.equal(await valueAt("key7"), "value7");
  const kept = await kubectl("get", "pvc", `data-${left}`, "-n", "apps", "-o", "jsonpath={.metadata.labels}");
  assert.match(kept, /"etcdlike.io\/quarantined":"true"/);
});
