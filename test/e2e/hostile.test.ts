// Hostile clients of a real member: names that JavaScript knows, protobuf bombs, messages of Raft from nobody, storms of
// connections, watches and leases. After each the member serves somebody honest, and at the end it is still the same
// process.
//
// What the parts do alone is tested beside them: node/grpc/hostile*.test.ts (frames, messages), node/hostile-http.test.ts
// (HTTP routes), node/peer/hostile.test.ts (peer port), node/hostile-peer.test.ts (Raft), node/tls/hostile.test.ts (TLS),
// test/conformance (edges of values).
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Flag, FrameType } from "../../node/grpc/http2/protocol.ts";
import { frameBytes, isEndOf, message, RawClient, uint32 } from "../../node/grpc/testing/raw-client.ts";
import { must } from "../../node/lib/assert.ts";
import { hexId, nodeId } from "../../node/lib/ids.ts";
import { ask as askPeer, headersOf } from "../../node/peer/testing/members.ts";
import { message as raftMessage } from "../../node/peer/testing/messages.ts";
import { codecs } from "../../node/wire/codecs.ts";
import type { Entry as RaftEntry, Message as RaftMessage } from "../../node/wire/raft.ts";
import { raftCodecs } from "../../node/wire/raft-codec.ts";
import { TestClient } from "../conformance/client.ts";
import type { Message } from "../conformance/messages.ts";
import { freePorts, type Member, start } from "../tools/member.ts";
import { membersOf } from "./support/clusters.ts";
import { eventually, keyValue, put, succeed } from "./support/kv.ts";
import { inMebibytes, type Memory, mebibyte, memoryOf } from "./support/memory.ts";

const prototypeNames = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "valueOf"];
const idleConnections = 10_000;
/** What one of them may cost: several times what it does. */
const silentBytesMax = 16 * 1024;
const greetedBytesMax = 32 * 1024;
const slowConnections = 500;
/** Twice as many as one stream may have. */
const watches = 200_000;
const leases = 100_000;
/** What a storm may leave in memory: room that V8 and the allocator keep. */
const leftBytesMax = 128 * mebibyte;
const liveness = { timeout: 300_000 };
/** Node itself would let slow heads go after 60 to 90 s. */
const deadlines = { timeout: 45_000 };
const kv = "/etcdserverpb.KV";

let member: Member;
let client: TestClient;
let hasEnded = false;
let descriptorsBefore = 0;

before(async () => {
  const ports = await freePorts();
  const flags = ["--name", "__proto__", "--initial-cluster", `__proto__=http://127.0.0.1:${ports.peer}`];
  member = await start({ kind: "etcdlike", ports, flags });
  void member.exited.then(() => {
    hasEnded = true;
  });
  client = new TestClient(member.endpoint);
  await put(client, "honest", "0");
  descriptorsBefore = await descriptorsOf(member.pid);
});

afterEach(async () => {
  assert.equal(hasEnded, false, "the member is alive");
  await put(client, "honest", "1");
  assert.equal(await keyValue(client, "honest"), "1");
  assert.equal((await fetch(`${member.clientUrl}/health`)).status, 200);
  assert.equal((await fetch(`${member.peerUrl}/version`)).status, 200);
});

after(async () => {
  client.close();
  await member.stop();
});

test("names that every object of JavaScript knows: the member's, keys, values, leases, watches", async () => {
  assert.deepEqual(
    (await membersOf(client)).map(({ name }) => name),
    ["__proto__"],
  );
  const stream = client.watch();
  stream.send({ create_request: { key: "_", range_end: "\x7f" } });
  for (const name of prototypeNames) {
    assert.equal(await keyValue(client, name), undefined);
    await put(client, name, name);
    assert.equal(await keyValue(client, name), name);
  }
  const count = (received: readonly Message[]): number =>
    received.flatMap(({ events }) => (events ?? []) as Message[]).length;
  assert.ok(await stream.until((received) => count(received) >= prototypeNames.length, 30_000));
  for (const name of prototypeNames) {
    const compare = [{ key: name, target: "VALUE", result: "EQUAL", value: name }];
    const success = [{ request_delete_range: { key: name } }];
    assert.equal((await succeed(client, "Txn", { compare, success }))["succeeded"], true);
    assert.equal(await keyValue(client, name), undefined);
  }
  stream.cancel();
});

/** What comes of a request whose bytes are these. */
async function ask(path: string, body: Uint8Array): Promise<{ code: string; text: string }> {
  const raw = await RawClient.open(member.ports.client);
  raw.headers(1, path);
  const framed = message(body);
  for (let at = 0; at < framed.length; at += 16_384) {
    const sent = at + 16_384;
    await raw.until(() => raw.isClosed || sent <= 65_535 + granted(raw, 0));
    raw.data(1, framed.subarray(at, sent), sent >= framed.length);
  }
  const { fields } = await raw.answer(1);
  raw.close();
  return { code: fields["grpc-status"] ?? "none", text: fields["grpc-message"] ?? "" };
}

function granted({ frames }: RawClient, streamId: number): number {
  let bytes = 0;
  for (const { type, streamId: id, payload } of frames) {
    if (type === 8 && id === streamId) bytes += payload.readUInt32BE();
  }
  return bytes;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) return Buffer.from([...bytes, left]);
    bytes.push((left % 128) | 0x80);
  }
}

/** A field that holds these bytes. */
function field(number: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

/** A transaction in a transaction, and so on. */
function nested(levels: number): Buffer {
  let bytes: Buffer = Buffer.alloc(0);
  for (let level = 0; level < levels; level++) bytes = field(2, field(4, bytes));
  return bytes;
}

test("protobuf that is made to be costly is refused, or read as etcd reads it", async () => {
  const millions = Buffer.alloc(1_500_000, Buffer.from("1200", "hex"));
  const [exhausted, internal, invalid] = ["8", "13", "3"];
  const table: readonly (readonly [string, string, Uint8Array, string, RegExp])[] = [
    ["750,000 empty operations", "Txn", millions, invalid, /too many operations in txn request/],
    [
      "750,000 empty compares",
      "Txn",
      Buffer.alloc(1_500_000, Buffer.from("0a00", "hex")),
      invalid,
      /too many/,
    ],
    ["10,000 transactions in each other", "Txn", nested(10_000), internal, /nested|levels|unmarshal/],
    ["a varint of eleven bytes", "Range", Buffer.from("18ffffffffffffffffffff01", "hex"), internal, /./],
    ["a length beyond the end", "Range", Buffer.from("0affffffff0f61", "hex"), internal, /./],
    ["a length of 2^63", "Range", Buffer.from("0affffffffffffffff7f", "hex"), internal, /./],
    ["a field that is a number where bytes belong", "Range", Buffer.from("0801", "hex"), internal, /./],
    ["field number 0", "Range", Buffer.from("0201", "hex"), internal, /./],
    ["a group without an end", "Range", Buffer.alloc(1_000, 0x0b), internal, /./],
    ["groups in groups", "Range", Buffer.alloc(1_500_000, 0x7b), internal, /./],
    ["more than a message may be", "Put", field(2, Buffer.alloc(3 * mebibyte)), exhausted, /larger than max/],
  ];
  for (const [what, name, body, code, text] of table) {
    const answer = await ask(`${kv}/${name}`, body);
    assert.equal(answer.code, code, `${what}: ${answer.text}`);
    assert.match(answer.text, text, what);
  }
  const put = Buffer.concat([field(1, Buffer.from("k")), field(2, Buffer.from("v"))]);
  const unknown = Buffer.concat([put, field(999, Buffer.alloc(1000)), Buffer.from("f83e01", "hex"), put]);
  assert.equal((await ask(`${kv}/Put`, unknown)).code, "0", "fields that nobody knows are skipped");
  const twice = field(
    2,
    Buffer.concat([field(2, field(1, Buffer.from("k"))), field(1, field(1, Buffer.from("k")))]),
  );
  assert.equal((await ask(`${kv}/Txn`, twice)).code, "0", "of two operations in one the last counts");
});

function plain(port: number, opening: string | Uint8Array): Socket {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.resume();
  socket.write(opening);
  return socket;
}

/** What each connection that the member holds costs it. */
async function assertIdleBytes(bytesMax: number, before: Memory): Promise<void> {
  const sockets = (await descriptorsOf(member.pid)) - descriptorsBefore;
  const bytes = ((await memoryOf(member.pid)).anonymous - before.anonymous) / sockets;
  assert.ok(sockets > idleConnections / 10, `${sockets} connections are held`);
  assert.ok(bytes < bytesMax, `${sockets} connections take ${bytes} bytes each`);
}

async function assertLittleLeft(before: Memory): Promise<void> {
  const left = (await memoryOf(member.pid)).anonymous - before.anonymous;
  assert.ok(left < leftBytesMax, `${inMebibytes(left)} are left`);
}

async function allClosed(sockets: readonly Socket[]): Promise<void> {
  await Promise.all(
    sockets.map((socket) => socket.closed || new Promise((resolve) => socket.once("close", resolve))),
  );
}

async function descriptorsOf(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
}

test("ten thousand connections that say nothing cost little, and are let go", liveness, async () => {
  const before = await memoryOf(member.pid);
  const sockets: Socket[] = [];
  for (let i = 0; i < idleConnections; i++) {
    sockets.push(plain(i % 10 === 0 ? member.ports.peer : member.ports.client, ""));
    if (i % 100 === 99) await put(client, `idle ${i}`, "1");
  }
  await assertIdleBytes(silentBytesMax, before);
  await allClosed(sockets);
  await assertLittleLeft(before);
});

test("connections that say a byte at a time are let go", deadlines, async () => {
  const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  const settings = frameBytes(4, 0, 0, new Uint8Array());
  const block = Buffer.from([...settings, ...frameBytes(1, 0, 1, Buffer.of(0x82)), 0, 0, 5, 9]);
  const { client: clientPort, peer } = member.ports;
  const slow: readonly (readonly [port: number, opening: Uint8Array, rest: Uint8Array])[] = [
    [clientPort, Buffer.alloc(0), Buffer.from(preface)],
    [clientPort, Buffer.concat([Buffer.from(preface), block]), Buffer.from([0, 0, 0, 0, 1])],
    [clientPort, Buffer.from("GET /version HTTP/1.1\r\n"), Buffer.from("X-Slow: 1234567890")],
    [
      clientPort,
      Buffer.from("POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n"),
      Buffer.from("x"),
    ],
    [peer, Buffer.from("POST /raft HTTP/1.1\r\n"), Buffer.from("X-Slow: 1234567890")],
  ];
  const before = await memoryOf(member.pid);
  const sockets: Socket[] = [];
  const drips: NodeJS.Timeout[] = [];
  for (let i = 0; i < slowConnections; i++) {
    const [port, opening, rest] = slow[i % slow.length] as (typeof slow)[number];
    const socket = plain(port, opening);
    sockets.push(socket);
    let at = 0;
    drips.push(
      setInterval(() => !socket.destroyed && socket.write(Buffer.of(rest[at++ % rest.length] ?? 0)), 1000),
    );
  }
  await allClosed(sockets);
  for (const drip of drips) clearInterval(drip);
  await assertLittleLeft(before);
});

test("ten thousand clients that say hello and nothing more are held, and cost little", liveness, async () => {
  const before = await memoryOf(member.pid);
  const hello = Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    frameBytes(FrameType.settings, 0, 0, new Uint8Array()),
  ]);
  const sockets: Socket[] = [];
  for (let i = 0; i < idleConnections; i += 100) {
    const wave = Array.from({ length: 100 }, () => plain(member.ports.client, hello));
    await Promise.all(wave.map((socket) => once(socket, "data")));
    sockets.push(...wave);
    await put(client, `greeted ${i}`, "1");
  }
  await assertIdleBytes(greetedBytesMax, before);
  // Longer than a silent connection is held.
  await delay(12_000);
  assert.ok(sockets.every(({ closed }) => !closed));
  assert.equal((await fetch(`${member.clientUrl}/health`)).status, 200);
  for (const socket of sockets) socket.destroy();
  await eventually(
    "they are gone",
    async () => (await descriptorsOf(member.pid)) < descriptorsBefore + 100,
    60_000,
  );
  await assertLittleLeft(before);
});

test("clients that are gone without a word are let go, and one that answers is not", liveness, async (t) => {
  const flags = ["--grpc-keepalive-interval", "1s", "--grpc-keepalive-timeout", "1s"];
  const strict = await start({ kind: "etcdlike", flags });
  t.after(() => strict.stop());
  const honest = new TestClient(strict.endpoint);
  t.after(() => honest.close());
  const stream = honest.watch();
  stream.send({ create_request: { key: "k" } });
  // They never answer a ping.
  const gone = await Promise.all(Array.from({ length: 100 }, () => RawClient.open(strict.ports.client)));
  for (const raw of gone) {
    raw.headers(1, "/etcdserverpb.Watch/Watch");
    raw.data(1, message(field(1, field(1, Buffer.from("k")))), false);
  }
  await Promise.all(gone.map((raw) => raw.until(() => raw.isClosed)));
  await put(honest, "k", "1");
  const hasEvent = (received: readonly Message[]): boolean =>
    received.some(({ events }) => ((events ?? []) as Message[]).length > 0);
  assert.ok(await stream.until(hasEvent, 30_000));
  stream.cancel();
});

/** What the peer port answers to a message that says to be from a member with the id 2. */
async function post(sent: RaftMessage): Promise<string> {
  const { cluster_id, member_id } = (await succeed(client, "Range", { key: "honest" }))["header"] as Message;
  const to = nodeId(BigInt(member_id as bigint));
  const { status, text } = await askPeer({ port: member.ports.peer }, "/raft", {
    method: "POST",
    headers: headersOf(2, { "X-Etcd-Cluster-ID": hexId(BigInt(cluster_id as bigint)) }),
    body: raftCodecs.Message.encode({ ...sent, from: nodeId(2), to }),
  });
  return `${status} ${text.trim()}`;
}

async function raftTerm(): Promise<unknown> {
  return ((await succeed(client, "Range", { key: "honest" }))["header"] as Message)["raft_term"];
}

test("a proposal that no member could apply, or from nobody proven to change the membership, is not taken", async () => {
  const propose = (...entries: readonly RaftEntry[]): Promise<string> =>
    post(raftMessage("MsgProp", { entries }));
  const normal = { type: "EntryNormal", term: 0, index: 0 } as const;
  const change = { ...normal, type: "EntryConfChange" } as const;
  for (const entry of [
    { ...normal, data: Buffer.from("no request") },
    { ...normal, data: Buffer.from("fa3e00", "hex") },
    { ...normal, data: Buffer.alloc(0) },
    { ...change, data: Buffer.from("1001180522027b7d", "hex") },
    { ...change, type: "EntryConfChangeV2", data: Buffer.alloc(0) } as const,
  ]) {
    assert.equal(await propose(entry), "204 ");
  }
  await eventually("the log tells of them", async () => {
    const text = await readFile(member.logFile, "utf8");
    return (text.match(/refused a proposal/g) ?? []).length === 5;
  });
  const put = codecs.PutRequest.create({ key: Buffer.from("proposed"), value: Buffer.from("1") });
  const header = { ID: 1n, username: "", authRevision: 0 };
  const sound = codecs.InternalRaftRequest.encode(codecs.InternalRaftRequest.create({ header, put }));
  assert.equal(await propose({ ...normal, data: sound }), "204 ");
  await eventually("a sound one is applied", async () => (await keyValue(client, "proposed")) === "1");
});

test("Raft messages that would end the member, or that it could not read again, are refused by their values", async () => {
  const term = await raftTerm();
  const beyond = { term: 1000, commit: 1_000_000 };
  assert.equal(await post(raftMessage("MsgHeartbeat", beyond)), "204 ");
  await eventually("the log tells of it", async () => {
    const lines = (await readFile(member.logFile, "utf8")).split("\n");
    return lines.some(
      (line) => /refused a Raft message.*beyond the log/.test(line) && /"commit":1000000\b/.test(line),
    );
  });
  for (const type of ["MsgHeartbeat", "MsgApp", "MsgVote", "MsgPreVote"] as const) {
    const answer = await post(raftMessage(type, { term: 2 ** 53 - 2 }));
    assert.equal(answer, `400 raft message with a term or index above ${2 ** 52}`);
    assert.equal(await post(raftMessage(type, { term: 0 })), "400 malformed raft message");
  }
  assert.equal(await raftTerm(), term);
});

test("a storm of watches on one stream is answered, and goes with its stream", liveness, async () => {
  const before = await memoryOf(member.pid);
  const raw = await RawClient.open(member.ports.client);
  raw.frame(8, 0, 0, uint32(0x7000_0000));
  raw.headers(1, "/etcdserverpb.Watch/Watch");
  const create = message(field(1, field(1, Buffer.from("storm"))));
  const perFrame = 500;
  const frame = Buffer.concat(Array.from({ length: perFrame }, () => create));
  const window = { connection: 65_535, stream: 256 * 1024 };
  let answers = "";
  /** Takes what came: answers, whose room is given back, and room for more requests. */
  const take = (): void => {
    for (const { type, payload, streamId } of raw.frames.splice(0)) {
      if (type === 8) window[streamId === 0 ? "connection" : "stream"] += payload.readUInt32BE();
      if (type !== 0) continue;
      answers = payload.toString("latin1");
      raw.frame(8, 0, 1, uint32(payload.length));
    }
  };
  for (let count = 0; count < watches && !raw.isClosed; count += perFrame) {
    await raw.until(() => {
      take();
      return raw.isClosed || Math.min(window.connection, window.stream) >= frame.length;
    });
    raw.data(1, frame, false);
    window.connection -= frame.length;
    window.stream -= frame.length;
  }
  await raw.until(() => {
    take();
    return raw.isClosed || answers.includes("too many watches on one stream");
  });
  assert.equal(raw.isClosed, false);
  await put(client, "storm", "1");
  raw.close();
  await put(client, "storm", "2");
  const left = (await memoryOf(member.pid)).anonymous - before.anonymous;
  assert.ok(left < 4 * leftBytesMax, `${inMebibytes(left)} are left`);
});

test("a hundred thousand leases are granted, listed and looked up", liveness, async () => {
  const raw = await RawClient.open(member.ports.client);
  raw.frame(8, 0, 0, uint32(0x7000_0000));
  const perWave = 500;
  const grant = message(Buffer.from("08a09902", "hex"));
  for (let granted = 0; granted < leases; granted += perWave) {
    raw.frames.length = 0;
    const parts: Buffer[] = [];
    for (let id = 2 * granted + 1; id < 2 * (granted + perWave); id += 2) {
      parts.push(frameBytes(1, Flag.endHeaders, id, raw.block("/etcdserverpb.Lease/LeaseGrant")));
      parts.push(frameBytes(0, Flag.endStream, id, grant));
    }
    raw.write(Buffer.concat(parts));
    const ended = (): number => raw.frames.filter((frame) => isEndOf(frame, frame.streamId)).length;
    await raw.until(() => raw.isClosed || ended() === perWave);
    assert.equal(raw.isClosed, false);
  }
  raw.close();
  const listed = (await succeed(client, "LeaseLeases", {}))["leases"] as readonly Message[];
  assert.ok(listed.length >= leases);
  const { ID } = must(listed[leases / 2], "there are as many");
  assert.ok(Number((await succeed(client, "LeaseTimeToLive", { ID: ID as bigint }))["TTL"]) > 0);
});
