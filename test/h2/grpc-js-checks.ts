// What a client of grpc-js relies on.
import assert from "node:assert/strict";
import { Client, type ClientDuplexStream, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { leaseId } from "../../node/lib/ids.ts";
import { services } from "../../node/wire/services.ts";

type Check = (endpoint: string) => Promise<void>;

const pass = (bytes: Buffer): Buffer => bytes;
const bytes = (text: string): Uint8Array => Buffer.from(text);
const { range, put } = services.kv;
const { watch } = services.watch;
const { leaseKeepAlive, leaseGrant } = services.lease;

async function withClient(
  endpoint: string,
  use: (client: Client) => Promise<void>,
  options = {},
): Promise<void> {
  const client = new Client(endpoint, credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.use_local_subchannel_pool": 1,
    ...options,
  });
  try {
    await use(client);
  } finally {
    client.close();
  }
}

function call(client: Client, path: string, message: Uint8Array, deadlineMs = 30_000): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + deadlineMs };
    client.makeUnaryRequest(
      path,
      pass,
      pass,
      Buffer.from(message),
      new Metadata(),
      options,
      (error, response) => (error === null ? resolve(response as Buffer) : reject(error)),
    );
  });
}

function putOne(client: Client, key: string, value: Uint8Array): Promise<Buffer> {
  return call(client, put.path, put.request.encode(put.request.create({ key: bytes(key), value })));
}

async function count(client: Client, prefix: string): Promise<number> {
  const request = range.request.create({ key: bytes(prefix), rangeEnd: bytes(`${prefix}~`) });
  return range.response.decode(await call(client, range.path, range.request.encode(request))).count;
}

function openWatch(client: Client, prefix: string): ClientDuplexStream<Buffer, Buffer> {
  const stream = client.makeBidiStreamRequest(watch.path, pass, pass);
  const create = watch.request.create({
    requestUnion: {
      case: "createRequest",
      value: {
        ...{ key: bytes(prefix), rangeEnd: bytes(`${prefix}~`), startRevision: 0, progressNotify: false },
        ...{ filters: [], prevKv: false, watchId: 0n, fragment: false },
      },
    },
  });
  stream.write(Buffer.from(watch.request.encode(create)));
  return stream;
}

export const grpcJsChecks: Readonly<Record<string, Check>> = {
  "a thousand calls at once": (endpoint) =>
    withClient(endpoint, async (client) => {
      await Promise.all(Array.from({ length: 1000 }, (_, i) => putOne(client, `js/many/${i}`, bytes("x"))));
      assert.equal(await count(client, "js/many/"), 1000);
    }),
  "compressed calls": (endpoint) =>
    withClient(
      endpoint,
      async (client) => {
        await putOne(client, "js/gzip", Buffer.alloc(100_000, "g"));
        assert.equal(await count(client, "js/gzip"), 1);
      },
      { "grpc.default_compression_algorithm": 2 },
    ),
  "a large answer": (endpoint) =>
    withClient(endpoint, async (client) => {
      const value = Buffer.alloc(1024 * 1024, "v");
      for (let i = 0; i < 20; i++) await putOne(client, `js/large/${i}`, value);
      assert.equal(await count(client, "js/large/"), 20);
    }),
  "an error": (endpoint) =>
    withClient(endpoint, async (client) => {
      await assert.rejects(putOne(client, "", bytes("x")), {
        code: 3,
        details: "etcdserver: key is not provided",
      });
    }),
  "a watch that sees every event": (endpoint) =>
    withClient(endpoint, async (client) => {
      const stream = openWatch(client, "js/w/");
      let seen = 0;
      const done = new Promise<void>((resolve, reject) => {
        stream.on("error", (error: ServiceError) => (error.code === 1 ? resolve() : reject(error)));
        stream.on("data", (message: Buffer) => {
          seen += watch.response.decode(message).events.length;
          if (seen === 500) stream.cancel();
        });
      });
      for (let i = 0; i < 500; i++) await putOne(client, `js/w/${i}`, bytes("x"));
      await done;
    }),
  "keepalives until the client is done": (endpoint) =>
    withClient(endpoint, async (client) => {
      const ID = leaseId(8_011n);
      await call(client, leaseGrant.path, leaseGrant.request.encode({ ID, TTL: 60 }));
      const stream = client.makeBidiStreamRequest(leaseKeepAlive.path, pass, pass);
      for (let i = 0; i < 100; i++) stream.write(Buffer.from(leaseKeepAlive.request.encode({ ID })));
      stream.end();
      let answers = 0;
      for await (const _ of stream) answers += 1;
      assert.equal(answers, 100);
    }),
  "pings of a client with calls": (endpoint) =>
    withClient(
      endpoint,
      async (client) => {
        const stream = openWatch(client, "js/ping/");
        const failed = new Promise<never>((_resolve, reject) => stream.once("error", reject));
        await Promise.race([failed, new Promise((resolve) => setTimeout(resolve, 6500))]);
        stream.on("error", () => {});
        stream.cancel();
        await putOne(client, "js/ping/a", bytes("x"));
      },
      { "grpc.keepalive_time_ms": 5500, "grpc.keepalive_timeout_ms": 5000 },
    ),
};

/** A watch that goes on until the server ends it. */
export function watchUntilEnd(endpoint: string): {
  readonly isWatching: Promise<void>;
  readonly failure: Promise<string>;
} {
  const client = new Client(endpoint, credentials.createInsecure());
  const stream = openWatch(client, "js/end/");
  const failure = new Promise<string>((resolve) => {
    stream.on("error", (error: Error) => {
      client.close();
      resolve(error.message);
    });
  });
  return { isWatching: new Promise((resolve) => stream.once("data", () => resolve())), failure };
}
