// When what a large answer holds is free again: not before its last byte has left or nobody wants it any more, and then.

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { after, before, test } from "node:test";
import { codecs } from "../wire/codecs.ts";
import { services } from "../wire/services.ts";
import { SharedRange } from "../wire/shared-range.ts";
import { FrameType } from "./http2/protocol.ts";
import { direct } from "./routes.ts";
import type { GrpcServer } from "./server.ts";
import { message, RawClient, uint32 } from "./testing/raw-client.ts";
import { startGrpcServer } from "./testing/server.ts";

const { range } = services.kv;
const request = message(range.request.encode(range.request.create({ key: Buffer.from("k") })));
const kv = codecs.KeyValue.encode(
  codecs.KeyValue.create({ key: new Uint8Array(1), value: new Uint8Array(8_000) }),
);
const answerBytesMin = 300 * kv.length;

let listener: Server;
let server: GrpcServer;
let asked = 0;
let released = 0;

before(async () => {
  server = startGrpcServer({
    routes: [
      direct(range, (_request, call, answer) => {
        asked += 1;
        const kvs = Array.from({ length: 300 }, () => kv);
        const header = codecs.ResponseHeader.create();
        const succeed = (): void =>
          answer.succeed({ header, shared: new SharedRange(kvs, false, 300) }, () => {
            released += 1;
          });
        if (call.metadata.get("late") === undefined) succeed();
        else call.onCancel(() => setImmediate(succeed));
      }),
    ],
    onUnexpected: (error) => assert.fail(String(error)),
  });
  listener = createServer((socket) => server.serve(socket)).listen(0, "127.0.0.1");
  await once(listener, "listening");
});

after(async () => {
  listener.close();
  await server.stop(100);
});

/** Asks, and waits until the answer fills the window that a client has at first. */
async function ask(fields: Readonly<Record<string, string>> = {}): Promise<RawClient> {
  const client = await RawClient.open((listener.address() as AddressInfo).port);
  [asked, released] = [0, 0];
  client.headers(1, range.path, { fields });
  client.data(1, request);
  await client.settle();
  assert.equal(asked, 1);
  assert.equal(released, 0, "it is held while it waits");
  return client;
}

/** What follows from the last frame has happened when another connection is answered. */
async function happened(): Promise<void> {
  for (let round = 0; round < 50 && released === 0; round++) {
    const other = await RawClient.open((listener.address() as AddressInfo).port);
    await other.settle();
    other.close();
  }
}

test("an answer that has left is released", async () => {
  const client = await ask();
  for (const stream of [0, 1]) client.frame(FrameType.windowUpdate, 0, stream, uint32(2 * answerBytesMin));
  const { fields, body } = await client.answer(1);
  assert.equal(fields["grpc-status"], "0");
  assert.ok(body.length > answerBytesMin);
  assert.equal(released, 1);
  client.close();
});

test("an answer whose client has reset the stream is released", async () => {
  const client = await ask();
  client.frame(FrameType.rstStream, 0, 1, uint32(8));
  await client.settle();
  assert.equal(released, 1);
  client.close();
});

test("an answer whose connection is gone is released", async () => {
  const client = await ask();
  client.close();
  await happened();
  assert.equal(released, 1);
});

test("an answer that comes when nobody waits any more is released at once", async () => {
  const client = await ask({ late: "yes" });
  client.frame(FrameType.rstStream, 0, 1, uint32(8));
  await client.settle();
  await happened();
  assert.equal(released, 1);
  client.close();
});
