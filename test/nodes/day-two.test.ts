// What comes after the first day, on real nodes: defragmenting under a client that writes, a cluster that is declared
// again on the volumes it left, and disks lost beyond the quorum.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../k8s/support/eventually.ts";
import { apply, type Cli, kubectlFor } from "../k8s/support/kubectl.ts";
import { toolPath } from "../tools/toolchain.ts";
import { adminKubeconfig, bedDown, bedUp } from "./bed.ts";
import { installOperator } from "./install.ts";
import { ClientLoad } from "./load.ts";
import { run } from "./shell.ts";

const minutes = 60_000;
const cluster = {
  apiVersion: "etcdlike.io/v1alpha1",
  kind: "EtcdLikeCluster",
  metadata: { name: "first", namespace: "apps" },
  spec: { replicas: 3, storage: { size: "1Gi" } },
};

let kubectl: Cli;
let load: ClientLoad | undefined;

before(async () => {
  await bedUp();
  kubectl = await kubectlFor(adminKubeconfig);
  await installOperator();
});
after(async () => {
  await load?.stop();
  await bedDown();
});

interface Pod {
  readonly metadata: { readonly name: string };
  readonly status: { readonly podIP?: string };
}

async function pods(): Promise<readonly Pod[]> {
  const text = await kubectl("get", "pods", "-n", "apps", "-l", "etcdlike.io/cluster=first", "-o", "json");
  return (JSON.parse(text) as { items: Pod[] }).items;
}

async function endpoints(): Promise<readonly string[]> {
  return (await pods()).flatMap(({ status: { podIP } }) => (podIP === undefined ? [] : [`${podIP}:2379`]));
}

async function status(path: string): Promise<string> {
  return kubectl("get", "elc", "first", "-n", "apps", "-o", `jsonpath={.status.${path}}`);
}

async function condition(type: string, field: string): Promise<string> {
  return status(`conditions[?(@.type=="${type}")].${field}`);
}

async function ready(): Promise<void> {
  await eventually("Ready", async () => (await condition("Ready", "status")) === "True", 8 * minutes);
}

async function volumes(): Promise<string[]> {
  const path = "{range .items[*]}{.metadata.uid} {.metadata.deletionTimestamp}{.metadata.labels}{end}";
  const text = await kubectl("get", "pvc", "-n", "apps", "-o", `jsonpath=${path}`);
  return text.split("}").sort();
}

async function etcdctl(input: string, ...args: readonly string[]): Promise<string> {
  const flags = [`--endpoints=${(await endpoints()).join(",")}`, "--command-timeout=30s"];
  const outcome = spawnSync(await toolPath("etcdctl"), [...flags, ...args], { input, encoding: "utf8" });
  assert.equal(outcome.status, 0, outcome.stderr);
  return outcome.stdout;
}

test("a run defragments every member while a client writes", async (t) => {
  assert.equal((await apply(kubectl, cluster)).code, 0);
  await ready();
  load = await ClientLoad.start(endpoints);
  for (let i = 0; i < 40; i++) await etcdctl("x".repeat(1_000_000), "put", `big/${i}`);
  await etcdctl("", "del", "big/", "--prefix");
  const answer = JSON.parse(await etcdctl("", "get", "big/", "-w", "json")) as {
    header: { revision: number };
  };
  await etcdctl("", "compact", "--physical", String(answer.header.revision));
  const applied = await apply(kubectl, {
    apiVersion: "etcdlike.io/v1alpha1",
    kind: "EtcdLikeDefrag",
    metadata: { name: "now", namespace: "apps" },
    spec: { clusterRef: { name: "first" }, rule: { all: true } },
  });
  assert.equal(applied.code, 0, applied.stderr);
  await eventually("the run is over", async () => {
    const text = await kubectl("get", "eld", "now", "-n", "apps", "-o", "jsonpath={.status.completedAt}");
    return text !== "";
  });
  const outcome = JSON.parse(
    await kubectl("get", "eld", "now", "-n", "apps", "-o", "jsonpath={.status}"),
  ) as {
    phase: string;
    reclaimedBytes: number;
    members: { outcome: string; dbSizeBytesBefore: number; dbSizeBytesAfter: number }[];
  };
  t.diagnostic(JSON.stringify(outcome));
  assert.equal(outcome.phase, "Succeeded");
  assert.deepEqual(
    outcome.members.map((member) => member.outcome),
    ["Defragmented", "Defragmented", "Defragmented"],
  );
  assert.ok(outcome.members.every((member) => member.dbSizeBytesAfter < member.dbSizeBytesBefore));
  const { acknowledged, failed, longestGapMs, missing } = await load.verify();
  t.diagnostic(`${acknowledged} writes, longest gap ${(longestGapMs / 1_000).toFixed(1)} s`);
  assert.deepEqual([failed, missing], [0, []]);
});

test("all objects deleted and declared again: no second cluster, and the old one on request", async () => {
  const ids = (await status("members[*].id")).split(" ").sort();
  const clusterId = await status("clusterId");
  const count = await etcdctl("", "get", "load/", "--prefix", "--count-only", "-w", "fields");
  await kubectl("delete", "elc", "first", "-n", "apps");
  await eventually("its members are gone", async () => {
    return (await kubectl("get", "elm,pods", "-n", "apps", "-o", "name")).trim() === "";
  });
  await apply(kubectl, cluster);
  await eventually("it says how the volumes are taken over", async () =>
    (await condition("Progressing", "message")).includes(`spec.bootstrap.adoptFrom.clusterId: ${clusterId}`),
  );
  assert.equal(await condition("Progressing", "reason"), "Blocked");
  assert.equal((await kubectl("get", "elm", "-n", "apps", "-o", "name")).trim(), "");
  const patch = JSON.stringify({ spec: { bootstrap: { adoptFrom: { clusterId } } } });
  await kubectl("patch", "elc", "first", "-n", "apps", "--type=merge", "-p", patch);
  await ready();
  assert.equal(await status("clusterId"), clusterId);
  assert.deepEqual((await status("members[*].id")).split(" ").sort(), ids);
  const counted = (text: string) => /"Count" : (\d+)/.exec(text)?.[1];
  const now = await etcdctl("", "get", "load/", "--prefix", "--count-only", "-w", "fields");
  assert.ok(Number(counted(now)) > 0);
  assert.equal(counted(now), counted(count));
});

test("two of three disks are lost: the status says so soon, and nothing is taken away", async (t) => {
  const before = { volumes: await volumes(), members: await status("members[*].id") };
  const [survivor, ...victims] = (await pods()).map(({ metadata }) => metadata.name);
  for (const name of victims) {
    const claim = ["get", "pvc", `data-${name}`, "-n", "apps", "-o", "jsonpath={.spec.volumeName}"];
    const path = ["get", "pv", await kubectl(...claim), "-o", "jsonpath={.spec.hostPath.path}"];
    await run("find", await kubectl(...path), "-mindepth", "1", "-delete");
  }
  const sinceMs = performance.now();
  await kubectl("delete", "pods", ...victims, "-n", "apps", "--wait=false", "--grace-period=1");
  await eventually(
    "the loss is told",
    async () => (await condition("Available", "reason")) === "QuorumLost",
    minutes,
  );
  const tookMs = performance.now() - sinceMs;
  t.diagnostic(`told after ${(tookMs / 1_000).toFixed(1)} s`);
  await sleep(90_000);
  assert.deepEqual({ volumes: await volumes(), members: await status("members[*].id") }, before);
  assert.ok((await pods()).some(({ metadata }) => metadata.name === survivor));
  assert.equal(await condition("Available", "reason"), "QuorumLost");
});
