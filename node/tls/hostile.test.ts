// Hostile clients of a TLS listener, on loopback sockets. Those that never begin a handshake are in listeners-tls.test.ts.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import {
  type AddressInfo,
  connect as connectPlain,
  createServer as createPlainServer,
  type Socket,
} from "node:net";
import { type TestContext, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { type ConnectionOptions, connect, createServer, type TLSSocket } from "node:tls";
import { silentLogger } from "../lib/log.ts";
import { connectWith } from "./connect.ts";
import { Credentials } from "./credentials.ts";
import { createTlsServer } from "./server.ts";
import type { IssuedPair } from "./testing/authority.ts";
import { ask, type Bed, makeBed, serve } from "./testing/bed.ts";

/** A server that sends back what it gets. */
async function echo(t: TestContext, bed: Bed): Promise<number> {
  const credentials = await Credentials.open(bed.settings, "server", silentLogger);
  const server = createTlsServer({
    credentials,
    protocols: ["h2"],
    log: silentLogger,
    onConnection: (socket) => socket.on("error", () => {}).pipe(socket),
  });
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function secure(
  bed: Bed,
  port: number,
  pair: IssuedPair,
  options: ConnectionOptions,
): Promise<TLSSocket> {
  const { certFile, keyFile } = pair;
  const files = { ca: readFileSync(bed.ca.caFile), cert: readFileSync(certFile), key: readFileSync(keyFile) };
  const socket = connect({ port, host: "127.0.0.1", ALPNProtocols: ["h2"], ...files, ...options });
  await once(socket, "secureConnect");
  return socket;
}

/** The error of one renegotiation, which the server refuses; undefined if it was granted. */
function renegotiated(socket: TLSSocket): Promise<Error | undefined> {
  return new Promise((resolve) => {
    socket.on("error", resolve);
    socket.renegotiate({}, (error) => resolve(error ?? undefined));
  });
}

test("no client renegotiates, which would cost handshakes and pass by the look at its certificate", async (t) => {
  const bed = await makeBed(t);
  const port = await echo(t, bed);
  const client = await bed.ca.issue({ name: "client" });
  // The second time, the server has a new certificate, and with it another context.
  for (let i = 0; i < 2; i++) {
    const socket = await secure(bed, port, client, { maxVersion: "TLSv1.2" });
    socket.write("x");
    await once(socket, "data");
    assert.match(String(await renegotiated(socket)), /no renegotiation/i);
    socket.destroy();
    await bed.ca.issue({ name: "server", hosts: ["127.0.0.1"] });
  }
});

test("a member that connects does not renegotiate when the other side asks for it", async (t) => {
  const bed = await makeBed(t);
  const { certFile, keyFile } = bed.server;
  const server = createServer({
    cert: readFileSync(certFile),
    key: readFileSync(keyFile),
    maxVersion: "TLSv1.2",
  });
  const asked = once(server, "secureConnection").then(([socket]) => renegotiated(socket as TLSSocket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const credentials = await Credentials.open(bed.settings, "client", silentLogger);
  const socket = connectWith(credentials)(new URL(`https://127.0.0.1:${port}`)).on("error", () => {});
  t.after(() => {
    socket.destroy();
    server.close();
  });
  assert.match(String(await asked), /no renegotiation/i);
});

test("certificates of tens of kilobytes are read, and larger ones refused", async (t) => {
  const bed = await makeBed(t);
  const port = await serve(t, bed);
  const named = (count: number): readonly string[] =>
    Array.from({ length: count }, (_, i) => `host-${i}.example.test`);
  const large = await bed.ca.issue({ name: "large", hosts: named(1500) });
  assert.ok(readFileSync(large.certFile).length > 32 * 1024);
  assert.equal(await ask(bed, port, large), "hello h2");
  const huge = await bed.ca.issue({ name: "huge", hosts: named(10_000) });
  assert.match(await ask(bed, port, huge), /^refused/);
  assert.equal(await ask(bed, port, large), "hello h2");
});

test("a certificate is refused where it may not be used: a server's from a client, a client's from a server", async (t) => {
  const bed = await makeBed(t);
  const port = await serve(t, bed);
  const pair = (name: string, ...usages: ("serverAuth" | "clientAuth")[]): Promise<IssuedPair> =>
    bed.ca.issue({ name, hosts: ["127.0.0.1"], usages });
  const ofServer = await pair("of-server", "serverAuth");
  const ofClient = await pair("of-client", "clientAuth");
  const ofBoth = await pair("of-both", "serverAuth", "clientAuth");
  assert.match(await ask(bed, port, ofServer), /^refused/);
  assert.equal(await ask(bed, port, ofClient), "hello h2");
  assert.equal(await ask(bed, port, ofBoth), "hello h2");
  assert.match(await ask(bed, await serve(t, bed, ofClient), ofBoth), /^refused: .*PURPOSE/);
});

test("bytes that are no handshake end a connection and nothing else", async (t) => {
  const bed = await makeBed(t);
  const port = await serve(t, bed);
  const client = await bed.ca.issue({ name: "client" });
  const openings = [
    Buffer.from("GET / HTTP/1.1\r\n\r\n"),
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Buffer.alloc(64 * 1024, 0xff),
    // A record of a handshake whose length is a lie, and one of an alert.
    Buffer.from("16030100ff01ffffff0303", "hex"),
    Buffer.from("15030100020228", "hex"),
  ];
  for (const opening of openings) {
    const socket = connectPlain(port, "127.0.0.1").on("error", () => {});
    socket.resume();
    socket.end(opening);
    await new Promise((resolve) => socket.once("close", resolve));
    assert.equal(await ask(bed, port, client), "hello h2");
  }
});

/** What a client says first. */
async function helloOf(bed: Bed): Promise<Buffer> {
  const server = createPlainServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const answered = ask(bed, (server.address() as AddressInfo).port);
  const [socket] = await accepted;
  const [hello] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  server.close();
  await answered;
  return hello;
}

const slowHandshakes = 50;

test("handshakes that come byte by byte or are never finished are let go, and others are served meanwhile", {
  timeout: 120_000,
}, async (t) => {
  const bed = await makeBed(t);
  const port = await serve(t, bed);
  const client = await bed.ca.issue({ name: "client" });
  const hello = await helloOf(bed);
  const closed: Promise<unknown>[] = [];
  for (let i = 0; i < 2 * slowHandshakes; i++) {
    const socket = connectPlain(port, "127.0.0.1").setNoDelay(true);
    socket.on("error", () => {});
    socket.resume();
    closed.push(new Promise((resolve) => socket.once("close", resolve)));
    if (i % 2 === 0) {
      // Read and answered, and nothing follows.
      socket.write(hello);
      continue;
    }
    // At this pace the hello alone would take longer than a handshake may.
    let at = 0;
    const drip = setInterval(() => socket.write(hello.subarray(at, ++at)), 200);
    socket.once("close", () => clearInterval(drip));
  }
  assert.ok(hello.length > 200, `a hello has ${hello.length} bytes`);
  assert.equal(await ask(bed, port, client), "hello h2");
  await Promise.all(closed);
  assert.equal(bed.warnings.length, 2 * slowHandshakes);
  assert.equal(await ask(bed, port, client), "hello h2");
});

test("a handshake may come in single bytes, when they come soon", async (t) => {
  const bed = await makeBed(t);
  const port = await serve(t, bed);
  const client = await bed.ca.issue({ name: "client" });
  const splitter = createPlainServer((from) => {
    const to = connectPlain(port, "127.0.0.1").setNoDelay(true);
    to.on("error", () => from.destroy()).pipe(from);
    from.on("error", () => to.destroy());
    void (async () => {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        for (const byte of chunk) {
          to.write(Buffer.of(byte));
          await turn();
        }
      }
      to.end();
    })().catch(() => to.destroy());
  }).listen(0, "127.0.0.1");
  t.after(() => splitter.close());
  await once(splitter, "listening");
  assert.equal(await ask(bed, (splitter.address() as AddressInfo).port, client), "hello h2");
});
