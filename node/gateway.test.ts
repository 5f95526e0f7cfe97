// The JSON gateway behind the real HTTP routes and the real gRPC server, on one port: the same over HTTP/1.1 and over
// HTTP/2, and how it treats clients that mean no good (reliability: hostile input of the gateway).

import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientRequest, request as http1Request, type IncomingMessage } from "node:http";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as http2Connect } from "node:http2";
import { connect } from "node:net";
import { type Duplex, Readable } from "node:stream";
import { after, before, beforeEach, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type ClientOptions, WebSocket } from "ws";
import type { Call } from "./api/call.ts";
import { ApiError, apiError } from "./api/errors.ts";
import { ClientPort } from "./grpc/client-port.ts";
import { refusedOnLearners } from "./grpc/learner-gate.ts";
import { bidi, direct, serverStream, unary } from "./grpc/routes.ts";
import type { GrpcServer } from "./grpc/server.ts";
import { sendBody } from "./grpc/testing/hostile-bed.ts";
import { RawClient } from "./grpc/testing/raw-client.ts";
import { startGrpcServer } from "./grpc/testing/server.ts";
import { Gateway } from "./http/gateway/gateway.ts";
import type { MemberHttpServer } from "./http/server.ts";
import { startHttpServer } from "./http/testing/server.ts";
import { leaseId } from "./lib/ids.ts";
import { codecs } from "./wire/codecs.ts";
import { services } from "./wire/services.ts";

const patienceMs = 1000;
const maxRequestBytes = 1024 * 1024;
const transports = ["HTTP/1.1", "HTTP/2"] as const;
type Transport = (typeof transports)[number];

/** What happened inside. */
const toy = {
  unexpected: [] as unknown[],
  /** Of the methods, in the order of their ends: name and code. */
  ended: [] as string[],
  calls: [] as Call[],
  releases: 0,
  piecesMade: 0,
  hasLeader: true,
  isLearner: false,
};

let http: MemberHttpServer;
let grpc: GrpcServer;
let listener: ClientPort;
let port: number;
let session: ClientHttp2Session;

const kv = codecs.KeyValue.encode(
  codecs.KeyValue.create({ key: Uint8Array.of(1), value: new Uint8Array(100_000) }),
);

async function open(): Promise<void> {
  const routes = [
    direct(services.kv.range, (request, call, answer) => {
      toy.calls.push(call);
      const kvs = request.limit === 0 ? [] : Array.from({ length: request.limit }, () => kv);
      answer.succeed({ header: undefined, kvs, more: false, count: request.key.length }, () => {
        toy.releases++;
      });
    }),
    unary(services.kv.put, async (request, call) => {
      toy.calls.push(call);
      if (request.key.length === 0) throw apiError("emptyKey");
      if (request.key[0] === 1) throw new ApiError("Unauthenticated", "go\r\naway");
      if (request.key[0] === 2) await new Promise(() => {});
      return { header: undefined, prevKv: undefined };
    }),
    serverStream(services.maintenance.snapshot, async function* (_request, call) {
      toy.calls.push(call);
      for (;;) {
        toy.piecesMade++;
        yield { header: undefined, remainingBytes: 0, blob: new Uint8Array(100_000), version: "<3>" };
      }
    }),
    bidi(services.lease.leaseKeepAlive, async function* (requests, call) {
      toy.calls.push(call);
      for await (const { ID } of requests) {
        if (ID === leaseId(404n)) throw apiError("leaseNotFound");
        yield { header: undefined, ID, TTL: 1 };
      }
    }),
    bidi(services.watch.watch, async function* (_requests, call) {
      toy.calls.push(call);
      await new Promise<void>((resolve) => call.onCancel(resolve));
    }),
  ];
  grpc = startGrpcServer({
    routes: refusedOnLearners(routes, () => toy.isLearner),
    leader: { hasLeader: () => toy.hasLeader, onLeaderLost: () => () => {} },
    metrics: {
      method: (path) => ({
        started() {},
        handled: (code) => toy.ended.push(`${path.split("/").at(-1)} ${code}`),
        received() {},
        sent() {},
      }),
      clientRequest() {},
    },
    http: (request) => http.inject(request),
    onUnexpected: (error) => toy.unexpected.push(error),
    maxRequestBytes,
  });
  http = await startHttpServer({
    gateway: new Gateway({ calls: grpc.local, maxRequestBytes, patienceMs }),
    corsOrigins: ["http://good.example"],
    hostWhitelist: ["127.0.0.1"],
  });
  listener = await ClientPort.open(
    { host: "127.0.0.1", port: 0 },
    {
      http2: (socket) => grpc.serve(socket),
      http1: (socket) => http.serve(socket),
      isPortReused: false,
      onAcceptError: (error) => toy.unexpected.push(error),
    },
  );
  port = listener.port;
  session = http2Connect(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
}

async function close(): Promise<void> {
  listener.close();
  await Promise.all([grpc.stop(100), http.stop(100)]);
  session.destroy();
}

before(open);
beforeEach(() => {
  toy.ended = [];
  toy.calls = [];
  toy.releases = 0;
  toy.piecesMade = 0;
  toy.hasLeader = true;
  toy.isLearner = false;
});
after(async () => {
  await close();
  assert.deepEqual(toy.unexpected, [], "no request is a bug of the server, which would end the member");
});

interface Exchange {
  /** To write the rest of the body to. */
  readonly sent: ClientRequest | ClientHttp2Stream;
  readonly response: Promise<{
    readonly status: number;
    readonly headers: Readonly<Record<string, unknown>>;
    readonly body: Readable;
  }>;
}

type Fields = Readonly<Record<string, string>>;

function begin(transport: Transport, path: string, fields: Fields = {}, method = "POST"): Exchange {
  if (transport === "HTTP/1.1") {
    const sent = http1Request({ host: "127.0.0.1", port, path, method, headers: fields });
    sent.on("error", () => {});
    const response = once(sent, "response").then(([message]) => {
      const { statusCode: status = 0, headers } = message as IncomingMessage;
      return { status, headers, body: message as Readable };
    });
    response.catch(() => {});
    return { sent, response };
  }
  const stream = session.request({ ":method": method, ":path": path, ...fields }, { endStream: false });
  stream.on("error", () => {});
  const response = once(stream, "response").then(([headers]) => ({
    status: headers[":status"] as number,
    headers,
    body: stream as Readable,
  }));
  response.catch(() => {});
  return { sent: stream, response };
}

async function ask(transport: Transport, path: string, body: string, fields: Fields = {}, method = "POST") {
  const { sent, response } = begin(transport, path, fields, method);
  sent.end(Buffer.from(body, "latin1"));
  const { status, headers, body: answer } = await response;
  return { status, headers, text: Buffer.concat(await answer.toArray()).toString() };
}

/** Status and text. Node's client of HTTP/2 loses an answer whose request it was not done with. */
async function answerToUnfinished(transport: Transport, path: string, body: string): Promise<string> {
  if (transport === "HTTP/1.1") {
    const { sent, response } = begin(transport, path);
    sent.write(body, () => {});
    const { status, body: answer } = await response;
    const text = Buffer.concat(await answer.toArray()).toString();
    sent.destroy();
    return `${status} ${text}`;
  }
  const client = await RawClient.open(port);
  client.headers(1, path, { fields: { ":authority": "127.0.0.1", "content-type": "", te: "" } });
  await sendBody(client, 1, Buffer.from(body));
  const answer = await client.answer(1);
  client.close();
  return `${answer.fields[":status"]} ${answer.body}`;
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !condition(); i++) await delay(10);
  assert.ok(condition(), String(condition));
}

/** Waits until no more of an answer is made, which is before it is all there. */
async function expectFewPieces(): Promise<void> {
  let before = -1;
  await until(() => {
    const isStill = before === toy.piecesMade;
    before = toy.piecesMade;
    return isStill;
  });
  assert.ok(toy.piecesMade < 200, `${toy.piecesMade} pieces of 100 kB were made`);
}

async function line(body: Readable): Promise<string> {
  for (;;) {
    const chunk: Buffer | null = body.read();
    if (chunk !== null) return chunk.toString();
    await once(body, "readable");
  }
}

for (const transport of transports) {
  const post = (path: string, body: string, fields?: Fields) => ask(transport, path, body, fields);

  test(`${transport}: a call is answered in JSON`, async () => {
    const { status, headers, text } = await post("/v3/kv/range", `{"key":"Zm9v"}`);
    assert.deepEqual([status, text], [200, `{"count":"3"}`]);
    assert.equal(headers["content-type"], "application/json");
    assert.equal(headers["grpc-metadata-content-type"], "application/grpc");
    assert.equal((await post("/v3beta/kv/range", "")).text, "{}");
    assert.equal((await post("/v3/kv/range", `{"limit":3}`)).text.length > 400_000, true);
    await until(() => toy.releases === 3);
    assert.deepEqual(toy.ended, ["Range OK", "Range OK", "Range OK"]);
  });

  test(`${transport}: an error is its code, its text, and the status of HTTP that goes with it`, async () => {
    const refused = async (path: string, body: string): Promise<string> => {
      const { status, text } = await post(path, body);
      return `${status} ${text}`;
    };
    assert.equal(
      await refused("/v3/kv/put", ""),
      `400 {"code":3,"message":"etcdserver: key is not provided"}`,
    );
    assert.equal(await refused("/v3/kv/put", "{"), `400 {"code":3,"message":"unexpected EOF"}`);
    assert.equal(await refused("/v3/bogus", ""), `404 {"code":5,"message":"Not Found"}`);
    assert.equal(
      await refused("/v3/auth/enable", ""),
      `501 {"code":12,"message":"unknown method AuthEnable for service etcdserverpb.Auth"}`,
    );
    assert.deepEqual(toy.ended, ["Put InvalidArgument"]);
    const { status, headers } = await post("/v3/kv/put", `{"key":"AQ=="}`);
    assert.deepEqual([status, headers["www-authenticate"]], [401, "go??away"]);
    const other = await ask(transport, "/v3/kv/put", "", {}, "GET");
    assert.deepEqual([other.status, other.text], [501, `{"code":12,"message":"Method Not Allowed"}`]);
  });

  test(`${transport}: fields named as metadata are metadata, and a timeout is one`, async () => {
    const fields = { "grpc-metadata-x-name": "a", authorization: "b", "x-other": "c" };
    await post("/v3/kv/range", "", fields);
    assert.deepEqual([...(toy.calls[0]?.metadata ?? [])].sort(), [
      ["authorization", "b"],
      ["x-name", "a"],
    ]);
    toy.hasLeader = false;
    const leaderless = await post("/v3/kv/range", "", { "grpc-metadata-hasleader": "true" });
    assert.deepEqual(
      [leaderless.status, leaderless.text],
      [503, `{"code":14,"message":"etcdserver: no leader"}`],
    );
    const late = await post("/v3/kv/put", `{"key":"Ag=="}`, { "grpc-timeout": "50m" });
    assert.deepEqual([late.status, late.text], [504, `{"code":4,"message":"context deadline exceeded"}`]);
    assert.equal(toy.calls.at(-1)?.isCancelled, true);
    assert.deepEqual(toy.ended, ["Range OK", "Range Unavailable", "Put DeadlineExceeded"]);
  });

  test(`${transport}: a learner refuses what it refuses over gRPC`, async () => {
    toy.isLearner = true;
    const refusal = `{"code":9,"message":"etcdserver: rpc not supported for learner"}`;
    const put = await post("/v3/kv/put", `{"key":"Zm9v"}`);
    assert.deepEqual([put.status, put.text], [400, refusal]);
    const keepAlive = await post("/v3/lease/keepalive", `{"ID":1}`);
    assert.deepEqual([keepAlive.status, keepAlive.text], [400, `{"error":${refusal}}\n`]);
    assert.equal((await post("/v3/kv/range", `{"serializable":true}`)).status, 200);
  });

  test(`${transport}: a stream takes requests and gives answers as they come`, async () => {
    const { sent, response } = begin(transport, "/v3/lease/keepalive");
    sent.write(`{"ID":1}{"ID"`);
    const { status, body } = await response;
    assert.equal(status, 200);
    assert.equal(await line(body), `{"result":{"ID":"1","TTL":"1"}}\n`);
    sent.write(`:"2"}`);
    assert.equal(await line(body), `{"result":{"ID":"2","TTL":"1"}}\n`);
    sent.end(`{"ID":404}`);
    assert.equal(
      Buffer.concat(await body.toArray()).toString(),
      `{"error":{"code":5,"message":"etcdserver: requested lease not found"}}\n`,
    );
    assert.deepEqual(toy.ended, ["LeaseKeepAlive NotFound"]);
  });

  test(`${transport}: a stream that fails before its first message has the status of its error`, async () => {
    const { status, text } = await post("/v3/lease/keepalive", `{"ID":404}`);
    assert.equal(status, 404);
    assert.equal(text, `{"error":{"code":5,"message":"etcdserver: requested lease not found"}}\n`);
    const empty = await post("/v3/lease/keepalive", "x");
    assert.deepEqual([empty.status, empty.text, empty.headers["content-type"]], [200, "", undefined]);
  });

  test(`${transport}: what follows a message is dropped, and the connection goes on`, async () => {
    for (let i = 0; i < 3; i++) {
      assert.equal((await post("/v3/kv/range", `{"key":"Zm9v"}${" x".repeat(i * 50_000)}`)).status, 200);
    }
  });

  test(`${transport}: a call ends when its client goes, before an answer and within one`, async () => {
    const waiting = [begin(transport, "/v3/kv/put"), begin(transport, "/v3/watch")];
    waiting[0]?.sent.end(`{"key":"Ag=="}`);
    waiting[1]?.sent.write(`{"create_request":{}}`);
    await until(() => toy.calls.length === 2);
    for (const { sent } of waiting) sent.destroy();
    await until(() => toy.ended.length === 2);
    const { sent, response } = begin(transport, "/v3/maintenance/snapshot");
    sent.end();
    assert.match(await line((await response).body), /^\{"result":\{"blob":"AAAA/);
    sent.destroy();
    await until(() => toy.ended.length === 3);
    assert.ok(
      toy.ended.every((end) => end.endsWith(" Canceled")),
      `${toy.ended}`,
    );
    assert.ok(toy.calls.every((call) => call.isCancelled));
    assert.equal(grpc.openStreams.size, 0);
  });

  test(`${transport}: a client that does not read is not sent to without end`, async () => {
    const { sent, response } = begin(transport, "/v3/maintenance/snapshot");
    sent.end();
    await response;
    await expectFewPieces();
    sent.destroy();
    await until(() => toy.ended.length === 1);
  });

  test(`${transport}: a unary answer that nobody takes is given up`, async () => {
    const { sent, response } = begin(transport, "/v3/kv/range");
    sent.end(`{"limit":1000}`);
    const { body } = await response;
    await until(() => toy.releases === 1);
    await assert.rejects(body.toArray());
  });

  test(`${transport}: a message beyond the limits is refused`, async () => {
    const value = "A".repeat(4 * Math.ceil((maxRequestBytes + 600_000) / 3));
    const large = await post("/v3/kv/put", `{"key":"Zm9v","value":"${value}"}`);
    assert.equal(large.status, 429);
    assert.match(
      large.text,
      /^\{"code":8,"message":"grpc: received message larger than max \(\d+ vs\. 1572864\)"\}$/,
    );
    for (const [filling, wanted] of [
      [
        `{"value":"${"A".repeat(4_000_000)}`,
        `429 {"code":8,"message":"etcdserver: a message of more than 3145728 bytes`,
      ],
      [
        `{"value":${" ".repeat(4_000_000)}`,
        `429 {"code":8,"message":"etcdserver: a message of more than 3145728 bytes`,
      ],
      ["[".repeat(1_000_000), `400 {"code":3,"message":"invalid character '[' exceeded max depth"`],
    ] as const) {
      const answer = await answerToUnfinished(transport, "/v3/kv/put", filling);
      assert.equal(answer.slice(0, wanted.length), wanted);
    }
  });

  test(`${transport}: a body that drips is not waited for`, async () => {
    const { sent, response } = begin(transport, "/v3/kv/range");
    sent.write(`{"key":"`);
    const drip = setInterval(() => sent.write("A"), 20);
    const { status, body } = await response;
    clearInterval(drip);
    const text = Buffer.concat(await body.toArray().catch(() => [])).toString();
    sent.destroy();
    assert.equal(status, 504);
    assert.match(text, /took too long/);
  });

  test(`${transport}: tiny pieces of a body are put together`, async () => {
    const { sent, response } = begin(transport, "/v3/kv/range");
    for (const byte of `{"key":"${"Zm9v".repeat(500)}"}`) sent.write(byte);
    sent.end();
    assert.equal((await response).status, 200);
  });

  test(`${transport}: names of Object.prototype do nothing, wherever they stand`, async () => {
    for (const name of ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty"]) {
      const body = `{"${name}":{"${name}":{"polluted":true}},"key":"Zm9v"}`;
      const fields = { [name.toLowerCase()]: "x", [`grpc-metadata-${name.toLowerCase()}`]: "x" };
      assert.equal((await post("/v3/kv/range", body, fields)).text, `{"count":"3"}`);
      assert.equal((await post(`/v3/${name}`, "")).status, 404);
      assert.equal((await post("/v3/kv/range", "", { "grpc-timeout": `1${name}` })).status, 400);
    }
    assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
  });

  test(`${transport}: hosts and origins are checked as on the other routes`, async () => {
    const good = await post("/v3/kv/range", "", { origin: "http://good.example" });
    assert.equal(good.headers["access-control-allow-origin"], "http://good.example");
    const bad = await post("/v3/kv/range", "", { origin: "http://bad.example" });
    assert.equal(bad.headers["access-control-allow-origin"], undefined);
    const host = transport === "HTTP/2" ? { ":authority": "evil.example" } : { host: "evil.example:1" };
    assert.equal((await post("/v3/kv/range", "", host)).status, 421);
    const preflight = await ask(transport, "/v3/kv/put", "", { origin: "http://good.example" }, "OPTIONS");
    assert.deepEqual([preflight.status, preflight.text], [200, ""]);
  });

  test(`${transport}: streams are told when the server stops`, async () => {
    const { sent, response } = begin(transport, "/v3/lease/keepalive");
    sent.write(`{"ID":1}`);
    const { body } = await response;
    await line(body);
    const rest = body.toArray();
    const stopped = close();
    assert.equal(
      Buffer.concat(await rest).toString(),
      `{"error":{"code":14,"message":"etcdserver: server stopped"}}\n`,
    );
    await stopped;
    await open();
  });
}

/** A WebSocket that is open, and its messages from the first on. */
async function openSocket(path: string, options: ClientOptions = {}) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, options);
  const said: string[] = [];
  socket.on("message", (data) => said.push(String(data)));
  socket.on("error", () => {});
  const closed = once(socket, "close").then(([code]) => code as number);
  await once(socket, "open");
  return { socket, said, closed };
}

test("WebSocket: messages are requests, however they are cut, and answers are messages", async () => {
  const { socket, said, closed } = await openSocket("/v3/lease/keepalive");
  for (const message of [`{"ID":1}`, `{"ID"`, `:2}{"ID":3}`]) socket.send(message);
  await until(() => said.length === 3);
  assert.deepEqual(
    said,
    ["1", "2", "3"].map((id) => `{"result":{"ID":"${id}","TTL":"1"}}`),
  );
  socket.send(`{"ID":404}`);
  assert.equal(await closed, 1000);
  assert.match(said.at(-1) ?? "", /^\{"error":\{"code":5,/);
  const large = await openSocket("/v3/kv/range");
  large.socket.send(Buffer.from(`{"limit":3}`));
  assert.equal(await large.closed, 1000);
  assert.equal(large.said.length, 1);
  assert.equal(JSON.parse(large.said[0] ?? "").kvs.length, 3);
});

test("WebSocket: a token comes as a cookie or behind the protocol Bearer", async () => {
  const cookie = await openSocket("/v3/kv/range", {
    headers: { cookie: "a=b; token=c", authorization: "x" },
  });
  cookie.socket.send("{}");
  await cookie.closed;
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v3/kv/range`, ["Bearer", "d"]);
  socket.on("open", () => socket.send("{}"));
  await once(socket, "close");
  assert.deepEqual(
    toy.calls.map((call) => call.metadata.get("authorization")),
    ["Bearer c", "Bearer d"],
  );
});

test("WebSocket: a call ends with its client, and is not sent to without end", async () => {
  const { socket } = await openSocket("/v3/maintenance/snapshot");
  socket.pause();
  socket.send("{}");
  await until(() => toy.calls.length === 1);
  await expectFewPieces();
  socket.terminate();
  const watching = await openSocket("/v3/watch");
  watching.socket.send(`{"create_request":{}}`);
  await until(() => toy.calls.length === 2);
  watching.socket.close();
  await until(() => toy.ended.length === 2);
  assert.ok(
    toy.ended.every((end) => end.endsWith(" Canceled")),
    `${toy.ended}`,
  );
});

test("WebSocket: messages beyond the limit and pings without end are not kept", async () => {
  const large = await openSocket("/v3/kv/put");
  large.socket.send("x".repeat(4_000_000));
  assert.equal(await large.closed, 1009);
  const pinging = await openSocket("/v3/watch");
  pinging.socket.pause();
  const ping = Buffer.alloc(125);
  for (let i = 0; i < 50_000; i++) pinging.socket.ping(ping);
  await until(() => pinging.socket.bufferedAmount === 0);
  pinging.socket.terminate();
});

test("WebSocket: pings take no room for good", async () => {
  const part = "x".repeat(3_000_000);
  const sockets: WebSocket[] = [];
  for (let i = 0; i < 40; i++) {
    const { socket } = await openSocket("/v3/watch");
    sockets.push(socket);
    await new Promise((resolve) => socket.send(part, { fin: false }, resolve));
  }
  const pinging = await openSocket("/v3/watch");
  const ping = Buffer.alloc(125);
  for (let round = 0; round < 150; round++) {
    for (let i = 0; i < 1000; i++) pinging.socket.ping(ping);
    await until(() => pinging.socket.bufferedAmount === 0);
  }
  await delay(100);
  assert.equal(pinging.socket.readyState, WebSocket.OPEN);
  for (const socket of [...sockets, pinging.socket]) socket.terminate();
});

test("WebSocket: unfinished messages together take no more than there is room for", async () => {
  const part = "x".repeat(3_000_000);
  const sockets: WebSocket[] = [];
  let refused = 0;
  while (refused === 0 && sockets.length < 60) {
    const { socket, closed } = await openSocket("/v3/watch");
    void closed.then((code) => {
      if (code === 1013) refused++;
    });
    sockets.push(socket);
    await new Promise((resolve) => socket.send(part, { fin: false }, resolve));
    await delay(20);
  }
  assert.ok(refused > 0 && sockets.length > 40, `${refused} of ${sockets.length} were refused`);
  for (const socket of sockets) socket.terminate();
  await delay(100);
  const { socket, closed, said } = await openSocket("/v3/kv/range");
  socket.send(`{"key":"YQ==",${" ".repeat(3_000_000)}`, { fin: false });
  socket.send(`"limit":1}`, { fin: true });
  assert.equal(await closed, 1000);
  assert.equal(said[0]?.startsWith('{"kvs"'), true);
});

test("WebSocket: foreign hosts and origins, and what is no handshake, are refused", async () => {
  const status = async (headers: Fields, method = "GET"): Promise<number> => {
    const upgrade = { connection: "upgrade", upgrade: "websocket" };
    const { response, sent } = begin("HTTP/1.1", "/v3/watch", { ...upgrade, ...headers }, method);
    sent.end();
    return (await response).status;
  };
  const handshake = { "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" };
  assert.equal(await status({ ...handshake, host: "evil.example" }), 421);
  assert.equal(await status({ ...handshake, origin: "http://bad.example" }), 403);
  assert.equal(await status({}), 400);
  assert.equal(await status(handshake, "POST"), 405);
  assert.equal((await openSocket("/v3/watch", { origin: "http://good.example" })).socket.readyState, 1);
  assert.equal(
    (await ask("HTTP/1.1", "/version", "", { connection: "upgrade", upgrade: "websocket" }, "GET")).status,
    200,
  );
});

test("WebSocket: streams are told when the server stops", async () => {
  const { socket, said, closed } = await openSocket("/v3/lease/keepalive");
  socket.send(`{"ID":1}`);
  await until(() => said.length === 1);
  await close();
  await closed;
  assert.equal(said[1], `{"error":{"code":14,"message":"etcdserver: server stopped"}}`);
  await open();
});

test("a body without an end is answered, and its connection closed", async () => {
  const socket: Duplex = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
  });
  socket.write(
    "POST /v3/kv/range HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
  );
  const pour = (): void => {
    if (!socket.destroyed) socket.write(`4000\r\n${"x".repeat(0x4000)}\r\n`, () => setImmediate(pour));
  };
  pour();
  await new Promise((resolve) => socket.once("close", resolve));
  assert.match(text, /^HTTP\/1\.1 200 /);
});

test("without the gateway its paths are like any other that is not there", async () => {
  const plain = await startHttpServer();
  const found = await plain.inject({
    method: "POST",
    path: "/v3/kv/range",
    authority: "a",
    headers: {},
    body: Readable.from([]),
    remoteAddress: "",
    signal: new AbortController().signal,
  });
  assert.equal(found.status, 404);
  assert.equal(Buffer.concat(await found.body.toArray()).toString(), "404 page not found\n");
  await plain.stop(0);
});
