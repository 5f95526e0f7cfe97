// Certificates on real nodes, where kubelets take their time: a cluster whose members and clients use mutual TLS, and
// everything about its certificates replaced under a client that writes all the time.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "node:tls";
import { eventually } from "../k8s/support/eventually.ts";
import {
  access,
  condition,
  firstCluster,
  kubectl,
  make,
  minutes,
  pods,
  startLoad,
  status,
  untilReady,
  useBed,
  verifiedLoad,
} from "./first-cluster.ts";
import { installOperator } from "./install.ts";
import type { Access, ClientLoad } from "./load.ts";

const fingerprint = /^[0-9A-F:]{95}$/;

let load: ClientLoad | undefined;

useBed(installOperator);

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

async function podUids(): Promise<string[]> {
  return (await pods()).map((pod) => pod.metadata.uid);
}

test("a cluster with mutual TLS between members and for clients is Ready", async (t) => {
  const sinceMs = performance.now();
  await make(firstCluster({ tls: { client: { mode: "Mutual" }, rotation: { caOverlapSeconds: 300 } } }));
  await untilReady(t, "three members", sinceMs);
  assert.equal(await condition("CertificatesReady"), "True");
  for (const text of await allShown()) assert.match(text, fingerprint);
  load = await startLoad(access);
});

test("who has no certificate of the side's own authority is refused", async () => {
  const [pod] = await pods();
  assert.ok(pod);
  const [client, peer] = [await access(), await access(`${pod.metadata.name}-peer-tls`)];
  const host = pod.status.podIP ?? "";
  assert.match(await shown(host, 2379, client), fingerprint);
  assert.doesNotMatch(
    await shown(host, 2379, { ...peer, caPem: client.caPem, serverName: client.serverName }),
    fingerprint,
  );
  const name = `${pod.metadata.name}.first-peer.apps.svc`;
  const asPeer = { ...client, caPem: peer.caPem, serverName: name };
  assert.doesNotMatch(await shown(host, 2380, asPeer), fingerprint);
});

test("members show renewed certificates without a restart", async (t) => {
  const [before, uids] = [await allShown(), await podUids()];
  const sinceMs = performance.now();
  await kubectl("annotate", "elc", "first", "-n", "apps", "etcdlike.io/rotate-certificates=1");
  await eventually(
    "every member shows another certificate on both sides",
    async () => (await allShown()).every((now, i) => fingerprint.test(now) && now !== before[i]),
    8 * minutes,
  );
  await untilReady(t, "renewed everywhere", sinceMs);
  assert.deepEqual(await podUids(), uids);
});

test("a member that starts again is let in with the renewed certificates", async (t) => {
  const [victim] = await pods();
  assert.ok(victim);
  const sinceMs = performance.now();
  await kubectl("delete", "pod", victim.metadata.name, "-n", "apps", "--wait=false");
  await untilReady(t, "with another Pod", sinceMs, async () => {
    const now = (await pods()).find((pod) => pod.metadata.name === victim.metadata.name);
    return now !== undefined && now.metadata.uid !== victim.metadata.uid;
  });
});

test("other certificate authorities take over without a restart", async (t) => {
  const [before, uids] = [await access(), await podUids()];
  const sinceMs = performance.now();
  await kubectl("annotate", "elc", "first", "-n", "apps", "etcdlike.io/rotate-authorities=1");
  const phases = () => status("certificates[*].authorityPhase");
  await eventually("both are being replaced", async () => (await phases()) === "Introducing Introducing");
  await eventually("both have been", async () => (await phases()) === "Steady Steady", 25 * minutes);
  await untilReady(t, "authorities replaced", sinceMs);
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
  assert.deepEqual(await podUids(), uids);
  for (const text of await allShown()) assert.match(text, fingerprint);
});

test("no write failed, and none that was acknowledged is missing", async (t) => {
  assert.equal(await verifiedLoad(t, load), 0);
});
