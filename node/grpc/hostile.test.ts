import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { noLease } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { services } from "../wire/services.ts";
import { ErrorCode, Flag, FrameType, Setting } from "./http2/protocol.ts";
import { silentGrpcMetrics } from "./metrics.ts";
import { bidi, serverStream, unary } from "./routes.ts";
import { GrpcServer } from "./server.ts";
import { frameBytes, isEndOf, message, RawClient, setting, uint32 } from "./testing/raw-client.ts";

// Every test ends with a look whether the server still serves somebody honest.

const toy = { running: 0, cancelled: 0, chunksMade: 0, unexpected: [] as unknown[] };
const { range, put } = services.kv;
const empty = Buffer.alloc(0);
const one = message(range.request.encode(range.request.create({ key: Buffer.from("k") })));

let listener: Server;
let server: GrpcServer;
let port: number;

before(async () => {
  server = new GrpcServer({
    routes: [
      unary(range, () => ({ header: undefined, kvs: [], more: false, count: 1 })),
      unary(put, (_request, call) => {
        toy.running += 1;
        return new Promise((_resolve, reject) =>
          call.onCancel(() => {
            toy.running -= 1;
            toy.cancelled += 1;
            reject(new Error("nobody waits for this"));
          }),
        );
      }),
      unary(services.kv.deleteRange, () => ({
        header: undefined,
        deleted: 0,
        prevKvs: [new Uint8Array(1024 * 1024)],
      })),
      serverStream(services.maintenance.snapshot, async function* () {
        for (;;) {
          toy.chunksMade += 1;
          yield { header: undefined, remainingBytes: 1, blob: new Uint8Array(32 * 1024), version: "" };
        }
      }),
      bidi(services.lease.leaseKeepAlive, async function* (requests) {
        let count = 0;
        for await (const _ of requests) {
          count += 1;
          if (count === 1) yield { header: undefined, ID: noLease, TTL: 0 };
        }
        yield { header: undefined, ID: noLease, TTL: count };
      }),
      bidi(services.watch.watch, async function* (_requests, call) {
        await new Promise<void>((resolve) => call.onCancel(resolve));
      }),
    ],
    leader: { hasLeader: () => true, onLeaderLost: () => () => {} },
    metrics: silentGrpcMetrics,
    log: silentLogger,
    http: async ({ method, path, body }) => ({
      status: 200,
      fields: ["x-path", path],
      body: Readable.from([Buffer.from(`${method} ${body.length}`)]),
    }),
    onUnexpected: (error) => toy.unexpected.push(error),
    maxRequestBytes: 1024 * 1024,
    maxConcurrentStreams: 3000,
    keepaliveIntervalMs: 0,
    keepaliveTimeoutMs: 0,
    keepaliveMinTimeMs: 5000,
    warningUnaryRequestDurationMs: 300,
  });
  listener = createServer((socket) => server.serve(socket)).listen(0, "127.0.0.1");
  await once(listener, "listening");
  port = (listener.address() as AddressInfo).port;
});

after(async () => {
  listener.close();
  await server.stop(100);
});

async function hostile(act: (client: RawClient) => Promise<void>, options = {}): Promise<void> {
  const client = await RawClient.open(port, options);
  try {
    await act(client);
  } finally {
    client.close();
  }
  const honest = await RawClient.open(port);
  const answer = await honest.call(1, range.path, one);
  honest.close();
  assert.equal(answer.fields["grpc-status"], "0");
}

/** The connection ended with this code, and the socket with it. */
async function endsWith(client: RawClient, code: number): Promise<string> {
  const goodbye = await client.goaway();
  assert.equal(goodbye?.code, code, goodbye?.text);
  return goodbye?.text ?? "";
}

/** Calls that begin and are taken back at once. */
function resetStorm(client: RawClient, path: string, count: number): void {
  const parts: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const id = 2 * i + 1;
    parts.push(frameBytes(FrameType.headers, Flag.endHeaders, id, client.block(path)));
    parts.push(frameBytes(FrameType.data, Flag.endStream, id, one));
    parts.push(frameBytes(FrameType.rstStream, 0, id, uint32(ErrorCode.cancel)));
  }
  client.write(Buffer.concat(parts));
}

test("rapid resets end the connection, and every call they began is cancelled", async () => {
  toy.cancelled = 0;
  await hostile(async (client) => {
    resetStorm(client, put.path, 5000);
    await endsWith(client, ErrorCode.enhanceYourCalm);
    assert.ok(toy.cancelled >= 1000 && toy.cancelled < 5000, `${toy.cancelled} calls were begun`);
    assert.equal(toy.running, 0);
  });
});

test("a client that cancels a few hundred calls is served on", async () => {
  await hostile(async (client) => {
    resetStorm(client, put.path, 500);
    assert.equal((await client.call(2001, range.path, one)).fields["grpc-status"], "0");
  });
});

test("a client that ends thousands of streams after their first answer is served on", async () => {
  await hostile(async (client) => {
    const path = services.lease.leaseKeepAlive.path;
    for (let i = 0; i < 5000; i++) {
      const id = 2 * i + 1;
      client.headers(id, path);
      client.data(id, message(empty), false);
      if (i % 100 === 99) {
        await client.until(
          () =>
            client.isClosed ||
            client.frames.some(({ streamId, type }) => streamId === id && type === FrameType.data),
        );
      }
      if (i >= 100) client.frame(FrameType.rstStream, 0, id - 200, uint32(ErrorCode.cancel));
    }
    assert.equal((await client.call(20_001, range.path, one)).fields["grpc-status"], "0");
  });
});

test("resets that a client provokes count like its own", async () => {
  await hostile(async (client) => {
    const parts: Buffer[] = [];
    for (let i = 0; i < 5000; i++) {
      parts.push(frameBytes(FrameType.headers, Flag.endHeaders, 2 * i + 1, client.block(put.path)));
      parts.push(frameBytes(FrameType.windowUpdate, 0, 2 * i + 1, uint32(0)));
    }
    client.write(Buffer.concat(parts));
    await endsWith(client, ErrorCode.enhanceYourCalm);
  });
});

test("floods of frames that do nothing end the connection", async () => {
  const floods: Readonly<Record<string, (client: RawClient) => Buffer>> = {
    settings: () => frameBytes(FrameType.settings, 0, 0, setting(Setting.initialWindowSize, 65_535)),
    pings: () => frameBytes(FrameType.ping, 0, 0, Buffer.alloc(8)),
    "empty bodies": () => frameBytes(FrameType.data, 0, 1, empty),
    priorities: () => frameBytes(FrameType.priority, 0, 1, Buffer.alloc(5)),
    "unknown types": () => frameBytes(0x42, 0, 0, Buffer.alloc(10)),
    "resets of closed streams": () => frameBytes(FrameType.rstStream, 0, 1, uint32(8)),
  };
  for (const [name, frameOf] of Object.entries(floods)) {
    await hostile(async (client) => {
      client.headers(1, services.watch.watch.path);
      client.write(Buffer.concat(Array.from({ length: 10_000 }, () => frameOf(client))));
      const text = await endsWith(client, ErrorCode.enhanceYourCalm);
      if (name === "pings") assert.equal(text, "too_many_pings");
    });
  }
});

test("pings are welcome when the server sent something in between", async () => {
  await hostile(async (client) => {
    for (let i = 0; i < 20; i++) {
      await client.call(2 * i + 1, range.path, one);
      await client.settle();
    }
    assert.equal(client.isClosed, false);
  });
});

test("a header block that goes on and on ends the connection, whatever its pieces", async () => {
  for (const pieceBytes of [0, 1, 16_384]) {
    await hostile(async (client) => {
      client.frame(FrameType.headers, 0, 1, empty);
      const piece = frameBytes(FrameType.continuation, 0, 1, Buffer.alloc(pieceBytes, 0x82));
      client.write(Buffer.concat(Array.from({ length: pieceBytes === 16_384 ? 10 : 5000 }, () => piece)));
      await endsWith(client, ErrorCode.enhanceYourCalm);
    });
  }
});

test("fields that are small on the wire and large in memory are refused, and cost no memory", async () => {
  await hostile(async (client) => {
    const block = Buffer.concat([
      client.block(range.path, { te: "" }),
      // A field of 4 KB goes into the table, then 15,000 references to it: 60 MB.
      Buffer.from("4001617fa11e", "hex"),
      Buffer.alloc(4000, 0x62),
      Buffer.alloc(11_000, 0xbe),
    ]);
    client.frame(FrameType.headers, Flag.endHeaders | Flag.endStream, 1, block);
    const { fields } = await client.answer(1);
    assert.equal(fields["grpc-status"], "8");
    assert.match(fields["grpc-message"] ?? "", /headers larger than max/);
  });
});

test("a thousand fields are refused, and the connection lives", async () => {
  await hostile(async (client) => {
    const fields = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`x-${i}`, "y".repeat(190)]));
    const block = client.block(range.path, fields);
    for (let at = 0; at < block.length; at += 16_384) {
      const flags = at + 16_384 >= block.length ? Flag.endHeaders : 0;
      const type = at === 0 ? FrameType.headers : FrameType.continuation;
      client.frame(type, flags | (at === 0 ? Flag.endStream : 0), 1, block.subarray(at, at + 16_384));
    }
    assert.notEqual((await client.answer(1)).fields["grpc-status"], "0");
    assert.equal((await client.call(3, range.path, one)).fields["grpc-status"], "0");
  });
});

test("windows cannot overflow", async () => {
  await hostile(async (client) => {
    client.frame(FrameType.windowUpdate, 0, 0, uint32(0x7fff_ffff));
    await endsWith(client, ErrorCode.flowControlError);
  });
  await hostile(async (client) => {
    client.headers(1, services.watch.watch.path);
    client.frame(FrameType.windowUpdate, 0, 1, uint32(0x7fff_ffff));
    assert.equal((await client.answer(1)).resetCode, ErrorCode.flowControlError);
    assert.equal((await client.call(3, range.path, one)).fields["grpc-status"], "0");
  });
  await hostile(async (client) => {
    client.headers(1, services.watch.watch.path);
    client.frame(FrameType.windowUpdate, 0, 1, uint32(0x7fff_0000));
    client.frame(FrameType.settings, 0, 0, setting(Setting.initialWindowSize, 0x7fff_ffff));
    await endsWith(client, ErrorCode.flowControlError);
  });
});

test("a client cannot send more than it has a window for", async () => {
  await hostile(async (client) => {
    // Unread requests of a stream whose handler waits are not given back.
    client.headers(1, services.watch.watch.path);
    for (let i = 0; i < 20; i++) client.data(1, Buffer.alloc(16_384), false);
    assert.equal((await client.answer(1)).resetCode, ErrorCode.flowControlError);
  });
});

test("a client without a window costs its answers, and no more than a bound of them", async () => {
  await hostile(
    async (client) => {
      const path = services.kv.deleteRange.path;
      const count = 100;
      for (let i = 0; i < count; i++) {
        client.headers(2 * i + 1, path);
        client.data(2 * i + 1, message(empty));
      }
      // Answers of a megabyte each: what is beyond the bound is refused, which needs no window.
      const refused = () =>
        client.frames.filter(({ type, flags }) => type === FrameType.headers && (flags & 1) !== 0);
      await client.until(() => client.isClosed || refused().length >= 30);
      assert.equal(client.frames.filter(({ type }) => type === FrameType.data).length, 0);
      assert.ok(refused().length < 40, `${refused().length} were refused`);
      client.frame(FrameType.settings, 0, 0, setting(Setting.initialWindowSize, 0x7fff_ffff));
      client.frame(FrameType.windowUpdate, 0, 0, uint32(0x7000_0000));
      const answer = await client.answer(1);
      assert.equal(answer.fields["grpc-status"], "0");
      assert.ok(answer.body.length > 1024 * 1024);
    },
    { settings: setting(Setting.initialWindowSize, 0) },
  );
});

test("a client that reads nothing holds its handler back, and is not read from", async () => {
  await hostile(
    async (client) => {
      toy.chunksMade = 0;
      client.frame(FrameType.windowUpdate, 0, 0, uint32(0x7000_0000));
      client.socket.pause();
      client.headers(1, services.maintenance.snapshot.path);
      client.data(1, message(empty));
      // Nothing tells that a handler is not pulled any more: waits until it stands still for a while.
      let last = -1;
      while (last !== toy.chunksMade || last <= 0) {
        last = toy.chunksMade;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      assert.ok(toy.chunksMade * 32 < 16 * 1024, `${toy.chunksMade} chunks of 32 KiB were made`);
    },
    { settings: setting(Setting.initialWindowSize, 0x7fff_ffff) },
  );
});

test("streams share the connection's window", async () => {
  await hostile(async (client) => {
    const path = services.maintenance.snapshot.path;
    for (const id of [1, 3, 5, 7]) {
      client.headers(id, path);
      client.data(id, message(empty));
    }
    await client.until(() => client.isClosed || bodyBytes(client) >= 65_535);
    for (let round = 0; round < 40; round++) {
      const before = bodyBytes(client);
      client.frame(FrameType.windowUpdate, 0, 0, uint32(32_768));
      for (const id of [1, 3, 5, 7]) client.frame(FrameType.windowUpdate, 0, id, uint32(32_768));
      await client.until(() => client.isClosed || bodyBytes(client) >= before + 32_768);
    }
    const shares = [1, 3, 5, 7].map((id) => bodyBytes(client, id));
    assert.ok(Math.max(...shares) < 1.5 * Math.min(...shares), `shares ${shares}`);
  });
});

test("more streams than allowed are refused one by one", async () => {
  await hostile(async (client) => {
    for (let i = 0; i <= 3000; i++) client.headers(2 * i + 1, services.watch.watch.path);
    assert.equal((await client.answer(6001)).resetCode, ErrorCode.refusedStream);
    assert.equal(client.frames.filter(({ type }) => type === FrameType.rstStream).length, 1);
  });
});

test("garbage ends the connection", async () => {
  await hostile(
    async (client) => {
      client.write(Buffer.from("GARBAGE GARBAGE GARBAGE GARBAGE"));
      await endsWith(client, ErrorCode.protocolError);
    },
    { isSilent: true },
  );
  await hostile(async (client) => {
    client.write(Buffer.alloc(100, 0xff));
    await endsWith(client, ErrorCode.frameSizeError);
  });
  await hostile(async (client) => {
    client.frame(FrameType.headers, Flag.endHeaders, 1, Buffer.alloc(100, 0xff));
    await endsWith(client, ErrorCode.compressionError);
  });
});

test("a call may come in single bytes", async () => {
  await hostile(async (client) => {
    client.socket.setNoDelay(true);
    const bytes = Buffer.concat([
      frameBytes(FrameType.headers, Flag.endHeaders, 1, client.block(range.path)),
      frameBytes(FrameType.data, 0, 1, one.subarray(0, 3)),
      frameBytes(FrameType.data, Flag.endStream, 1, one.subarray(3)),
    ]);
    for (const byte of bytes) {
      client.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal((await client.answer(1)).fields["grpc-status"], "0");
  });
});

test("a message may be split into frames anywhere", async () => {
  await hostile(async (client) => {
    for (let at = 0; at <= one.length; at++) {
      const id = 2 * at + 1;
      client.headers(id, range.path);
      client.data(id, one.subarray(0, at), false);
      client.data(id, one.subarray(at));
      assert.equal((await client.answer(id)).fields["grpc-status"], "0", `split at ${at}`);
    }
  });
});

test("messages that lie about themselves get a Go server's answers", async () => {
  const request = one.subarray(5);
  const cases: readonly (readonly [
    name: string,
    body: Buffer,
    fields: Record<string, string>,
    status: string,
    text: RegExp,
  ])[] = [
    [
      "4 GiB",
      message(request, { length: 0xffff_ffff }),
      {},
      "8",
      /larger than max \(4294967295 vs. 1572864\)/,
    ],
    ["longer than the body", message(request, { length: 10 }), {}, "2", /^unexpected EOF$/],
    ["nothing", empty, {}, "2", /^EOF$/],
    ["half a head", Buffer.alloc(3), {}, "2", /^EOF$/],
    [
      "an unknown format",
      Buffer.concat([Buffer.from([2]), one.subarray(1)]),
      {},
      "13",
      /unexpected payload format 2/,
    ],
    [
      "compressed by nothing",
      message(request, { isCompressed: true }),
      {},
      "13",
      /compressed flag set with identity/,
    ],
    [
      "deflate",
      one,
      { "grpc-encoding": "deflate" },
      "12",
      /Decompressor is not installed for grpc-encoding "deflate"/,
    ],
    [
      "no gzip",
      message(request, { isCompressed: true }),
      { "grpc-encoding": "gzip" },
      "13",
      /failed to decompress/,
    ],
    [
      "a bomb",
      message(gzipSync(Buffer.alloc(64 * 1024 * 1024)), { isCompressed: true }),
      { "grpc-encoding": "gzip" },
      "8",
      /after decompression larger than max 1572864/,
    ],
    ["a timeout without unit", one, { "grpc-timeout": "15" }, "13", /malformed grpc-timeout/],
    ["a timeout of nine digits", one, { "grpc-timeout": "123456789S" }, "13", /timeout string is too long/],
    ["a negative timeout", one, { "grpc-timeout": "-1S" }, "13", /malformed grpc-timeout/],
    ["no time at all", one, { "grpc-timeout": "0n" }, "4", /^context deadline exceeded$/],
    ["metadata that is not base64", one, { "x-bin": "***" }, "13", /malformed binary metadata/],
    ["another method", one, { ":method": "PUT" }, "13", /which should be POST/],
  ];
  for (const [name, body, fields, status, text] of cases) {
    await hostile(async (client) => {
      client.headers(1, range.path, { fields });
      await sendBody(client, 1, body);
      const answer = await client.answer(1);
      assert.equal(answer.fields["grpc-status"], status, name);
      assert.match(answer.fields["grpc-message"] ?? "", text, name);
    });
  }
});

test("a gzip request is answered in gzip, and one without te as any other", async () => {
  await hostile(async (client) => {
    const body = message(gzipSync(one.subarray(5)), { isCompressed: true });
    const answer = await client.call(1, range.path, body, { "grpc-encoding": "gzip" });
    assert.equal(answer.fields["grpc-encoding"], "gzip");
    assert.equal(answer.fields["grpc-status"], "0");
    assert.equal(answer.body[0], 1);
    assert.equal((await client.call(3, range.path, one, { te: "" })).fields["grpc-status"], "0");
  });
});

test("a hundred thousand tiny messages are read", async () => {
  await hostile(async (client) => {
    client.headers(1, services.lease.leaseKeepAlive.path);
    const many = Buffer.concat(Array.from({ length: 2500 }, () => message(empty)));
    await sendBody(client, 1, Buffer.concat(Array.from({ length: 40 }, () => many)));
    const { body } = await client.answer(1);
    const { TTL } = services.lease.leaseKeepAlive.response.decode(body.subarray(10));
    assert.equal(TTL, 100_000);
  });
});

test("many large unfinished requests are held within a bound, and end one after the other", async () => {
  await hostile(async (client) => {
    const count = 64;
    const body = message(Buffer.concat([Buffer.from([0x0a, 0x80, 0x80, 0x40]), Buffer.alloc(1024 * 1024)]));
    const sent = new Map(Array.from({ length: count }, (_, i) => [2 * i + 1, 0]));
    for (const id of sent.keys()) client.headers(id, range.path);
    let connectionSent = 0;
    while (sent.size > 0 && !client.isClosed) {
      let isStuck = true;
      for (const [id, at] of sent) {
        const connectionRoom = windowOf(client, 0) - connectionSent;
        const length = Math.min(16_384, body.length - at, windowOf(client, id) - at, connectionRoom);
        if (length <= 0) continue;
        isStuck = false;
        client.data(id, body.subarray(at, at + length), at + length === body.length);
        connectionSent += length;
        if (at + length === body.length) sent.delete(id);
        else sent.set(id, at + length);
      }
      const frames = client.frames.length;
      if (isStuck) await client.until(() => client.isClosed || client.frames.length > frames);
    }
    assert.equal(sent.size, 0);
    for (let i = 0; i < count; i++) {
      assert.equal((await client.answer(2 * i + 1)).fields["grpc-status"], "0");
    }
  });
});

test("what is not gRPC reaches the HTTP routes", async () => {
  await hostile(async (client) => {
    const fields = { ":method": "GET", "content-type": "", te: "" };
    client.headers(1, "/health", { fields, isEnd: true });
    const answer = await client.answer(1);
    assert.deepEqual(
      [answer.fields[":status"], answer.fields["x-path"], answer.body.toString()],
      ["200", "/health", "GET 0"],
    );
    const posted = await client.call(3, "/v3/kv/put", Buffer.alloc(100), {
      "content-type": "application/json",
    });
    assert.equal(posted.body.toString(), "POST 100");
    client.headers(5, "/v3/kv/put", { fields: { "content-type": "application/json" } });
    await sendBody(client, 5, Buffer.alloc(2 * 1024 * 1024));
    assert.equal((await client.answer(5)).fields[":status"], "413");
  });
});

test("a draining connection finishes its calls and closes", async () => {
  await hostile(async (client) => {
    client.headers(1, services.watch.watch.path);
    await client.settle();
    client.frame(FrameType.goaway, 0, 0, Buffer.alloc(8));
    client.frame(FrameType.rstStream, 0, 1, uint32(ErrorCode.cancel));
    await client.until(() => client.isClosed);
  });
});

test("none of this was a bug", () => {
  const bugs = toy.unexpected.filter((error) => (error as Error).message !== "nobody waits for this");
  assert.deepEqual(bugs, []);
});

function bodyBytes(client: RawClient, streamId?: number): number {
  let bytes = 0;
  for (const frame of client.frames) {
    if (frame.type === FrameType.data && (streamId ?? frame.streamId) === frame.streamId)
      bytes += frame.payload.length;
  }
  return bytes;
}

/** Sends a body as fast as the stream's window allows, to its end or until the server has ended the stream. */
async function sendBody(client: RawClient, streamId: number, body: Buffer): Promise<void> {
  const isOver = (): boolean => client.isClosed || client.frames.some((frame) => isEndOf(frame, streamId));
  for (let at = 0; at < body.length; at += 16_384) {
    const part = body.subarray(at, at + 16_384);
    await client.until(() => isOver() || windowOf(client, streamId) >= at + part.length);
    if (isOver()) return;
    client.data(streamId, part, false);
  }
  client.data(streamId, empty);
}

/** All that the client was ever allowed to send: on a stream, or on the connection. */
function windowOf(client: RawClient, streamId: number): number {
  let bytes = streamId === 0 ? 65_535 : 256 * 1024;
  for (const frame of client.frames) {
    if (frame.type === FrameType.windowUpdate && frame.streamId === streamId)
      bytes += frame.payload.readUInt32BE();
  }
  return bytes;
}
