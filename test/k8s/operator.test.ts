// The operator with all its rights against a real API server that knows what a storage class allows, and the real
// controller that binds claims. What a storage driver would do afterwards, the test writes into the claim's status.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type ControlPlane, startControlPlane } from "./support/control-plane.ts";
import { eventually } from "./support/eventually.ts";
import { apply, type Cli, kubectlFor } from "./support/kubectl.ts";
import { type RunningOperator, startOperator } from "./support/operator.ts";

const crds = join(import.meta.dirname, "..", "..", "crds");

let bed: ControlPlane;
let kubectl: Cli;
let operator: RunningOperator | undefined;

before(async () => {
  bed = await startControlPlane({ withControllers: true });
  kubectl = await kubectlFor(bed.adminKubeconfig);
  await kubectl("create", "-f", crds);
  await kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", crds);
  for (const name of ["grows", "fixed"]) {
    const outcome = await apply(kubectl, storageClass(name, name === "grows"), volume(name), cluster(name));
    assert.equal(outcome.code, 0, outcome.stderr);
  }
  operator = await startOperator(bed);
});
after(async () => {
  await operator?.stop();
  await bed.stop();
});

function storageClass(name: string, allowVolumeExpansion: boolean): object {
  return {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name },
    provisioner: "example.com/none",
    allowVolumeExpansion,
  };
}

function volume(name: string): object {
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name },
    spec: {
      capacity: { storage: "1Gi" },
      accessModes: ["ReadWriteOnce"],
      storageClassName: name,
      csi: { driver: "example.com", volumeHandle: name },
    },
  };
}

function cluster(name: string): object {
  return {
    apiVersion: "etcdlike.io/v1alpha1",
    kind: "EtcdLikeCluster",
    metadata: { name, namespace: "default" },
    spec: { replicas: 1, storage: { size: "1Gi", storageClassName: name } },
  };
}

async function claimOf(name: string): Promise<string> {
  let claim = "";
  await eventually(`the claim of ${name} is bound`, async () => {
    const selector = `-l=etcdlike.io/cluster=${name}`;
    const path = "-o=jsonpath={range .items[*]}{.metadata.name} {.status.phase}{end}";
    const [found = "", phase] = (await kubectl("get", "pvc", selector, path)).split(" ");
    claim = found;
    return phase === "Bound";
  });
  return claim;
}

/** Its cluster counts as formed, as far as its volumes are concerned. */
async function declareLarger(name: string): Promise<void> {
  await operator?.stop();
  const formed = JSON.stringify({ status: { clusterId: "c1", operation: null } });
  await kubectl("patch", "elc", name, "--subresource=status", "--type=merge", "-p", formed);
  const size = JSON.stringify({ spec: { storage: { size: "2Gi" } } });
  await kubectl("patch", "elc", name, "--type=merge", "-p", size);
  operator = await startOperator(bed);
}

async function storageReady(name: string): Promise<string> {
  const path = '{.status.conditions[?(@.type=="StorageReady")].reason}';
  return kubectl("get", "elc", name, "-o", `jsonpath=${path}`);
}

test("a claim grows where its class allows it, and the condition follows the driver", async () => {
  const claim = await claimOf("grows");
  await declareLarger("grows");
  const requested = () => kubectl("get", "pvc", claim, "-o", "jsonpath={.spec.resources.requests.storage}");
  await eventually("the claim asks for more", async () => (await requested()) === "2Gi");
  await eventually("it is told", async () => (await storageReady("grows")) === "Resizing");
  const done = JSON.stringify({ status: { capacity: { storage: "2Gi" } } });
  await kubectl("patch", "pvc", claim, "--subresource=status", "--type=merge", "-p", done);
  await eventually("all is well", async () => (await storageReady("grows")) === "Sized");
});

test("a run of defragmentation for a cluster that is not there says so", async () => {
  const outcome = await apply(kubectl, {
    apiVersion: "etcdlike.io/v1alpha1",
    kind: "EtcdLikeDefrag",
    metadata: { name: "lost", namespace: "default" },
    spec: { clusterRef: { name: "nowhere" }, rule: { all: true } },
  });
  assert.equal(outcome.code, 0, outcome.stderr);
  await eventually("it is told", async () => {
    const text = await kubectl("get", "eld", "lost", "-o", "jsonpath={.status.phase} {.status.message}");
    return text === "Pending there is no EtcdLikeCluster nowhere in this namespace";
  });
});

test("a class that does not allow it is told, with the API server's words", async () => {
  const claim = await claimOf("fixed");
  await declareLarger("fixed");
  await eventually("it is refused", async () => (await storageReady("fixed")) === "ResizeRefused");
  const message = await kubectl(
    ...["get", "elc", "fixed", "-o"],
    'jsonpath={.status.conditions[?(@.type=="StorageReady")].message}',
  );
  assert.match(message, /must support resize/);
  const requested = await kubectl("get", "pvc", claim, "-o", "jsonpath={.spec.resources.requests.storage}");
  assert.equal(requested, "1Gi");
});
