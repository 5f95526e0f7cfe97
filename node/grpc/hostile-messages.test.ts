// Hostile clients, by what they put into gRPC messages and into the fields that describe them.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { services } from "../wire/services.ts";
import { ErrorCode, Flag, FrameType } from "./http2/protocol.ts";
import { empty, hostile, one, sendBody, startServer, stopServer, windowOf } from "./testing/hostile-bed.ts";
import { frameBytes, message } from "./testing/raw-client.ts";

const { range } = services.kv;

before(startServer);
after(stopServer);

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

test("messages that lie about themselves, bombs (CVE-2024-37168) among them, get a Go server's answers", async () => {
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
    ["eleven thousand years of time", one, { "grpc-timeout": "99999999H" }, "0", /^$/],
    ["shorter than the body", message(request, { length: 1 }), {}, "13", /unmarshal/],
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

test("streams whose messages are cut, or too many, get a Go server's answers", async () => {
  const { leaseKeepAlive } = services.lease;
  const { snapshot } = services.maintenance;
  const request = message(empty);
  const cut = message(empty, { length: 5 });
  const broken = message(Buffer.from([0xff]));
  const cases: readonly (readonly [name: string, path: string, body: Buffer, text: RegExp])[] = [
    ["a stream that ends within a message", leaseKeepAlive.path, cut, /^unexpected EOF$/],
    [
      "a stream with a broken message",
      leaseKeepAlive.path,
      broken,
      /^grpc: failed to unmarshal the received message: /,
    ],
    ["a server stream that ends within its request", snapshot.path, cut, /^unexpected EOF$/],
    ["a server stream without request", snapshot.path, empty, /received no request message from/],
    [
      "a server stream with two requests",
      snapshot.path,
      Buffer.concat([request, request]),
      /^cardinality violation: received multiple request messages for non-client-streaming RPC$/,
    ],
    [
      "a server stream with a broken request",
      snapshot.path,
      broken,
      /^grpc: failed to unmarshal the received/,
    ],
  ];
  for (const [name, path, body, text] of cases) {
    await hostile(async (client) => {
      client.headers(1, path);
      await sendBody(client, 1, body);
      const { fields } = await client.answer(1);
      assert.equal(fields["grpc-status"], "13", name);
      assert.match(fields["grpc-message"] ?? "", text, name);
    });
  }
});

test("paths that nothing serves get a Go server's answers", async () => {
  await hostile(async (client) => {
    const cases = [
      ["etcdserverpb.KV/Range", 'malformed method name: "etcdserverpb.KV/Range"'],
      ["/", 'malformed method name: "/"'],
      ["/etcdserverpb.KV/Range/", "unknown service etcdserverpb.KV/Range"],
      [
        Buffer.from("/etcdserverpb.KV/Ränge").toString("latin1"),
        "unknown method R%C3%A4nge for service etcdserverpb.KV",
      ],
    ] as const;
    for (const [i, [path, text]] of cases.entries()) {
      const { fields } = await client.call(2 * i + 1, path, one);
      assert.deepEqual([fields["grpc-status"], fields["grpc-message"]], ["12", text]);
    }
  });
});

test("control characters in a field's value make a request malformed", async () => {
  await hostile(async (client) => {
    for (const [i, character] of ["\u0000", "\u0001", "\n", "\r", "\u001f", "\u007f"].entries()) {
      const answer = await client.call(2 * i + 1, range.path, one, { "x-a": `a${character}b` });
      assert.equal(answer.resetCode, ErrorCode.protocolError, JSON.stringify(character));
    }
    const { fields } = await client.call(99, range.path, one, { "x-a": "a\tb" });
    assert.equal(fields["grpc-status"], "0");
  });
});

test("a request that is only a head, and one with fields behind its body", async () => {
  await hostile(async (client) => {
    for (const [i, path] of [range.path, services.kv.put.path].entries()) {
      client.headers(2 * i + 1, path, { isEnd: true });
      const { fields } = await client.answer(2 * i + 1);
      assert.deepEqual([fields["grpc-status"], fields["grpc-message"]], ["2", "EOF"], path);
    }
    client.headers(5, services.lease.leaseKeepAlive.path, { isEnd: true });
    assert.equal((await client.answer(5)).fields["grpc-status"], "0");
    client.headers(7, range.path);
    client.data(7, one, false);
    client.fields(7, ["grpc-status", "13", "x-after", "y"]);
    assert.equal((await client.answer(7)).fields["grpc-status"], "0");
    client.headers(9, range.path);
    client.data(9, one, false);
    client.fields(9, [":status", "200"]);
    assert.equal((await client.answer(9)).resetCode, ErrorCode.protocolError);
  });
});

test("a content type that is not gRPC's is not taken for it", async () => {
  await hostile(async (client) => {
    const types = ["", "application/grpc-web", "application/grpcx", "Application/grpc", "application/json"];
    for (const [i, type] of types.entries()) {
      const answer = await client.call(2 * i + 1, range.path, one, { "content-type": type });
      assert.deepEqual(
        [answer.fields["x-path"], answer.fields["grpc-status"]],
        [range.path, undefined],
        type,
      );
    }
    // The answer's type is made of the request's, as a Go server makes it.
    const answered = [
      ["application/grpc+proto", "application/grpc+proto"],
      ["application/grpc;x", "application/grpc+x"],
      ["application/grpc+", "application/grpc"],
    ] as const;
    for (const [i, [type, answerType]] of answered.entries()) {
      for (const [j, path] of [range.path, "/etcdserverpb.KV/Nothing"].entries()) {
        const { fields } = await client.call(4 * i + 2 * j + 21, path, one, { "content-type": type });
        assert.deepEqual([fields["content-type"], fields["grpc-status"]], [answerType, j === 0 ? "0" : "12"]);
      }
    }
  });
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
    assert.equal((await client.answer(5)).body.toString(), `POST ${2 * 1024 * 1024}`);
  });
});
