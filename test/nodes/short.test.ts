// The shortest way through the whole: our images, our chart, a cluster on three nodes, a member that is lost, and a
// client that writes all the time.
import assert from "node:assert/strict";
import { test } from "node:test";
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
import { installOperator } from "./install.ts";

useBed(async () => {});

test("helm install, three members Ready on three nodes, one lost and healed, and no write failed", async (t) => {
  t.diagnostic(`helm install: ${((await installOperator()) / 1000).toFixed(1)} s`);
  const sinceMs = performance.now();
  await make(firstCluster());
  await untilReady(t, "three members", sinceMs);
  assert.equal(new Set((await pods()).map((pod) => pod.spec.nodeName)).size, 3, "one member on each node");

  const load = await startLoad();
  const ids = await memberIds();
  const [victim] = await pods();
  assert.ok(victim);
  const lostMs = performance.now();
  await kubectl("delete", "pod", victim.metadata.name, "-n", "apps", "--wait=false");
  await untilReady(t, "a deleted Pod", lostMs, async () => {
    const now = (await pods()).find((pod) => pod.metadata.name === victim.metadata.name);
    return now !== undefined && now.metadata.uid !== victim.metadata.uid;
  });
  assert.deepEqual(await memberIds(), ids, "the same members, with their data");
  assert.equal(await verifiedLoad(t, load), 0);
});
