// Our images and our chart on three real nodes: a cluster comes up, and what fails is healed by itself, under a
// client that writes all the time.
import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { eventually } from "../k8s/support/eventually.ts";
import { apply, type Cli, helmFor, kubectlFor } from "../k8s/support/kubectl.ts";
import { adminKubeconfig, bedDown, bedFolder, bedUp, loseNode, nodes } from "./bed.ts";
import { installOperator } from "./install.ts";
import { ClientLoad } from "./load.ts";
import { run } from "./shell.ts";

const minutes = 60_000;

const cluster = {
  apiVersion: "etcdlike.io/v1alpha1",
  kind: "EtcdLikeCluster",
  metadata: { name: "first", namespace: "apps" },
  spec: {
    replicas: 3,
    storage: { size: "1Gi" },
    healing: { replaceAfterSeconds: 60, maxReplacementsPerHour: 20 },
  },
};

let kubectl: Cli;
let load: ClientLoad | undefined;

before(async () => {
  await bedUp();
  kubectl = await kubectlFor(adminKubeconfig);
});
after(async () => {
  await load?.stop();
  await bedDown();
});

interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: { readonly podIP?: string };
  readonly spec: { readonly nodeName?: string };
}

async function pods(): Promise<readonly Pod[]> {
  const text = await kubectl("get", "pods", "-n", "apps", "-l", "etcdlike.io/cluster=first", "-o", "json");
  return (JSON.parse(text) as { items: Pod[] }).items;
}

async function status(path: string): Promise<string> {
  return kubectl("get", "elc", "first", "-n", "apps", "-o", `jsonpath={.status.${path}}`);
}

const condition = (type: string) => `conditions[?(@.type=="${type}")].status`;

async function memberNames(): Promise<string[]> {
  return (await status("members[*].name")).split(" ");
}

async function memberIds(): Promise<string[]> {
  return (await status("members[*].id")).split(" ").sort();
}

/** Ready after `sinceMs`, with the time it took told. */
async function healed(
  t: TestContext,
  what: string,
  sinceMs: number,
  isOver: () => Promise<boolean>,
): Promise<void> {
  await eventually(
    `${what} is healed`,
    async () => (await isOver()) && (await status(condition("Ready"))) === "True",
    8 * minutes,
  );
  t.diagnostic(`${what}: Ready again after ${((performance.now() - sinceMs) / 1000).toFixed(1)} s`);
}

test("helm install, and a cluster of three members is Ready", async (t) => {
  t.diagnostic(`helm install: ${((await installOperator()) / 1000).toFixed(1)} s`);
  const applied = await apply(kubectl, cluster);
  assert.equal(applied.code, 0, applied.stderr);
  const appliedAt = performance.now();
  await kubectl("wait", "--for=condition=Ready", "elc/first", "-n", "apps", "--timeout=10m");
  t.diagnostic(`three members Ready: ${((performance.now() - appliedAt) / 1000).toFixed(1)} s`);
  const on = (await pods()).map((pod) => pod.spec.nodeName);
  assert.equal(new Set(on).size, 3, "one member on each node");
});

test("helm test passes", async () => {
  const helm = await helmFor(adminKubeconfig, bedFolder);
  assert.match(await helm("test", "one", "--namespace", "system", "--timeout", "3m"), /Phase:\s+Succeeded/);
});

test("a Pod that is deleted comes back with its data and its identity", async (t) => {
  load = await ClientLoad.start(async () =>
    (await pods()).flatMap(({ status: { podIP } }) => (podIP === undefined ? [] : [`${podIP}:2379`])),
  );
  const before = await memberIds();
  const [victim] = await pods();
  assert.ok(victim);
  const sinceMs = performance.now();
  await kubectl("delete", "pod", victim.metadata.name, "-n", "apps", "--wait=false");
  await healed(t, "a deleted Pod", sinceMs, async () => {
    const now = (await pods()).find((pod) => pod.metadata.name === victim.metadata.name);
    return now !== undefined && now.metadata.uid !== victim.metadata.uid;
  });
  assert.deepEqual(await memberIds(), before);
});

test("a disk whose contents are gone is replaced under a new identity, its volume kept aside", async (t) => {
  const before = await memberIds();
  const [victim] = await pods();
  assert.ok(victim);
  const name = victim.metadata.name;
  const volume = await kubectl(
    "get",
    "pvc",
    `data-${name}`,
    "-n",
    "apps",
    "-o",
    "jsonpath={.spec.volumeName}",
  );
  const folder = await kubectl("get", "pv", volume, "-o", "jsonpath={.spec.hostPath.path}");
  const sinceMs = performance.now();
  await run("find", folder, "-mindepth", "1", "-delete");
  await kubectl("delete", "pod", name, "-n", "apps", "--wait=false", "--grace-period=1");
  await healed(
    t,
    "a wiped disk",
    sinceMs,
    async () => !(await pods()).some((pod) => pod.metadata.name === name),
  );
  const events = await kubectl("get", "events", "-n", "apps", "-o", "jsonpath={.items[*].message}");
  assert.ok(events.includes(`${name}: it ended with DATA_LOST`), "its own last words decide");
  const now = await memberIds();
  assert.equal(now.length, 3);
  assert.equal(now.filter((id) => before.includes(id)).length, 2, "one member is new");
  const label = await kubectl(
    ...["get", "pvc", `data-${name}`, "-n", "apps"],
    ...["-o", "jsonpath={.metadata.labels.etcdlike\\.io/quarantined}"],
  );
  assert.equal(label, "true");
});

test("no write that was acknowledged is missing", async (t) => {
  assert.ok(load);
  const { acknowledged, retried, failed, longestGapMs, missing } = await load.verify();
  t.diagnostic(
    `${acknowledged} writes, ${retried} retried, ${failed} failed, longest gap ${(longestGapMs / 1000).toFixed(1)} s`,
  );
  assert.ok(acknowledged > 0);
  assert.deepEqual(missing, []);
});

test("a node that is lost costs one member, which is replaced", async (t) => {
  const [victim] = await pods();
  assert.ok(victim);
  const node = nodes.find(({ name }) => name === victim.spec.nodeName);
  assert.ok(node);
  const operatorNode = await kubectl(
    "get",
    "pods",
    "-n",
    "system",
    "-o",
    "jsonpath={.items[0].spec.nodeName}",
  );
  const sinceMs = performance.now();
  await loseNode(node);
  if (operatorNode === node.name) {
    // Kubernetes itself waits five minutes before it gives the operator another node; the test does not.
    await kubectl("delete", "pods", "-n", "system", "--all", "--force", "--grace-period=0");
  }
  await healed(t, "a lost node", sinceMs, async () => !(await memberNames()).includes(victim.metadata.name));
  assert.equal(await status("votingMembers"), "3");
});

test("a cluster declared again where its volumes still are is not formed a second time", async () => {
  await kubectl("delete", "elc", "first", "-n", "apps");
  await eventually("its members are gone", async () => {
    const left = await kubectl("get", "elm", "-n", "apps", "-o", "name");
    return left.trim() === "";
  });
  await apply(kubectl, cluster);
  await eventually("it says what is in the way", async () => {
    const text = await kubectl(
      "get",
      "elc",
      "first",
      "-n",
      "apps",
      "-o",
      "jsonpath={.status.conditions[*].message}",
    );
    return text.includes("volumes of a cluster of this name exist");
  });
  assert.equal((await kubectl("get", "elm", "-n", "apps", "-o", "name")).trim(), "");
});
