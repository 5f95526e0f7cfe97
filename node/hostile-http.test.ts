// What is not gRPC, from hostile clients: the real HTTP routes behind the real gRPC server on one port, asked over
// HTTP/1.1 and over HTTP/2 (reliability: hostile input of the HTTP routes).

import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { ClientPort } from "./grpc/client-port.ts";
import { unary } from "./grpc/routes.ts";
import type { GrpcServer } from "./grpc/server.ts";
import { sendBody } from "./grpc/testing/hostile-bed.ts";
import { message, RawClient } from "./grpc/testing/raw-client.ts";
import { startGrpcServer } from "./grpc/testing/server.ts";
import type { MemberHttpServer } from "./http/server.ts";
import { startHttpServer } from "./http/testing/server.ts";
import { services } from "./wire/services.ts";

const { range } = services.kv;
const emptyRange = message(range.request.encode(range.request.create({ key: Uint8Array.of(1) })));
/** Names that every object of JavaScript knows already. */
const prototypeNames = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "valueOf"];

const unexpected: unknown[] = [];
/** The metadata of the last call. */
let metadata: ReadonlyMap<string, string> = new Map();
let http: MemberHttpServer;
let grpc: GrpcServer;
let listener: ClientPort;
let port: number;

before(async () => {
  http = await startHttpServer();
  grpc = startGrpcServer({
    routes: [
      unary(range, (_request, call) => {
        metadata = call.metadata;
        return { header: undefined, kvs: [], more: false, count: 0 };
      }),
    ],
    http: (request) => http.inject(request),
    onUnexpected: (error) => unexpected.push(error),
  });
  listener = await ClientPort.open(
    { host: "127.0.0.1", port: 0 },
    {
      http2: (socket) => grpc.serve(socket),
      http1: (socket) => http.serve(socket),
      isPortReused: false,
      onAcceptError: (error) => unexpected.push(error),
    },
  );
  port = listener.port;
});

after(async () => {
  listener.close();
  await Promise.all([grpc.stop(100), http.stop(100)]);
  assert.deepEqual(unexpected, [], "no request is a bug of the server, which would end the member");
});

interface Answer {
  /** Undefined: the stream was reset, or the connection closed. */
  readonly status: number | undefined;
  readonly body: string;
}

/** One request over HTTP/2. Fields that are empty are left out. */
async function overHttp2(fields: Readonly<Record<string, string>>, body?: Uint8Array): Promise<Answer> {
  const client = await RawClient.open(port);
  const defaults = { ":method": "GET", ":path": "/version", "content-type": "", te: "" };
  client.headers(1, "", { fields: { ...defaults, ...fields }, isEnd: body === undefined });
  if (body !== undefined) client.data(1, body);
  const answer = await client.answer(1);
  client.close();
  const status = answer.fields[":status"];
  return { status: status === undefined ? undefined : Number(status), body: answer.body.toString() };
}

/** The bytes as they are, and what came back until the server closed or had answered. */
async function overHttp1(bytes: string): Promise<Answer> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.end(bytes, "latin1");
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
  });
  await new Promise((resolve) => socket.once("close", resolve));
  const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
  const body = text.slice(text.indexOf("\r\n\r\n") + 4);
  return { status: status === undefined ? undefined : Number(status), body };
}

test("a path that is no URL is refused, and ends nothing", async () => {
  const paths = [
    "http://[",
    "/\\[",
    "/\t/[",
    "//[",
    "[",
    "\\\\[",
    "http://[::",
    "*",
    "health",
    "/%zz",
    "/\u00ff",
    "/ ",
  ];
  for (const path of paths) {
    const { status } = await overHttp2({ ":path": path });
    assert.ok(status === 400 || status === 404, `${JSON.stringify(path)}: ${status}`);
  }
  assert.equal((await overHttp2({ ":method": "OPTIONS", ":path": "*" })).status, 200);
  assert.match((await overHttp2({ ":path": "/version?a=b#[" })).body, /etcdserver/);
});

test("a method that is none is refused, and ends nothing", async () => {
  for (const method of [
    "FOO",
    "get",
    "A B",
    "__proto__",
    "constructor",
    "\u00ff",
    "CONNECT",
    "TRACE",
    "PRI",
  ]) {
    for (const path of ["/version", "/nowhere"]) {
      const { status } = await overHttp2({ ":method": method, ":path": path });
      assert.ok(status === 404 || status === 405, `${method} ${path}: ${status}`);
    }
    const { status } = await overHttp1(`${method} /version HTTP/1.1\r\nHost: a\r\n\r\n`);
    assert.ok([undefined, 400, 404, 405].includes(status), `${method}: ${status}`);
  }
});

test("names of Object.prototype are names like any other: header fields, paths, queries, hosts", async () => {
  for (const name of prototypeNames) {
    const field = { [name.toLowerCase()]: "x" };
    assert.match((await overHttp2(field)).body, /etcdserver/, name);
    assert.match((await overHttp2({ ":path": `/version?${name}=1&${name}[${name}]=2` })).body, /etcdserver/);
    assert.match((await overHttp2({ ":authority": name, host: name })).body, /etcdserver/);
    assert.equal((await overHttp2({ ":path": `/${name}` })).status, 404);
    assert.equal((await overHttp2({ ":path": `/readyz/${name}` })).status, 404);
    assert.equal((await overHttp2({ ":path": `/health?exclude=${name}` })).status, 200);
    const plain = (path: string, fields = ""): Promise<Answer> =>
      overHttp1(`GET ${path} HTTP/1.1\r\nHost: a\r\n${fields}Connection: close\r\n\r\n`);
    assert.match((await plain("/version", `${name}: x\r\n${name}: y\r\n`)).body, /etcdserver/, name);
    assert.match((await plain(`/version?${name}=1`)).body, /etcdserver/);
    assert.equal((await plain(`/${name}`)).status, 404);
  }
  assert.equal(Object.hasOwn(Object.prototype, "x"), false);
});

test("fields that come twice or carry a name of Object.prototype reach the routes as they were sent", async () => {
  const seen: Readonly<Record<string, string>>[] = [];
  const serve = http.inject.bind(http);
  http.inject = (request) => {
    seen.push(request.headers);
    return serve(request);
  };
  const client = await RawClient.open(port);
  const twice = [":method", "GET", ":scheme", "http", ":path", "/version", "constructor", "a"];
  client.fields(1, [...twice, "__proto__", "b", "constructor", "c", "cookie", "d", "cookie", "e"]);
  assert.equal((await client.answer(1)).fields[":status"], "200");
  client.close();
  http.inject = serve;
  assert.deepEqual(Object.entries(seen[0] ?? {}), [
    ["constructor", "a, c"],
    ["__proto__", "b"],
    ["cookie", "d; e"],
  ]);
});

test("metadata with names of Object.prototype is metadata, and missing metadata is missing", async () => {
  const client = await RawClient.open(port);
  assert.equal((await client.call(1, range.path, emptyRange)).fields["grpc-status"], "0");
  for (const name of prototypeNames) assert.equal(metadata.get(name), undefined);
  const fields = Object.fromEntries(prototypeNames.map((name) => [name.toLowerCase(), `of ${name}`]));
  assert.equal((await client.call(3, range.path, emptyRange, fields)).fields["grpc-status"], "0");
  for (const name of prototypeNames) assert.equal(metadata.get(name.toLowerCase()), `of ${name}`);
  const odd = { "__proto__-bin": "***", "grpc-encoding": "__proto__", "grpc-timeout": "1__proto__" };
  for (const [i, [name, value]] of Object.entries(odd).entries()) {
    const { fields } = await client.call(5 + 2 * i, range.path, emptyRange, { [name]: value });
    assert.ok(["12", "13"].includes(fields["grpc-status"] ?? ""), `${name}: ${fields["grpc-status"]}`);
  }
  for (const [i, path] of ["/__proto__/__proto__", "/etcdserverpb.KV/constructor", "/toString"].entries()) {
    assert.equal((await client.call(11 + 2 * i, path, emptyRange)).fields["grpc-status"], "12", path);
  }
  client.close();
});

test("what is not a route takes no body, whatever it says it is", async () => {
  for (const type of ["application/json", "text/plain", "__proto__", ";;;", "multipart/form-data", ""]) {
    for (const body of [`{"__proto__":{"a":1}}`, "[".repeat(16_000), "\xff\x00"]) {
      const fields = { ":method": "POST", "content-type": type };
      const wanted = type === "" || type.includes("/") ? 405 : 415;
      assert.equal((await overHttp2(fields, Buffer.from(body, "latin1"))).status, wanted, type);
      const named = type === "" ? "" : `Content-Type: ${type}\r\n`;
      const head = `POST /version HTTP/1.1\r\nHost: a\r\n${named}Content-Length: ${body.length}\r\n\r\n`;
      assert.equal((await overHttp1(head + body)).status, wanted, type);
    }
  }
});

test("over HTTP/2 a request is answered at its end, or when too much came before it", async () => {
  const client = await RawClient.open(port);
  const fields = { ":method": "POST", ":path": "/version", "content-type": "text/plain", te: "" };
  client.headers(1, "", { fields });
  client.headers(3, "", { fields: { ...fields, ":method": "GET" }, isEnd: true });
  assert.equal((await client.answer(3)).fields[":status"], "200");
  assert.equal(
    client.frames.some(({ streamId }) => streamId === 1),
    false,
  );
  client.data(1, Buffer.from("x"));
  assert.equal((await client.answer(1)).fields[":status"], "405");
  client.headers(5, "", { fields });
  await sendBody(client, 5, Buffer.alloc(3 * 1024 * 1024));
  assert.equal((await client.answer(5)).fields[":status"], "413");
  client.close();
});

test("a body without an end is answered, and its connection closed", { timeout: 60_000 }, async () => {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
  });
  socket.write("POST /version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  const chunk = `4000\r\n${"x".repeat(0x4000)}\r\n`;
  const pour = (): void => {
    if (!socket.destroyed) socket.write(chunk, () => setImmediate(pour));
  };
  pour();
  await new Promise((resolve) => socket.once("close", resolve));
  assert.match(text, /^HTTP\/1\.1 405 /);
});
