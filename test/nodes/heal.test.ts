// Our images and our chart on three real nodes: a cluster comes up, and what fails is healed by itself, under a
// client that writes all the time.
import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { eventually } from "../k8s/support/eventually.ts";
import { helmFor } from "../k8s/support/kubectl.ts";
import { adminKubeconfig, bedFolder, loseNode } from "./bed.ts";
import {
  condition,
  firstCluster,
  folderOf,
  get,
  hasRestarted,
  killProcess,
  kubectl,
  make,
  memberIds,
  memberNames,
  nodeOf,
  type Pod,
  podNames,
  pods,
  startLoad,
  status,
  untilReady,
  useBed,
  verifiedLoad,
  wipeDisks,
} from "./first-cluster.ts";
import { installOperator } from "./install.ts";
import { Observer } from "./observer.ts";

useBed(async () => {});

const cluster = firstCluster({ healing: { replaceAfterSeconds: 60, maxReplacementsPerHour: 20 } });

/** Under a client that writes: something fails, and without anybody's help the cluster is whole again. */
async function heals(
  t: TestContext,
  what: string,
  fail: (victim: Pod) => Promise<unknown>,
  isOver: (victim: Pod) => Promise<boolean>,
): Promise<Pod> {
  const [victim] = await pods();
  assert.ok(victim);
  const load = await startLoad();
  const sinceMs = performance.now();
  await fail(victim);
  await untilReady(t, what, sinceMs, () => isOver(victim));
  assert.equal(await verifiedLoad(t, load), 0);
  return victim;
}

async function keepsItsMembers(
  t: TestContext,
  what: string,
  fail: (victim: Pod) => Promise<unknown>,
  isOver: (victim: Pod) => Promise<boolean>,
): Promise<void> {
  const before = await memberIds();
  await heals(t, what, fail, isOver);
  assert.deepEqual(await memberIds(), before);
}

/** Another member is there under an identity of its own, and had joined as a learner before the lost one left. */
async function isReplaced(
  t: TestContext,
  what: string,
  fail: (victim: Pod) => Promise<unknown>,
): Promise<Pod> {
  const before = await memberIds();
  const observer = new Observer();
  observer.start();
  try {
    const isGone = async ({ metadata }: Pod) => !(await memberNames()).includes(metadata.name);
    const victim = await heals(t, what, fail, isGone);
    const now = await memberIds();
    assert.deepEqual([now.length, now.filter((id) => before.includes(id)).length], [3, 2], "one is new");
    assert.ok(
      observer.besideLearners.has(victim.metadata.name),
      "the new member came before the old one left",
    );
    return victim;
  } finally {
    await observer.stop();
  }
}

async function isKeptAside(victim: Pod): Promise<boolean> {
  const label = await get(`pvc/data-${victim.metadata.name}`, ".metadata.labels.etcdlike\\.io/quarantined");
  return label === "true";
}

async function lastWords(victim: Pod): Promise<string> {
  const events = await kubectl("get", "events", "-n", "apps", "-o", "jsonpath={.items[*].message}");
  return new RegExp(`${victim.metadata.name}: it ended with (\\w+)`).exec(events)?.[1] ?? "";
}

test("helm install, and a cluster of three members is Ready", async (t) => {
  t.diagnostic(`helm install: ${((await installOperator()) / 1000).toFixed(1)} s`);
  const sinceMs = performance.now();
  await make(cluster);
  await untilReady(t, "three members", sinceMs);
  assert.equal(new Set((await pods()).map((pod) => pod.spec.nodeName)).size, 3, "one member on each node");
});

test("helm test passes", async () => {
  const helm = await helmFor(adminKubeconfig, bedFolder);
  assert.match(await helm("test", "one", "--namespace", "system", "--timeout", "3m"), /Phase:\s+Succeeded/);
});

test("a process that is killed runs again as the same member", async (t) => {
  await keepsItsMembers(t, "a killed process", killProcess, hasRestarted);
});

test("clients of the Service lose no other member when the leader's process is killed", async (t) => {
  const leader = await status("leader");
  const [victim] = (await pods()).filter(({ metadata }) => metadata.name === leader);
  assert.ok(victim);
  const others = podNames(await pods()).filter((name) => name !== leader);
  const takenOut = new Set<string>();
  let isOver = false;
  const watching = (async () => {
    while (!isOver) {
      const ready = await readyBehindService();
      for (const name of others) if (!ready.includes(name)) takenOut.add(name);
    }
  })();
  const sinceMs = performance.now();
  await killProcess(victim);
  await untilReady(t, "a killed leader", sinceMs, () => hasRestarted(victim));
  isOver = true;
  await watching;
  assert.deepEqual([...takenOut], []);
});

/** Pods that the client Service sends to. */
async function readyBehindService(): Promise<readonly string[]> {
  const selector = "kubernetes.io/service-name=first-client";
  const text = await kubectl("get", "endpointslices", "-n", "apps", "-l", selector, "-o", "json");
  const { items } = JSON.parse(text) as {
    items: { endpoints: { conditions: { ready?: boolean }; targetRef?: { name: string } }[] | null }[];
  };
  return items
    .flatMap(({ endpoints }) => endpoints ?? [])
    .flatMap(({ conditions, targetRef }) =>
      conditions.ready === true && targetRef !== undefined ? [targetRef.name] : [],
    );
}

test("a Pod that is deleted comes back with its data and its identity", async (t) => {
  await keepsItsMembers(
    t,
    "a deleted Pod",
    ({ metadata }) => kubectl("delete", "pod", metadata.name, "-n", "apps", "--wait=false"),
    async ({ metadata }) => {
      const now = (await pods()).find((pod) => pod.metadata.name === metadata.name);
      return now !== undefined && now.metadata.uid !== metadata.uid;
    },
  );
});

test("a member whose Pod and volume are deleted is replaced", async (t) => {
  await isReplaced(t, "a deleted Pod and volume", ({ metadata: { name } }) =>
    kubectl("delete", `pvc/data-${name}`, `pod/${name}`, "-n", "apps", "--wait=false"),
  );
});

test("a member on a disk whose contents are gone is replaced, its volume kept aside", async (t) => {
  const victim = await isReplaced(t, "a wiped disk", ({ metadata }) => wipeDisks([metadata.name]));
  assert.equal(await lastWords(victim), "DATA_LOST", "its own last words decide");
  assert.ok(await isKeptAside(victim));
});

test("a member with a damaged log is replaced, its volume kept aside", async (t) => {
  const victim = await isReplaced(t, "a damaged log", async (pod) => {
    await damageLog(await folderOf(`data-${pod.metadata.name}`));
    await killProcess(pod);
  });
  assert.equal(await lastWords(victim), "WAL_DAMAGED", "its own last words decide");
  assert.ok(await isKeptAside(victim));
});

/** Changes one byte of a write. */
async function damageLog(folder: string): Promise<void> {
  for (const file of globSync("**/*.wal", { cwd: folder }).sort()) {
    const log = await open(join(folder, file), "r+");
    try {
      const at = (await log.readFile()).indexOf("load/");
      if (at === -1) continue;
      await log.write("m", at);
      return;
    } finally {
      await log.close();
    }
  }
  assert.fail(`no write of the load in a log below ${folder}`);
}

test("a node that is lost costs one member, which is replaced", async (t) => {
  await isReplaced(t, "a lost node", async (victim) => {
    const node = nodeOf(victim);
    const operatorNode = await kubectl(
      ...["get", "pods", "-n", "system", "-o", "jsonpath={.items[0].spec.nodeName}"],
    );
    await loseNode(node);
    if (operatorNode === node.name) {
      // Kubernetes itself waits five minutes before it gives the operator another node; the test does not.
      await kubectl("delete", "pods", "-n", "system", "--all", "--force", "--grace-period=0");
    }
  });
  assert.equal(await status("votingMembers"), "3");
});

test("a cluster declared again where its volumes still are is not formed a second time", async () => {
  await kubectl("delete", "elc", "first", "-n", "apps");
  await eventually("its members are gone", async () => {
    const left = await kubectl("get", "elm", "-n", "apps", "-o", "name");
    return left.trim() === "";
  });
  await make(cluster);
  await eventually("it says what is in the way", async () =>
    (await condition("Progressing", "message")).includes("volumes of a cluster of this name exist"),
  );
  assert.equal((await kubectl("get", "elm", "-n", "apps", "-o", "name")).trim(), "");
});
