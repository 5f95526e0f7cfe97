import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { connect as http2Connect } from "node:http2";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { Client, type ClientDuplexStream, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import type { Call } from "../api/call.ts";
import { ApiError, apiError } from "../api/errors.ts";
import type { MemberHttpServer } from "../http/server.ts";
import { startHttpServer } from "../http/testing/server.ts";
import { leaseId } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { createMetrics, type MemberMetrics } from "../observe/registry.ts";
import { codecs } from "../wire/codecs.ts";
import { methodByPath, services } from "../wire/services.ts";
import { ClientPort } from "./client-port.ts";
import { HealthService } from "./health.ts";
import { bidi, serverStream, unary } from "./routes.ts";
import type { GrpcServer } from "./server.ts";
import { startGrpcServer } from "./testing/server.ts";

// A toy member: what each handler does is named by the key of the request.
const toy = {
  unexpected: [] as unknown[],
  chunksMade: 0,
  calls: [] as Call[],
  hasLeader: true,
  loseLeader: (): void => {},
};

const plain = { isPortReused: false, onAcceptError: (error: Error) => toy.unexpected.push(error) };

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array): string => new TextDecoder().decode(value);

let port: ClientPort;
let server: GrpcServer;
let http: MemberHttpServer;
let client: Client;
let metrics: MemberMetrics;
const health = new HealthService(silentLogger);

before(async () => {
  metrics = createMetrics({ isExtensive: false, features: [] });
  const routes = [
    unary(services.kv.range, (request, call) => {
      toy.calls.push(call);
      switch (text(request.key)) {
        case "compacted":
          throw apiError("compacted");
        case "later":
          return Promise.resolve(rangeResponse(7));
        case "percent":
          return Promise.reject(new ApiError("Unknown", 'a "quoted" 100% text \u00e9'));
        case "large":
          return { ...rangeResponse(4000), kvs: Array.from({ length: 4000 }, (_, i) => keyValue(i + 1)) };
        case "bug":
          throw new TypeError("a bug");
        case "never":
          return new Promise(() => {});
        case "metadata":
          return rangeResponse(call.metadata.get("token") === "secret" ? 1 : 0);
        default:
          return rangeResponse(request.limit);
      }
    }),
    unary(services.kv.put, () => ({ header: undefined, prevKv: undefined })),
    serverStream(services.maintenance.snapshot, async function* (_request, call) {
      toy.calls.push(call);
      for (let i = 0; i < 200; i++) {
        toy.chunksMade += 1;
        yield { header: undefined, remainingBytes: 199 - i, blob: new Uint8Array(32 * 1024), version: "" };
      }
    }),
    serverStream(services.kv.rangeStream, async function* () {
      yield { rangeResponse: rangeResponse(1) };
      throw apiError("futureRevision");
    }),
    bidi(services.lease.leaseKeepAlive, async function* (requests, call) {
      toy.calls.push(call);
      for await (const { ID } of requests) yield { header: undefined, ID, TTL: 5 };
    }),
    ...health.routes(),
  ];
  server = startGrpcServer({
    routes,
    leader: {
      hasLeader: () => toy.hasLeader,
      onLeaderLost(fn) {
        toy.loseLeader = fn;
        return () => {
          toy.loseLeader = () => {};
        };
      },
    },
    metrics: metrics.grpc,
    onUnexpected: (error) => toy.unexpected.push(error),
    maxConcurrentStreams: 0xffff_ffff,
    http: (request) => http.inject(request),
    keepaliveIntervalMs: 7_200_000,
    keepaliveTimeoutMs: 20_000,
  });
  http = await startHttpServer({ metrics: metrics.health, scrape: metrics.scrape });
  port = await ClientPort.open(
    { host: "127.0.0.1", port: 0 },
    { http2: (socket) => server.serve(socket), http1: (socket) => http.serve(socket), ...plain },
  );
  client = new Client(`127.0.0.1:${port.port}`, credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    "grpc.default_compression_algorithm": 0,
  });
});

after(async () => {
  client.close();
  port.close();
  await Promise.all([server.stop(1000), http.stop(1000)]);
});

test("a unary call is answered at once or later", async () => {
  assert.equal((await range("x", 3)).count, 3);
  assert.equal((await range("later")).count, 7);
});

test("an error arrives with its exact code and text", async () => {
  await assert.rejects(range("compacted"), {
    code: 11,
    details: "etcdserver: mvcc: required revision has been compacted",
  });
  await assert.rejects(range("percent"), { code: 2, details: 'a "quoted" 100% text \u00e9' });
});

test("an error that is no ApiError is reported as unexpected", async () => {
  await assert.rejects(range("bug"), { code: 2, details: "a bug" });
  assert.deepEqual(
    toy.unexpected.map((error) => (error as Error).message),
    ["a bug"],
  );
});

test("metadata reaches the handler", async () => {
  const metadata = new Metadata();
  metadata.set("Token", "secret");
  assert.equal((await range("metadata", 0, metadata)).count, 1);
});

test("a path that nothing serves is answered as a Go server answers it", async () => {
  for (const [path, details] of [
    ["/etcdserverpb.KV/Bogus", "unknown method Bogus for service etcdserverpb.KV"],
    ["/etcdserverpb.Auth/AuthEnable", "unknown method AuthEnable for service etcdserverpb.Auth"],
    [
      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
      "unknown service grpc.reflection.v1.ServerReflection",
    ],
  ] as const) {
    await assert.rejects(
      call(path, new Uint8Array(), (response) => response),
      { code: 12, details },
    );
  }
});

test("a message above the limit is refused in Go's words", async () => {
  const put = (valueBytes: number) =>
    call(
      services.kv.put.path,
      services.kv.put.request.encode(
        services.kv.put.request.create({ key: bytes("k"), value: new Uint8Array(valueBytes) }),
      ),
      (response) => response,
    );
  await put(1024 * 1024 + 500 * 1024);
  await assert.rejects(put(2 * 1024 * 1024), {
    code: 8,
    details: `grpc: received message larger than max (${2 * 1024 * 1024 + 8} vs. ${1536 * 1024})`,
  });
});

test("a message that is not the request is refused", async () => {
  await assert.rejects(
    call(services.kv.range.path, new Uint8Array([0x0a, 0x05]), (response) => response),
    (error: ServiceError) =>
      error.code === 13 && error.details.startsWith("grpc: error unmarshalling request: "),
  );
});

test("a gzip-compressed request is read", async () => {
  const compressing = new Client(`127.0.0.1:${port.port}`, credentials.createInsecure(), {
    "grpc.default_compression_algorithm": 2,
  });
  try {
    assert.equal((await range("x".repeat(10_000), 9, new Metadata(), compressing)).count, 9);
  } finally {
    compressing.close();
  }
});

test("a slow reader holds back the handler of a server stream", async () => {
  toy.chunksMade = 0;
  // grpc-js's own client reads ahead, so the slow client is a bare HTTP/2 one.
  const session = http2Connect(`http://127.0.0.1:${port.port}`);
  const stream = session.request({
    ":method": "POST",
    ":path": services.maintenance.snapshot.path,
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.end(Buffer.alloc(5));
  await once(stream, "response");
  // Nothing tells that a handler is not pulled any more, so this waits for a while in which it could be.
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(toy.chunksMade < 20, `${toy.chunksMade} of 200 chunks were made for a client that reads none`);
  let receivedBytes = 0;
  for await (const data of stream) receivedBytes += (data as Buffer).length;
  assert.ok(receivedBytes > 200 * 32 * 1024);
  assert.equal(toy.chunksMade, 200);
  session.close();
});

test("a stream may fail after some messages", async () => {
  const { path } = services.kv.rangeStream;
  const stream = client.makeServerStreamRequest(path, pass, pass, Buffer.alloc(0));
  let received = 0;
  await assert.rejects(
    async () => {
      for await (const _ of stream) received += 1;
    },
    { code: 11, details: "etcdserver: mvcc: required revision is a future revision" },
  );
  assert.equal(received, 1);
});

test("a bidirectional stream answers in order and ends with its client", async () => {
  const stream = keepAlive();
  const count = 500;
  for (let i = 1; i <= count; i++) stream.write(keepAliveRequest(BigInt(i)));
  stream.end();
  const ids: bigint[] = [];
  for await (const message of stream) ids.push(services.lease.leaseKeepAlive.response.decode(message).ID);
  assert.deepEqual(
    ids,
    Array.from({ length: count }, (_, i) => BigInt(i + 1)),
  );
});

test("a handler learns that its client went away", async () => {
  toy.calls.length = 0;
  const pending = range("never");
  const stream = keepAlive();
  stream.on("error", () => {});
  stream.write(keepAliveRequest(1n));
  await once(stream, "data");
  const cancelled = Promise.all(
    toy.calls.map((open) => new Promise<void>((resolve) => open.onCancel(resolve))),
  );
  assert.equal(toy.calls.length, 2);
  stream.cancel();
  pendingCalls.at(-1)?.cancel();
  await assert.rejects(pending, { code: 1 });
  await cancelled;
  assert.ok(toy.calls.every((open) => open.isCancelled));
});

test("a large answer is made while it leaves, whole and in order, also with small windows", async () => {
  const { path, request, response } = services.kv.range;
  const body = Buffer.from(request.encode(request.create({ key: bytes("large") })));
  const session = http2Connect(`http://127.0.0.1:${port.port}`, { settings: { initialWindowSize: 20_000 } });
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc" });
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  stream.end(Buffer.concat([head, body]));
  const trailers = once(stream, "trailers");
  const received = Buffer.concat(await stream.toArray());
  assert.equal(received.readUInt32BE(1), received.length - 5);
  const { kvs } = response.decode(received.subarray(5));
  assert.deepEqual(
    kvs.map(({ modRevision }) => modRevision),
    Array.from({ length: 4000 }, (_, i) => i + 1),
  );
  assert.equal((await trailers)[0]["grpc-status"], "0");
  session.close();
});

test("a call past its deadline is cancelled", async () => {
  toy.calls.length = 0;
  // On a busy machine a deadline may have passed before the call arrives, and then no handler sees it.
  for (let deadlineMs = 30; toy.calls.length === 0; deadlineMs *= 2) {
    await assert.rejects(range("never", 0, new Metadata(), client, deadlineMs), { code: 4 });
  }
  const [open] = toy.calls;
  await new Promise<void>((resolve) => open?.onCancel(resolve));
});

test("calls that ask for a leader are refused without one, and streams end when it is lost", async () => {
  const metadata = new Metadata();
  metadata.set("hasleader", "true");
  toy.hasLeader = false;
  await assert.rejects(range("x", 1, metadata), { code: 14, details: "etcdserver: no leader" });
  toy.hasLeader = true;
  assert.equal((await range("x", 1, metadata)).count, 1);
  const stream = keepAlive(metadata);
  stream.write(keepAliveRequest(1n));
  await once(stream, "data");
  toy.loseLeader();
  const [error] = (await once(stream, "error")) as [ServiceError];
  assert.deepEqual([error.code, error.details], [14, "etcdserver: no leader"]);
});

test("the health service follows the member", async () => {
  const check = (service: string) =>
    call(
      services.health.check.path,
      services.health.check.request.encode(services.health.check.request.create({ service })),
      (response) => services.health.check.response.decode(response).status,
    );
  assert.equal(await check(""), 2);
  health.setServing(true);
  assert.equal(await check(""), 1);
  await assert.rejects(check("bogus"), { code: 5, details: "unknown service" });
  const { path, response } = services.health.list;
  const { statuses } = await call(path, Buffer.alloc(0), (bytes) => response.decode(bytes));
  assert.deepEqual(statuses, [{ service: "", response: { status: 1 } }]);
  const watch = client.makeServerStreamRequest(services.health.watch.path, pass, pass, Buffer.alloc(0));
  watch.on("error", () => {});
  const next = async (): Promise<number> => {
    const [message] = (await once(watch, "data")) as [Buffer];
    return services.health.watch.response.decode(message).status;
  };
  assert.equal(await next(), 1);
  health.setServing(false);
  assert.equal(await next(), 2);
  watch.cancel();
});

test("HTTP/1.1 is served on the same port, whatever pieces its first bytes come in", async () => {
  const [response] = (await once(
    httpRequest({ port: port.port, host: "127.0.0.1", path: "/health" }).end(),
    "response",
  )) as [import("node:http").IncomingMessage];
  assert.equal(response.statusCode, 200);
  assert.equal(text(Buffer.concat(await response.toArray())), '{"health":"true","reason":""}');

  const socket = connect(port.port, "127.0.0.1");
  await once(socket, "connect");
  socket.setNoDelay(true);
  for (const piece of [
    "P",
    "OST /version HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n",
    "Connection: close\r\n\r\n",
  ]) {
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.match(text(Buffer.concat(await socket.toArray())), /^HTTP\/1\.1 405 Method Not Allowed\r\n/);
});

test("calls are counted by method and code", async () => {
  const scraped = await metrics.scrape();
  const labels = 'grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Range"';
  const handled = (code: string): number => {
    const line = new RegExp(`^grpc_server_handled_total\\{${labels},grpc_code="${code}"\\} (\\d+)$`, "m");
    return Number(line.exec(scraped)?.[1]);
  };
  assert.equal(handled("OutOfRange"), 1);
  assert.equal(handled("DataLoss"), 0);
  // A call that ran out of time counts as what the server saw first: its own timer, or the client's reset.
  assert.equal(handled("Canceled") + handled("DeadlineExceeded"), 2);
  assert.match(scraped, /^etcd_network_client_grpc_received_bytes_total [1-9]/m);
});

test("a stopping server ends streams with Unavailable and finishes", async () => {
  const stopping = startGrpcServer({
    routes: [
      bidi(services.watch.watch, async function* (_requests, call) {
        await new Promise<void>((resolve) => call.onCancel(resolve));
      }),
    ],
    onUnexpected: (error) => toy.unexpected.push(error),
  });
  const own = await ClientPort.open(
    { host: "127.0.0.1", port: 0 },
    { http2: (socket) => stopping.serve(socket), http1: undefined, ...plain },
  );
  const watcher = new Client(`127.0.0.1:${own.port}`, credentials.createInsecure());
  const stream = watcher.makeBidiStreamRequest(services.watch.watch.path, pass, pass);
  stream.write(Buffer.alloc(0));
  const failed = once(stream, "error") as Promise<[ServiceError]>;
  await new Promise<void>((resolve, reject) =>
    watcher.waitForReady(Date.now() + 5000, (error) => (error === undefined ? resolve() : reject(error))),
  );
  await new Promise((resolve) => setTimeout(resolve, 20));
  own.close();
  await stopping.stop(5000);
  const [error] = await failed;
  assert.deepEqual([error.code, error.details], [14, "etcdserver: server stopped"]);
  watcher.close();
});

function rangeResponse(count: number) {
  return { header: undefined, kvs: [], more: false, count };
}

function keyValue(modRevision: number) {
  const { KeyValue } = codecs;
  return KeyValue.encode(KeyValue.create({ key: bytes("k"), modRevision, value: new Uint8Array(700) }));
}

function pass(message: Buffer): Buffer {
  return message;
}

const pendingCalls: { cancel(): void }[] = [];

function call<Response>(
  path: string,
  message: Uint8Array,
  decode: (response: Buffer) => Response,
  { metadata = new Metadata(), from = client, deadlineMs = 10_000 } = {},
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const pending = from.makeUnaryRequest(
      path,
      pass,
      pass,
      Buffer.from(message),
      metadata,
      { deadline: Date.now() + deadlineMs },
      (error, response) => (error === null ? resolve(decode(response as Buffer)) : reject(error)),
    );
    pendingCalls.push(pending);
  });
}

function range(key: string, limit = 0, metadata = new Metadata(), from = client, deadlineMs = 10_000) {
  const { path, request, response } = services.kv.range;
  return call(
    path,
    request.encode(request.create({ key: bytes(key), limit })),
    (answer) => response.decode(answer),
    {
      metadata,
      from,
      deadlineMs,
    },
  );
}

function keepAlive(metadata = new Metadata()): ClientDuplexStream<Buffer, Buffer> {
  assert.ok(methodByPath.has(services.lease.leaseKeepAlive.path));
  return client.makeBidiStreamRequest(services.lease.leaseKeepAlive.path, pass, pass, metadata);
}

function keepAliveRequest(ID: bigint): Buffer {
  const { request } = services.lease.leaseKeepAlive;
  return Buffer.from(request.encode(request.create({ ID: leaseId(ID) })));
}
