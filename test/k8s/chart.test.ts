// The chart on a real API server with a real helm: lint, values, install, upgrade, uninstall; and the operator run
// with nothing but the rights that the chart grants, its requests read from the API server's audit log.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { KubeConfig } from "@kubernetes/client-node";
import { parseAllDocuments } from "yaml";
import { observationOf } from "../../operator/control/testing/situation.ts";
import type { ApiRequest } from "../../operator/kube/client.ts";
import { kinds } from "../../operator/kube/objects.ts";
import { createTransport } from "../../operator/kube/transport.ts";
import { silentLogger } from "../../operator/lib/log.ts";
import { Run } from "../../operator/reconcile/testing/run.ts";
import { EventRecorder } from "../../operator/runtime/events.ts";
import { ManualClock } from "../../operator/runtime/testing/manual-clock.ts";
import { SnapshotWorld } from "../../operator/snapshots/testing/world.ts";
import { freePort } from "../e2e/support/scratch.ts";
import { startInBackground } from "../tools/background.ts";
import { type ControlPlane, startControlPlane } from "./support/control-plane.ts";
import { eventually } from "./support/eventually.ts";
import { apply, type Cli, helmFor, kubectlFor } from "./support/kubectl.ts";

const root = join(import.meta.dirname, "..", "..");
const chart = join(root, "charts", "etcdlike");

let bed: ControlPlane;
let kubectl: Cli;
let helm: Cli;

before(async () => {
  bed = await startControlPlane({ withControllers: true, withAudit: true });
  kubectl = await kubectlFor(bed.adminKubeconfig);
  helm = await helmFor(bed.adminKubeconfig, bed.folder);
});
after(() => bed.stop());

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

interface Rendered {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    annotations?: Record<string, string>;
  };
  readonly rules?: readonly Rule[];
}

async function rendered(...flags: readonly string[]): Promise<readonly Rendered[]> {
  const text = await helm("template", "one", chart, "--namespace", "system", ...flags);
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Rendered | null)
    .filter((object) => object !== null);
}

const matrix: readonly (readonly string[])[] = [
  [],
  ["--set", "replicaCount=3"],
  ["--set", "scope.namespaces={a,b}"],
  ["--set", "crds.enabled=false,rbac.create=false,serviceAccount.create=false"],
  ["--set", `crds.keep=false,image.digest=sha256:${"0".repeat(64)}`],
  ["--set", "image.pullSecrets={secret},priorityClassName=high,nodeSelector.disk=fast"],
  [
    "--set",
    "monitoring.podMonitor.enabled=true,monitoring.prometheusRule.enabled=true,monitoring.dashboard.enabled=true",
  ],
];

test("the chart is clean for every kind of values", async () => {
  for (const flags of matrix) {
    await helm("lint", "--strict", chart, ...flags);
    assert.ok((await rendered(...flags)).length >= 3);
  }
});

const refusedValues: readonly (readonly [string, RegExp])[] = [
  ["replicas=3", /additional properties 'replicas' not allowed/],
  ["replicaCount=0", /replicaCount.*minimum/s],
  ["image.pullPolicy=Sometimes", /pullPolicy/],
  ["scope.namespaces={UPPER}", /namespaces/],
];

for (const [value, text] of refusedValues) {
  test(`the value ${value} is refused`, async () => {
    const outcome = await helm.attempt("template", "one", chart, "--set", value);
    assert.notEqual(outcome.code, 0);
    assert.match(outcome.stderr, text);
  });
}

test("definitions are kept at uninstall unless that is switched off, and are the ones in crds/", async () => {
  const definitions = (objects: readonly Rendered[]) =>
    objects.filter(({ kind }) => kind === "CustomResourceDefinition");
  const kept = definitions(await rendered());
  assert.equal(kept.length, 6);
  for (const { metadata } of kept) assert.equal(metadata.annotations?.["helm.sh/resource-policy"], "keep");
  const dropped = definitions(await rendered("--set", "crds.keep=false"));
  for (const { metadata } of dropped)
    assert.equal(metadata.annotations?.["helm.sh/resource-policy"], undefined);
  for (const definition of dropped) {
    const text = readFileSync(join(root, "crds", `${definition.metadata.name}.yaml`), "utf8");
    const [wanted] = parseAllDocuments(text).map((document) => document.toJS() as { spec: object });
    assert.deepEqual((definition as unknown as { spec: object }).spec, wanted?.spec);
  }
});

test("no rule has a wildcard, and the namespaced mode grants nothing in the cluster but reading definitions", async () => {
  for (const flags of matrix) {
    for (const { rules = [] } of await rendered(...flags)) {
      assert.ok(!JSON.stringify(rules).includes('"*"'));
    }
  }
  const objects = await rendered("--set", "scope.namespaces={a,b}");
  const wide = objects.filter(({ kind }) => kind === "ClusterRole").flatMap(({ rules = [] }) => rules);
  assert.deepEqual(
    wide.map(({ resources, verbs }) => [resources, verbs]),
    [[["customresourcedefinitions"], ["get"]]],
  );
  const roles = objects.filter(({ kind }) => kind === "Role").map(({ metadata }) => metadata.namespace);
  assert.deepEqual(roles.toSorted(), ["a", "b", "system"]);
});

test("install, with Pods that the restricted standard admits", async () => {
  await kubectl("create", "namespace", "system");
  await kubectl("label", "namespace", "system", "pod-security.kubernetes.io/enforce=restricted");
  await kubectl("create", "namespace", "apps");
  await kubectl("label", "namespace", "apps", "pod-security.kubernetes.io/enforce=restricted");
  const notes = await helm(
    ...["install", "one", chart, "--namespace", "system", "--set", "scope.namespaces={apps}"],
  );
  assert.match(notes, /looks after the namespaces apps/);
  await kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/etcdlikeclusters.etcdlike.io");
  await eventually("the Deployment's Pod is made", async () => {
    const pods = await kubectl("get", "pods", "-n", "system", "-o", "name");
    return pods.includes("one-etcdlike-operator");
  });
});

/** VERB GROUP/RESOURCE[/SUBRESOURCE] of every rule. */
function granted(objects: readonly Rendered[]): string[] {
  const found = objects.flatMap(({ rules = [] }) =>
    rules.flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) => verbs.map((verb) => `${verb} ${group}/${resource}`)),
      ),
    ),
  );
  return [...new Set(found)].sort();
}

/** VERB GROUP/RESOURCE[/SUBRESOURCE] of a request. Server-side apply of what does not exist asks for create, too. */
function verbsOf({ path, method, contentType }: ApiRequest): readonly string[] {
  const found = /^\/(?:api|apis\/([^/]+))\/[^/]+\/namespaces\/[^/]+\/([^/]+)(?:\/[^/]+)?(?:\/([^/]+))?$/.exec(
    path,
  );
  const resource = `${found?.[1] ?? ""}/${found?.[2]}${found?.[3] === undefined ? "" : `/${found[3]}`}`;
  const verb = { GET: "get", POST: "create", PUT: "update", PATCH: "patch", DELETE: "delete" }[method];
  return [`${verb} ${resource}`, ...(contentType?.includes("apply") === true ? [`create ${resource}`] : [])];
}

/** The same of requests as passes over snapshots make them. */
async function usedBySnapshots(): Promise<readonly string[]> {
  const used = new Set<string>();
  const world = new SnapshotWorld({ cluster: observationOf({}).cluster });
  world.onRequest = (request) => {
    for (const one of verbsOf(request)) used.add(one);
  };
  const template = {
    destination: { pvc: { claimName: "backups" } },
    deletionPolicy: "Delete",
    activeDeadlineSeconds: 3_600,
  };
  const clusterRef = { name: "c" };
  await world.create("etcdlikesnapshots", "one", { spec: { clusterRef, ...template } });
  await world.until(() => world.names("jobs").length === 1);
  world.api.edit("etcdlikesnapshots", "one", { metadata: { deletionTimestamp: "2026-03-10T02:59:31Z" } });
  await world.until(() => world.names("etcdlikesnapshots").length === 0);
  const restore = { clusterRef, consent: "c", source: { pvc: { claimName: "backups", path: "a.db" } } };
  await world.create("etcdlikerestores", "back", { spec: restore });
  await world.until(() => world.status("etcdlikerestores", "back")["revision"] === 7);
  const often = { schedule: "*/5 * * * *", timeZone: "Etc/UTC", suspend: false, concurrencyPolicy: "Forbid" };
  const spec = { clusterRef, ...often, template, retention: { keepLast: 1 } };
  await world.create("etcdlikesnapshotschedules", "often", { spec });
  await world.until(() => world.names("etcdlikesnapshots").length === 2);
  await world.until(() => world.names("etcdlikesnapshots").length === 1);
  return [...used];
}

/** The same of requests as the passes make them, over the lives of clusters in the small world. */
async function usedByPasses(): Promise<Set<string>> {
  const used = new Set<string>(await usedBySnapshots());
  const run = new Run({ spec: {} });
  const change = run.world.api.beforeChange;
  run.world.api.beforeChange = (request) => {
    for (const one of verbsOf(request)) used.add(one);
    change(request);
  };
  await run.until(() => run.isReady());
  const certificates = run.certificates();
  run.annotate({ "etcdlike.io/rotate-certificates": "1" });
  await run.until(() => [...run.certificates()].some(([name, text]) => certificates.get(name) !== text));
  run.set({ replicas: 1, options: { snapshotCount: 5_000 } });
  await run.until(() => run.isReady() && run.world.entries.length === 1);
  run.set({ replicas: 3 });
  await run.until(() => run.isReady() && run.world.entries.length === 3);
  run.world.damage(run.world.podNames()[0] ?? "");
  await run.until(() => run.isReady() && run.world.entries.length === 3);
  const policy = { quotaUsageAbove: "80%", minReclaim: 1_000, minIntervalSeconds: 600 };
  run.set({ maintenance: { defrag: policy }, storage: { size: "2Gi" } });
  const runs = () => run.world.api.all("etcdlikedefrags").length;
  await run.until(() => runs() === 1);
  await run.until(() => run.isReady());
  run.world.nowMs += 86_400_000;
  await run.until(() => runs() === 0);
  return used;
}

test("every verb that is granted is used, and every verb that is used is granted", async (t) => {
  const token = await kubectl("create", "token", "one-etcdlike-operator", "-n", "system");
  const kubeconfig = await bed.kubeconfig("operator", { token: token.trim() });
  const port = await freePort();
  const operator = startInBackground(
    process.execPath,
    [
      join(root, "operator", "main.ts"),
      ...["--namespaces=apps", "--lease-namespace=system", "--lease-name=one-etcdlike-operator"],
      `--listen=127.0.0.1:${port}`,
    ],
    { logFile: join(bed.folder, "operator.log"), env: { KUBECONFIG: kubeconfig } },
  );
  t.after(() => operator.stop());
  await apply(kubectl, {
    apiVersion: "etcdlike.io/v1alpha1",
    kind: "EtcdLikeCluster",
    metadata: { name: "first", namespace: "apps" },
    spec: { replicas: 3 },
  });
  await eventually("the operator made the seed's Pod", async () => {
    if (!operator.isRunning()) throw new Error(`the operator ended:\n${operator.tail()}`);
    return (await kubectl("get", "pods", "-n", "apps", "-o", "name")).includes("pod/first-0-");
  });
  const live = await fetch(`http://127.0.0.1:${port}/readyz`);
  assert.equal(live.status, 200, await live.text());

  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  const clock = new ManualClock();
  const recorder = new EventRecorder({
    client: createTransport(config, { userAgent: "etcdlike-test" }),
    clock,
    log: { ...silentLogger, warn: (message, fields) => assert.fail(`${message} ${JSON.stringify(fields)}`) },
    component: "etcdlike-operator",
    instance: "test",
  });
  const about = JSON.parse(await kubectl("get", "elc", "first", "-n", "apps", "-o", "json"));
  const event = { type: "Normal", reason: "Told", message: "twice" } as const;
  await recorder.tell(kinds.cluster, about, event);
  await clock.advance(60_000);
  await recorder.tell(kinds.cluster, about, event);
  assert.match(
    await kubectl("get", "events", "-n", "apps", "-o", "jsonpath={range .items[*]}{.reason}={.count};{end}"),
    /Told=2;/,
  );
  await operator.stop();
  assert.equal(await operator.exited, 0, operator.tail());
  const lease = ["get", "lease", "one-etcdlike-operator", "-n", "system", "-o"];
  assert.equal(await kubectl(...lease, "jsonpath={.spec.holderIdentity}"), "", "the Lease was released");

  const audited = bed.auditOf("system:serviceaccount:system:one-etcdlike-operator");
  assert.deepEqual(
    audited.filter(({ code }) => code === 403).map(({ request }) => request),
    [],
  );
  const used = await usedByPasses();
  for (const { request } of audited) used.add(request);
  assert.deepEqual([...used].sort(), granted(await rendered("--set", "scope.namespaces={apps}")));
});

test("the objects of a cluster are what the restricted standard and a disruption budget want", async () => {
  const services = await kubectl("get", "services", "-n", "apps", "-o", "name");
  assert.deepEqual(services.trim().split("\n").sort(), ["service/first-client", "service/first-peer"]);
  const budget = await kubectl("get", "pdb", "first", "-n", "apps", "-o", "jsonpath={.spec.minAvailable}");
  assert.equal(budget, "2");
  const policy = JSON.parse(await kubectl("get", "networkpolicy", "first", "-n", "apps", "-o", "json")) as {
    spec: { ingress: { ports: { port: string }[]; from?: unknown }[] };
  };
  const peer = policy.spec.ingress.find(({ ports }) => ports[0]?.port === "peer");
  assert.ok(peer?.from, "the peer port is for members only");
});

test("upgrade, rollback and uninstall leave definitions and clusters as NOTES says", async () => {
  await helm("upgrade", "one", chart, "--namespace", "system", "--set", "scope.namespaces={apps},workers=8");
  const args = await kubectl(
    ...["get", "deployment", "one-etcdlike-operator", "-n", "system"],
    ...["-o", "jsonpath={.spec.template.spec.containers[0].args}"],
  );
  assert.match(args, /--workers=8/);
  await helm("rollback", "one", "1", "--namespace", "system");
  await helm("uninstall", "one", "--namespace", "system");
  assert.match(await kubectl("get", "crd", "-o", "name"), /etcdlikeclusters.etcdlike.io/);
  assert.match(await kubectl("get", "elc", "-n", "apps", "-o", "name"), /first/);
  // No kubelet runs the member here, so it has formed nothing, and the volume is still bound to it. From the moment it
  // has, the operator lets the volume outlive it.
  const volumes = (await kubectl("get", "pvc", "-n", "apps", "-o", "name")).trim();
  assert.match(volumes, /data-first-0-[a-z0-9]+$/);
  await kubectl(
    "patch",
    volumes,
    "-n",
    "apps",
    "--type=merge",
    "-p",
    '{"metadata":{"ownerReferences":null}}',
  );
  // Nobody is there to let members go: the way that NOTES gives does it.
  await kubectl("delete", "elc", "first", "-n", "apps");
  await eventually("the member waits for its finalizer", async () => {
    const text = await kubectl(
      "get",
      "elm",
      "-n",
      "apps",
      "-o",
      "jsonpath={.items[*].metadata.deletionTimestamp}",
    );
    return text !== "";
  });
  const member = (await kubectl("get", "elm", "-n", "apps", "-o", "name")).trim();
  await kubectl("patch", member, "-n", "apps", "--type=merge", "-p", '{"metadata":{"finalizers":null}}');
  await eventually("nothing but the volume is left", async () => {
    const left = await kubectl("get", "elm,pods,services,pdb,networkpolicies", "-n", "apps", "-o", "name");
    return left.trim() === "";
  });
  assert.match(await kubectl("get", "pvc", "-n", "apps", "-o", "name"), /data-first-0-/);
});

test("a first cluster on request is made once, and is no part of the release", async () => {
  const install = ["install", "one", chart, "--namespace", "system", "--set", "scope.namespaces={apps}"];
  const wish = ["--set", "firstCluster.enabled=true,firstCluster.name=mine"];
  const replicas = () => kubectl("get", "elc", "mine", "-n", "apps", "-o", "jsonpath={.spec.replicas}");
  await helm(...install, ...wish);
  assert.equal(await replicas(), "3");
  await kubectl("scale", "elc", "mine", "-n", "apps", "--replicas=5");
  await helm("upgrade", "one", chart, "--namespace", "system", "--reuse-values", ...wish);
  assert.equal(await replicas(), "5");
  await helm("uninstall", "one", "--namespace", "system");
  assert.equal(await replicas(), "5");
  await helm(...install, ...wish);
  assert.equal(await replicas(), "5", "one that is there is not made anew");
  await helm("uninstall", "one", "--namespace", "system");
});

test("definitions that are not kept go with the release, and the clusters with them", async () => {
  const values = ["--namespace", "system", "--set", "crds.keep=false"];
  // Those that were kept belong to the release that made them.
  const refused = await helm.attempt("install", "three", chart, ...values);
  assert.match(refused.stderr, /invalid ownership metadata/);
  await helm("install", "three", chart, ...values, "--take-ownership");
  const notes = await helm("get", "notes", "three", "--namespace", "system");
  assert.match(notes, /DELETES the custom resource definitions/);
  await kubectl("delete", "elc", "--all", "-A");
  await helm("uninstall", "three", "--namespace", "system");
  await eventually("no definition is left", async () => {
    return !(await kubectl("get", "crd", "-o", "name")).includes("etcdlike.io");
  });
});
