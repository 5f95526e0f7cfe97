// Snapshots and restores on three real nodes, with a real S3 server beside them and members that demand certificates:
// taken, verified, read by etcd's tool; a new cluster from one; one byte changed; a quorum lost and restored in place.
import assert from "node:assert/strict";
import { mkdtemp, access as reach, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { eventually } from "../k8s/support/eventually.ts";
import { apply, type Cli, kubectlFor } from "../k8s/support/kubectl.ts";
import { type Minio, startMinio } from "../tools/minio.ts";
import { toolPath } from "../tools/toolchain.ts";
import { adminKubeconfig, bedDown, bedUp, gateway } from "./bed.ts";
import { installOperator } from "./install.ts";
import { run } from "./shell.ts";

const minutes = 60_000;

let kubectl: Cli;
let minio: Minio;
let folder: string;

before(async () => {
  await bedUp();
  kubectl = await kubectlFor(adminKubeconfig);
  await installOperator();
  folder = await mkdtemp(join(tmpdir(), "etcdlike-snapshots-"));
  minio = await startMinio(gateway);
});
after(async () => {
  await minio?.stop();
  await bedDown();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

const object = (kind: string, name: string, spec: object) => ({
  ...{ apiVersion: "etcdlike.io/v1alpha1", kind, metadata: { name, namespace: "apps" }, spec },
});
const mutual = { client: { mode: "Mutual" } };

async function make(...objects: readonly object[]): Promise<void> {
  const { code, stderr } = await apply(kubectl, ...objects);
  assert.equal(code, 0, stderr);
}

function get(what: string, path: string): Promise<string> {
  return kubectl("get", what, "-n", "apps", "-o", `jsonpath={${path}}`);
}

async function until(t: TestContext, condition: string, what: string): Promise<void> {
  const sinceMs = performance.now();
  await kubectl("wait", `--for=condition=${condition}`, what, "-n", "apps", "--timeout=8m");
  t.diagnostic(`${what} ${condition} after ${((performance.now() - sinceMs) / 1000).toFixed(1)} s`);
}

/** Against the voters of a cluster, with its clients' certificate where it demands one. */
async function etcdctl(cluster: string, ...args: readonly string[]): Promise<string> {
  const selector = ["-l", `etcdlike.io/cluster=${cluster},etcdlike.io/role=voter`];
  const addresses = await kubectl(
    ...["get", "pods", "-n", "apps", ...selector, "-o", "jsonpath={.items[*].status.podIP}"],
  );
  const isMutual = (await get(`elc/${cluster}`, ".spec.tls.client.mode")) === "Mutual";
  const tls = isMutual ? await certificateFlags(cluster) : [];
  const scheme = isMutual ? "https" : "http";
  const endpoints = addresses.split(" ").map((address) => `${scheme}://${address}:2379`);
  return run(await toolPath("etcdctl"), "--endpoints", endpoints.join(), ...tls, ...args);
}

async function certificateFlags(cluster: string): Promise<readonly string[]> {
  const secret = JSON.parse(
    await kubectl("get", "secret", `${cluster}-client-tls`, "-n", "apps", "-o", "json"),
  );
  for (const name of ["ca.crt", "tls.crt", "tls.key"]) {
    await writeFile(join(folder, name), Buffer.from(secret.data[name], "base64"), { mode: 0o600 });
  }
  const [ca, cert, key] = ["ca.crt", "tls.crt", "tls.key"].map((name) => join(folder, name));
  // Pods are asked by their addresses, which no certificate carries.
  return [`--cacert=${ca}`, `--cert=${cert}`, `--key=${key}`, "--insecure-skip-tls-verify"];
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
    object("EtcdLikeCluster", "first", { storage: { size: "1Gi" }, tls: mutual }),
  );
  await until(t, "Ready", "elc/first");
  for (let i = 0; i < 20; i++) await etcdctl("first", "put", `key${i}`, `value${i}`);
});

test("a snapshot in S3 comes from a follower, is verified, and etcd's tool reads it", async (t) => {
  await make(object("EtcdLikeSnapshot", "one", { clusterRef: { name: "first" }, destination: { s3: s3() } }));
  await until(t, "Verified", "els/one");
  assert.notEqual(await get("els/one", ".status.member"), await get("elc/first", ".status.leader"));
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
    object("EtcdLikeSnapshotSchedule", "often", {
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
  const volume = await get("pvc/backups", ".spec.volumeName");
  const root = await kubectl("get", "pv", volume, "-o", "jsonpath={.spec.hostPath.path}");
  const path = join(root, uri.replace("pvc://backups/", ""));
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
  const restoreFrom = { snapshotRef: { name: "one" } };
  const spec = { replicas: 1, storage: { size: "1Gi" }, bootstrap: { restoreFrom } };
  await make(object("EtcdLikeCluster", "second", spec));
  await until(t, "Ready", "elc/second");
  const values = await etcdctl("second", "get", "--prefix", "key", "--print-value-only");
  assert.equal(values.trim().split("\n").length, 20);
  const { header } = JSON.parse(await etcdctl("second", "get", "key7", "-w", "json"));
  assert.ok(header.revision > 1_000_000_000, "nobody takes the new history for the old one");
  await kubectl("delete", "elc", "second", "-n", "apps");
});

test("one byte changed in the store: not verified, and no cluster begins with it", async (t) => {
  const uri = await get("els/one", ".status.artifact.uri");
  const key = uri.replace(`s3://${minio.bucket}/`, "");
  const bytes = await minio.get(key);
  const at = Buffer.from(bytes).indexOf("value7");
  bytes[at] = (bytes[at] as number) ^ 1;
  await minio.put(key, bytes);
  // Before anybody has looked again, the record still says that it is sound.
  const bootstrap = { restoreFrom: { snapshotRef: { name: "one" } } };
  await make(object("EtcdLikeCluster", "third", { replicas: 1, storage: { size: "1Gi" }, bootstrap }));
  const blocked = (text: string) =>
    eventually(
      `it is refused: ${text}`,
      async () => {
        const messages = await get("elc/third", ".status.conditions[?(@.type=='Progressing')].message");
        return messages.includes(text);
      },
      5 * minutes,
    );
  await blocked("the artifact is refused");
  await kubectl("annotate", "els", "one", "-n", "apps", "etcdlike.io/verify=again");
  await until(t, "Verified=False", "els/one");
  await kubectl("delete", "elc", "third", "-n", "apps");
  await eventually(
    "its member is gone",
    async () => !(await kubectl("get", "elm", "-n", "apps")).includes("third"),
  );
  await kubectl("delete", "pvc", "-n", "apps", "-l", "etcdlike.io/cluster=third");
  await make(object("EtcdLikeCluster", "third", { replicas: 1, storage: { size: "1Gi" }, bootstrap }));
  await blocked("EtcdLikeSnapshot one is damaged");
  await kubectl("delete", "elc", "third", "-n", "apps");
});

/** Until the status says so. */
async function loseDisks(members: readonly string[]): Promise<void> {
  for (const name of members) {
    const volume = await get(`pvc/data-${name}`, ".spec.volumeName");
    const root = await kubectl("get", "pv", volume, "-o", "jsonpath={.spec.hostPath.path}");
    await run("find", root, "-mindepth", "1", "-delete");
  }
  await kubectl("delete", "pods", ...members, "-n", "apps", "--wait=false", "--grace-period=1");
  await eventually(
    "the quorum is lost",
    async () =>
      (await get("elc/first", ".status.conditions[?(@.type=='Available')].reason")) === "QuorumLost",
    3 * minutes,
  );
}

test("a cluster that lost two of its three disks is restored in place, its old volumes kept", async (t) => {
  const pvc = { claimName: "backups" };
  await make(object("EtcdLikeSnapshot", "last", { clusterRef: { name: "first" }, destination: { pvc } }));
  await until(t, "Verified", "els/last");
  await etcdctl("first", "put", "later", "lost");
  const old = (await get("elc/first", ".status.members[*].name")).split(" ");
  await loseDisks(old.slice(0, 2));
  const sinceMs = performance.now();
  const spec = { clusterRef: { name: "first" }, consent: "first", snapshotRef: { name: "last" } };
  await make(object("EtcdLikeRestore", "back", spec));
  await until(t, "Complete", "elr/back");
  await until(t, "Ready", "elc/first");
  await eventually(
    "three vote",
    async () => (await get("elc/first", ".status.votingMembers")) === "3",
    8 * minutes,
  );
  t.diagnostic(`three members again after ${((performance.now() - sinceMs) / 1000).toFixed(1)} s`);
  assert.equal((await etcdctl("first", "get", "key7", "--print-value-only")).trim(), "value7");
  assert.equal((await etcdctl("first", "get", "later", "--print-value-only")).trim(), "");
  const kept = await kubectl("get", "pvc", "-n", "apps", "-l", "etcdlike.io/quarantined=true", "-o", "name");
  for (const name of old) assert.ok(kept.includes(`data-${name}`), kept);
});

test("two disks are lost again, and the cluster goes on with what the third member holds", async (t) => {
  await etcdctl("first", "put", "after", "the restore");
  const names = (await get("elc/first", ".status.members[*].name")).split(" ");
  const [one = "", two = "", left = ""] = names;
  await loseDisks([one, two]);
  const sinceMs = performance.now();
  const spec = { clusterRef: { name: "first" }, consent: "first", survivor: { member: left } };
  await make(object("EtcdLikeRestore", "rescue", spec));
  await until(t, "Complete", "elr/rescue");
  await until(t, "Ready", "elc/first");
  await eventually(
    "three vote",
    async () => (await get("elc/first", ".status.votingMembers")) === "3",
    8 * minutes,
  );
  t.diagnostic(`three members again after ${((performance.now() - sinceMs) / 1000).toFixed(1)} s`);
  assert.equal((await etcdctl("first", "get", "after", "--print-value-only")).trim(), "the restore");
  assert.equal((await etcdctl("first", "get", "key7", "--print-value-only")).trim(), "value7");
  const kept = await kubectl("get", "pvc", `data-${left}`, "-n", "apps", "-o", "jsonpath={.metadata.labels}");
  assert.match(kept, /"etcdlike.io\/quarantined":"true"/);
});
