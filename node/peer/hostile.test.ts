// Hostile senders on the peer port, on raw sockets (reliability: hostile input of the peer port). What single requests
// are refused with is in server.test.ts, damaged streams are in frames.test.ts and transport.test.ts.

import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { concatBytes, utf8 } from "../lib/bytes.ts";
import { nodeId } from "../lib/ids.ts";
import type { Message } from "../wire/raft.ts";
import { raftCodecs } from "../wire/raft-codec.ts";
import { messageFrame } from "./frames.ts";
import type { SnapshotPort } from "./port.ts";
import { ask, eventually, headersOf, startMember, startPair, type TestMember } from "./testing/members.ts";
import { message } from "./testing/messages.ts";

const one = nodeId(1);
const two = nodeId(2);
const heartbeat = message("MsgHeartbeat", { from: two, to: one, term: 1 });
const snapshot: Message = message("MsgSnap", {
  from: two,
  to: one,
  term: 3,
  snapshot: {
    data: utf8("{}"),
    metadata: {
      confState: { voters: [one, two], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false },
      index: 70,
      term: 3,
    },
  },
});
/** A body that is not cut off never ends. */
const liveness = { timeout: 60_000 };

/** Takes stores up to a bound, as a disk does. */
class SmallDisk implements SnapshotPort {
  finishedCount = 0;
  abortedCount = 0;
  beganCount = 0;

  open(): never {
    throw new Error("this member sends no snapshots");
  }

  async begin(): ReturnType<SnapshotPort["begin"]> {
    this.beganCount++;
    let room = 1024 * 1024;
    return {
      write: async (bytes) => {
        room -= bytes.length;
        if (room < 0) throw new Error("no space left");
      },
      finish: async () => void this.finishedCount++,
      abort: () => void this.abortedCount++,
    };
  }
}

function head(method: string, path: string, fields: Readonly<Record<string, string>>): string {
  const lines = Object.entries({ Host: "a", ...headersOf(2), ...fields }).map(([k, v]) => `${k}: ${v}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

function open({ port }: TestMember): { readonly socket: Socket; readonly closed: Promise<string> } {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
  });
  return { socket, closed: new Promise((resolve) => socket.once("close", () => resolve(text))) };
}

/** Sends without an end, until the other side closes; what it had answered. */
async function pour(member: TestMember, start: string | Uint8Array): Promise<string> {
  const { socket, closed } = open(member);
  const chunk = Buffer.concat([Buffer.from("4000\r\n"), Buffer.alloc(0x4000, 0x78), Buffer.from("\r\n")]);
  const more = (): void => {
    if (!socket.destroyed) socket.write(chunk, () => setImmediate(more));
  };
  socket.write(start, more);
  return closed;
}

test("a body without an end is cut off on every path, whether it is read or not", liveness, async (t) => {
  const disk = new SmallDisk();
  const member = await startMember(t, 1, { snapshots: disk, limits: { readTimeoutMs: 200 } });
  member.transport.addPeer(two, ["http://127.0.0.1:1"]);
  const paths = [
    ...["/raft", "/raft/snapshot", "/raft/probing", "/raft/stream/message/2", "/raft/stream/msgapp/9"],
    ...["/members", "/members/promote/1", "/members/hashkv", "/leases", "/leases/internal"],
    ...["/downgrade/enabled", "/version", "/nowhere", "/__proto__"],
  ];
  for (const path of paths) {
    for (const method of path.endsWith("/message/2") ? ["POST"] : ["GET", "POST"]) {
      const answer = await pour(member, head(method, path, { "Transfer-Encoding": "chunked" }));
      assert.match(answer, /^(HTTP\/1\.1 [245]\d\d |$)/, path);
    }
  }
  assert.deepEqual([member.received, disk.beganCount], [[], 0]);
});

test("a store without an end is cut off where the disk is full, and never installed", liveness, async (t) => {
  const disk = new SmallDisk();
  const member = await startMember(t, 1, { snapshots: disk });
  const frame = messageFrame(snapshot);
  const start = concatBytes([
    utf8(head("POST", "/raft/snapshot", { "Transfer-Encoding": "chunked" })),
    utf8(`${frame.length.toString(16)}\r\n`),
    frame,
    utf8("\r\n"),
  ]);
  assert.match(await pour(member, start), /^HTTP\/1\.1 500 [\s\S]*no space left|^$/);
  assert.deepEqual([disk.beganCount, disk.abortedCount, disk.finishedCount], [1, 1, 0]);
  assert.deepEqual(member.received, []);
});

test("a snapshot that breaks off at any byte of its beginning, or is larger than it says, is not installed", async (t) => {
  const disk = new SmallDisk();
  const member = await startMember(t, 1, { snapshots: disk });
  const body = concatBytes([messageFrame(snapshot), utf8("the store")]);
  for (let length = 0; length < body.length; length++) {
    const { socket, closed } = open(member);
    socket.write(head("POST", "/raft/snapshot", { "Content-Length": String(body.length) }));
    socket.end(body.subarray(0, length));
    await closed;
  }
  const { socket, closed } = open(member);
  socket.end(concatBytes([utf8(head("POST", "/raft/snapshot", { "Content-Length": "20" })), body]));
  assert.match(await closed, /^HTTP\/1\.1 400 /);
  assert.ok(disk.beganCount > 0);
  assert.deepEqual([disk.abortedCount, disk.finishedCount, member.received], [disk.beganCount, 0, []]);
});

test("terms and indexes that no cluster reaches are refused before Raft sees them", async (t) => {
  const disk = new SmallDisk();
  const member = await startMember(t, 1, { snapshots: disk });
  const extremes = [
    ["2^52 + 1", "8180808080808008"],
    ["2^53 - 2", "feffffffffffff0f"],
    ["2^53 - 1", "ffffffffffffff0f"],
    ["2^63", "80808080808080808001"],
    ["2^64 - 1", "ffffffffffffffffff01"],
    ["more than 64 bits", "ffffffffffffffffffff7f"],
  ];
  // Of fields that come twice the later one counts.
  const fields = [
    ["term", "20"],
    ["log term", "28"],
    ["index", "30"],
    ["commit", "40"],
  ];
  for (const [value, varint] of extremes) {
    for (const [field, tag] of fields) {
      const extreme = Buffer.from(`${tag}${varint}`, "hex");
      for (const [path, sound] of [
        ["/raft", raftCodecs.Message.encode(heartbeat)],
        ["/raft/snapshot", raftCodecs.Message.encode(snapshot)],
      ] as const) {
        const bytes = concatBytes([sound, extreme]);
        const length = new Uint8Array(8);
        new DataView(length.buffer).setBigUint64(0, BigInt(bytes.length));
        const body = path === "/raft" ? bytes : concatBytes([length, bytes, utf8("the store")]);
        const answer = await ask(member, path, { method: "POST", headers: headersOf(2), body });
        assert.equal(answer.status, 400, `${field} ${value} at ${path}`);
        assert.match(
          answer.text,
          /term or index above 4503599627370496|unmarshalling|below 2\^53 - 1|at most 10 bytes/,
        );
      }
    }
  }
  assert.deepEqual([member.received, disk.beganCount], [[], 0]);
});

test("only what comes on a stream from the member it names is taken for that member's word", async (t) => {
  const [to, from] = await startPair(t);
  const passedOn = message("MsgProp", {
    from: nodeId(3),
    to: one,
    entries: [{ type: "EntryNormal", term: 0, index: 0, data: utf8("x") }],
  });
  from.transport.send([heartbeat, passedOn]);
  await eventually(() => to.received.length === 2);
  const body = raftCodecs.Message.encode(heartbeat);
  assert.equal((await ask(to, "/raft", { method: "POST", headers: headersOf(2), body })).status, 204);
  assert.deepEqual(
    to.received.map(({ type }) => type),
    ["MsgHeartbeat", "MsgProp", "MsgHeartbeat"],
  );
  assert.deepEqual(to.proven, to.received.slice(0, 1));
});

test("messages that Raft takes in any term, as its own, come only from this member", async (t) => {
  const member = await startMember(t, 1);
  const entry = { type: "EntryNormal", term: 0, index: 0, data: utf8("x") } as const;
  for (const [type, fields] of [
    ["MsgVote", { term: 0 }],
    ["MsgPreVote", { term: 0 }],
    ["MsgApp", { term: 0 }],
    ["MsgHeartbeat", { term: 0 }],
    ["MsgTimeoutNow", { term: 0 }],
    ["MsgProp", { term: 5, entries: [entry] }],
    ["MsgProp", { term: 0 }],
    ["MsgReadIndex", { term: 5, entries: [entry] }],
  ] as const) {
    const body = raftCodecs.Message.encode(message(type, { from: two, to: one, ...fields }));
    const answer = await ask(member, "/raft", { method: "POST", headers: headersOf(2), body });
    assert.deepEqual([answer.status, answer.text.trim()], [400, "malformed raft message"], type);
  }
  assert.deepEqual(member.received, []);
});

test("names of Object.prototype are names like any other: paths, fields, JSON", async (t) => {
  const member = await startMember(t, 1, {
    member: {
      hashKv: async (revision) => ({
        ok: true,
        currentRevision: 9,
        hash: revision + 1,
        compactRevision: 0,
        hashRevision: revision,
      }),
    },
  });
  for (const name of ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty"]) {
    const paths = [`/${name}`, `/raft/${name}`, `/raft/stream/${name}/2`, `/raft/stream/message/${name}`];
    for (const path of [...paths, `/members/${name}`, `/members/promote/${name}`]) {
      const method = path.includes("promote") ? "POST" : "GET";
      assert.equal((await ask(member, path, { method, headers: headersOf(2) })).status, 404, path);
    }
    const fields = { [name]: "x", "X-Server-From": name, "X-PeerURLs": `${name},http://${name}` };
    const body = raftCodecs.Message.encode(heartbeat);
    const posted = await ask(member, "/raft", { method: "POST", headers: headersOf(2, fields), body });
    assert.equal(posted.status, 204);
    const json = `{"${name}":{"revision":5},"revision":3}`;
    assert.match((await ask(member, "/members/hashkv", { body: json })).text, /"hash":4/);
    assert.equal((await ask(member, "/members/hashkv", { body: `{"revision":{"${name}":1}}` })).status, 400);
  }
  assert.equal((await ask(member, "/members/hashkv", { body: `{"__proto__":{"revision":5}}` })).status, 200);
  assert.equal((await ask(member, "/members/hashkv", { body: "[".repeat(60_000) })).status, 400);
});
