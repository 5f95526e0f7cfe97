// What people do to a cluster on purpose, on real nodes: it changes its size, its Pods and its nodes under a client
// that writes all the time, and no write fails.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../k8s/support/eventually.ts";
import { kubectlFor, type Outcome } from "../k8s/support/kubectl.ts";
import { adminKubeconfig, nodes } from "./bed.ts";
import {
  firstCluster,
  kubectl,
  make,
  nodeOf,
  patchSpec,
  pods,
  startLoad,
  status,
  untilReady,
  useBed,
  verifiedLoad,
} from "./first-cluster.ts";
import { images, memberVersions } from "./images.ts";
import { installOperator } from "./install.ts";

useBed(installOperator);

async function drain(node: string, timeoutSeconds: number): Promise<Outcome> {
  const flags = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", `--timeout=${timeoutSeconds}s`];
  return (await kubectlFor(adminKubeconfig)).attempt("drain", node, ...flags);
}

async function podOf(member: string) {
  return (await pods()).find(({ metadata }) => metadata.name === member);
}

test("three members", async (t) => {
  const sinceMs = performance.now();
  await make(firstCluster());
  await untilReady(t, "three members", sinceMs);
});

test("draining every node in turn waits for the quorum, and no write fails", async (t) => {
  const load = await startLoad();
  const leader = await podOf(await status("leader"));
  assert.ok(leader);
  // The leader's own node comes first: later ones may have none of the members of before.
  const ofLeader = nodeOf(leader);
  for (const node of [ofLeader, ...nodes.filter((one) => one !== ofLeader)]) {
    const sinceMs = performance.now();
    const { code, stderr } = await drain(node.name, 240);
    assert.equal(code, 0, stderr);
    const drainedMs = performance.now();
    t.diagnostic(`drain of ${node.name}: ${((drainedMs - sinceMs) / 1000).toFixed(1)} s`);
    if (node === ofLeader)
      assert.notEqual((await podOf(leader.metadata.name))?.metadata.uid, leader.metadata.uid);
    await kubectl("uncordon", node.name);
    await untilReady(t, `${node.name} in use again`, drainedMs);
  }
  assert.equal(await verifiedLoad(t, load), 0);
});

test("while a member is down no other is evicted; once it is back the drain goes through", async (t) => {
  const load = await startLoad();
  const [down, other] = await pods();
  assert.ok(down && other);
  for (const node of nodes) await kubectl("cordon", node.name);
  await kubectl("delete", "pod", down.metadata.name, "-n", "apps");
  await eventually("the member's next Pod finds no node", async () => {
    const now = await podOf(down.metadata.name);
    return now !== undefined && now.metadata.uid !== down.metadata.uid && now.spec.nodeName === undefined;
  });
  const node = nodeOf(other).name;
  const refused = await drain(node, 15);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /violate the pod's disruption budget/);
  assert.equal((await podOf(other.metadata.name))?.metadata.uid, other.metadata.uid);

  const sinceMs = performance.now();
  const drained = drain(node, 240);
  await sleep(1_000);
  for (const one of nodes) if (one.name !== node) await kubectl("uncordon", one.name);
  const { code, stderr } = await drained;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /violate the pod's disruption budget/);
  await kubectl("uncordon", node);
  await untilReady(t, "both evicted and back", sinceMs);
  assert.notEqual((await podOf(other.metadata.name))?.metadata.uid, other.metadata.uid);
  assert.equal(await verifiedLoad(t, load), 0);
});

test("from three members to five, three, one and three, and no write fails", async (t) => {
  const load = await startLoad();
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

test("other resources, the next version and the one before reach every member, and no write fails", async (t) => {
  const load = await startLoad();
  const versionOf = (image: string) => image.slice(image.lastIndexOf(":") + 1);
  const changes = [
    { what: "other resources", spec: { template: { resources: { requests: { cpu: "60m" } } } } },
    {
      what: "the next version",
      spec: { version: versionOf(images.nextMember) },
      tells: memberVersions.nextMember,
    },
    { what: "the version before", spec: { version: versionOf(images.member) }, tells: memberVersions.member },
  ];
  for (const { what, spec, tells = memberVersions.member } of changes) {
    const before = new Map((await pods()).map((pod) => [pod.metadata.name, pod.metadata.uid]));
    const sinceMs = performance.now();
    await patchSpec(spec);
    await untilReady(t, what, sinceMs, async () => {
      const now = await pods();
      return now.length === 3 && now.every((pod) => before.get(pod.metadata.name) !== pod.metadata.uid);
    });
    assert.equal(await status("members[*].version"), [tells, tells, tells].join(" "));
  }
  assert.equal(await verifiedLoad(t, load), 0);
});
