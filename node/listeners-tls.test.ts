// Every listener asks the same of certificates (CVE-2026-59818), and none waits for those who say nothing (CVE-2026-73500).

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { decide } from "./cli/command-line.ts";
import type { GrpcServer } from "./grpc/server.ts";
import type { MemberHttpServer } from "./http/server.ts";
import { silentLogger } from "./lib/log.ts";
import { openListeners } from "./listeners.ts";
import { Credentials } from "./tls/credentials.ts";
import { ask, makeBed, serve } from "./tls/testing/bed.ts";

const silentCount = 500;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

test("a revoked certificate is refused on every listener, however the traffic is split", async (t) => {
  const bed = await makeBed(t);
  const crlFile = `${bed.folder}/revoked.crl`;
  const revoked = await bed.ca.issue({ name: "revoked" });
  const good = await bed.ca.issue({ name: "good" });
  await bed.ca.revoke(crlFile, [revoked.serial]);
  const ports = { grpc: await freePort(), http: await freePort(), metrics: await freePort() };
  const url = (port: number): string => `https://127.0.0.1:${port}`;
  const decision = decide({
    argv: [
      `--listen-client-urls=${url(ports.grpc)}`,
      `--advertise-client-urls=${url(ports.grpc)}`,
      `--listen-client-http-urls=${url(ports.http)}`,
      `--listen-metrics-urls=${url(ports.metrics)}`,
    ],
    environment: {},
    readFile: () => "",
  });
  assert.ok(decision.kind === "run", JSON.stringify(decision));
  const naming = (name: string) => ({ serve: (socket: Socket) => socket.end(name) });
  const listeners = await openListeners(
    decision.config,
    {
      grpc: naming("grpc") as unknown as GrpcServer,
      http: naming("http") as unknown as MemberHttpServer,
      metrics: naming("metrics") as unknown as MemberHttpServer,
      tls: await Credentials.open({ ...bed.settings, crlFile }, "server", silentLogger),
    },
    silentLogger,
  );
  t.after(() => listeners.close());
  for (const [name, port] of Object.entries(ports)) {
    const offered = { ALPNProtocols: [name === "grpc" ? "h2" : "http/1.1"] };
    assert.equal(await ask(bed, port, good, offered), name);
    assert.match(await ask(bed, port, revoked, offered), /^refused/, name);
    assert.match(await ask(bed, port, undefined, offered), /^refused/, name);
  }
});

test("connections that never begin a handshake are let go, and others are served meanwhile", async (t) => {
  const bed = await makeBed(t);
  const port = await serve(t, bed);
  const silent = Array.from({ length: silentCount }, () => connect({ port, host: "127.0.0.1" }));
  const closed = silent.map(async (socket) => {
    socket.on("error", () => socket.destroy());
    socket.resume();
    await once(socket, "close");
  });
  assert.equal(await ask(bed, port, await bed.ca.issue({ name: "client" })), "hello h2");
  await Promise.all(closed);
  assert.equal(bed.warnings.length, silentCount);
});
