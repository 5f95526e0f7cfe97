// A Kubernetes API server keeps its objects in a cluster of ours, over mutual TLS: thousands of them, its own
// compaction of their histories, and a member that is killed meanwhile.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type ControlPlane, startControlPlane } from "../k8s/support/control-plane.ts";
import { eventually } from "../k8s/support/eventually.ts";
import { type Background, startInBackground } from "../tools/background.ts";
import { kubernetesTool } from "../tools/kubectl-helm.ts";
import { gateway } from "./bed.ts";
import {
  accessFiles,
  etcdctl,
  firstCluster,
  hasRestarted,
  killProcess,
  make,
  minutes,
  pods,
  status,
  untilReady,
  useBed,
} from "./first-cluster.ts";
import { installOperator } from "./install.ts";

const objectCount = 5_000;
const inFlight = 20;
const compactionIntervalSeconds = 15;
const configMaps = "/api/v1/namespaces/default/configmaps";

let kubernetes: ControlPlane;
let folder: string;
let token = "";
let watch: Background;
let retried = 0;
const agent = new Agent({ keepAlive: true, maxSockets: inFlight });

useBed(async () => {
  await installOperator();
  folder = await mkdtemp(join(tmpdir(), "etcdlike-kube-apiserver-"));
});
after(async () => {
  agent.destroy();
  await watch?.kill();
  await kubernetes?.stop();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

/** An answer of 2xx, however many attempts it takes. */
async function api(method: string, path: string, body?: object): Promise<string> {
  return eventually(
    `${method} ${path}`,
    async () => {
      const { code, text } = await attempt(method, path, body);
      // Of an attempt before, whose answer was lost.
      const isDone = (method === "POST" && code === 409) || (method === "DELETE" && code === 404);
      if ((code >= 200 && code < 300) || isDone) return text;
      retried++;
      return undefined;
    },
    2 * minutes,
  );
}

function attempt(method: string, path: string, body?: object): Promise<{ code: number; text: string }> {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  return new Promise((resolve) => {
    const failed = (error: Error) => resolve({ code: 0, text: error.message });
    const url = `${kubernetes.server}${path}`;
    const call = request(url, { method, ca: kubernetes.ca, headers, agent, timeout: 60_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", failed);
      response.on("end", () =>
        resolve({ code: response.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") }),
      );
    });
    call.on("timeout", () => call.destroy(new Error("no answer within a minute")));
    call.on("error", failed);
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** One call for every object, some of them at a time; `halfway` happens when half of them are through. */
async function forEachObject(
  one: (index: number) => Promise<unknown>,
  halfway: () => Promise<void>,
): Promise<void> {
  let next = 0;
  let killing: Promise<void> | undefined;
  const work = async () => {
    while (next < objectCount) {
      const index = next++;
      if (index === objectCount / 2) killing = halfway();
      await one(index);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, work));
  await killing;
}

/** The leader's process or another's; it runs again afterwards. */
async function killMember(role: "leader" | "follower"): Promise<void> {
  const leader = await status("leader");
  const victim = (await pods()).find((pod) => (pod.metadata.name === leader) === (role === "leader"));
  assert.ok(victim);
  await killProcess(victim);
  await eventually(`${victim.metadata.name} runs again`, () => hasRestarted(victim));
}

async function objectKeyCount(): Promise<number> {
  const prefix = "/registry/configmaps/default/object-";
  const text = await etcdctl(["get", prefix, "--prefix", "--count-only", "-w", "fields"]);
  return Number(/"Count" : (\d+)/.exec(text)?.[1]);
}

test("kube-apiserver is ready on a cluster of three members with mutual TLS", async (t) => {
  const sinceMs = performance.now();
  await make(firstCluster({ tls: { client: { mode: "Mutual" } } }));
  await untilReady(t, "three members", sinceMs);
  const { ca, cert, key } = await accessFiles();
  const hosts = (await pods()).map((pod) => `${pod.metadata.name}.first-peer.apps.svc.cluster.local`);
  const startedMs = performance.now();
  kubernetes = await startControlPlane({
    storage: {
      flags: [
        `--etcd-servers=${hosts.map((host) => `https://${host}:2379`).join()}`,
        ...[`--etcd-cafile=${ca}`, `--etcd-certfile=${cert}`, `--etcd-keyfile=${key}`],
        `--etcd-compaction-interval=${compactionIntervalSeconds}s`,
      ],
      resolverConfig: `nameserver ${gateway}\n`,
    },
  });
  t.diagnostic(`kube-apiserver ready after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  const config = JSON.parse(await readFile(kubernetes.adminKubeconfig, "utf8")) as {
    users: { user: { token: string } }[];
  };
  token = config.users[0]?.user.token ?? "";
});

test("5,000 objects are created and seen by list and watch, and the leader is killed meanwhile", async (t) => {
  const what = ["get", "configmaps", "-l", "made=here", "--watch", "--output-watch-events", "--no-headers"];
  watch = startInBackground(
    await kubernetesTool("kubectl"),
    ["--kubeconfig", kubernetes.adminKubeconfig, ...what],
    { logFile: join(folder, "watch") },
  );
  const sinceMs = performance.now();
  await forEachObject(
    (index) =>
      api("POST", configMaps, {
        ...{ apiVersion: "v1", kind: "ConfigMap", data: { index: String(index) } },
        metadata: { name: `object-${index}`, labels: { made: "here" } },
      }),
    () => killMember("leader"),
  );
  t.diagnostic(
    `${objectCount} created in ${((performance.now() - sinceMs) / 1000).toFixed(1)} s, ${retried} attempts failed`,
  );
  const list = JSON.parse(await api("GET", `${configMaps}?labelSelector=made%3Dhere`)) as { items: object[] };
  assert.equal(list.items.length, objectCount);
  assert.equal(await objectKeyCount(), objectCount);
  await seen("ADDED");
});

test("kube-apiserver's compaction runs", async (t) => {
  const compacted = await eventually("a compaction", async () => {
    const { stdout = "", stderr = "" } = await etcdctl(["get", "/registry", "--rev=2"]).then(
      (stdout) => ({ stdout, stderr: "" }),
      (error: Error) => ({ stdout: "", stderr: error.message }),
    );
    return stdout === "" && stderr.includes("required revision has been compacted") && stderr;
  });
  t.diagnostic(compacted.slice(compacted.lastIndexOf("etcdserver:")).trim());
});

test("they are all deleted, the watch saw every one, and another member is killed meanwhile", async (t) => {
  retried = 0;
  const sinceMs = performance.now();
  await forEachObject(
    (index) => api("DELETE", `${configMaps}/object-${index}`),
    () => killMember("follower"),
  );
  t.diagnostic(
    `${objectCount} deleted in ${((performance.now() - sinceMs) / 1000).toFixed(1)} s, ${retried} attempts failed`,
  );
  await seen("DELETED");
  assert.equal(await objectKeyCount(), 0);
  await untilReady(t, "all members after it", performance.now());
});

/** The watch told it of every object, exactly once. */
async function seen(event: "ADDED" | "DELETED"): Promise<void> {
  const names = async () =>
    (await readFile(watch.logFile, "utf8"))
      .split("\n")
      .map((line) => line.split(/\s+/))
      .flatMap(([type, name]) => (type === event && name !== undefined ? [name] : []));
  await eventually(`${event} of all`, async () => (await names()).length >= objectCount, 2 * minutes);
  const told = await names();
  assert.deepEqual([told.length, new Set(told).size], [objectCount, objectCount]);
}
