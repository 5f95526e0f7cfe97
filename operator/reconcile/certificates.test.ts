// Lives of certificates in the small world: it throws when a member, the operator or a client does not trust
// another at any moment, or when a certificate in use has ended.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createPki } from "../pki/issuer.ts";
import { Run } from "./testing/run.ts";

const mutual = {
  peer: { mode: "Mutual", source: "Auto" },
  client: { mode: "Mutual", source: "Auto" },
  rotation: { renewBeforeSeconds: 30 * 86_400, caOverlapSeconds: 600 },
};

function phases(run: Run): string[] {
  return (run.cluster().status?.certificates ?? []).map((one) => `${one.plane} ${one.authorityPhase}`);
}

async function isSteady(run: Run): Promise<void> {
  await run.until(() => run.isReady() && phases(run).every((phase) => phase.endsWith("Steady")), 6_000);
}

test("a new certificate authority takes over while everybody goes on trusting everybody", async () => {
  for (let seed = 0; seed < 2; seed++) {
    let changes = 0;
    const run = new Run({
      spec: { tls: mutual },
      crash: () => {
        changes++;
        return changes % 7 === seed ? "before" : changes % 11 === seed ? "after" : "no";
      },
    });
    await run.until(() => run.isReady());
    const before = run.certificates();
    run.annotate({ "etcdlike.io/rotate-authorities": "1" });
    await run.until(() => phases(run).some((phase) => phase.endsWith("Introducing")));
    // A member that joins meanwhile is believed, too.
    run.set({ replicas: 5 });
    await run.until(() => phases(run).includes("Client Retiring"), 3_000);
    run.set({ replicas: 3 });
    await isSteady(run);
    const now = run.certificates();
    for (const [name, text] of now) assert.notEqual(before.get(name), text, name);
    assert.ok(run.crashes > 10);
  }
});

test("more than a year passes, and no certificate in use ever ends", async () => {
  const run = new Run({ spec: { tls: mutual } });
  await run.until(() => run.isReady());
  const authority = run.certificates().get("c-peer-ca");
  const seen = new Set<string>();
  for (let day = 0; day < 400; day++) {
    await run.passes();
    run.world.tick(86_400);
    for (const text of run.certificates().values()) seen.add(text);
  }
  await run.until(() => run.isReady());
  assert.equal(run.certificates().get("c-peer-ca"), authority);
  // Two authorities, and a certificate every sixty days for three members on two sides, the operator and clients.
  assert.ok(seen.size >= 8 * 6 && seen.size <= 8 * 9, `${seen.size} certificates`);
});

test("a Secret that somebody spoilt is reported, left as it is, and made anew once it is deleted", async () => {
  const run = new Run({ spec: { tls: mutual } });
  await run.until(() => run.isReady());
  const name = `${run.world.podNames()[0]}-peer-tls`;
  const spoilt = Buffer.from("spoilt").toString("base64");
  run.world.api.edit("secrets", name, { data: { "tls.key": spoilt } });
  await run.until(() => {
    const found = run.cluster().status?.conditions?.find((one) => one.type === "CertificatesReady");
    return (
      found?.status === "False" && found.message.includes(`Secret ${name}: tls.key holds no private key`)
    );
  });
  const { data } = run.world.api.get("secrets", name) as unknown as { data: Record<string, string> };
  assert.equal(data["tls.key"], spoilt);
  run.world.api.erase("secrets", name);
  await run.until(() => run.isReady());
});

test("a lost authority is reported and not replaced, and members go on with what they have", async () => {
  const run = new Run({ spec: { tls: mutual } });
  await run.until(() => run.isReady());
  const before = run.certificates();
  run.world.api.erase("secrets", "c-peer-ca");
  await run.until(() => {
    const found = run.cluster().status?.conditions?.find((one) => one.type === "CertificatesReady");
    return found?.message.startsWith("Secret c-peer-ca is gone") === true;
  });
  for (let i = 0; i < 300; i++) {
    await run.passes();
    run.world.tick();
  }
  assert.deepEqual(
    [...run.certificates().keys()].sort(),
    [...before.keys()].filter((name) => name !== "c-peer-ca").sort(),
  );
  assert.ok(run.world.hasQuorum);
});

test("with all its Secrets deleted while it is paused, a cluster begins anew with other authorities", async () => {
  const run = new Run({ spec: { tls: mutual } });
  await run.until(() => run.isReady());
  const before = run.certificates();
  run.set({ paused: true });
  await run.passes();
  for (const name of before.keys()) run.world.api.erase("secrets", name);
  // Kubelets need two minutes at most, and the client reads its Secret every ten.
  run.world.certificates.forgivenUntilMs = run.world.nowMs + 11 * 60_000;
  run.set({ paused: false });
  await run.until(() => run.isReady() && run.certificates().size === before.size);
  await run.until(() => run.world.nowMs > run.world.certificates.forgivenUntilMs + 60_000, 1_000);
  for (const [name, text] of run.certificates()) assert.notEqual(before.get(name), text, name);
  assert.ok(run.isReady());
});

test("members get new certificates with the names that spec adds, without a restart", async () => {
  const run = new Run({ spec: { tls: mutual } });
  await run.until(() => run.isReady());
  const [before, pods] = [run.certificates(), run.world.api.all("pods").map((pod) => pod.metadata.uid)];
  run.set({ tls: { client: { hosts: ["etcd.example.com"] } } });
  await run.until(() => run.isReady() && run.certificates().size === before.size);
  const changed = [...run.certificates()].filter(([name, text]) => before.get(name) !== text);
  assert.deepEqual(
    changed.map(([name]) => name).sort(),
    run.world.podNames().map((name) => `${name}-client-tls`),
  );
  assert.deepEqual(
    run.world.api.all("pods").map((pod) => pod.metadata.uid),
    pods,
  );
});

const given = {
  ...mutual,
  client: { mode: "Mutual", source: "Secret", secretName: "given" },
};

/** As cert-manager would: one certificate for everybody, no label of ours. */
async function writeGiven(run: Run): Promise<void> {
  const pki = createPki();
  const validity = { notBeforeMs: run.world.nowMs, notAfterMs: run.world.nowMs + 90 * 86_400_000 };
  const authority = await pki.makeAuthority("theirs", validity);
  const pair = await pki.issue(authority, { commonName: "members", hosts: ["localhost"], ...validity });
  const data = { "tls.crt": pair.certPem, "tls.key": pair.keyPem, "ca.crt": authority.certPem };
  await run.world.api.request({
    method: "POST",
    path: "/api/v1/namespaces/default/secrets",
    body: {
      kind: "Secret",
      metadata: { name: "given" },
      data: Object.fromEntries(
        Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")]),
      ),
    },
  });
}

test("members wait for a Secret that somebody else writes, and the operator speaks to them with it", async () => {
  const run = new Run({ spec: { tls: given } });
  const problem = () =>
    run.cluster().status?.conditions?.find((one) => one.type === "CertificatesReady")?.message;
  await run.until(() => problem() === "Secret given is not there");
  for (let i = 0; i < 10; i++) {
    await run.passes();
    run.world.tick();
  }
  assert.deepEqual(run.world.podNames(), []);
  await writeGiven(run);
  await run.until(() => run.isReady());
  assert.deepEqual(
    [...run.certificates().keys()].filter((name) => name.includes("client") || name.includes("operator")),
    [],
  );
  assert.equal(run.cluster().status?.certificates?.find((one) => one.plane === "Client")?.source, "Secret");
});

test("a Secret of another's under a name that the operator would take is left alone", async () => {
  const run = new Run({ spec: { tls: mutual } });
  await run.world.api.request({
    method: "POST",
    path: "/api/v1/namespaces/default/secrets",
    body: { kind: "Secret", metadata: { name: "c-peer-ca" }, data: { mine: "" } },
  });
  for (let i = 0; i < 10; i++) {
    await run.passes();
    run.world.tick();
  }
  assert.deepEqual(run.world.api.get("secrets", "c-peer-ca")?.["data"], { mine: "" });
  assert.deepEqual(run.world.podNames(), []);
  assert.ok(run.told.some((text) => /^CertificateFailed: .*c-peer-ca is there already/.test(text)));
});
