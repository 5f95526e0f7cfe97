// The release of the chart is upgraded, rolled back, uninstalled and installed again while its cluster serves: the
// members know nothing of it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { helmFor } from "../k8s/support/kubectl.ts";
import { adminKubeconfig, bedFolder } from "./bed.ts";
import {
  firstCluster,
  kubectl,
  make,
  memberIds,
  pods,
  startLoad,
  untilReady,
  useBed,
  verifiedLoad,
} from "./first-cluster.ts";
import { chart, installOperator, installRelease } from "./install.ts";
import type { ClientLoad } from "./load.ts";

/** Long enough for an operator that should not be there to show itself. */
const watchMs = 15_000;

let load: ClientLoad | undefined;
let running: readonly string[] = [];
let members: readonly string[] = [];

useBed(installOperator);

async function helm(...args: readonly string[]): Promise<string> {
  return (await helmFor(adminKubeconfig, bedFolder))(
    ...args,
    "--namespace",
    "system",
    "--wait",
    "--timeout=5m",
  );
}

/** Every Pod, and how often its container started again. */
async function lives(): Promise<readonly string[]> {
  return (await pods())
    .map(({ metadata, status }) => `${metadata.uid} ${status.containerStatuses?.[0]?.restartCount}`)
    .sort();
}

test("an upgrade and a rollback of the release restart no member", async (t) => {
  const sinceMs = performance.now();
  await make(firstCluster());
  await untilReady(t, "three members", sinceMs);
  load = await startLoad();
  [running, members] = [await lives(), await memberIds()];
  await helm("upgrade", "one", chart, "--reuse-values", "--set", "workers=8");
  const specs = await kubectl("get", "deployments", "-n", "system", "-o", "jsonpath={.items[*].spec}");
  assert.match(specs, /--workers=8/);
  await helm("rollback", "one", "1");
  await untilReady(t, "after upgrade and rollback", performance.now());
  assert.deepEqual(await lives(), running);
});

test("without a release the members go on, and the next one takes them over", async (t) => {
  await helm("uninstall", "one");
  assert.match(await kubectl("get", "crd", "-o", "name"), /etcdlikeclusters\.etcdlike\.io/);
  assert.match(await kubectl("get", "elc,elm", "-n", "apps", "-o", "name"), /first/);
  assert.deepEqual(await lives(), running);
  const [lost] = await pods();
  assert.ok(lost);
  await kubectl("delete", "pod", lost.metadata.name, "-n", "apps");
  await sleep(watchMs);
  assert.equal((await pods()).length, 2, "nobody is there to bring the Pod back");

  const sinceMs = performance.now();
  await installRelease();
  await untilReady(t, "the Pod that was missing", sinceMs, async () => (await pods()).length === 3);
  assert.deepEqual(await memberIds(), members);
  const others = (await lives()).filter((life) => running.includes(life));
  assert.equal(others.length, 2, "the other Pods stayed");
  assert.equal(await verifiedLoad(t, load), 0);
});
