// The custom resource definitions on a real API server: it accepts them within its cost limits, and defaults,
// rules, subresources and columns do what a user is promised.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type ControlPlane, startControlPlane } from "./support/control-plane.ts";
import { apply, type Cli, kubectlFor } from "./support/kubectl.ts";

const crds = join(import.meta.dirname, "..", "..", "crds");

let bed: ControlPlane;
let kubectl: Cli;

before(async () => {
  bed = await startControlPlane();
  kubectl = await kubectlFor(bed.adminKubeconfig);
  await kubectl("create", "-f", crds);
  await kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", crds);
});
after(() => bed.stop());

const cluster = (name: string, spec: object = {}) => ({
  apiVersion: "etcdlike.io/v1alpha1",
  kind: "EtcdLikeCluster",
  metadata: { name, namespace: "default" },
  spec,
});

async function get(
  name: string,
): Promise<{ spec: Record<string, unknown>; status?: Record<string, unknown> }> {
  return JSON.parse(await kubectl("get", "elc", name, "-o", "json"));
}

test("the schemas are structural and stored as they are", async () => {
  const kinds = ["clusters", "members", "snapshots", "snapshotschedules", "restores"];
  for (const name of kinds.map((kind) => `etcdlike${kind}.etcdlike.io`)) {
    const definition = JSON.parse(await kubectl("get", "crd", name, "-o", "json")) as {
      status: { conditions: { type: string; status: string; message: string }[] };
    };
    const problems = definition.status.conditions.filter(
      ({ type, status }) => type === "NonStructuralSchema" || (type === "NamesAccepted" && status !== "True"),
    );
    assert.deepEqual(problems, []);
  }
});

test("an empty spec gets the documented defaults", async () => {
  assert.equal((await apply(kubectl, cluster("defaults"))).code, 0);
  assert.deepEqual((await get("defaults")).spec, {
    replicas: 3,
    version: "0.1.0",
    image: { pullPolicy: "IfNotPresent" },
    storage: { size: "8Gi", accessMode: "ReadWriteOnce", reclaimPolicy: "Retain" },
    template: { terminationGracePeriodSeconds: 30 },
    spread: { mode: "Preferred", topologyKeys: ["kubernetes.io/hostname", "topology.kubernetes.io/zone"] },
    services: { client: { type: "ClusterIP" } },
    tls: {
      peer: { mode: "Mutual", source: "Auto" },
      client: { mode: "None", source: "Auto" },
      rotation: { renewBeforeSeconds: 2_592_000, caOverlapSeconds: 604_800 },
    },
    options: {},
    updateStrategy: { type: "RollingMember" },
    healing: { replaceAfterSeconds: 900, maintenanceSeconds: 14_400, maxReplacementsPerHour: 2 },
    maintenance: {},
    monitoring: { scrape: "PodMonitor" },
    paused: false,
    progressDeadlineSeconds: 600,
  });
});

const refusedAtCreation: readonly { readonly what: string; readonly spec: object; readonly text: string }[] =
  [
    { what: "an even size", spec: { replicas: 2 }, text: "replicas is odd, or 0 to hibernate" },
    { what: "too many members", spec: { replicas: 11 }, text: "should be less than or equal to 9" },
    { what: "a version of two parts", spec: { version: "1.2" }, text: "spec.version" },
    {
      what: "a size that is no quantity",
      spec: { storage: { size: "8 gigabytes" } },
      text: "spec.storage.size",
    },
    {
      what: "a label of the operator's",
      spec: { template: { labels: { "etcdlike.io/role": "voter" } } },
      text: "labels that begin with etcdlike.io/ are the operator's",
    },
    {
      what: "an election timeout too close to the heartbeat",
      spec: { options: { heartbeatIntervalMs: 100, electionTimeoutMs: 400 } },
      text: "electionTimeoutMs is at least five times heartbeatIntervalMs",
    },
    {
      what: "a duration where revisions are counted",
      spec: { options: { autoCompaction: { mode: "revision", retention: "1h" } } },
      text: "retention is a number of revisions",
    },
    {
      what: "an unknown policy",
      spec: { storage: { reclaimPolicy: "Recycle" } },
      text: "spec.storage.reclaimPolicy",
    },
    {
      what: "a Secret of certificates that has no name",
      spec: { tls: { peer: { source: "Secret" } } },
      text: "secretName is there with source Secret, and only then",
    },
    {
      what: "a Secret that nobody would read",
      spec: { tls: { client: { mode: "Server", secretName: "certificates" } } },
      text: "secretName is there with source Secret, and only then",
    },
    {
      what: "certificates where there is no TLS",
      spec: { tls: { client: { source: "Secret", secretName: "certificates" } } },
      text: "with mode None there are no certificates",
    },
    {
      what: "names for certificates that somebody else makes",
      spec: {
        tls: { client: { mode: "Server", source: "Secret", secretName: "given", hosts: ["a.example.com"] } },
      },
      text: "hosts go into certificates that the operator makes",
    },
    {
      what: "a name that no certificate can carry",
      spec: { tls: { client: { mode: "Server", hosts: ["https://etcd.example.com"] } } },
      text: "spec.tls.client.hosts[0]",
    },
  ];

for (const { what, spec, text } of refusedAtCreation) {
  test(`a new cluster with ${what} is refused`, async () => {
    const outcome = await apply(kubectl, cluster("refused", spec));
    assert.notEqual(outcome.code, 0);
    assert.ok(outcome.stderr.includes(text), outcome.stderr);
  });
}

test("every choice of a field can be made", async () => {
  for (const mode of ["Preferred", "Required", "None"]) {
    const outcome = await apply(kubectl, cluster("choices", { spread: { mode } }));
    assert.equal(outcome.code, 0, outcome.stderr);
  }
  for (const scrape of ["Annotations", "None", "PodMonitor"]) {
    const outcome = await apply(kubectl, cluster("choices", { monitoring: { scrape } }));
    assert.equal(outcome.code, 0, outcome.stderr);
  }
  for (const accessMode of ["ReadWriteOncePod", "ReadWriteOnce"]) {
    const outcome = await apply(kubectl, cluster("choices", { storage: { accessMode } }));
    assert.equal(outcome.code, 0, outcome.stderr);
  }
  for (const type of ["RollingMember", "OnDelete"]) {
    const outcome = await apply(kubectl, cluster("choices", { updateStrategy: { type } }));
    assert.equal(outcome.code, 0, outcome.stderr);
  }
});

test("every kind of TLS can be declared", async () => {
  const kinds: readonly object[] = [
    { peer: { mode: "None" } },
    { peer: { source: "Secret", secretName: "peer-certificates" } },
    { client: { mode: "Server", hosts: ["etcd.example.com", "*.example.com", "10.0.0.1", "fd00::1"] } },
    { client: { mode: "Mutual", source: "Secret", secretName: "client.certificates" } },
  ];
  for (const [i, tls] of kinds.entries()) {
    const outcome = await apply(kubectl, cluster(`tls-${i}`, { tls }));
    assert.equal(outcome.code, 0, outcome.stderr);
  }
});

test("an unknown field is named", async () => {
  const outcome = await apply(kubectl, cluster("refused", { replicaz: 3 }));
  assert.notEqual(outcome.code, 0);
  assert.match(outcome.stderr, /unknown field "(spec\.)?replicaz"/);
});

for (const name of ["a".repeat(44), "1st", "a.b"]) {
  test(`the name ${name} is refused`, async () => {
    const outcome = await apply(kubectl, cluster(name));
    assert.notEqual(outcome.code, 0);
    assert.match(outcome.stderr, /DNS label of at most 43 characters/);
  });
}

const refusedLater: readonly { readonly what: string; readonly patch: object; readonly text: string }[] = [
  {
    what: "smaller volumes",
    patch: { storage: { size: "8000Mi" } },
    text: "size can grow, and never shrink",
  },
  {
    what: "a storage class it did not have",
    patch: { storage: { storageClassName: "fast" } },
    text: "storageClassName cannot change once the cluster exists",
  },
  {
    what: "a minor version two steps up",
    patch: { version: "1.4.0" },
    text: "goes up by at most one, and never down",
  },
  {
    what: "a minor version one step down",
    patch: { version: "1.1.9" },
    text: "goes up by at most one, and never down",
  },
  { what: "another major version", patch: { version: "2.2.0" }, text: "the major version cannot change" },
  {
    what: "another way of talking between members",
    patch: { tls: { peer: { mode: "None" } } },
    text: "tls.peer cannot change once the cluster exists",
  },
  {
    what: "a Secret for the members' certificates",
    patch: { tls: { peer: { source: "Secret", secretName: "given" } } },
    text: "tls.peer cannot change once the cluster exists",
  },
  {
    what: "clear text for clients",
    patch: { tls: { client: { mode: "None" } } },
    text: "tls.client.mode cannot change from or to None once the cluster exists",
  },
  {
    what: "a Secret for certificates that the operator makes",
    patch: { tls: { client: { source: "Secret", secretName: "given" } } },
    text: "source and secretName of tls.client cannot change once the cluster exists",
  },
];

test("a running cluster keeps what cannot change", async (t) => {
  const fixed = cluster("fixed", { version: "1.2.3", tls: { client: { mode: "Server" } } });
  assert.equal((await apply(kubectl, fixed)).code, 0);
  for (const { what, patch, text } of refusedLater) {
    await t.test(`${what} is refused`, async () => {
      const outcome = await kubectl.attempt(
        ...["patch", "elc", "fixed", "--type=merge", "-p", JSON.stringify({ spec: patch })],
      );
      assert.notEqual(outcome.code, 0);
      assert.ok(outcome.stderr.includes(text), outcome.stderr);
    });
  }
  await t.test("one minor version up and a patch version down are taken", async () => {
    for (const version of ["1.3.0", "1.3.7", "1.3.5"]) {
      await kubectl("patch", "elc", "fixed", "--type=merge", "-p", JSON.stringify({ spec: { version } }));
    }
  });
  await t.test(
    "certificates may be demanded of clients, or not any more, and hosts may be named",
    async () => {
      for (const client of [{ mode: "Mutual" }, { mode: "Server" }, { hosts: ["etcd.example.com"] }]) {
        const patch = JSON.stringify({ spec: { tls: { client } } });
        await kubectl("patch", "elc", "fixed", "--type=merge", "-p", patch);
      }
    },
  );
  await t.test("server-side apply without an immutable field keeps it", async () => {
    const outcome = await kubectl.withInput(
      JSON.stringify(cluster("fixed", { replicas: 5, tls: { client: { mode: "Server" } } })),
      ...["apply", "--server-side", "--force-conflicts", "-f", "-"],
    );
    assert.equal(outcome.code, 0, outcome.stderr);
    assert.equal((await get("fixed")).spec["replicas"], 5);
  });
});

test("kubectl scale goes through the scale subresource and its rules", async () => {
  await apply(kubectl, cluster("scaled"));
  await kubectl("scale", "elc", "scaled", "--replicas=5");
  assert.equal((await get("scaled")).spec["replicas"], 5);
  const outcome = await kubectl.attempt("scale", "elc", "scaled", "--replicas=4");
  assert.notEqual(outcome.code, 0);
  assert.match(outcome.stderr, /replicas is odd/);
});

test("status is a subresource: only its own endpoint writes it", async () => {
  await apply(kubectl, cluster("reported"));
  const patch = JSON.stringify({ status: { replicas: 3, readyReplicas: 2, quorum: "2/2 (+0)" } });
  await kubectl("patch", "elc", "reported", "--type=merge", "-p", patch);
  assert.equal((await get("reported")).status, undefined);
  await kubectl("patch", "elc", "reported", "--subresource=status", "--type=merge", "-p", patch);
  assert.deepEqual((await get("reported")).status, { replicas: 3, readyReplicas: 2, quorum: "2/2 (+0)" });
  const line = await kubectl("get", "elc", "reported");
  assert.match(line, /NAME\s+READY\s+MEMBERS\s+DESIRED\s+VERSION\s+LEADER\s+QUORUM\s+AGE/);
  assert.match(line, /reported\s+2\s+3\s+2\/2 \(\+0\)/);
});

test("a member's identity cannot change, and its latch cannot be undone", async () => {
  const member = {
    apiVersion: "etcdlike.io/v1alpha1",
    kind: "EtcdLikeMember",
    metadata: { name: "one-0-abcd", namespace: "default" },
    spec: {
      clusterName: "one",
      clusterToken: "default-one-uid",
      slot: 0,
      role: "Seed",
      volumeName: "data-one-0-abcd",
      storage: { size: "1Gi" },
    },
  };
  assert.equal((await apply(kubectl, member)).code, 0);
  const patch = (spec: object) =>
    kubectl.attempt("patch", "elm", "one-0-abcd", "--type=merge", "-p", JSON.stringify({ spec }));
  assert.match((await patch({ slot: 1 })).stderr, /identity cannot change/);
  assert.match((await patch({ role: "Joiner" })).stderr, /identity cannot change/);
  assert.equal((await patch({ clusterId: "cdf818194e3a8c32" })).code, 0);
  assert.match((await patch({ clusterId: "1" })).stderr, /clusterId cannot change/);
  assert.match((await patch({ clusterId: null })).stderr, /clusterId cannot change/);
});

const defrag = (name: string, spec: object) => ({
  apiVersion: "etcdlike.io/v1alpha1",
  kind: "EtcdLikeDefrag",
  metadata: { name, namespace: "default" },
  spec: { clusterRef: { name: "defaults" }, ...spec },
});

test("a run of defragmentation says which members, in one way, and cannot change", async () => {
  const refused: readonly (readonly [object, RegExp])[] = [
    [{}, /missing required field "rule"/],
    [{ rule: {} }, /a rule is either all, or freeSpaceAbove, quotaUsageAbove or both/],
    [{ rule: { all: true, freeSpaceAbove: "1Gi" } }, /a rule is either all/],
    [{ rule: { quotaUsageAbove: "101%" } }, /spec.rule.quotaUsageAbove/],
    [{ rule: { freeSpaceAbove: "-1Gi" } }, /the amount is not negative/],
  ];
  for (const [spec, text] of refused) {
    const outcome = await apply(kubectl, defrag("refused", spec));
    assert.notEqual(outcome.code, 0, JSON.stringify(spec));
    assert.match(outcome.stderr, text);
  }
  const outcome = await apply(kubectl, defrag("fine", { rule: { quotaUsageAbove: "80%" } }));
  assert.equal(outcome.code, 0, outcome.stderr);
  const { spec } = JSON.parse(await kubectl("get", "eld", "fine", "-o", "json")) as { spec: object };
  assert.deepEqual(spec, {
    clusterRef: { name: "defaults" },
    rule: { all: false, quotaUsageAbove: "80%", minReclaim: "32Mi" },
    memberTimeoutSeconds: 3_600,
  });
  const patch = JSON.stringify({ spec: { memberTimeoutSeconds: 60 } });
  const changed = await kubectl.attempt("patch", "eld", "fine", "--type=merge", "-p", patch);
  assert.match(changed.stderr, /a run cannot change; create another/);
});

test("a policy of defragmentation says when", async () => {
  const outcome = await apply(kubectl, cluster("refused", { maintenance: { defrag: {} } }));
  assert.notEqual(outcome.code, 0);
  assert.match(outcome.stderr, /freeSpaceAbove, quotaUsageAbove or both say when/);
  const fine = cluster("policy", { maintenance: { defrag: { quotaUsageAbove: "80%" } } });
  assert.equal((await apply(kubectl, fine)).code, 0);
});

test("what a cluster is made from can be said until it is formed", async () => {
  const set = (clusterId: string | null) =>
    kubectl.attempt(
      ...["patch", "elc", "adopting", "--type=merge", "-p"],
      JSON.stringify({ spec: { bootstrap: clusterId === null ? null : { adoptFrom: { clusterId } } } }),
    );
  assert.equal((await apply(kubectl, cluster("adopting"))).code, 0);
  assert.equal((await set("c9")).code, 0);
  assert.equal((await set("c8")).code, 0);
  assert.match((await set("C8")).stderr, /spec.bootstrap.adoptFrom.clusterId/);
  const formed = JSON.stringify({ status: { clusterId: "c8" } });
  await kubectl("patch", "elc", "adopting", "--subresource=status", "--type=merge", "-p", formed);
  for (const other of ["c7", null]) {
    assert.match((await set(other)).stderr, /bootstrap cannot change once the cluster is formed/);
  }
  await kubectl("scale", "elc", "adopting", "--replicas=5");
});

test("a volume can be declared larger", async () => {
  assert.equal((await apply(kubectl, cluster("larger", { storage: { size: "1024Mi" } }))).code, 0);
  for (const size of ["1Gi", "2Gi", 4_294_967_296]) {
    const patch = JSON.stringify({ spec: { storage: { size } } });
    await kubectl("patch", "elc", "larger", "--type=merge", "-p", patch);
  }
});

test("kubectl get etcdlike lists all of them", async () => {
  const names = await kubectl("get", "etcdlike", "-o", "name");
  assert.match(names, /etcdlikemember.etcdlike.io\/one-0-abcd/);
  assert.match(names, /etcdlikecluster.etcdlike.io\/scaled/);
});
