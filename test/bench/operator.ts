// What the operator itself costs: memory, processor time and requests with no cluster and with many at rest. A real
// API server; the members answer from a stub process, and Pods are said to run by this one.
//
//   npm run bench:operator -- [--clusters 50] [--seconds 60]
import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { KubeConfig } from "@kubernetes/client-node";
import { patchTypes } from "../../operator/kube/client.ts";
import { type KubeObject, kinds, resourcePath } from "../../operator/kube/objects.ts";
import { createTransport } from "../../operator/kube/transport.ts";
import { startControlPlane } from "../k8s/support/control-plane.ts";
import { eventually } from "../k8s/support/eventually.ts";
import { apply, kubectlFor } from "../k8s/support/kubectl.ts";
import { startOperator } from "../k8s/support/operator.ts";
import { buildFamily } from "../tools/toolchain.ts";
import type { NewMember } from "./stub-members.ts";

const { values: args } = parseArgs({
  options: {
    clusters: { type: "string", default: "50" },
    seconds: { type: "string", default: "60" },
  },
});
const clusterCount = Number(args.clusters);
const seconds = Number(args.seconds);
const membersEach = 3;
const settleMs = 30_000;
const ticksPerSecond = 100;
const formMs = 1_800_000;

type Pod = KubeObject & {
  readonly metadata: { readonly namespace: string };
  readonly spec: { readonly containers: readonly { readonly args: readonly string[] }[] };
  readonly status?: { readonly podIP?: string };
};

await buildFamily("kubernetes");
const bed = await startControlPlane({ withControllers: true });
const stub = fork(join(import.meta.dirname, "stub-members.ts"), { stdio: "inherit" });
try {
  const kubectl = await kubectlFor(bed.adminKubeconfig);
  const crds = join(import.meta.dirname, "..", "..", "crds");
  await kubectl("create", "-f", crds);
  await kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", crds);
  const operator = await startOperator(bed);
  console.log(`clusters  memory MiB  processor ms/s  requests/s  passes/s  (over ${seconds} s)`);
  await measure(0, operator);

  const client = createTransport(configOf(bed.adminKubeconfig), { userAgent: "etcdlike-bench" });
  const stop = new AbortController();
  const kubelet = playKubelet(client, stop.signal);
  const startedMs = performance.now();
  const list = Array.from({ length: clusterCount }, (_, i) => ({
    apiVersion: kinds.cluster.apiVersion,
    kind: kinds.cluster.kind,
    metadata: { name: `bench-${i}`, namespace: "default" },
    spec: { replicas: membersEach },
  }));
  const applied = await apply(kubectl, ...list);
  if (applied.code !== 0) throw new Error(applied.stderr);
  await eventually(
    `${clusterCount} clusters are Ready`,
    async () => (await readyCount()) === clusterCount,
    formMs,
  );
  console.log(`${clusterCount} clusters formed in ${((performance.now() - startedMs) / 1_000).toFixed(0)} s`);
  await measure(clusterCount, operator);
  stop.abort();
  await kubelet;
  await operator.stop();

  async function readyCount(): Promise<number> {
    const text = await (await fetch(`${operator.url}/metrics`)).text();
    return [...text.matchAll(/^etcdlike_cluster_ready\{.*\} 1$/gm)].length;
  }
} finally {
  stub.disconnect();
  await bed.stop();
}

async function measure(clusters: number, { pid, url }: { readonly pid: number; readonly url: string }) {
  await sleep(settleMs);
  const before = await figures(pid, url);
  await sleep(seconds * 1_000);
  const after = await figures(pid, url);
  const columns = [
    String(clusters).padStart(8),
    (after.memoryBytes / 2 ** 20).toFixed(0).padStart(10),
    (((after.ticks - before.ticks) * 1_000) / ticksPerSecond / seconds).toFixed(1).padStart(14),
    ((after.requests - before.requests) / seconds).toFixed(1).padStart(10),
    ((after.passes - before.passes) / seconds).toFixed(1).padStart(8),
  ];
  console.log(columns.join("  "));
}

async function figures(pid: number, url: string) {
  const text = await (await fetch(`${url}/metrics`)).text();
  const sum = (name: string) =>
    [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, "gm"))].reduce(
      (total, [, value]) => total + Number(value),
      0,
    );
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The command's name, in parentheses, may hold blanks; utime and stime are the 12th and 13th field after it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return {
    memoryBytes: Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1_024,
    ticks: Number(fields[11]) + Number(fields[12]),
    requests: sum("rest_client_requests_total"),
    passes: sum("controller_runtime_reconcile_total"),
  };
}

function configOf(file: string): KubeConfig {
  const config = new KubeConfig();
  config.loadFromFile(file);
  return config;
}

/** Every Pod gets an address of this machine and runs; the stub answers for it there. */
async function playKubelet(client: ReturnType<typeof createTransport>, signal: AbortSignal): Promise<void> {
  let count = 0;
  while (!signal.aborted) {
    const path = resourcePath(kinds.pod, { namespace: "default" });
    const { items } = (await client.request({ method: "GET", path })) as { items: Pod[] };
    for (const pod of items) {
      if (pod.status?.podIP !== undefined) continue;
      const podIP = `127.77.${Math.floor(count / 200)}.${(count % 200) + 1}`;
      count++;
      await settle({
        address: `${podIP}:2379`,
        cluster: pod.metadata.labels?.["etcdlike.io/cluster"] ?? "",
        name: pod.metadata.name,
        peerUrl: flagOf(pod, "initial-advertise-peer-urls"),
      });
      const now = {
        phase: "Running",
        podIP,
        podIPs: [{ ip: podIP }],
        conditions: [{ type: "Ready", status: "True" }],
        containerStatuses: [
          {
            ...{ name: "etcdlike", image: "etcdlike", imageID: "etcdlike", ready: true, restartCount: 0 },
            state: { running: { startedAt: new Date().toISOString() } },
          },
        ],
      };
      await client.request({
        method: "PATCH",
        path: `${path}/${pod.metadata.name}/status`,
        contentType: patchTypes.merge,
        body: { status: now },
      });
    }
    await sleep(200);
  }
}

function settle(member: NewMember): Promise<void> {
  return new Promise((resolve) => {
    const onMessage = (name: unknown) => {
      if (name !== member.name) return;
      stub.off("message", onMessage);
      resolve();
    };
    stub.on("message", onMessage);
    stub.send(member);
  });
}

function flagOf(pod: Pod, flag: string): string {
  const found = pod.spec.containers[0]?.args.find((arg) => arg.startsWith(`--${flag}=`));
  if (found === undefined) throw new Error(`${pod.metadata.name} has no --${flag}`);
  return found.slice(flag.length + 3);
}
