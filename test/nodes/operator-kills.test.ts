// The operator's process is killed ten times while it forms a cluster, changes its size and replaces its Pods. Each
// time another operator goes on from what is recorded.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../k8s/support/eventually.ts";
import {
  condition,
  firstCluster,
  killProcess,
  kubectl,
  make,
  minutes,
  type Pod,
  patchSpec,
  pods,
  startLoad,
  status,
  untilReady,
  useBed,
  verifiedLoad,
} from "./first-cluster.ts";
import { installOperator } from "./install.ts";
import type { ClientLoad } from "./load.ts";
import { Observer } from "./observer.ts";

const killCount = 10;
const delayMsMax = 3_000;
const isRemoval = (operation: string) => operation.startsWith("Remove ");

const changes = [
  () => patchSpec({ replicas: 5 }),
  () => patchSpec({ replicas: 3 }),
  () => patchSpec({ template: { annotations: { change: "one" } } }),
  () => patchSpec({ template: { annotations: { change: "two" } } }),
];

useBed(installOperator);

async function leadingOperator(): Promise<string> {
  return kubectl("get", "lease", "-n", "system", "-o", "jsonpath={.items[*].spec.holderIdentity}");
}

async function killOperator(): Promise<void> {
  const text = await kubectl("get", "pods", "-n", "system", "-o", "json");
  for (const pod of (JSON.parse(text) as { items: Pod[] }).items) {
    const { metadata, spec, status: at } = pod;
    const hasStarted = spec.nodeName !== undefined && at.containerStatuses?.[0]?.containerID !== undefined;
    if (!hasStarted || metadata.deletionTimestamp !== undefined) continue;
    await killProcess(pod);
    // Another Pod at once: a kubelet waits longer and longer before it starts a container again.
    await kubectl("delete", "pod", metadata.name, "-n", "system", "--grace-period=0", "--force");
  }
}

async function operationNow(): Promise<string> {
  const { type, member } = JSON.parse((await status("operation")) || "{}") as {
    type?: string;
    member?: string;
  };
  return type === undefined ? "" : `${type} ${member}`;
}

test("an operator killed ten times at its work ends with what was asked, one step at a time", async (t) => {
  const observer = new Observer();
  observer.start();
  let load: ClientLoad | undefined;
  try {
    const sinceMs = performance.now();
    await make(firstCluster());
    const killedAt: string[] = [];
    const todo = [...changes];
    let former = "";
    while (killedAt.length < killCount) {
      const operation = await eventually(
        "an operator at work",
        async () => {
          const holder = await leadingOperator();
          if (holder === "" || holder === former) return undefined;
          const doing = await operationNow();
          // One kill is kept for the removal of a member.
          const isKept = killedAt.length === killCount - 1 && !killedAt.some(isRemoval);
          if (doing !== "" && (!isKept || isRemoval(doing))) return doing;
          if (doing !== "") return undefined;
          if ((await condition("Ready")) === "True" && (await condition("Progressing")) !== "True") {
            load ??= await startLoad();
            await todo.shift()?.();
          }
          return undefined;
        },
        8 * minutes,
      );
      // A removal has few steps: with a delay it would be over.
      if (!isRemoval(operation)) await sleep(randomInt(delayMsMax));
      former = await leadingOperator();
      await killOperator();
      // What is on record now is what this operator left undone.
      killedAt.push((await operationNow()) || `after ${operation}`);
    }
    t.diagnostic(`killed at ${killedAt.join(", ")}`);
    assert.ok(killedAt.some(isRemoval), "one was killed while a member was being removed");
    for (const change of todo) await change();
    await untilReady(t, "all changes", sinceMs, async () => {
      const now = await pods();
      return (
        now.length === 3 &&
        (await status("votingMembers")) === "3" &&
        (await status("updatedReplicas")) === "3" &&
        (await status("operation.type")) === ""
      );
    });
  } finally {
    await observer.stop();
  }
  t.diagnostic(`${observer.observations} member lists, at most ${observer.joiningMax} joining`);
  assert.equal(observer.clusterIds.size, 1, "one cluster was ever formed");
  assert.ok(observer.joiningMax <= 1, "one member joins at a time");
  const failed = await verifiedLoad(t, load);
  assert.equal(failed, 0);
});
