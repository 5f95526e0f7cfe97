// Certificates on real nodes, where kubelets take their time: a cluster whose members and clients use mutual TLS, and
// everything about its certificates replaced under a client that writes all the time.
import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { connect } from "node:tls";
import { eventually } from "../k8s/support/eventually.ts";
import { apply, type Cli, kubectlFor } from "../k8s/support/kubectl.ts";
import { adminKubeconfig, bedDown, bedUp } from "./bed.ts";
import { installOperator } from "./install.ts";
import { type Access, ClientLoad } from "./load.ts";

const minutes = 60_000;
const fingerprint = /^[0-9A-F:]{95}$/;
const serverName = "first-client.apps.svc";

let kubectl: Cli;
let load: ClientLoad | undefined;

before(async () => {
  await bedUp();
  kubectl = await kubectlFor(adminKubeconfig);
  await installOperator();
});
after(async () => {
  await load?.stop();
  await bedDown();
});

interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: { readonly podIP?: string };
}

async function pods(): Promise<readonly Pod[]> {
  const text = await kubectl("get", "pods", "-n", "apps", "-l", "etcdlike.io/cluster=first", "-o", "json");
  return (JSON.parse(text) as { items: Pod[] }).items;
}

async function endpoints(): Promise<readonly string[]> {
  return (await pods()).flatMap(({ status: { podIP } }) => (podIP === undefined ? [] : [`${podIP}:2379`]));
}

async function access(secret = "first-client-tls"): Promise<Access> {
  const text = await kubectl("get", "secret", secret, "-n", "apps", "-o", "json");
  const { data } = JSON.parse(text) as { data: Record<string, string> };
  const file = (name: string) => Buffer.from(data[name] ?? "", "base64").toString("utf8");
  return { caPem: file("ca.crt"), certPem: file("tls.crt"), keyPem: file("tls.key"), serverName };
}

async function status(path: string): Promise<string> {
  return kubectl("get", "elc", "first", "-n", "apps", "-o", `jsonpath={.status.${path}}`);
}

async function isReady(): Promise<boolean> {
  return (await status(`conditions[?(@.type=="Ready")].status`)) === "True";
}

/** The certificate that a member shows on a port to somebody with this access; why not, otherwise. */
function shown(
  host: string,
  port: number,
  { caPem, certPem, keyPem, serverName: name }: Access,
): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(
      // In TLS 1.3 a client is told that it is refused only after its handshake.
      {
        ...{ host, port, servername: name, ca: caPem, cert: certPem, key: keyPem },
        maxVersion: "TLSv1.2",
        timeout: 10_000,
      },
      () => {
        resolve(socket.getPeerCertificate().fingerprint256);
        socket.destroy();
      },
    );
    socket.on("timeout", () => socket.destroy(new Error("no answer")));
    socket.on("error", (error) => resolve(error.message));
  });
}

/** What every member shows, on both sides. */
async function allShown(): Promise<string[]> {
  const client = await access();
  const found: string[] = [];
  for (const { metadata, status: at } of await pods()) {
    const { name } = metadata;
    const peer = { ...(await access(`${name}-peer-tls`)), serverName: `${name}.first-peer.apps.svc` };
    found.push(await shown(at.podIP ?? "", 2379, client), await shown(at.podIP ?? "", 2380, peer));
  }
  return found;
}

async function report(t: TestContext, what: string, sinceMs: number): Promise<void> {
  t.diagnostic(`${what}: ${((performance.now() - sinceMs) / 1000).toFixed(0)} s`);
}

test("a cluster with mutual TLS between members and for clients is Ready", async (t) => {
  const sinceMs = performance.now();
  const applied = await apply(kubectl, {
    apiVersion: "etcdlike.io/v1alpha1",
    kind: "EtcdLikeCluster",
    metadata: { name: "first", namespace: "apps" },
    spec: {
      replicas: 3,
      storage: { size: "1Gi" },
      tls: { client: { mode: "Mutual" }, rotation: { caOverlapSeconds: 300 } },
    },
  });
  assert.equal(applied.code, 0, applied.stderr);
  await kubectl("wait", "--for=condition=Ready", "elc/first", "-n", "apps", "--timeout=10m");
  await report(t, "three members Ready", sinceMs);
  assert.equal(await status(`conditions[?(@.type=="CertificatesReady")].status`), "True");
  for (const text of await allShown()) assert.match(text, fingerprint);
  load = await ClientLoad.start(endpoints, access);
});

test("who has no certificate of the side's own authority is refused", async () => {
  const [pod] = await pods();
  assert.ok(pod);
  const [client, peer] = [await access(), await access(`${pod.metadata.name}-peer-tls`)];
  const host = pod.status.podIP ?? "";
  assert.match(await shown(host, 2379, client), fingerprint);
  assert.doesNotMatch(await shown(host, 2379, { ...peer, caPem: client.caPem, serverName }), fingerprint);
  const name = `${pod.metadata.name}.first-peer.apps.svc`;
  const asPeer = { ...client, caPem: peer.caPem, serverName: name };
  assert.doesNotMatch(await shown(host, 2380, asPeer), fingerprint);
});

test("members show renewed certificates without a restart", async (t) => {
  const [before, uids] = [await allShown(), (await pods()).map((pod) => pod.metadata.uid)];
  const sinceMs = performance.now();
  await kubectl("annotate", "elc", "first", "-n", "apps", "etcdlike.io/rotate-certificates=1");
  await eventually(
    "every member shows another certificate on both sides",
    async () => (await allShown()).every((now, i) => fingerprint.test(now) && now !== before[i]),
    8 * minutes,
  );
  await report(t, "renewed everywhere", sinceMs);
  assert.deepEqual(
    (await pods()).map((pod) => pod.metadata.uid),
    uids,
  );
});

test("a member that starts again is let in with the renewed certificates", async (t) => {
  const [victim] = await pods();
  assert.ok(victim);
  const sinceMs = performance.now();
  await kubectl("delete", "pod", victim.metadata.name, "-n", "apps", "--wait=false");
  await eventually(
    "it is Ready with another Pod",
    async () => {
      const now = (await pods()).find((pod) => pod.metadata.name === victim.metadata.name);
      return now !== undefined && now.metadata.uid !== victim.metadata.uid && (await isReady());
    },
    8 * minutes,
  );
  await report(t, "Ready again", sinceMs);
});

test("other certificate authorities take over without a restart", async (t) => {
  const [before, uids] = [await access(), (await pods()).map((pod) => pod.metadata.uid)];
  const sinceMs = performance.now();
  await kubectl("annotate", "elc", "first", "-n", "apps", "etcdlike.io/rotate-authorities=1");
  const phases = () => status("certificates[*].authorityPhase");
  await eventually("both are being replaced", async () => (await phases()) === "Introducing Introducing");
  await eventually(
    "both have been",
    async () => (await phases()) === "Steady Steady" && (await isReady()),
    25 * minutes,
  );
  await report(t, "authorities replaced", sinceMs);
  await eventually(
    "members trust the new ones alone",
    async () => {
      const old = { ...before, caPem: (await access()).caPem };
      const answers = await Promise.all(
        (await pods()).map(({ status: at }) => shown(at.podIP ?? "", 2379, old)),
      );
      return answers.every((text) => !fingerprint.test(text));
    },
    8 * minutes,
  );
  assert.deepEqual(
    (await pods()).map((pod) => pod.metadata.uid),
    uids,
  );
  for (const text of await allShown()) assert.match(text, fingerprint);
});

test("no write failed, and none that was acknowledged is missing", async (t) => {
  assert.ok(load);
  const { acknowledged, retried, failed, longestGapMs, missing } = await load.verify();
  t.diagnostic(
    `${acknowledged} writes, ${retried} retried, ${failed} failed, longest gap ${(longestGapMs / 1000).toFixed(1)} s`,
  );
  assert.ok(acknowledged > 0);
  assert.equal(failed, 0);
  assert.deepEqual(missing, []);
});
