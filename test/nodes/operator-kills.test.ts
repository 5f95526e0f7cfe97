// The operator's process is killed ten times while it forms a cluster, changes its size and replaces its Pods. Each
// time another operator goes on from what is recorded.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../k8s/support/eventually.ts";
import { toolPath } from "../tools/toolchain.ts";
import { killContainer, nodes } from "./bed.ts";
import {
  condition,
  endpoints,
  firstCluster,
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
import { run } from "./shell.ts";

const killCount = 10;
const delayMsMax = 3_000;

const changes = [
  () => patchSpec({ replicas: 5 }),
  () => patchSpec({ template: { annotations: { change: "one" } } }),
  () => patchSpec({ replicas: 3 }),
  () => patchSpec({ template: { annotations: { change: "two" } } }),
];

useBed(installOperator);

async function leadingOperator(): Promise<string> {
  return kubectl("get", "lease", "-n", "system", "-o", "jsonpath={.items[*].spec.holderIdentity}");
}

async function killOperator(): Promise<void> {
  const text = await kubectl("get", "pods", "-n", "system", "-o", "json");
  for (const { metadata, spec, status: at } of (JSON.parse(text) as { items: Pod[] }).items) {
    const node = nodes.find(({ name }) => name === spec.nodeName);
    const id = at.containerStatuses?.[0]?.containerID?.replace("containerd://", "");
    if (node === undefined || id === undefined || metadata.deletionTimestamp !== undefined) continue;
    await killContainer(node, id);
    // Another Pod at once: a kubelet waits longer and longer before it starts a container again.
    await kubectl("delete", "pod", metadata.name, "-n", "system", "--grace-period=0", "--force");
  }
}

interface MemberList {
  readonly members: readonly { readonly name?: string; readonly isLearner?: boolean }[];
}

/** Looks at the members' own list all the time, whatever the operator says. */
class Observer {
  readonly clusterIds = new Set<string>();
  /** The most that had joined without being voters that were started. */
  joiningMax = 0;
  /** Of lists that were read. */
  observations = 0;
  #isStopping = false;
  #running: Promise<void> = Promise.resolve();

  start(): void {
    this.#running = this.#observe();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#running;
  }

  async #observe(): Promise<void> {
    const etcdctl = await toolPath("etcdctl");
    while (!this.#isStopping) {
      for (const endpoint of await endpoints()) {
        const text = await run(
          etcdctl,
          ...[`--endpoints=${endpoint}`, "--command-timeout=2s", "member", "list", "-w", "json"],
        ).catch(() => "");
        if (text === "") continue;
        const { members } = JSON.parse(text) as MemberList;
        // As text: the id has more digits than a number.
        this.clusterIds.add(/"cluster_id":(\d+)/.exec(text)?.[1] ?? "");
        const joining = members.filter(({ name = "", isLearner }) => isLearner === true || name === "");
        this.joiningMax = Math.max(this.joiningMax, joining.length);
        this.observations++;
      }
      await sleep(500);
    }
  }
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
          const doing = await status("operation.type");
          if (doing !== "") return `${doing} ${await status("operation.member")}`;
          if ((await condition("Ready")) === "True" && (await condition("Progressing")) !== "True") {
            load ??= await startLoad();
            await todo.shift()?.();
          }
          return undefined;
        },
        8 * minutes,
      );
      await sleep(randomInt(delayMsMax));
      former = await leadingOperator();
      await killOperator();
      killedAt.push(operation);
    }
    t.diagnostic(`killed at ${killedAt.join(", ")}`);
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
