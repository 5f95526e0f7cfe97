// What comes after the first day, on real nodes: defragmenting under a client that writes, a cluster that is declared
// again on the volumes it left, and disks lost beyond the quorum.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../k8s/support/eventually.ts";
import {
  condition,
  etcdctl,
  firstCluster,
  get,
  kubectl,
  make,
  memberIds,
  minutes,
  patchSpec,
  podNames,
  pods,
  resource,
  startLoad,
  status,
  untilReady,
  useBed,
  verifiedLoad,
  wipeDisks,
} from "./first-cluster.ts";
import { installOperator } from "./install.ts";

/** Long enough for something destructive to show itself. */
const watchMs = 90_000;

useBed(installOperator);

async function volumes(): Promise<string[]> {
  const path = "{range .items[*]}{.metadata.uid} {.metadata.deletionTimestamp}{.metadata.labels}{end}";
  const text = await kubectl("get", "pvc", "-n", "apps", "-o", `jsonpath=${path}`);
  return text.split("}").sort();
}

async function loadKeyCount(): Promise<number> {
  const text = await etcdctl(["get", "load/", "--prefix", "--count-only", "-w", "fields"]);
  return Number(/"Count" : (\d+)/.exec(text)?.[1]);
}

interface RunStatus {
  readonly phase: string;
  readonly members: readonly {
    readonly outcome: string;
    readonly dbSizeBytesBefore: number;
    readonly dbSizeBytesAfter: number;
  }[];
}

test("a run defragments every member while a client writes", async (t) => {
  const sinceMs = performance.now();
  await make(firstCluster());
  await untilReady(t, "three members", sinceMs);
  const load = await startLoad();
  for (let i = 0; i < 40; i++) await etcdctl(["put", `big/${i}`], { input: "x".repeat(1_000_000) });
  await etcdctl(["del", "big/", "--prefix"]);
  const answer = JSON.parse(await etcdctl(["get", "big/", "-w", "json"])) as { header: { revision: number } };
  await etcdctl(["compact", "--physical", String(answer.header.revision)]);
  await make(resource("EtcdLikeDefrag", "now", { clusterRef: { name: "first" }, rule: { all: true } }));
  await eventually("the run is over", async () => (await get("eld/now", ".status.completedAt")) !== "");
  const text = await get("eld/now", ".status");
  t.diagnostic(text);
  const { phase, members } = JSON.parse(text) as RunStatus;
  assert.equal(phase, "Succeeded");
  assert.deepEqual(
    members.map((member) => member.outcome),
    ["Defragmented", "Defragmented", "Defragmented"],
  );
  assert.ok(members.every((member) => member.dbSizeBytesAfter < member.dbSizeBytesBefore));
  assert.equal(await verifiedLoad(t, load), 0);
});

test("all objects deleted and declared again: no second cluster, and the old one on request", async (t) => {
  const [ids, clusterId, count] = [await memberIds(), await status("clusterId"), await loadKeyCount()];
  await kubectl("delete", "elc", "first", "-n", "apps");
  await eventually("its members are gone", async () => {
    return (await kubectl("get", "elm,pods", "-n", "apps", "-o", "name")).trim() === "";
  });
  await make(firstCluster());
  await eventually("it says how the volumes are taken over", async () =>
    (await condition("Progressing", "message")).includes(`spec.bootstrap.adoptFrom.clusterId: ${clusterId}`),
  );
  assert.equal(await condition("Progressing", "reason"), "Blocked");
  assert.equal((await kubectl("get", "elm", "-n", "apps", "-o", "name")).trim(), "");
  const sinceMs = performance.now();
  await patchSpec({ bootstrap: { adoptFrom: { clusterId } } });
  await untilReady(t, "adopted", sinceMs);
  assert.equal(await status("clusterId"), clusterId);
  assert.deepEqual(await memberIds(), ids);
  assert.ok(count > 0);
  assert.equal(await loadKeyCount(), count);
});

test("two of three disks are lost: the status says so soon, and nothing is taken away", async (t) => {
  const before = { volumes: await volumes(), members: await status("members[*].id") };
  const [survivor, ...victims] = podNames(await pods());
  const sinceMs = performance.now();
  await wipeDisks(victims);
  await eventually(
    "the loss is told",
    async () => (await condition("Available", "reason")) === "QuorumLost",
    minutes,
  );
  t.diagnostic(`told after ${((performance.now() - sinceMs) / 1_000).toFixed(1)} s`);
  await sleep(watchMs);
  assert.deepEqual({ volumes: await volumes(), members: await status("members[*].id") }, before);
  assert.ok(podNames(await pods()).includes(survivor ?? ""));
  assert.equal(await condition("Available", "reason"), "QuorumLost");
});
