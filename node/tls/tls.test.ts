// TLS over loopback sockets, with certificates that the test makes.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect as connectPlain } from "node:net";
import { test } from "node:test";
import type { ConnectionOptions } from "node:tls";
import { silentLogger } from "../lib/log.ts";
import { Credentials } from "./credentials.ts";
import { ciphersOf, tlsVersionOf } from "./go-names.ts";
import { HostNames } from "./host-names.ts";
import { selfSignedFiles } from "./self-signed.ts";
import { Authority } from "./testing/authority.ts";
import { ask, makeBed, serve } from "./testing/bed.ts";

test("a client with a certificate of the trusted CA is served over what it offered", async (t) => {
  const bed = await makeBed(t);
  const port = await serve(t, bed);
  const client = await bed.ca.issue({ name: "client" });
  assert.equal(await ask(bed, port, client), "hello h2");
  assert.equal(await ask(bed, port, client, { ALPNProtocols: ["http/1.1"] }), "hello http/1.1");
  assert.deepEqual(bed.warnings, []);
});

test("no certificate, one of another CA and one out of date are refused", async (t) => {
  const bed = await makeBed(t);
  const port = await serve(t, bed);
  const other = await Authority.create(bed.folder, "other");
  assert.match(await ask(bed, port), /^refused/);
  assert.match(await ask(bed, port, await other.issue({ name: "stranger" })), /^refused/);
  assert.match(await ask(bed, port, await bed.ca.issue({ name: "old", isExpired: true })), /^refused/);
  assert.equal(bed.warnings.length, 3, bed.warnings.join("\n"));
});

test("with names to choose from, only certificates with one of them are let in", async (t) => {
  const bed = await makeBed(t);
  const root = await bed.ca.issue({ name: "a", commonName: "root", hosts: ["a.example"] });
  const guest = await bed.ca.issue({ name: "b", commonName: "guest", hosts: ["b.example"] });
  const byCn = await serve(t, bed, { allowedCns: ["root", "admin"] });
  assert.equal(await ask(bed, byCn, root), "hello h2");
  assert.match(await ask(bed, byCn, guest), /^refused/);
  const byHost = await serve(t, bed, { allowedHostnames: ["b.example"] });
  assert.equal(await ask(bed, byHost, guest), "hello h2");
  assert.match(await ask(bed, byHost, root), /^refused/);
  assert.ok(bed.warnings.every((text) => text.endsWith("client certificate authentication failed")));
});

test("the address of the other side has to be one of its certificate's, where that names any", async (t) => {
  const bed = await makeBed(t);
  const port = await serve(t, bed, { checksClientAddress: true });
  assert.equal(await ask(bed, port, await bed.ca.issue({ name: "here", hosts: ["127.0.0.1"] })), "hello h2");
  assert.equal(await ask(bed, port, await bed.ca.issue({ name: "name", hosts: ["localhost"] })), "hello h2");
  assert.equal(await ask(bed, port, await bed.ca.issue({ name: "any" })), "hello h2");
  assert.match(await ask(bed, port, await bed.ca.issue({ name: "far", hosts: ["192.0.2.1"] })), /^refused/);
});

test("a certificate is refused from the moment on at which it stands in the list of revoked ones", async (t) => {
  const bed = await makeBed(t);
  const crlFile = `${bed.folder}/revoked.crl`;
  await bed.ca.revoke(crlFile, []);
  const port = await serve(t, bed, { crlFile });
  const client = await bed.ca.issue({ name: "client" });
  const other = await bed.ca.issue({ name: "other" });
  assert.equal(await ask(bed, port, client), "hello h2");
  await bed.ca.revoke(crlFile, [client.serial]);
  assert.match(await ask(bed, port, client), /^refused/);
  assert.equal(await ask(bed, port, other), "hello h2");
});

test("a list of revoked certificates that cannot be read lets nobody in, as in etcd, until it is sound", async (t) => {
  const bed = await makeBed(t);
  const crlFile = `${bed.folder}/revoked.crl`;
  await bed.ca.revoke(crlFile, []);
  const port = await serve(t, bed, { crlFile });
  const client = await bed.ca.issue({ name: "client" });
  assert.equal(await ask(bed, port, client), "hello h2");
  writeFileSync(crlFile, "no list at all");
  for (let i = 0; i < 2; i++) assert.match(await ask(bed, port, client), /^refused/);
  rmSync(crlFile);
  assert.match(await ask(bed, port, client), /^refused/);
  assert.match(bed.warnings.join("\n"), /cannot load the list of revoked certificates/);
  assert.match(bed.warnings.join("\n"), /revoked\.crl cannot be read/);
  await bed.ca.revoke(crlFile, [], "der");
  assert.equal(await ask(bed, port, client), "hello h2");
});

test("a certificate is refused when the authority that issued it is revoked, or cannot be seen", async (t) => {
  const bed = await makeBed(t);
  const crlFile = `${bed.folder}/revoked.crl`;
  await bed.ca.revoke(crlFile, []);
  const { authority, serial } = await bed.ca.intermediate("below");
  const client = await authority.issue({ name: "client" });
  const direct = await bed.ca.issue({ name: "direct" });
  const both = `${bed.folder}/both.crt`;
  writeFileSync(both, [bed.ca.caFile, authority.caFile].map((file) => readFileSync(file, "utf8")).join("\n"));
  assert.equal(
    await ask(bed, await serve(t, bed), client),
    "hello h2",
    "without a list, it is enough to send it",
  );
  assert.match(await ask(bed, await serve(t, bed, { crlFile }), client), /^refused/);
  assert.match(bed.warnings.join("\n"), /the authority "below" is not in .*ca\.crt/);
  const port = await serve(t, bed, { crlFile, trustedCaFile: both });
  assert.equal(await ask(bed, port, client), "hello h2");
  await bed.ca.revoke(crlFile, [serial]);
  assert.match(await ask(bed, port, client), /^refused/);
  assert.equal(await ask(bed, port, direct), "hello h2");
});

test("no session is taken up again, which would skip the look at who issued the certificate", async (t) => {
  const bed = await makeBed(t);
  const port = await serve(t, bed);
  const client = await bed.ca.issue({ name: "client" });
  // Behind the first of each, the server has a new certificate.
  for (const maxVersion of ["TLSv1.2", "TLSv1.3", "TLSv1.2", "TLSv1.3"] as const) {
    let reused = false;
    let session: Buffer | undefined;
    for (let i = 0; i < 2; i++) {
      const options = { maxVersion, ...(session === undefined ? {} : { session }) };
      const answer = await ask(bed, port, client, options, (socket) => {
        socket.on("session", (ticket: Buffer) => {
          session = ticket;
        });
        socket.on("close", () => {
          session ??= socket.getSession();
        });
        socket.on("secureConnect", () => {
          reused = socket.isSessionReused();
        });
      });
      assert.equal(answer, "hello h2");
    }
    assert.equal(reused, false, maxVersion);
    await bed.ca.issue({ name: "server", hosts: ["127.0.0.1"] });
  }
});

test("a resolver that does not answer makes nobody wait longer than the deadline", async (t) => {
  const bed = await makeBed(t);
  const asked: string[] = [];
  const never = (what: string): Promise<never> => {
    asked.push(what);
    return new Promise(() => {});
  };
  const hostNames = new HostNames({ addressesOf: never, namesOf: never }, 100);
  const port = await serve(t, bed, { checksClientAddress: true }, { hostNames });
  const client = await bed.ca.issue({ name: "far", hosts: ["far.example", "*.example"] });
  for (let i = 0; i < 2; i++) assert.match(await ask(bed, port, client), /^refused/);
  assert.match(bed.warnings.join("\n"), /its names were not looked up in time/);
  assert.deepEqual(asked, ["far.example", "127.0.0.1"], "one look-up a name, however many wait");
});

test("handshakes under way are bounded: one more is closed at once, and verified ones do not count", async (t) => {
  const bed = await makeBed(t);
  const port = await serve(t, bed, {}, { handshakesMax: 3 });
  const client = await bed.ca.issue({ name: "client" });
  for (let i = 0; i < 10; i++) assert.equal(await ask(bed, port, client), "hello h2");
  const silent = Array.from({ length: 3 }, () => connectPlain(port, "127.0.0.1"));
  t.after(() => {
    for (const socket of silent) socket.destroy();
  });
  await Promise.all(silent.map((socket) => once(socket, "connect")));
  assert.match(await ask(bed, port, client), /^refused/);
  assert.match(await ask(bed, port, client), /^refused/);
  const complaints = bed.warnings.filter((text) => text.startsWith("rejecting connections"));
  assert.equal(complaints.length, 1);
  silent[0]?.destroy();
  await eventually(async () => (await ask(bed, port, client)) === "hello h2");
});

test("new connections get a changed certificate, and a broken pair leaves the one before in force", async (t) => {
  const bed = await makeBed(t);
  const port = await serve(t, bed);
  const client = await bed.ca.issue({ name: "client" });
  const served = async (): Promise<string> => {
    let serial = "";
    const onSecure: ConnectionOptions["checkServerIdentity"] = (_host, certificate) => {
      serial = certificate.serialNumber.toLowerCase();
      return undefined;
    };
    assert.equal(await ask(bed, port, client, { checkServerIdentity: onSecure }), "hello h2");
    return serial;
  };
  assert.equal(await served(), bed.server.serial);
  const next = await bed.ca.issue({ name: "server", hosts: ["127.0.0.1"] });
  assert.equal(await served(), next.serial);
  const trusted = readFileSync(bed.ca.caFile);
  writeFileSync(bed.ca.caFile, "");
  assert.equal(await ask(bed, port, client, { ca: trusted }), "hello h2");
  writeFileSync(bed.ca.caFile, trusted);
  writeFileSync(next.keyFile, "no key at all");
  assert.equal(await served(), next.serial);
  assert.match(bed.warnings.join("\n"), /cannot load TLS files; going on with the ones before/);
});

test("a pair that cannot be used ends the start", async (t) => {
  const bed = await makeBed(t);
  const missing = { ...bed.settings, certFile: `${bed.folder}/missing.crt` };
  await assert.rejects(Credentials.open(missing, "server", silentLogger), /missing\.crt/);
  writeFileSync(bed.server.keyFile, "no key at all");
  await assert.rejects(Credentials.open(bed.settings, "server", silentLogger));
});

test("a file of CAs that holds none is no file of CAs", async (t) => {
  const bed = await makeBed(t);
  const trustedCaFile = `${bed.folder}/trusted.crt`;
  const refused = (text: string): Promise<void> => {
    writeFileSync(trustedCaFile, text);
    return assert.rejects(
      Credentials.open({ ...bed.settings, trustedCaFile }, "server", silentLogger),
      /trusted\.crt/,
    );
  };
  await refused("");
  await refused("no certificate at all");
  await refused("-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n");
});

test("a pair of the member's own is made once, for its hosts, and only it may read the key", async (t) => {
  const bed = await makeBed(t);
  const folder = `${bed.folder}/fixtures/client`;
  const files = await selfSignedFiles(folder, ["127.0.0.1", "localhost"], 1, silentLogger);
  assert.equal(statSync(files.keyFile).mode & 0o777, 0o600);
  const before = readFileSync(files.certFile, "utf8");
  const port = await serve(t, bed, { ...files, trustedCaFile: "", requiresClientCert: false });
  assert.equal(await ask(bed, port, undefined, { ca: before }), "hello h2");
  await selfSignedFiles(folder, ["127.0.0.1"], 1, silentLogger);
  assert.equal(readFileSync(files.certFile, "utf8"), before);
});

test("versions and suites are those of the flags", async (t) => {
  const bed = await makeBed(t);
  const client = await bed.ca.issue({ name: "client" });
  const port = await serve(t, bed, { minVersion: "TLSv1.3" });
  assert.match(await ask(bed, port, client, { maxVersion: "TLSv1.2" }), /^refused/);
  const ciphers = ciphersOf(["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]);
  const narrow = await serve(t, bed, { ciphers, maxVersion: "TLSv1.2" });
  assert.equal(await ask(bed, narrow, client), "hello h2");
  assert.match(await ask(bed, narrow, client, { ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" }), /^refused/);
  assert.equal(tlsVersionOf(""), undefined);
  assert.throws(() => tlsVersionOf("TLS1.1"), /unexpected TLS version "TLS1\.1"/);
  const newest = await serve(t, bed, { ciphers: ciphersOf(["TLS_AES_128_GCM_SHA256"]) });
  assert.equal(await ask(bed, newest, client), "hello h2");
  assert.match(await ask(bed, newest, client, { maxVersion: "TLSv1.2" }), /^refused/);
  const both = await serve(t, bed, { ciphers: ciphersOf(["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]) });
  assert.equal(await ask(bed, both, client, { minVersion: "TLSv1.3" }), "hello h2");
  const old = ciphersOf(["TLS_RSA_WITH_RC4_128_SHA", "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"]);
  const withOld = await serve(t, bed, { ciphers: old });
  assert.equal(await ask(bed, withOld, client), "hello h2");
  assert.match(await ask(bed, withOld, client, { maxVersion: "TLSv1.2" }), /^refused/);
  assert.throws(() => ciphersOf(["TLS_X"]), /unexpected TLS cipher suite "TLS_X"/);
});

const attemptsMax = 500;

/** For what the server learns by an event of its own. */
async function eventually(isSo: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; !(await isSo()); attempt++) assert.ok(attempt < attemptsMax, "it is so in the end");
}
