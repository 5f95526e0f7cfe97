// What the chart gives to Prometheus and Grafana: rules and dashboard are read by Prometheus' own parser, ask only
// for metrics that a member or the operator really serves, and every alert has its runbook.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { parseAllDocuments, stringify } from "yaml";
import { observationOf } from "../../operator/control/testing/situation.ts";
import { podOf } from "../../operator/render/pod.ts";
import { start } from "../tools/member.ts";
import { toolPath } from "../tools/toolchain.ts";
import { type ControlPlane, startControlPlane } from "./support/control-plane.ts";
import { eventually } from "./support/eventually.ts";
import { apply, type Cli, helmFor, kubectlFor } from "./support/kubectl.ts";
import { startOperator } from "./support/operator.ts";

const root = join(import.meta.dirname, "..", "..");
const chart = join(root, "charts", "etcdlike");

let bed: ControlPlane;
let kubectl: Cli;
let helm: Cli;

before(async () => {
  bed = await startControlPlane();
  kubectl = await kubectlFor(bed.adminKubeconfig);
  helm = await helmFor(bed.adminKubeconfig, bed.folder);
});
after(() => bed.stop());

interface Endpoint {
  readonly port: string;
  readonly honorLabels?: boolean;
}

interface Rendered {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec: {
    readonly groups: readonly { readonly rules: readonly Alert[] }[];
    readonly selector: {
      readonly matchLabels: Readonly<Record<string, string>>;
      readonly matchExpressions?: readonly {
        readonly key: string;
        readonly operator: string;
        readonly values?: readonly string[];
      }[];
    };
    readonly namespaceSelector?: object;
    readonly podMetricsEndpoints: readonly Endpoint[];
    readonly template: { readonly metadata: { readonly labels: Readonly<Record<string, string>> } };
  };
}

interface Alert {
  readonly alert: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<string, string>>;
}

const everything = ["podMonitor", "prometheusRule", "dashboard"].map(
  (one) => `monitoring.${one}.enabled=true`,
);

async function rendered(...values: readonly string[]): Promise<readonly Rendered[]> {
  const flags = values.length === 0 ? [] : ["--set", values.join(",")];
  const text = await helm("template", "one", chart, "--namespace", "system", ...flags);
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Rendered | null)
    .filter((object) => object !== null);
}

async function rule(...values: readonly string[]): Promise<Rendered> {
  const found = (await rendered(...everything, ...values)).find(({ kind }) => kind === "PrometheusRule");
  assert.ok(found);
  return found;
}

/** The metrics that are asked for; throws with what Prometheus' parser says. */
async function asked(kind: "rules" | "expressions", text: string): Promise<readonly string[]> {
  const outcome = spawnSync(await toolPath("check-queries"), [kind], { input: text, encoding: "utf8" });
  assert.equal(outcome.status, 0, outcome.stderr);
  return outcome.stdout.trim().split("\n");
}

function expressionsOf(dashboard: string): readonly string[] {
  const { panels } = JSON.parse(dashboard) as { panels: { targets: { expr: string }[] }[] };
  return panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
}

/** Names of series that an answer to /metrics declares. */
async function served(url: string): Promise<readonly string[]> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name = "", type]) =>
    type === "histogram" ? ["_bucket", "_sum", "_count"].map((end) => `${name}${end}`) : [name],
  );
}

test("nothing of it is there unless it is asked for", async () => {
  const kinds = ["PodMonitor", "PrometheusRule", "ConfigMap"];
  assert.deepEqual(
    (await rendered()).filter(({ kind }) => kinds.includes(kind)),
    [],
  );
  const names = (await rendered(...everything)).filter(({ kind }) => kinds.includes(kind));
  assert.equal(names.length, 4);
});

test("Prometheus reads the alerts, and its parser sees what is wrong", async () => {
  const { spec } = await rule();
  assert.ok((await asked("rules", stringify(spec))).length > 5);
  const broken = stringify(spec).replace("etcd_server_has_leader == 0", "etcd_server_has_leader ==");
  assert.notEqual(broken, stringify(spec));
  await assert.rejects(asked("rules", broken), /parse error/);
});

test("alerts and dashboard ask only for what members and operator serve", async (t) => {
  const member = await start({ kind: "etcdlike" });
  t.after(() => member.stop());
  await kubectl("create", "-f", join(root, "crds"));
  await kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", join(root, "crds"));
  const operator = await startOperator(bed);
  t.after(() => operator.stop());
  await apply(kubectl, {
    apiVersion: "etcdlike.io/v1alpha1",
    kind: "EtcdLikeCluster",
    metadata: { name: "first", namespace: "default" },
    spec: {},
  });
  await eventually("the operator tells of the cluster", async () => {
    const text = await (await fetch(`${operator.url}/metrics`)).text();
    return text.includes(
      'etcdlike_cluster_condition{namespace="default",cluster="first",condition="Available"',
    );
  });
  const known = new Set([...(await served(member.clientUrl)), ...(await served(operator.url))]);
  const dashboard = (await rendered(...everything)).find(({ kind }) => kind === "ConfigMap");
  const expressions = expressionsOf(dashboard?.data?.["etcdlike.json"] ?? "");
  assert.ok(expressions.length > 10);
  const names = [
    ...(await asked("rules", stringify((await rule()).spec))),
    ...(await asked("expressions", expressions.join("\n"))),
  ];
  assert.deepEqual(
    names.filter((name) => !known.has(name)),
    [],
  );
});

test("every alert has a severity, a text and a runbook, and every runbook an alert", async () => {
  const alerts = (await rule()).spec.groups.flatMap(({ rules }) => rules);
  for (const { alert, labels, annotations } of alerts) {
    assert.ok(["critical", "warning"].includes(labels.severity), alert);
    assert.ok(annotations["summary"] && annotations["description"], alert);
    const text = readFileSync(join(root, annotations["runbook_url"] ?? ""), "utf8");
    for (const part of [`# ${alert}`, "## What it means", "## Where to look", "## What to do"]) {
      assert.ok(text.includes(part), `${alert}: ${part}`);
    }
  }
  const runbooks = readdirSync(join(chart, "runbooks")).map((file) => basename(file, ".md"));
  assert.deepEqual(runbooks.toSorted(), alerts.map(({ alert }) => alert).toSorted());
  const elsewhere = await rule("monitoring.prometheusRule.runbooks=https://example.com/books/");
  assert.equal(
    elsewhere.spec.groups[0]?.rules[0]?.annotations["runbook_url"],
    `https://example.com/books/${alerts[0]?.alert}.md`,
  );
});

test("the monitors select the Pods that the operator makes, and its own", async () => {
  const objects = await rendered(...everything, "monitoring.podMonitor.labels.release=mine");
  const monitor = (name: string) => {
    const found = objects.find(({ kind, metadata }) => kind === "PodMonitor" && metadata.name === name);
    assert.ok(found, name);
    assert.equal(found.metadata.labels["release"], "mine");
    return found.spec;
  };
  const pod = podOf(observationOf({}), "c-0", "existing") as unknown as {
    metadata: { labels: Record<string, string> };
    spec: { containers: { ports: { name: string }[] }[] };
  };
  const members = monitor("one-etcdlike-members");
  for (const [name, value] of Object.entries(members.selector.matchLabels)) {
    assert.equal(pod.metadata.labels[name], value);
  }
  for (const { key, operator, values } of members.selector.matchExpressions ?? []) {
    const value = pod.metadata.labels[key];
    assert.ok(operator === "Exists" ? value : !values?.includes(value ?? ""), key);
  }
  const left = podOf(observationOf({ spec: { monitoring: { scrape: "None" } } }), "c-0", "existing");
  const marks = (left as unknown as { metadata: { labels: Record<string, string> } }).metadata.labels;
  assert.ok(members.selector.matchExpressions?.some(({ key, values }) => values?.includes(marks[key] ?? "")));
  const ports = pod.spec.containers[0]?.ports.map(({ name }) => name);
  assert.ok(ports?.includes(members.podMetricsEndpoints[0]?.port ?? ""));
  assert.deepEqual(members.namespaceSelector, { any: true });
  const narrow = (await rendered(...everything, "scope.namespaces={a,b}")).find(
    ({ metadata }) => metadata.name === "one-etcdlike-members",
  );
  assert.deepEqual(narrow?.spec.namespaceSelector, { matchNames: ["a", "b"] });

  const own = monitor("one-etcdlike-operator");
  const deployment = objects.find(({ kind }) => kind === "Deployment");
  for (const [name, value] of Object.entries(own.selector.matchLabels)) {
    assert.equal(deployment?.spec.template.metadata.labels[name], value);
  }
  assert.equal(own.podMetricsEndpoints[0]?.honorLabels, true, "its labels tell of clusters, not of itself");
});
