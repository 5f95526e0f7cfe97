// Inputs: conversations made of frames that mean something, and what mutation makes of them.
import { HpackEncoder } from "../../../node/grpc/http2/hpack-encoder.ts";
import { Flag, FrameType } from "../../../node/grpc/http2/protocol.ts";
import { frameBytes, message, setting, uint32 } from "../../../node/grpc/testing/raw-client.ts";
import type { Random } from "../../../node/lib/random.ts";
import { services } from "../../../node/wire/services.ts";

/** Longer inputs are cut: they find little that shorter ones do not. */
export const inputBytesMax = 2 * 1024;

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const paths = [
  services.kv.range.path,
  services.kv.put.path,
  services.maintenance.snapshot.path,
  services.lease.leaseKeepAlive.path,
  services.watch.watch.path,
  "/version",
  "/health?exclude=x",
  "http://[",
  "/\\[#",
  "/etcdserverpb.KV/Nothing",
];
const odd: readonly (readonly [string, string])[] = [
  ["grpc-encoding", "gzip"],
  ["grpc-encoding", "deflate"],
  ["grpc-timeout", "1S"],
  ["grpc-timeout", "x"],
  ["content-length", "7"],
  ["te", "gzip"],
  ["x-bin", "AAAA"],
  ["connection", "close"],
  ["Upper", "case"],
  [":path", "/twice"],
  [":method", "GET"],
  ["content-type", "application/json"],
  ["__proto__", "x"],
  ["constructor", "x"],
];
const edges = [0, 1, 2, 4, 8, 0x7f, 0x80, 0xff, 0x3fff, 0x4000, 0x7fff_ffff, 0xffff_ffff];

/** A conversation that begins properly. */
export function generate(random: Random): Buffer {
  const parts = [preface, frameBytes(FrameType.settings, 0, 0, Buffer.alloc(0))];
  const count = 1 + random.below(8);
  let nextId = 1;
  for (let i = 0; i < count; i++) {
    const kind = random.below(12);
    if (kind < 6) {
      parts.push(...call(random, nextId));
      nextId += 2;
    } else parts.push(control(random, Math.max(nextId - 2 * random.below(3), 1), kind));
  }
  return Buffer.concat(parts).subarray(0, inputBytesMax);
}

function call(random: Random, id: number): Buffer[] {
  const path = pick(random, paths);
  const fields = [":method", "POST", ":scheme", "http", ":path", path, "content-type", "application/grpc"];
  if (random.below(3) === 0) fields.push(...pick(random, odd));
  const block = Buffer.from(new HpackEncoder().plain(fields));
  const request = Buffer.from([0x0a, 0x01, 0x6b, 0x18, random.below(100)]);
  const body = message(request.subarray(0, random.below(6)), {
    isCompressed: random.below(8) === 0,
    ...(random.below(8) === 0 ? { length: pick(random, edges) } : {}),
  });
  const cut = random.below(block.length);
  const heads =
    random.below(4) === 0
      ? [
          frameBytes(FrameType.headers, 0, id, block.subarray(0, cut)),
          frameBytes(FrameType.continuation, Flag.endHeaders, id, block.subarray(cut)),
        ]
      : [frameBytes(FrameType.headers, Flag.endHeaders, id, block)];
  const split = random.below(body.length + 1);
  const bodies =
    random.below(3) === 0
      ? [
          frameBytes(FrameType.data, 0, id, body.subarray(0, split)),
          frameBytes(FrameType.data, Flag.endStream, id, body.subarray(split)),
        ]
      : [frameBytes(FrameType.data, random.below(5) === 0 ? 0 : Flag.endStream, id, body)];
  return [...heads, ...bodies];
}

function control(random: Random, id: number, kind: number): Buffer {
  switch (kind) {
    case 6:
      return frameBytes(
        FrameType.settings,
        random.below(2),
        0,
        setting(1 + random.below(7), pick(random, edges)),
      );
    case 7:
      return frameBytes(FrameType.windowUpdate, 0, random.below(2) * id, uint32(pick(random, edges)));
    case 8:
      return frameBytes(FrameType.rstStream, 0, id, uint32(random.below(14)));
    case 9:
      return frameBytes(FrameType.ping, random.below(2), 0, Buffer.alloc(8));
    case 10:
      return frameBytes(FrameType.data, Flag.padded, id, Buffer.from([random.below(4), 1, 2, 3]));
    default:
      return frameBytes(
        random.below(12),
        random.below(256),
        random.below(2) * id,
        Buffer.alloc(random.below(12)),
      );
  }
}

/** A few changes; the preface stays, or nothing behind it would be read. */
export function mutate(random: Random, input: Uint8Array, other: Uint8Array): Buffer {
  let bytes = Buffer.from(input);
  const rounds = 1 + random.below(4);
  for (let i = 0; i < rounds; i++) {
    const at = preface.length + random.below(Math.max(bytes.length - preface.length, 1));
    switch (random.below(7)) {
      case 0:
        if (at < bytes.length) bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
        break;
      case 1:
        if (at < bytes.length) bytes[at] = random.below(256);
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(16))]);
        break;
      case 3: {
        const length = random.below(64);
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at)]);
        break;
      }
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(other).subarray(preface.length)]);
        break;
      case 5:
        bytes = Buffer.concat([bytes.subarray(0, at), uint32(pick(random, edges)), bytes.subarray(at + 4)]);
        break;
      default:
        bytes = Buffer.concat([bytes, ...call(random, 1 + 2 * random.below(8))]);
    }
  }
  return bytes.subarray(0, inputBytesMax);
}

/** The bytes in pieces of random size. */
export function split(random: Random, bytes: Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  const sizeMax = pick(random, [1, 3, 10, 100, 1000]);
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + random.below(sizeMax);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

function pick<T>(random: Random, list: readonly T[]): T {
  return list[random.below(list.length)] as T;
}
