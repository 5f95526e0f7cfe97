// A gRPC server on loopback for hostile clients, with handlers that tell what clients made of them.

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { Readable } from "node:stream";
import { noLease } from "../../lib/ids.ts";
import { services } from "../../wire/services.ts";
import { FrameType } from "../http2/protocol.ts";
import { bidi, serverStream, unary } from "../routes.ts";
import type { GrpcServer } from "../server.ts";
import { isEndOf, message, RawClient } from "./raw-client.ts";
import { startGrpcServer } from "./server.ts";

export const empty = Buffer.alloc(0);
const { range, put } = services.kv;
/** A range that is answered at once. */
export const one = message(range.request.encode(range.request.create({ key: Buffer.from("k") })));

/** What the handlers saw. */
export const toy = { running: 0, cancelled: 0, chunksMade: 0, unexpected: [] as unknown[] };
let listener: Server;
let server: GrpcServer;
let port: number;

/** Starts the server, which its users share. */
export async function startServer(): Promise<void> {
  server = startGrpcServer({
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
    http: async ({ method, path, body }) => ({
      status: 200,
      fields: ["x-path", path],
      body: Readable.from([Buffer.from(`${method} ${Buffer.concat(await body.toArray()).length}`)]),
    }),
    onUnexpected: (error) => toy.unexpected.push(error),
    maxConcurrentStreams: 3000,
  });
  listener = createServer((socket) => server.serve(socket)).listen(0, "127.0.0.1");
  await once(listener, "listening");
  port = (listener.address() as AddressInfo).port;
}

/** None of what was done may have been a bug. */
export async function stopServer(): Promise<void> {
  listener.close();
  await server.stop(100);
  const bugs = toy.unexpected.filter((error) => (error as Error).message !== "nobody waits for this");
  assert.deepEqual(bugs, []);
}

/** Lets a client do what it does, and then looks whether the server still serves somebody honest. */
export async function hostile(act: (client: RawClient) => Promise<void>, options = {}): Promise<void> {
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

/** Streams that the server holds. */
export function openStreams(): number {
  return server.openStreams.size;
}

/** The connection ended with this code, and the socket with it. */
export async function endsWith(client: RawClient, code: number): Promise<string> {
  const goodbye = await client.goaway();
  assert.equal(goodbye?.code, code, goodbye?.text);
  return goodbye?.text ?? "";
}

/** Bytes of bodies that a client got: of a stream, or of all. */
export function bodyBytes(client: RawClient, streamId?: number): number {
  let bytes = 0;
  for (const frame of client.frames) {
    if (frame.type === FrameType.data && (streamId ?? frame.streamId) === frame.streamId)
      bytes += frame.payload.length;
  }
  return bytes;
}

/** Sends a body as fast as the stream's window allows, to its end or until the server has ended the stream. */
export async function sendBody(client: RawClient, streamId: number, body: Buffer): Promise<void> {
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
export function windowOf(client: RawClient, streamId: number): number {
  let bytes = streamId === 0 ? 65_535 : 256 * 1024;
  for (const frame of client.frames) {
    if (frame.type === FrameType.windowUpdate && frame.streamId === streamId)
      bytes += frame.payload.readUInt32BE();
  }
  return bytes;
}
