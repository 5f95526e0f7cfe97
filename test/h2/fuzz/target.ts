// What the fuzzer runs: a whole server on a connection in memory, fed bytes, and the rules its answers obey.
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { HpackDecoder } from "../../../node/grpc/http2/hpack-decoder.ts";
import {
  ErrorCode,
  Flag,
  FrameType,
  frameBytesMax,
  frameHeadBytes,
  uint32At,
} from "../../../node/grpc/http2/protocol.ts";
import { bidi, serverStream, unary } from "../../../node/grpc/routes.ts";
import { startGrpcServer } from "../../../node/grpc/testing/server.ts";
import { startHttpServer } from "../../../node/http/testing/server.ts";
import { noLease } from "../../../node/lib/ids.ts";
import { services } from "../../../node/wire/services.ts";

/** What a client saw: what each stream and the connection as a whole were told, without their order in time. */
export interface Outcome {
  readonly goawayCode: number | undefined;
  /** By stream: fields, body and reset as one text. */
  readonly streams: ReadonlyMap<number, string>;
}

/** Answers to the same request are compared. */
function withoutDate(fields: readonly string[]): readonly string[] {
  const at = fields.indexOf("date");
  return at < 0 ? fields : fields.toSpliced(at, 2);
}

const unexpected: unknown[] = [];
/** Those that are whole, and the HTTP routes have not answered yet. */
let wholeRequests = 0;

const http = await startHttpServer();

const server = startGrpcServer({
  routes: [
    unary(services.kv.range, ({ key, limit }) => ({
      ...{ header: undefined, more: false, count: key.length },
      kvs: Array.from({ length: Math.min(Math.max(limit, 0), 40) }, () => new Uint8Array(1000)),
    })),
    unary(services.kv.put, async () => ({ header: undefined, prevKv: undefined })),
    serverStream(services.maintenance.snapshot, async function* () {
      for (let i = 0; i < 4; i++) {
        yield { header: undefined, remainingBytes: i, blob: new Uint8Array(9000), version: "" };
      }
    }),
    bidi(services.lease.leaseKeepAlive, async function* (requests) {
      for await (const { ID } of requests) yield { header: undefined, ID: ID ?? noLease, TTL: 5 };
    }),
    bidi(services.watch.watch, async function* (_requests, call) {
      await new Promise<void>((resolve) => call.onCancel(resolve));
    }),
  ],
  http: async (request) => {
    let isAnswered = false;
    request.body.once("end", () => {
      if (!isAnswered) wholeRequests += 1;
    });
    try {
      const response = await http.inject(request);
      return { ...response, fields: withoutDate(response.fields) };
    } finally {
      isAnswered = true;
      if (request.body.readableEnded) wholeRequests -= 1;
    }
  },
  onUnexpected: (error) => unexpected.push(error),
  maxRequestBytes: 64 * 1024,
  maxConcurrentStreams: 50,
  warningUnaryRequestDurationMs: 1e9,
});

/** Feeds the pieces to a fresh connection and tells what came back. Throws when a rule is broken. */
export async function feed(pieces: readonly Uint8Array[]): Promise<Outcome> {
  const sent: Buffer[] = [];
  const socket = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      sent.push(Buffer.from(chunk));
      done();
    },
  }) as unknown as Socket;
  server.serve(socket);
  for (const piece of pieces) socket.emit("data", Buffer.from(piece));
  for (let turn = 0; turn < 4 || wholeRequests > 0; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
    // What was just answered has its body still to come.
    if (wholeRequests > 0) turn = 0;
  }
  const outcome = read(Buffer.concat(sent));
  socket.destroy();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(server.openStreams.size, 0, "a connection that is gone leaves no calls");
  assert.deepEqual(unexpected.splice(0), [], "no input is a bug of the server");
  return outcome;
}

/** Reads what the server sent, and checks that it is HTTP/2. */
function read(bytes: Buffer): Outcome {
  const decoder = new HpackDecoder({ tableBytes: 4096, listBytesMax: 1 << 20 });
  const streams = new Map<number, string>();
  const ended = new Set<number>();
  let goawayCode: number | undefined;
  let at = 0;
  while (at < bytes.length) {
    assert.ok(bytes.length - at >= frameHeadBytes, "a frame's head is whole");
    const length = bytes.readUIntBE(at, 3);
    const [type, flags] = [bytes[at + 3] as number, bytes[at + 4] as number];
    const id = uint32At(bytes, at + 5);
    const payload = bytes.subarray(at + frameHeadBytes, at + frameHeadBytes + length);
    assert.ok(length <= frameBytesMax && payload.length === length, `a frame of ${length} bytes is whole`);
    at += frameHeadBytes + length;
    if (type === FrameType.goaway) goawayCode ??= uint32At(payload, 4);
    const say = (text: string): Map<number, string> => streams.set(id, (streams.get(id) ?? "") + text);
    if (type === FrameType.headers || type === FrameType.data) {
      assert.ok(!ended.has(id), `nothing follows the end of stream ${id}`);
      if (type === FrameType.data) say(payload.toString("hex"));
      else say(` {${decoder.decode(payload, 0, length).fields.join(" ")}} `);
      if ((flags & Flag.endStream) !== 0) ended.add(id);
    } else if (type === FrameType.rstStream && !ended.has(id)) say(` reset ${uint32At(payload, 0)}`);
  }
  return { goawayCode, streams };
}

/**
 * The same bytes mean the same, whatever pieces they come in. Calls that a connection error cut off may differ. So may
 * what is said of a closed stream: an answer that did not wait for the rest of its request ignores that rest.
 */
export function assertSame(whole: Outcome, split: Outcome): void {
  if ([whole.goawayCode, split.goawayCode].includes(ErrorCode.streamClosed)) return;
  assert.equal(split.goawayCode, whole.goawayCode, "the connection ends alike");
  if (whole.goawayCode !== undefined && whole.goawayCode !== ErrorCode.noError) return;
  for (const id of new Set([...whole.streams.keys(), ...split.streams.keys()])) {
    const answers = [whole.streams.get(id), split.streams.get(id)];
    // A request whose body is not as long as announced may be refused for another reason before that is seen.
    if (answers.includes(malformed)) continue;
    assert.equal(answers[1], answers[0], `stream ${id} is answered alike`);
  }
}

const malformed = ` reset ${ErrorCode.protocolError}`;
