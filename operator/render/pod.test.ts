// What the member's Pod looks like. The hash is part of what clusters out there carry: another operator that gave
// another one for the same spec would restart every member.
import assert from "node:assert/strict";
import { test } from "node:test";
import { observationOf } from "../control/testing/situation.ts";
import { podOf, templateHashOf } from "./pod.ts";

interface Container {
  readonly image: string;
  readonly args: readonly string[];
  readonly env: readonly object[];
  readonly livenessProbe: { readonly httpGet: { readonly path: string } };
  readonly securityContext: object;
}

interface PodSpec {
  readonly containers: readonly [Container];
  readonly securityContext: object;
  readonly hostname: string;
  readonly subdomain: string;
  readonly automountServiceAccountToken: boolean;
  readonly topologySpreadConstraints?: readonly { readonly whenUnsatisfiable: string }[];
}

function specOf(situation: Parameters<typeof observationOf>[0]): PodSpec {
  return podOf(observationOf(situation), "c-0", "existing")["spec"] as unknown as PodSpec;
}

test("the template's hash is the one that Pods of released operators carry", () => {
  assert.equal(templateHashOf(observationOf({}), "c-0"), "33b7788e5e815eef");
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
    { spread: { mode: "Required", topologyKeys: ["kubernetes.io/hostname"] } },
  ]) {
    assert.notEqual(hash({ spec }), plain, JSON.stringify(spec));
  }
  assert.equal(hash({ spec: { paused: true, replicas: 5, healing: { replaceAfterSeconds: 10 } } }), plain);
  assert.equal(hash({ silent: ["c-1"], leader: "c-2" }), plain);
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
  assert.equal(livenessProbe.httpGet.path, "/livez");
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
