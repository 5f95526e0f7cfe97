// The cluster named first in the namespace apps, on a bed that lives as long as one test file.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, type TestContext } from "node:test";
import { eventually } from "../k8s/support/eventually.ts";
import { apply, kubectlFor } from "../k8s/support/kubectl.ts";
import { toolPath } from "../tools/toolchain.ts";
import { adminKubeconfig, type BedNode, bedDown, bedFolder, bedUp, killContainer, nodes } from "./bed.ts";
import { type Access, ClientLoad } from "./load.ts";
import { run, runWithInput } from "./shell.ts";

export const minutes = 60_000;
/** Only tells a hang from slowness. */
const readyTimeoutMs = 10 * minutes;

/** The bed comes up before the tests of this file, and goes away after them with the clients that write. */
export function useBed(prepare: () => Promise<unknown>): void {
  before(async () => {
    await bedUp();
    await prepare();
  });
  after(async () => {
    await Promise.all(loads.map((load) => load.stop()));
    await bedDown();
  });
}

export async function kubectl(...args: readonly string[]): Promise<string> {
  return (await kubectlFor(adminKubeconfig))(...args);
}

export async function make(...objects: readonly object[]): Promise<void> {
  const { code, stderr } = await apply(await kubectlFor(adminKubeconfig), ...objects);
  assert.equal(code, 0, stderr);
}

/** One of our custom resources in the namespace apps, to be given to `make`. */
export function resource(kind: string, name: string, spec: object): object {
  return { apiVersion: "etcdlike.io/v1alpha1", kind, metadata: { name, namespace: "apps" }, spec };
}

/** Three members and 1 GiB if the spec says nothing else. */
export function firstCluster(spec: object = {}): object {
  return resource("EtcdLikeCluster", "first", { replicas: 3, storage: { size: "1Gi" }, ...spec });
}

/** A part of an object in the namespace apps, such as `.status.phase`. */
export function get(what: string, path: string): Promise<string> {
  return kubectl("get", what, "-n", "apps", "-o", `jsonpath={${path}}`);
}

export async function patchSpec(spec: object): Promise<void> {
  await kubectl("patch", "elc", "first", "-n", "apps", "--type=merge", "-p", JSON.stringify({ spec }));
}

export interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly status: {
    readonly podIP?: string;
    readonly containerStatuses?: readonly { readonly containerID?: string; readonly restartCount: number }[];
  };
  readonly spec: {
    readonly nodeName?: string;
    readonly containers: readonly { readonly image: string }[];
  };
}

export async function pods(cluster = "first"): Promise<readonly Pod[]> {
  const selector = `etcdlike.io/cluster=${cluster}`;
  const text = await kubectl("get", "pods", "-n", "apps", "-l", selector, "-o", "json");
  return (JSON.parse(text) as { items: Pod[] }).items;
}

export function podNames(of: readonly Pod[]): string[] {
  return of.map(({ metadata }) => metadata.name);
}

export async function endpoints(): Promise<readonly string[]> {
  return endpointsOf(await pods());
}

function endpointsOf(some: readonly Pod[]): readonly string[] {
  return some.flatMap(({ status: { podIP } }) => (podIP === undefined ? [] : [`${podIP}:2379`]));
}

export function nodeOf(pod: Pod): BedNode {
  const node = nodes.find(({ name }) => name === pod.spec.nodeName);
  assert.ok(node, `${pod.metadata.name} is on a node`);
  return node;
}

/** SIGKILL to the process of a Pod, which the kubelet starts again. */
export async function killProcess(pod: Pod): Promise<void> {
  const id = pod.status.containerStatuses?.[0]?.containerID;
  assert.ok(id !== undefined, `${pod.metadata.name} has a container`);
  await killContainer(nodeOf(pod), id.replace("containerd://", ""));
}

/** Whether its container has started again since `pod` was read. */
export async function hasRestarted({ metadata, status: { containerStatuses } }: Pod): Promise<boolean> {
  const now = (await pods()).find((one) => one.metadata.uid === metadata.uid)?.status.containerStatuses?.[0];
  return (now?.restartCount ?? 0) > (containerStatuses?.[0]?.restartCount ?? 0);
}

/** Where the files of a claim are on this machine. */
export async function folderOf(claim: string): Promise<string> {
  const volume = await get(`pvc/${claim}`, ".spec.volumeName");
  return kubectl("get", "pv", volume, "-o", "jsonpath={.spec.hostPath.path}");
}

/** Empties the disks of members, whose Pods then go. */
export async function wipeDisks(members: readonly string[]): Promise<void> {
  for (const name of members) await run("find", await folderOf(`data-${name}`), "-mindepth", "1", "-delete");
  await kubectl("delete", "pods", ...members, "-n", "apps", "--wait=false", "--grace-period=1");
}

/** What clients mount, or another Secret. */
export async function access(secret = "first-client-tls"): Promise<Access> {
  const text = await kubectl("get", "secret", secret, "-n", "apps", "-o", "json");
  const { data } = JSON.parse(text) as { data: Record<string, string> };
  const file = (name: string) => Buffer.from(data[name] ?? "", "base64").toString("utf8");
  return {
    caPem: file("ca.crt"),
    certPem: file("tls.crt"),
    keyPem: file("tls.key"),
    serverName: "first-client.apps.svc",
  };
}

/** Where etcdctl and others find the certificates of clients, as files of now. */
export async function accessFiles(cluster = "first"): Promise<{ ca: string; cert: string; key: string }> {
  const { caPem, certPem, keyPem } = await access(`${cluster}-client-tls`);
  const file = (name: string) => join(bedFolder, `${cluster}-client-${name}`);
  const files = { ca: file("ca.crt"), cert: file("tls.crt"), key: file("tls.key") };
  await writeFile(files.ca, caPem);
  await writeFile(files.cert, certPem);
  await writeFile(files.key, keyPem, { mode: 0o600 });
  return files;
}

/** Asks the voters of a cluster, with its clients' certificate where they demand one. */
export async function etcdctl(
  args: readonly string[],
  { cluster = "first", input = "" }: { readonly cluster?: string; readonly input?: string } = {},
): Promise<string> {
  const isMutual = (await get(`elc/${cluster}`, ".spec.tls.client.mode")) === "Mutual";
  const voters = (await pods(cluster)).filter(
    ({ metadata }) => metadata.labels?.["etcdlike.io/role"] === "voter",
  );
  const urls = endpointsOf(voters).map((endpoint) => `${isMutual ? "https" : "http"}://${endpoint}`);
  const flags = [`--endpoints=${urls.join()}`, "--command-timeout=30s"];
  if (isMutual) {
    const { ca, cert, key } = await accessFiles(cluster);
    // Pods are asked by their addresses, which no certificate carries.
    flags.push(`--cacert=${ca}`, `--cert=${cert}`, `--key=${key}`, "--insecure-skip-tls-verify");
  }
  return runWithInput(input, await toolPath("etcdctl"), ...flags, ...args);
}

export function status(path: string): Promise<string> {
  return get("elc/first", `.status.${path}`);
}

export async function condition(type: string, field = "status"): Promise<string> {
  return status(`conditions[?(@.type=="${type}")].${field}`);
}

export async function memberIds(): Promise<string[]> {
  return (await status("members[*].id")).split(" ").sort();
}

export async function memberNames(): Promise<string[]> {
  return (await status("members[*].name")).split(" ");
}

/** Ready, and what else is waited for has come; the time it took is told. */
export async function untilReady(
  t: TestContext,
  what: string,
  sinceMs: number,
  isOver: () => Promise<boolean> = async () => true,
): Promise<void> {
  try {
    const ask = async () => (await isOver()) && (await condition("Ready")) === "True";
    await eventually(`${what}: Ready`, ask, readyTimeoutMs);
  } catch (cause) {
    // Nothing of it is left after the test.
    throw new Error(`${what}\n${await situation()}`, { cause });
  }
  t.diagnostic(`${what}: Ready after ${((performance.now() - sinceMs) / 1000).toFixed(1)} s`);
}

/** What somebody would look at first. */
export async function situation(): Promise<string> {
  const cli = await kubectlFor(adminKubeconfig);
  const parts = [
    ["get", "nodes"],
    ["get", "elc,elm,pods,pvc", "-n", "apps", "-o", "wide"],
    ["get", "elc", "-n", "apps", "-o", "jsonpath={.items[*].status}"],
    ["get", "pods", "-n", "system", "-o", "wide"],
    ["logs", "-n", "system", "deployments/one-etcdlike-operator", "--tail=20"],
  ].map(async (args) => {
    const { stdout, stderr } = await cli.attempt(...args);
    return `${stdout}${stderr}`.trim();
  });
  return (await Promise.all(parts)).join("\n");
}

const loads: ClientLoad[] = [];

/** A client that writes to the cluster until its report is asked for. */
export async function startLoad(accessNow?: () => Promise<Access>): Promise<ClientLoad> {
  const load = await ClientLoad.start(endpoints, accessNow);
  loads.push(load);
  return load;
}

/** Nothing acknowledged may be missing; the figures are told. Returns how many writes failed. */
export async function verifiedLoad(t: TestContext, load: ClientLoad | undefined): Promise<number> {
  assert.ok(load);
  const { acknowledged, retried, failed, longestGapMs, missing } = await load.verify();
  t.diagnostic(
    `${acknowledged} writes, ${retried} retried, ${failed} failed, longest gap ${(longestGapMs / 1000).toFixed(1)} s`,
  );
  assert.ok(acknowledged > 0);
  assert.deepEqual(missing, []);
  return failed;
}
