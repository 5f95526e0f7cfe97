import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { decide } from "./cli/command-line.ts";
import type { MemberConfig } from "./cli/config.ts";
import type { GrpcServer } from "./grpc/server.ts";
import type { MemberHttpServer } from "./http/server.ts";
import { silentLogger } from "./lib/log.ts";
import { type ListenerServers, openListeners } from "./listeners.ts";

function configOf(...argv: string[]): MemberConfig {
  const decision = decide({ argv, environment: {}, readFile: () => "" });
  assert.ok(decision.kind === "run", JSON.stringify(decision));
  return decision.config;
}

/** Servers that answer with their name and hang up. */
function namingServers(): ListenerServers {
  const naming = (name: string) => ({ serve: (socket: Socket) => socket.end(name), stop: async () => {} });
  return {
    grpc: naming("grpc") as unknown as GrpcServer,
    http: naming("http") as unknown as MemberHttpServer,
    metrics: naming("metrics") as unknown as MemberHttpServer,
    tls: undefined,
  };
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) server.close();
  return ports;
}

async function firstAnswer(target: { port: number } | { path: string }, say: string): Promise<string> {
  const socket = connect("port" in target ? { ...target, host: "127.0.0.1" } : target);
  socket.write(say);
  return Buffer.concat(await socket.toArray()).toString();
}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const get = "GET / HTTP/1.1\r\n\r\n";

test("each listen flag serves its own kind of traffic", async () => {
  const [client, http, metrics] = (await freePorts(3)) as [number, number, number];
  const listeners = await openListeners(
    configOf(
      `--listen-client-urls=http://localhost:${client}`,
      `--advertise-client-urls=http://localhost:${client}`,
      `--listen-client-http-urls=http://127.0.0.1:${http}`,
      `--listen-metrics-urls=http://127.0.0.1:${metrics}`,
    ),
    namingServers(),
    silentLogger,
  );
  try {
    assert.equal(await firstAnswer({ port: client }, preface), "grpc");
    assert.equal(await firstAnswer({ port: client }, get), "");
    assert.equal(await firstAnswer({ port: http }, get), "http");
    assert.equal(await firstAnswer({ port: metrics }, get), "metrics");
  } finally {
    listeners.close();
  }
});

test("one port serves both kinds, also on a unix socket that was left behind", async () => {
  const folder = mkdtempSync(join(tmpdir(), "etcdlike-listen-"));
  const path = join(folder, "client.sock");
  const config = configOf(`--listen-client-urls=unix://${path}`, `--advertise-client-urls=unix://${path}`);
  try {
    const first = await openListeners(config, namingServers(), silentLogger);
    assert.equal(await firstAnswer({ path }, preface), "grpc");
    assert.equal(await firstAnswer({ path }, get), "http");
    first.close();
    const second = await openListeners(config, namingServers(), silentLogger);
    assert.equal(await firstAnswer({ path }, get), "http");
    second.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("an address in use is an error that names it, and nothing stays open", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  const [free] = (await freePorts(1)) as [number];
  // etcd sorts the URLs by text, so the free one is told apart by where it comes in that order.
  const urls = [`http://127.0.0.1:${free}`, `http://127.0.0.1:${port}`].join(",");
  try {
    await assert.rejects(
      openListeners(
        configOf(`--listen-client-urls=${urls}`, `--advertise-client-urls=${urls}`),
        namingServers(),
        silentLogger,
      ),
      { message: `listen tcp 127.0.0.1:${port}: bind: address already in use` },
    );
    const refused = request({ port: free, host: "127.0.0.1" }).end();
    const [error] = (await once(refused, "error")) as [NodeJS.ErrnoException];
    assert.equal(error.code, "ECONNREFUSED");
  } finally {
    taken.close();
  }
});
