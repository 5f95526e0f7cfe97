// The bed itself: what the other tests stand on.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type ControlPlane, startControlPlane } from "./support/control-plane.ts";
import { eventually } from "./support/eventually.ts";
import { apply, type Cli, helmFor, kubectlFor } from "./support/kubectl.ts";

let bed: ControlPlane;
let kubectl: Cli;

before(async () => {
  bed = await startControlPlane({ withControllers: true });
  kubectl = await kubectlFor(bed.adminKubeconfig);
});
after(() => bed.stop());

test("kubectl and helm talk to a real API server", async () => {
  const version = JSON.parse(await kubectl("version", "-o", "json")) as Record<
    string,
    { gitVersion: string }
  >;
  assert.equal(version["serverVersion"]?.gitVersion, "v1.34.4");
  const helm = await helmFor(bed.adminKubeconfig, bed.folder);
  assert.equal((await helm("list", "-o", "json")).trim(), "[]");
});

test("the controller manager collects what an owner leaves behind", async () => {
  await kubectl("create", "configmap", "owner");
  const uid = await kubectl("get", "configmap", "owner", "-o", "jsonpath={.metadata.uid}");
  const owned = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: "owned",
      ownerReferences: [{ apiVersion: "v1", kind: "ConfigMap", name: "owner", uid }],
    },
  };
  assert.equal((await apply(kubectl, owned)).code, 0);
  await kubectl("delete", "configmap", "owner");
  await eventually("the owned object is gone", async () => {
    const outcome = await kubectl.attempt("get", "configmap", "owned");
    return outcome.code !== 0 && outcome.stderr.includes("NotFound");
  });
});

test("objects outlive a restart of the API server", async () => {
  await kubectl("create", "configmap", "kept", "--from-literal=a=1");
  await bed.killApiServer();
  assert.notEqual((await kubectl.attempt("get", "configmap", "kept")).code, 0);
  await bed.startApiServer();
  assert.equal(await kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}"), "1");
});
