// What the member's Pod looks like. The hash is part of what clusters out there carry: another operator that gave
// another one for the same spec would restart every member.
import assert from "node:assert/strict";
import { test } from "node:test";
import { observationOf, tlsOf } from "../control/testing/situation.ts";
import { podOf, templateHashOf } from "./pod.ts";

interface Container {
  readonly image: string;
  readonly args: readonly string[];
  readonly env: readonly object[];
  readonly livenessProbe: { readonly httpGet: { readonly path: string; readonly port: string } };
  readonly securityContext: object;
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

interface PodSpec {
  readonly containers: readonly [Container];
  readonly securityContext: object;
  readonly hostname: string;
  readonly subdomain: string;
  readonly automountServiceAccountToken: boolean;
  readonly volumes: readonly { readonly name: string; readonly secret?: { readonly secretName: string } }[];
  readonly topologySpreadConstraints?: readonly { readonly whenUnsatisfiable: string }[];
}

function specOf(situation: Parameters<typeof observationOf>[0]): PodSpec {
  return podOf(observationOf(situation), "c-0", "existing")["spec"] as unknown as PodSpec;
}

test("the template's hash is the one that Pods of released operators carry", () => {
  const hash = (spec: object) => templateHashOf(observationOf({ spec }), "c-0");
  assert.equal(hash({ tls: tlsOf("Mutual", "None") }), "2b8cc14b3485b262");
  assert.equal(hash({ tls: tlsOf("Mutual", "Mutual") }), "1e84a4a9b4961bb0");
  assert.equal(hash({ tls: tlsOf("None", "None") }), "6fee5eeda2109776");
});

test("the hash changes with what an update brings in, and with nothing else", () => {
  const hash = (situation: Parameters<typeof observationOf>[0]) =>
    templateHashOf(observationOf(situation), "c-0");
  const plain = hash({});
  for (const spec of [
    { version: "0.2.0" },
    { options: { snapshotCount: 5_000 } },
    { template: { terminationGracePeriodSeconds: 31 } },
    { template: { terminationGracePeriodSeconds: 30, labels: { team: "a" } } },
    { monitoring: { scrape: "None" } },
    { spread: { mode: "Required", topologyKeys: ["kubernetes.io/hostname"] } },
  ]) {
    assert.notEqual(hash({ spec }), plain, JSON.stringify(spec));
  }
  assert.equal(hash({ spec: { paused: true, replicas: 5, healing: { replaceAfterSeconds: 10 } } }), plain);
  assert.equal(hash({ silent: ["c-1"], leader: "c-2" }), plain);
});

test("Prometheus finds a member as monitoring says", () => {
  const metadata = (scrape: string) =>
    podOf(
      observationOf({ spec: { monitoring: { scrape }, template: { terminationGracePeriodSeconds: 30 } } }),
      "c-0",
      "existing",
    )["metadata"] as unknown as Record<"labels" | "annotations", Record<string, string>>;
  const mark = "etcdlike.io/scrape";
  const note = "prometheus.io/port";
  const found = ["PodMonitor", "Annotations", "None"].map((scrape) => {
    const { labels, annotations } = metadata(scrape);
    return [labels[mark], annotations[note]];
  });
  assert.deepEqual(found, [
    [undefined, undefined],
    ["false", "2381"],
    ["false", undefined],
  ]);
});

test("the Pod is what the restricted security standard admits", () => {
  const { securityContext, containers, automountServiceAccountToken } = specOf({});
  assert.deepEqual(securityContext, {
    runAsNonRoot: true,
    runAsUser: 65_532,
    runAsGroup: 65_532,
    fsGroup: 65_532,
    fsGroupChangePolicy: "OnRootMismatch",
    seccompProfile: { type: "RuntimeDefault" },
  });
  assert.deepEqual(containers[0].securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"] },
  });
  assert.equal(automountServiceAccountToken, false);
});

test("a member is known by names, never by an address, and liveness asks for no quorum", () => {
  const { hostname, subdomain, containers } = specOf({});
  assert.deepEqual([hostname, subdomain], ["c-0", "c-peer"]);
  const { args, livenessProbe } = containers[0];
  assert.ok(args.includes("--initial-advertise-peer-urls=http://c-0.c-peer.default.svc:2380"));
  assert.ok(args.includes("--advertise-client-urls=http://c-0.c-peer.default.svc:2379"));
  assert.deepEqual(livenessProbe.httpGet, { path: "/livez", port: "metrics" });
});

function tlsArgs(tls: object): readonly string[] {
  const { args } = specOf({ spec: { tls } }).containers[0];
  return args.filter((arg) => arg.includes("tls.") || /cert|trusted|ca\.crt|verification/.test(arg));
}

const peerFlags = [
  "--peer-cert-file=/etc/etcdlike/peer/tls.crt",
  "--peer-key-file=/etc/etcdlike/peer/tls.key",
  "--peer-trusted-ca-file=/etc/etcdlike/peer/ca.crt",
  "--peer-client-cert-auth=true",
  "--peer-cert-allowed-hostname=c-peer.default.svc",
  "--peer-skip-client-san-verification=true",
];
const serverFlags = ["--cert-file=/etc/etcdlike/client/tls.crt", "--key-file=/etc/etcdlike/client/tls.key"];
const mutualFlags = ["--trusted-ca-file=/etc/etcdlike/client/ca.crt", "--client-cert-auth=true"];

test("each side has the flags that its mode asks for, and no others", () => {
  assert.deepEqual(tlsArgs(tlsOf("None", "None")), []);
  assert.deepEqual(tlsArgs(tlsOf("Mutual", "None")), peerFlags);
  assert.deepEqual(tlsArgs(tlsOf("None", "Server")), serverFlags);
  assert.deepEqual(tlsArgs(tlsOf("Mutual", "Mutual")), [...peerFlags, ...serverFlags, ...mutualFlags]);
});

test("URLs follow the mode of their side; health and metrics stay in clear text", () => {
  const { args } = specOf({ spec: { tls: tlsOf("Mutual", "Server") } }).containers[0];
  for (const arg of [
    "--listen-client-urls=https://0.0.0.0:2379",
    "--advertise-client-urls=https://c-0.c-peer.default.svc:2379",
    "--listen-peer-urls=https://0.0.0.0:2380",
    "--initial-advertise-peer-urls=https://c-0.c-peer.default.svc:2380",
    "--listen-metrics-urls=http://0.0.0.0:2381",
  ]) {
    assert.ok(args.includes(arg), arg);
  }
  const plain = specOf({ spec: { tls: tlsOf("Mutual", "None") } }).containers[0].args;
  assert.ok(plain.includes("--advertise-client-urls=http://c-0.c-peer.default.svc:2379"));
});

test("a member mounts its own Secrets, or those that spec names", () => {
  const mounted = (tls: object) => {
    const { volumes, containers } = specOf({ spec: { tls } });
    const secrets = volumes.flatMap(({ name, secret }) =>
      secret === undefined ? [] : [[name, secret.secretName]],
    );
    const mounts = containers[0].volumeMounts.filter(({ name }) => name.endsWith("-tls"));
    return [secrets, mounts.map(({ mountPath }) => mountPath)];
  };
  assert.deepEqual(mounted(tlsOf("None", "None")), [[], []]);
  assert.deepEqual(mounted(tlsOf("Mutual", "Server")), [
    [
      ["peer-tls", "c-0-peer-tls"],
      ["client-tls", "c-0-client-tls"],
    ],
    ["/etc/etcdlike/peer", "/etc/etcdlike/client"],
  ]);
  const given = tlsOf("Mutual", "Mutual", { source: "Secret", secretName: "from-cert-manager" });
  assert.deepEqual(mounted(given)[0], [
    ["peer-tls", "c-0-peer-tls"],
    ["client-tls", "from-cert-manager"],
  ]);
});

test("a Pod of a formed cluster is told the members of now", () => {
  const { metadata } = podOf(observationOf({}), "c-0", "existing") as unknown as {
    metadata: { annotations: Record<string, string> };
  };
  const url = (name: string) => `${name}=http://${name}.c-peer.default.svc:2380`;
  assert.equal(metadata.annotations["etcdlike.io/initial-cluster"], ["c-0", "c-1", "c-2"].map(url).join(","));
  assert.equal(metadata.annotations["etcdlike.io/initial-cluster-state"], "existing");
});

test("options become etcd's flags, and what is not set is not said", () => {
  const options = { quotaBackendBytes: 1_000, autoCompaction: { mode: "periodic", retention: "1h" } };
  const { args } = specOf({ spec: { options } }).containers[0];
  assert.ok(args.includes("--quota-backend-bytes=1000"));
  assert.ok(args.includes("--auto-compaction-mode=periodic"));
  assert.ok(args.includes("--auto-compaction-retention=1h"));
  assert.ok(!specOf({}).containers[0].args.some((arg) => arg.startsWith("--quota")));
});

test("the image is the repository with the version, or the digest", () => {
  assert.equal(specOf({}).containers[0].image, "etcdlike:0.1.0");
  const image = { repository: "r.example/e", digest: `sha256:${"0".repeat(64)}`, pullPolicy: "Always" };
  assert.equal(specOf({ spec: { image } }).containers[0].image, `r.example/e@sha256:${"0".repeat(64)}`);
});

test("members keep apart as spread says", () => {
  const rules = (mode: string) =>
    specOf({ spec: { spread: { mode, topologyKeys: ["a", "b"] } } }).topologySpreadConstraints?.map(
      (one) => one.whenUnsatisfiable,
    );
  assert.deepEqual(rules("Preferred"), ["ScheduleAnyway", "ScheduleAnyway"]);
  assert.deepEqual(rules("Required"), ["DoNotSchedule", "DoNotSchedule"]);
  assert.equal(rules("None"), undefined);
});
