// The reflector and the transport against a real API server, under the faults that watches suffer in real life.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { KubeConfig } from "@kubernetes/client-node";
import type { KubeClient } from "../../operator/kube/client.ts";
import { type KubeObject, kinds, resourcePath } from "../../operator/kube/objects.ts";
import { createTransport } from "../../operator/kube/transport.ts";
import type { Clock } from "../../operator/lib/clock.ts";
import { silentLogger } from "../../operator/lib/log.ts";
import { realClock } from "../../operator/lib/real-clock.ts";
import { Reflector } from "../../operator/runtime/reflector.ts";
import { type ControlPlane, startControlPlane } from "./support/control-plane.ts";
import { type CuttingProxy, cuttingProxy } from "./support/cutting-proxy.ts";
import { eventually } from "./support/eventually.ts";

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

const configMaps = { apiVersion: "v1", kind: "ConfigMap", plural: "configmaps" };
const labelSelector = "test=reflector";

let bed: ControlPlane;
let proxy: CuttingProxy;
let direct: KubeClient;
let stop: AbortController;
let running: Promise<void>;
let reflector: Reflector<ConfigMap>;
let problems: string[];

function clientOf(kubeconfig: string): KubeClient {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  return createTransport(config, { userAgent: "etcdlike-test" });
}

/** Real time, but the watchdog's ninety seconds pass in three. */
const hastyClock: Clock = {
  ...realClock,
  after: (delayMs, callback) => realClock.after(delayMs === 90_000 ? 3_000 : delayMs, callback),
};

before(async () => {
  bed = await startControlPlane();
  proxy = await cuttingProxy(bed.port);
  direct = clientOf(bed.adminKubeconfig);
  for (let i = 0; i < 1_200; i++) await put(`preset-${i}`, "0");
  stop = new AbortController();
  problems = [];
  reflector = new Reflector<ConfigMap>({
    client: clientOf(await bed.kubeconfig("proxied", { server: proxy.url })),
    path: resourcePath(configMaps, { namespace: "default" }),
    labelSelector,
    clock: hastyClock,
    random: Math.random,
    log: {
      ...silentLogger,
      warn: (message, fields) => problems.push(`${message} ${JSON.stringify(fields)}`),
    },
    onChange: () => {},
  });
  running = reflector.run(stop.signal);
});
after(async () => {
  stop.abort();
  await running;
  proxy.close();
  await bed.stop();
});

async function put(name: string, value: string): Promise<void> {
  const path = resourcePath(configMaps, { namespace: "default", name });
  await direct.request({
    method: "PATCH",
    path,
    query: { fieldManager: "test", force: "true" },
    contentType: "application/apply-patch+yaml",
    body: {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, labels: { test: "reflector" } },
      data: { value },
    },
  });
}

async function remove(name: string): Promise<void> {
  await direct.request({ method: "DELETE", path: resourcePath(configMaps, { namespace: "default", name }) });
}

/** The copy equals what a fresh list says. */
async function agrees(): Promise<boolean> {
  const list = (await direct.request({
    method: "GET",
    path: resourcePath(configMaps, { namespace: "default" }),
    query: { labelSelector },
  })) as { items: ConfigMap[] };
  const form = (items: Iterable<ConfigMap>) =>
    [...items].map((item) => `${item.metadata.name}@${item.metadata.resourceVersion}`).sort();
  return JSON.stringify(form(list.items)) === JSON.stringify(form(reflector.all()));
}

test("1,200 objects come in three pages", async () => {
  await eventually("the copy is complete", () => reflector.hasSynced);
  assert.equal([...reflector.all()].length, 1_200);
  assert.equal(reflector.lists, 1);
});

test("changes arrive by the watch alone", async () => {
  await put("one", "1");
  await put("one", "2");
  await remove("preset-3");
  await eventually("the copy follows", agrees);
  assert.equal(reflector.get("default", "one")?.data?.["value"], "2");
  assert.equal(reflector.get("default", "preset-3"), undefined);
  assert.equal(reflector.lists, 1);
});

test("connections that are cut resume without a list and miss nothing", async () => {
  for (let i = 0; i < 5; i++) {
    proxy.cut();
    await put("cut", String(i));
    await remove(`preset-${10 + i}`);
  }
  await eventually("the copy follows", agrees);
  assert.equal(reflector.lists, 1);
  assert.ok(problems.length > 0, "the cuts were noticed");
});

test("a connection that only fell silent is given up and resumed", async () => {
  const before = problems.length;
  proxy.silence();
  await put("silent", "1");
  await eventually("the copy follows", agrees);
  assert.ok(problems.slice(before).some((text) => text.includes("fell silent")));
  assert.equal(reflector.lists, 1);
  proxy.hear();
});

test("an API server that was killed and came back is watched again, and nothing is missed", async () => {
  await bed.killApiServer();
  await bed.startApiServer();
  await put("after-restart", "1");
  await remove("preset-30");
  await eventually("the copy follows", agrees);
  assert.equal(reflector.get("default", "preset-30"), undefined);
});

test("a point that the API server no longer knows leads to a new list", async () => {
  const ancient = new Reflector<ConfigMap>({
    client: {
      request: (request) => direct.request(request),
      watch: (request) =>
        direct.watch({
          ...request,
          query: { ...request.query, resourceVersion: ancientOnce(request.query) },
        }),
    },
    path: resourcePath(configMaps, { namespace: "default" }),
    labelSelector,
    clock: realClock,
    random: Math.random,
    log: silentLogger,
    onChange: () => {},
  });
  let isFirst = true;
  function ancientOnce(query: Readonly<Record<string, string>>): string {
    if (!isFirst) return query["resourceVersion"] ?? "";
    isFirst = false;
    return "1";
  }
  const done = new AbortController();
  const ran = ancient.run(done.signal);
  await eventually("it listed again", () => ancient.lists >= 2);
  done.abort();
  await ran;
});

test("a refusal carries Kubernetes' own reason", async () => {
  const missing = resourcePath(kinds.pod, { namespace: "default", name: "missing" });
  await assert.rejects(direct.request({ method: "GET", path: missing }), { status: 404, reason: "NotFound" });
  const stranger = clientOf(await bed.kubeconfig("stranger", { token: "unknown" }));
  await assert.rejects(stranger.request({ method: "GET", path: missing }), { status: 401 });
});
