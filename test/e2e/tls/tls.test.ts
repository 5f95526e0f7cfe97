// TLS with real processes: etcd's own client, HTTP, and members of both kinds in one cluster.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { Authority, type IssuedPair } from "../../../node/tls/testing/authority.ts";
import { freePorts, type Member, type MemberKind, start } from "../../tools/member.ts";
import { toolPath } from "../../tools/toolchain.ts";
import { scratchFolder } from "../support/scratch.ts";

const run = promisify(execFile);

interface Bed {
  readonly ca: Authority;
  readonly server: IssuedPair;
  readonly client: IssuedPair;
}

async function makeBed(t: TestContext): Promise<Bed> {
  const folder = await scratchFolder(t);
  const ca = await Authority.create(folder);
  return {
    ca,
    server: await ca.issue({ name: "server", hosts: ["127.0.0.1"] }),
    client: await ca.issue({ name: "client" }),
  };
}

function secureFlags({ ca, server }: Bed): readonly string[] {
  return [
    ...["--cert-file", server.certFile, "--key-file", server.keyFile],
    ...["--trusted-ca-file", ca.caFile, "--client-cert-auth"],
    ...["--peer-cert-file", server.certFile, "--peer-key-file", server.keyFile],
    ...["--peer-trusted-ca-file", ca.caFile, "--peer-client-cert-auth"],
  ];
}

async function startSecure(
  t: TestContext,
  bed: Bed,
  kinds: readonly MemberKind[],
): Promise<readonly Member[]> {
  const ports = await Promise.all(kinds.map(() => freePorts()));
  const initial = ports.map(({ peer }, i) => `m${i}=https://127.0.0.1:${peer}`).join(",");
  const starting = kinds.map((kind, i) => {
    const { client, peer } = ports[i] as (typeof ports)[number];
    const clientUrl = `https://127.0.0.1:${client}`;
    const peerUrl = `https://127.0.0.1:${peer}`;
    return start({
      kind,
      ports: { client, peer },
      readyTimeoutMs: 60_000,
      flags: [
        ...["--name", `m${i}`, "--initial-cluster", initial],
        ...["--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl],
        ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
        ...secureFlags(bed),
      ],
    });
  });
  const members = await Promise.all(starting);
  t.after(() => Promise.all(members.map((member) => member.kill())));
  return members;
}

async function etcdctl(bed: Bed, { endpoint }: Member, ...argv: string[]): Promise<string> {
  const { ca, client } = bed;
  const tls = ["--cacert", ca.caFile, "--cert", client.certFile, "--key", client.keyFile];
  const { stdout } = await run(await toolPath("etcdctl"), [
    "--endpoints",
    `https://${endpoint}`,
    ...tls,
    ...argv,
  ]);
  return stdout;
}

function get(bed: Bed, member: Member, path: string): Promise<string> {
  const { ca, client } = bed;
  const files = { ca: ca.caFile, cert: client.certFile, key: client.keyFile };
  const options = Object.fromEntries(Object.entries(files).map(([name, file]) => [name, readFileSync(file)]));
  return new Promise((resolve, reject) => {
    const asked = request(`https://${member.endpoint}${path}`, options, (response) => {
      let text = "";
      response.on("data", (bytes) => {
        text += String(bytes);
      });
      response.on("end", () => resolve(text));
    });
    asked.on("error", reject);
    asked.end();
  });
}

test("etcdctl and HTTP share a TLS port that asks for client certificates", async (t) => {
  const bed = await makeBed(t);
  const [member] = await startSecure(t, bed, ["etcdlike"]);
  assert.ok(member !== undefined);
  assert.equal(await etcdctl(bed, member, "put", "key", "value"), "OK\n");
  assert.equal(await etcdctl(bed, member, "get", "key"), "key\nvalue\n");
  assert.match(await get(bed, member, "/health"), /"health":"true"/);
  const withoutPair = ["--endpoints", `https://${member.endpoint}`, "--cacert", bed.ca.caFile];
  await assert.rejects(
    run(await toolPath("etcdctl"), [...withoutPair, "--command-timeout", "2s", "get", "key"]),
  );
});

test("members of both kinds form one cluster over TLS", async (t) => {
  const bed = await makeBed(t);
  const members = await startSecure(t, bed, ["etcd", "etcdlike", "etcdlike"]);
  for (const [i, member] of members.entries()) await etcdctl(bed, member, "put", `from-${i}`, `${i}`);
  for (const member of members) {
    const text = await etcdctl(bed, member, "get", "from-", "--prefix", "--print-value-only");
    assert.deepEqual(
      text.split("\n").filter((line) => line !== ""),
      ["0", "1", "2"],
    );
  }
});
