// TLS with real processes: etcd's own client, clientv3, curl, and members of both kinds in one cluster.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Authority } from "../../../node/tls/testing/authority.ts";
import type { MemberKind } from "../../tools/member.ts";
import { freePorts, start } from "../../tools/member.ts";
import { toolPath } from "../../tools/toolchain.ts";
import { Running } from "../support/command.ts";
import { scratchFolder } from "../support/scratch.ts";
import { curl, etcdctl, type Identity, isLetIn, makeBed, secureFlags, startSecure } from "./bed.ts";

const timeout = 240_000;

test("etcdctl and curl share a TLS port that asks for client certificates", { timeout }, async (t) => {
  const bed = await makeBed(t);
  const [member] = await startSecure(t, ["etcdlike"], () => secureFlags(bed));
  assert.ok(member !== undefined);
  const url = `https://${member.endpoint}`;
  const known: Identity = { ca: bed.ca.caFile, pair: bed.client };
  assert.equal(await etcdctl(url, known, "put", "key", "value"), "OK\n");
  assert.equal(await etcdctl(url, known, "get", "key"), "key\nvalue\n");
  assert.match(await curl(known, `${url}/health`), /"health":"true"/);
  assert.match(await curl(known, `${url}/version`), /"etcdserver":"3\.6\./);
  await assert.rejects(curl({ ca: bed.ca.caFile }, `${url}/health`));
  assert.equal(await isLetIn(url, { ca: bed.ca.caFile }), false);
});

test("clientv3 does over TLS what it does without", { timeout }, async (t) => {
  const bed = await makeBed(t);
  const [member] = await startSecure(t, ["etcdlike"], () => secureFlags(bed));
  assert.ok(member !== undefined);
  const program = await toolPath("clientv3-checks");
  const files = [bed.ca.caFile, bed.client.certFile, bed.client.keyFile];
  const run = new Running([program, `https://${member.endpoint}`, ...files], { timeoutMs: timeout });
  const { code, stdout, stderr } = await run.finished;
  assert.equal(code, 0, `${stdout}${stderr}`);
  assert.ok(stdout.trim().split("\n").length > 10, stdout);
});

test("members of both kinds form one cluster over TLS", { timeout }, async (t) => {
  const bed = await makeBed(t);
  const members = await startSecure(t, ["etcd", "etcdlike", "etcdlike"], () => secureFlags(bed));
  await expectOneCluster(
    members.map(({ endpoint }) => `https://${endpoint}`),
    { ca: bed.ca.caFile, pair: bed.client },
  );
});

test("members of both kinds form one cluster with certificates that each makes for itself", {
  timeout,
}, async (t) => {
  const flags = ["--auto-tls", "--peer-auto-tls"];
  const members = await startSecure(t, ["etcd", "etcdlike", "etcdlike"], () => flags);
  await expectOneCluster(
    members.map(({ endpoint }) => `https://${endpoint}`),
    {},
  );
});

test("a unix socket takes TLS", { timeout }, async (t) => {
  const bed = await makeBed(t);
  const socket = `${await scratchFolder(t)}/client.sock`;
  const member = await start({
    kind: "etcdlike",
    readyTimeoutMs: timeout,
    flags: [
      ...["--listen-client-urls", `unixs://${socket}`, "--advertise-client-urls", "https://127.0.0.1:2379"],
      ...["--cert-file", bed.server.certFile, "--key-file", bed.server.keyFile],
      ...["--trusted-ca-file", bed.ca.caFile, "--client-cert-auth"],
    ],
  });
  t.after(() => member.stop());
  const known: Identity = { ca: bed.ca.caFile, pair: bed.client };
  const over = ["--unix-socket", socket, "https://127.0.0.1/health"];
  assert.match(await curl(known, ...over), /"health":"true"/);
  await assert.rejects(curl({ ca: bed.ca.caFile }, ...over));
});

for (const kind of ["etcd", "etcdlike"] as const)
  test(`${kind} lets in only who shows a certificate that is trusted, not revoked and of an allowed name`, {
    timeout,
  }, async (t) => {
    const bed = await makeBed(t);
    const stranger = await Authority.create(await scratchFolder(t), "stranger");
    const crlFile = `${bed.folder}/revoked.crl`;
    const good = await bed.ca.issue({ name: "good", hosts: ["good.example"] });
    const revoked = await bed.ca.issue({ name: "revoked", hosts: ["good.example"] });
    await bed.ca.revoke(crlFile, [revoked.serial], "der");
    const { ca, server } = bed;
    const [member] = await startSecure(t, [kind], () => [
      ...["--cert-file", server.certFile, "--key-file", server.keyFile],
      ...["--trusted-ca-file", ca.caFile, "--client-cert-auth", "--client-crl-file", crlFile],
      ...["--client-cert-allowed-hostname", "good.example"],
      ...["--peer-cert-file", server.certFile, "--peer-key-file", server.keyFile],
    ]);
    assert.ok(member !== undefined);
    const url = `https://${member.endpoint}`;
    const knows = (pair: Identity["pair"]): Identity =>
      pair === undefined ? { ca: ca.caFile } : { ca: ca.caFile, pair };
    assert.equal(await isLetIn(url, knows(good)), true);
    const otherCa = await stranger.issue({ name: "good", hosts: ["good.example"] });
    const refused: Readonly<Record<string, Identity>> = {
      "no certificate": knows(undefined),
      "a certificate of another CA": knows(otherCa),
      "a revoked certificate": knows(revoked),
      "a certificate of another name": knows(bed.client),
      "a client that trusts another CA": { ca: stranger.caFile, pair: good },
    };
    const outcomes = await Promise.all(
      Object.entries(refused).map(async ([what, identity]) => [what, await isLetIn(url, identity)] as const),
    );
    for (const [what, isIn] of outcomes) assert.equal(isIn, false, what);
    assert.equal(await isLetIn(url, knows(good)), true);
    await bed.ca.revoke(crlFile, [revoked.serial, good.serial], "der");
    assert.equal(await isLetIn(url, knows(good)), false, "revoked meanwhile");
  });

for (const kind of ["etcd", "etcdlike"] as const)
  test(`${kind} and ours are no peers while its certificate has a name that is not allowed`, {
    timeout,
  }, async (t) => {
    const bed = await makeBed(t);
    const peer = await bed.ca.issue({ name: "peer", commonName: "member", hosts: ["127.0.0.1"] });
    const other = await bed.ca.issue({ name: "other", commonName: "other", hosts: ["127.0.0.1"] });
    const flagsOf = (server: typeof peer): readonly string[] => [
      ...secureFlags({ ca: bed.ca, server }),
      ...["--peer-cert-allowed-cn", "member"],
    ];
    const kinds: readonly MemberKind[] = ["etcdlike", kind];
    await startSecure(t, kinds, () => flagsOf(peer));
    await expectNoLeader(t.name, flagsOf(peer), kind, flagsOf(other));
  });

/** What was written through one member is read through each. */
async function expectOneCluster(urls: readonly string[], identity: Identity): Promise<void> {
  for (const [i, url] of urls.entries()) await etcdctl(url, identity, "put", `from-${i}`, `${i}`);
  for (const url of urls) {
    const text = await etcdctl(url, identity, "get", "from-", "--prefix", "--print-value-only");
    const values = text.split("\n").filter((line) => line !== "");
    assert.deepEqual(
      values,
      urls.map((_, i) => String(i)),
    );
  }
}

/** Two members of which ours turns the other away never have a quorum: ours complains of it until it is ended. */
async function expectNoLeader(
  name: string,
  own: readonly string[],
  kind: MemberKind,
  theirs: readonly string[],
): Promise<void> {
  const ports = [await freePorts(), await freePorts()];
  const initial = ports.map(({ peer }, i) => `n${i}=https://127.0.0.1:${peer}`).join(",");
  const [our, other] = await Promise.all(
    [own, theirs].map(async (flags, i) => {
      const { client, peer } = ports[i] as (typeof ports)[number];
      const [clientUrl, peerUrl] = [`https://127.0.0.1:${client}`, `https://127.0.0.1:${peer}`];
      return start({
        kind: i === 0 ? "etcdlike" : kind,
        ports: { client, peer },
        readyTimeoutMs: 20_000,
        flags: [
          ...["--name", `n${i}`, "--initial-cluster", initial],
          ...["--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl],
          ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
          ...flags,
        ],
      }).then(
        async (member) => {
          await member.kill();
          return "it became ready";
        },
        (error: Error) => error.message,
      );
    }),
  );
  assert.match(our ?? "", /client certificate authentication failed/, name);
  assert.match(other ?? "", /did not become ready/, name);
}
