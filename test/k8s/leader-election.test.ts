import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { KubeConfig } from "@kubernetes/client-node";
import { createTransport } from "../../operator/kube/transport.ts";
import { silentLogger } from "../../operator/lib/log.ts";
import { realClock } from "../../operator/lib/real-clock.ts";
import { LeaderElection } from "../../operator/runtime/leader-election.ts";
import { type ControlPlane, startControlPlane } from "./support/control-plane.ts";
import { type Cli, kubectlFor } from "./support/kubectl.ts";

let bed: ControlPlane;
let kubectl: Cli;

before(async () => {
  bed = await startControlPlane();
  kubectl = await kubectlFor(bed.adminKubeconfig);
});
after(() => bed.stop());

test("two candidates at a real API server: one leads, and the other follows a release at once", async () => {
  const config = new KubeConfig();
  config.loadFromFile(bed.adminKubeconfig);
  const client = createTransport(config, { userAgent: "etcdlike-test" });
  const candidate = (identity: string) =>
    new LeaderElection({
      client,
      clock: realClock,
      log: silentLogger,
      namespace: "default",
      name: "etcdlike-operator",
      identity,
    });
  const [first, second] = [candidate("first"), candidate("second")];
  const stop = new AbortController();
  assert.equal(await first.acquire(stop.signal), true);
  const waiting = second.acquire(stop.signal);
  const keeping = first.keep(stop.signal);
  const lease = ["get", "lease", "etcdlike-operator", "-o"];
  assert.equal(await kubectl(...lease, "jsonpath={.spec.holderIdentity}"), "first");
  assert.match(await kubectl(...lease, "jsonpath={.spec.renewTime}"), /\.\d{6}Z$/);
  assert.equal(second.mayAct, false);
  stop.abort();
  assert.equal(await keeping, "stopped");
  await waiting;
  await first.release();
  assert.equal(await second.acquire(new AbortController().signal), true);
  assert.equal(await kubectl(...lease, "jsonpath={.spec.leaseTransitions}"), "1");
});
