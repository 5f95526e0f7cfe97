// The cluster named first in the namespace apps, on a bed that lives as long as one test file.
import assert from "node:assert/strict";
import { after, before, type TestContext } from "node:test";
import { eventually } from "../k8s/support/eventually.ts";
import { apply, kubectlFor } from "../k8s/support/kubectl.ts";
import { adminKubeconfig, bedDown, bedUp } from "./bed.ts";
import { type Access, ClientLoad } from "./load.ts";

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

/** To be given to `make`; three members and 1 GiB if the spec says nothing else. */
export function firstCluster(spec: object = {}): object {
  return {
    apiVersion: "etcdlike.io/v1alpha1",
    kind: "EtcdLikeCluster",
    metadata: { name: "first", namespace: "apps" },
    spec: { replicas: 3, storage: { size: "1Gi" }, ...spec },
  };
}

export async function patchSpec(spec: object): Promise<void> {
  await kubectl("patch", "elc", "first", "-n", "apps", "--type=merge", "-p", JSON.stringify({ spec }));
}

export interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly status: {
    readonly podIP?: string;
    readonly containerStatuses?: readonly { readonly containerID?: string; readonly restartCount: number }[];
  };
  readonly spec: {
    readonly nodeName?: string;
    readonly containers: readonly { readonly image: string }[];
  };
}

export async function pods(): Promise<readonly Pod[]> {
  const text = await kubectl("get", "pods", "-n", "apps", "-l", "etcdlike.io/cluster=first", "-o", "json");
  return (JSON.parse(text) as { items: Pod[] }).items;
}

export async function endpoints(): Promise<readonly string[]> {
  return (await pods()).flatMap(({ status: { podIP } }) => (podIP === undefined ? [] : [`${podIP}:2379`]));
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

export async function status(path: string): Promise<string> {
  return kubectl("get", "elc", "first", "-n", "apps", "-o", `jsonpath={.status.${path}}`);
}

export async function condition(type: string, field = "status"): Promise<string> {
  return status(`conditions[?(@.type=="${type}")].${field}`);
}

export async function memberIds(): Promise<string[]> {
  return (await status("members[*].id")).split(" ").sort();
}

/** Ready, and what else is waited for has come; the time it took is told. */
export async function untilReady(
  t: TestContext,
  what: string,
  sinceMs: number,
  isOver: () => Promise<boolean> = async () => true,
): Promise<void> {
  await eventually(
    `${what}: Ready`,
    async () => (await isOver()) && (await condition("Ready")) === "True",
    readyTimeoutMs,
  );
  t.diagnostic(`${what}: Ready after ${((performance.now() - sinceMs) / 1000).toFixed(1)} s`);
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
