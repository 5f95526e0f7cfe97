// Hostile clients, by what they do with frames, header blocks, windows and streams. Messages are in
// hostile-messages.test.ts; what is not gRPC in ../hostile-http.test.ts; h2spec and the fuzzer in test/h2.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { services } from "../wire/services.ts";
import { ErrorCode, Flag, FrameType, Setting } from "./http2/protocol.ts";
import {
  bodyBytes,
  empty,
  endsWith,
  hostile,
  one,
  openStreams,
  startServer,
  stopServer,
  toy,
} from "./testing/hostile-bed.ts";
import { frameBytes, isEndOf, message, RawClient, setting, uint32 } from "./testing/raw-client.ts";

const { range, put } = services.kv;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

before(startServer);
after(stopServer);

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

test("rapid resets (CVE-2023-44487, CVE-2019-9514) end the connection, and every call they began is cancelled", async () => {
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

test("resets that a client provokes (CVE-2025-8671) count like its own", async () => {
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

test("floods of frames that do nothing (CVE-2019-9512, 9513, 9515, 9518) end the connection", async () => {
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

test("a header block that goes on and on (CVE-2024-27983, CVE-2024-28182) ends the connection, whatever its pieces", async () => {
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

test("windows cannot overflow (CVE-2026-21714)", async () => {
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

test("a client that reads nothing (CVE-2019-9517) holds its handler back, and is not read from", async () => {
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

test("garbage, and header blocks that cannot be decoded (CVE-2025-59465), end the connection", async () => {
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

/** What each does, the frames behind one open stream, number 1, and the code that ends the connection or resets a stream. */
const violations: readonly (readonly [
  what: string,
  frames: (client: RawClient) => readonly Buffer[],
  ends: { readonly connection: number } | { readonly stream: number; readonly code: number },
])[] = [
  ["a body on a stream that is idle", () => [frameBytes(FrameType.data, 0, 3, one)], { connection: 1 }],
  ["a body on the connection", () => [frameBytes(FrameType.data, 0, 0, one)], { connection: 1 }],
  [
    "padding longer than its frame",
    () => [frameBytes(0, Flag.padded, 1, Buffer.of(9, 1))],
    { connection: 1 },
  ],
  ["a head on the connection", (c) => [frameBytes(1, 4, 0, c.block(range.path))], { connection: 1 }],
  [
    "a head on a stream of the server's",
    (c) => [frameBytes(1, 4, 2, c.block(range.path))],
    { connection: 1 },
  ],
  [
    "a head on a stream that was passed over",
    (c) => [frameBytes(1, 5, 9, c.block(range.path)), frameBytes(1, 5, 7, c.block(range.path))],
    { connection: 1 },
  ],
  [
    "a body behind its end",
    (c) => [frameBytes(1, 4, 3, c.block(put.path)), frameBytes(0, 1, 3, one), frameBytes(0, 0, 3, one)],
    { stream: 3, code: ErrorCode.streamClosed },
  ],
  [
    "a priority of four bytes",
    () => [frameBytes(FrameType.priority, 0, 1, Buffer.alloc(4))],
    { connection: 6 },
  ],
  ["a reset of an idle stream", () => [frameBytes(FrameType.rstStream, 0, 9, uint32(8))], { connection: 1 }],
  [
    "a reset of three bytes",
    () => [frameBytes(FrameType.rstStream, 0, 1, Buffer.alloc(3))],
    { connection: 6 },
  ],
  ["settings of a stream", () => [frameBytes(FrameType.settings, 0, 1, empty)], { connection: 1 }],
  [
    "settings of five bytes",
    () => [frameBytes(FrameType.settings, 0, 0, Buffer.alloc(5))],
    { connection: 6 },
  ],
  ["an acknowledgement that says something", () => [frameBytes(4, 1, 0, setting(4, 1))], { connection: 6 }],
  [
    "a frame size below the least",
    () => [frameBytes(4, 0, 0, setting(Setting.maxFrameSize, 1))],
    { connection: 1 },
  ],
  ["a push", () => [frameBytes(5, Flag.endHeaders, 1, uint32(2))], { connection: 1 }],
  ["a ping of a stream", () => [frameBytes(FrameType.ping, 0, 1, Buffer.alloc(8))], { connection: 1 }],
  ["a ping of seven bytes", () => [frameBytes(FrameType.ping, 0, 0, Buffer.alloc(7))], { connection: 6 }],
  ["a goodbye of a stream", () => [frameBytes(FrameType.goaway, 0, 1, Buffer.alloc(8))], { connection: 1 }],
  [
    "no window for the connection",
    () => [frameBytes(FrameType.windowUpdate, 0, 0, uint32(0))],
    { connection: 1 },
  ],
  [
    "no window for a stream",
    () => [frameBytes(FrameType.windowUpdate, 0, 1, uint32(0))],
    { stream: 1, code: 1 },
  ],
  [
    "a window of an idle stream",
    () => [frameBytes(FrameType.windowUpdate, 0, 9, uint32(1))],
    { connection: 1 },
  ],
  ["a continuation of nothing", () => [frameBytes(FrameType.continuation, 4, 1, empty)], { connection: 1 }],
  [
    "a frame between a head and its continuation",
    (c) => [frameBytes(1, 0, 3, c.block(range.path)), frameBytes(FrameType.ping, 0, 0, Buffer.alloc(8))],
    { connection: 1 },
  ],
  [
    "a frame beyond the size that was agreed on",
    () => [frameBytes(0, 0, 1, Buffer.alloc(16_385))],
    { connection: 6 },
  ],
];

test("frames of all types that their stream or the connection does not allow end it with the code of RFC 9113", async () => {
  for (const [what, framesOf, ends] of violations) {
    await hostile(async (client) => {
      client.headers(1, services.watch.watch.path);
      client.write(Buffer.concat(framesOf(client)));
      if ("connection" in ends) {
        assert.equal((await client.goaway())?.code, ends.connection, what);
        return;
      }
      assert.equal((await client.answer(ends.stream)).resetCode, ends.code, what);
      assert.equal((await client.call(101, range.path, one)).fields["grpc-status"], "0", what);
    });
  }
});

test("an answer that is taken byte by byte (CVE-2019-9511) leaves time for others", async () => {
  await hostile(
    async (client) => {
      client.headers(1, services.kv.deleteRange.path);
      client.data(1, message(empty));
      for (let taken = 1; taken <= 2000; taken++) {
        client.frame(FrameType.windowUpdate, 0, 1, uint32(1));
        await client.until(() => client.isClosed || bodyBytes(client, 1) >= taken);
        assert.equal(client.isClosed, false);
      }
      assert.equal(bodyBytes(client, 1), 2000);
      const honest = await RawClient.open(client.socket.remotePort as number);
      assert.equal((await honest.call(1, range.path, one)).fields["grpc-status"], "0");
      honest.close();
    },
    { settings: setting(Setting.initialWindowSize, 0) },
  );
});

test("fields without name or value (CVE-2019-9516) cost nothing that stays", async () => {
  await hostile(async (client) => {
    // Each counts for 32 bytes, like any other.
    const unnamed = Buffer.concat([client.block(range.path), Buffer.from("000000".repeat(1000), "hex")]);
    client.frame(FrameType.headers, Flag.endHeaders | Flag.endStream, 1, unnamed);
    const answer = await client.answer(1);
    assert.ok(answer.resetCode === ErrorCode.protocolError || answer.fields["grpc-status"] === "8");
    assert.equal((await client.call(3, range.path, one)).fields["grpc-status"], "0");
    for (let id = 5; id < 10_000; id += 2) {
      client.frame(FrameType.headers, Flag.endHeaders, id, Buffer.from("000000", "hex"));
    }
    await endsWith(client, ErrorCode.enhanceYourCalm);
  });
});

test("header blocks of streams that are gone (CVE-2026-56846) are not kept", async () => {
  const heapBytes = (): number => {
    collectGarbage();
    return process.memoryUsage().heapUsed;
  };
  await hostile(async (client) => {
    const [rounds, streams, valueBytes] = [20, 500, 3000];
    let before = 0;
    client.frame(FrameType.windowUpdate, 0, 0, uint32(0x7000_0000));
    for (let round = 0; round < rounds; round++) {
      // The first rounds bring everything to its size.
      if (round === 2) before = heapBytes();
      client.frames.length = 0;
      for (let i = 0; i < streams; i++) {
        const id = 2 * (round * streams + i) + 1;
        const fields = { "x-round": `${id}`.padEnd(valueBytes, "x") };
        client.headers(id, services.lease.leaseKeepAlive.path, { fields, isEnd: true });
      }
      await client.until(() => client.isClosed || endsOf(client) === streams);
    }
    assert.equal(client.isClosed, false);
    const grownBytes = heapBytes() - before;
    assert.ok(grownBytes < (rounds * streams * valueBytes) / 10, `the heap grew by ${grownBytes} bytes`);
  });
});

test("a hundred thousand streams in waves are served, and leave nothing", async () => {
  await hostile(async (client) => {
    const perWave = 1000;
    client.frame(FrameType.windowUpdate, 0, 0, uint32(0x7000_0000));
    for (let wave = 0; wave < 100; wave++) {
      const parts: Buffer[] = [];
      for (let i = 0; i < perWave; i++) {
        const id = 2 * (wave * perWave + i) + 1;
        parts.push(frameBytes(FrameType.headers, Flag.endHeaders, id, client.block(range.path)));
        parts.push(frameBytes(FrameType.data, Flag.endStream, id, one));
      }
      client.frames.length = 0;
      client.write(Buffer.concat(parts));
      await client.until(() => client.isClosed || endsOf(client) === perWave);
      assert.equal(client.isClosed, false);
    }
    assert.equal(openStreams(), 0);
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

/** Streams that the server has ended. */
function endsOf({ frames }: RawClient): number {
  return frames.filter((frame) => isEndOf(frame, frame.streamId)).length;
}
