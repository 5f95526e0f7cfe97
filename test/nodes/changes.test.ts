// What people do to a cluster on purpose, on real nodes: it changes its size, its Pods and its nodes under a client
// that writes all the time, and no write fails.
import assert from "node:assert/strict";
import { test } from "node:test";
import { nodes, tagImage } from "./bed.ts";
import {
  firstCluster,
  kubectl,
  make,
  patchSpec,
  pods,
  startLoad,
  status,
  untilReady,
  useBed,
  verifiedLoad,
} from "./first-cluster.ts";
import { images } from "./images.ts";
import { installOperator } from "./install.ts";
import type { ClientLoad } from "./load.ts";

let load: ClientLoad | undefined;

useBed(installOperator);

test("three members", async (t) => {
  const sinceMs = performance.now();
  await make(firstCluster());
  await untilReady(t, "three members", sinceMs);
});

test("draining every node in turn waits for the quorum, and no write fails", async (t) => {
  load = await startLoad();
  for (const node of nodes) {
    const sinceMs = performance.now();
    await kubectl(
      ...["drain", node.name, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=240s"],
    );
    const drainedMs = performance.now();
    t.diagnostic(`drain of ${node.name}: ${((drainedMs - sinceMs) / 1000).toFixed(1)} s`);
    await kubectl("uncordon", node.name);
    await untilReady(t, `${node.name} in use again`, drainedMs);
  }
  assert.equal(await verifiedLoad(t, load), 0);
});

test("from three members to five, three, one and three, and no write fails", async (t) => {
  load = await startLoad();
  for (const replicas of [5, 3, 1, 3]) {
    const sinceMs = performance.now();
    await kubectl("scale", "elc", "first", "-n", "apps", `--replicas=${replicas}`);
    await untilReady(t, `${replicas} members`, sinceMs, async () => {
      const [voters, count] = [await status("votingMembers"), await status("replicas")];
      return voters === String(replicas) && count === String(replicas);
    });
  }
  assert.equal(await verifiedLoad(t, load), 0);
});

test("other resources and another image reach every member, and no write fails", async (t) => {
  load = await startLoad();
  const other = "localhost/etcdlike-other";
  await tagImage(images.member, `${other}:${images.member.split(":")[1]}`);
  const changes = [
    { what: "other resources", spec: { template: { resources: { requests: { cpu: "60m" } } } } },
    { what: "another image", spec: { image: { repository: other } } },
  ];
  for (const { what, spec } of changes) {
    const before = new Map((await pods()).map((pod) => [pod.metadata.name, pod.metadata.uid]));
    const sinceMs = performance.now();
    await patchSpec(spec);
    await untilReady(t, what, sinceMs, async () => {
      const now = await pods();
      return now.length === 3 && now.every((pod) => before.get(pod.metadata.name) !== pod.metadata.uid);
    });
  }
  assert.ok((await pods()).every((pod) => pod.spec.containers[0]?.image.startsWith(other)));
  assert.equal(await verifiedLoad(t, load), 0);
});
