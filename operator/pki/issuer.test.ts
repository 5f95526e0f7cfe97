// Certificates as they are made, held against Node's own TLS and X.509.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import type { AddressInfo } from "node:net";
import { before, type TestContext, test } from "node:test";
import { connect, createServer, type TLSSocket } from "node:tls";
import { createPki } from "./issuer.ts";
import type { Pair } from "./port.ts";
import { readPem } from "./read.ts";

const pki = createPki();
const now = Date.now();
const validity = { notBeforeMs: now - 3_600_000, notAfterMs: now + 90 * 86_400_000 };
const hosts = ["c-0.c-peer.default.svc", "*.example.com", "localhost", "127.0.0.1", "::1"];

let [authority, other, server, client]: Pair[] = [];

before(async () => {
  authority = await pki.makeAuthority("one", validity);
  other = await pki.makeAuthority("two", validity);
  server = await pki.issue(authority, { commonName: "c-0", hosts, ...validity });
  client = await pki.issue(authority, { commonName: "client", hosts: [], ...validity });
});

/** What becomes of a connection to a server that demands certificates of the CAs given. */
async function outcome(
  t: TestContext,
  options: {
    readonly trusts: string;
    readonly shows: Pair;
    readonly serverTrusts: string;
    readonly name: string;
  },
): Promise<string> {
  assert.ok(server);
  const listening = createServer({
    cert: server.certPem,
    key: server.keyPem,
    ca: options.serverTrusts,
    requestCert: true,
    rejectUnauthorized: true,
  });
  listening.on("secureConnection", (socket: TLSSocket) => socket.end("hello"));
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
  t.after(() => listening.close());
  return new Promise((resolve) => {
    const socket = connect({
      host: "127.0.0.1",
      port: (listening.address() as AddressInfo).port,
      servername: options.name,
      ca: options.trusts,
      cert: options.shows.certPem,
      key: options.shows.keyPem,
    });
    socket.on("data", (bytes) => resolve(String(bytes)));
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on("close", () => resolve("closed"));
  });
}

test("both ends are believed by those who trust the authority, and by nobody else", async (t) => {
  assert.ok(authority && other && client);
  const [one, two] = [authority.certPem, other.certPem];
  const good = { trusts: one, shows: client, serverTrusts: one, name: "c-0.c-peer.default.svc" };
  assert.equal(await outcome(t, good), "hello");
  assert.equal(await outcome(t, { ...good, trusts: two + one, serverTrusts: one + two }), "hello");
  assert.equal(await outcome(t, { ...good, name: "any.example.com" }), "hello");
  assert.equal(await outcome(t, { ...good, name: "c-1.c-peer.default.svc" }), "ERR_TLS_CERT_ALTNAME_INVALID");
  assert.notEqual(await outcome(t, { ...good, trusts: two }), "hello");
  assert.notEqual(await outcome(t, { ...good, serverTrusts: two }), "hello");
});

test("a certificate carries names, addresses and both usages; an authority may sign, and nothing else", () => {
  assert.ok(authority && server);
  const leaf = new X509Certificate(server.certPem);
  for (const name of hosts.filter((host) => /[a-z]/.test(host) && !host.startsWith("*")))
    assert.equal(leaf.checkHost(name), name);
  assert.equal(leaf.checkIP("127.0.0.1"), "127.0.0.1");
  assert.equal(leaf.checkIP("::1"), "::1");
  assert.equal(leaf.ca, false);
  assert.deepEqual(leaf.keyUsage, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
  assert.equal(leaf.validToDate.getTime(), Math.floor(validity.notAfterMs / 1_000) * 1_000);
  assert.equal(new X509Certificate(authority.certPem).ca, true);
});

test("what is read of a Secret's files, and what is wrong with them", () => {
  assert.ok(authority && other && server && client);
  const files = { certPem: server.certPem, keyPem: server.keyPem, caPem: other.certPem + authority.certPem };
  const content = readPem(files);
  assert.ok(content.isSound);
  assert.equal(content.trusted.length, 2);
  assert.equal(content.signer, content.trusted[1]);
  const problems = [
    { ...files, certPem: undefined },
    { ...files, caPem: "" },
    { ...files, certPem: files.certPem.replace(/\n.{8}/, "\n????????") },
    { ...files, keyPem: undefined },
    { ...files, keyPem: "spoilt" },
    { ...files, keyPem: client.keyPem },
    { ...files, caPem: other.certPem },
  ].map((given) => {
    const read = readPem(given);
    return read.isSound ? "sound" : read.problem;
  });
  assert.deepEqual(problems, [
    "tls.crt is not there",
    "ca.crt holds no certificate in PEM",
    "tls.crt holds a certificate that cannot be read",
    "tls.key is not there",
    "tls.key holds no private key that can be read",
    "tls.key is not the key of tls.crt",
    "tls.crt is signed by no certificate of ca.crt",
  ]);
});
