import assert from "node:assert/strict";
import { connect, createServer as createProxy } from "node:net";
import { type TestContext, test } from "node:test";
import { concatBytes, utf8 } from "../lib/bytes.ts";
import { nodeId } from "../lib/ids.ts";
import type { Message } from "../wire/raft.ts";
import { writeUint64 } from "./byte-queue.ts";
import { messageFrame } from "./frames.ts";
import type { SnapshotPort } from "./port.ts";
import { ask, eventually, headersOf, startMember, type TestMember } from "./testing/members.ts";
import { message } from "./testing/messages.ts";

const one = nodeId(1);
const two = nodeId(2);

const snapshotMessage: Message = message("MsgSnap", {
  from: one,
  to: two,
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

/** A store of some MiB whose bytes differ from place to place. */
const store = new Uint8Array(3 * 1024 * 1024).map((_, at) => (at * 31) >>> 3);

/** What a member did with snapshots. */
class Snapshots implements SnapshotPort {
  openedCount = 0;
  closedCount = 0;
  abortedCount = 0;
  readonly finished: Uint8Array[] = [];
  /** Sizes that were announced. */
  readonly announced: (number | undefined)[] = [];
  bytes: readonly Uint8Array[] = [store];
  failure: Error | undefined;

  async open(): ReturnType<SnapshotPort["open"]> {
    this.openedCount++;
    const { bytes, failure } = this;
    async function* read(): AsyncGenerator<Uint8Array> {
      yield* bytes;
      if (failure !== undefined) throw failure;
    }
    const fileBytes = concatBytes(bytes).length;
    return { message: snapshotMessage, fileBytes, bytes: read(), close: () => void this.closedCount++ };
  }

  async begin(...[, fileBytes]: Parameters<SnapshotPort["begin"]>): ReturnType<SnapshotPort["begin"]> {
    this.announced.push(fileBytes);
    const chunks: Uint8Array[] = [];
    return {
      write: async (bytes) => void chunks.push(bytes),
      finish: async () => {
        if (this.failure !== undefined) throw this.failure;
        this.finished.push(concatBytes(chunks));
      },
      abort: () => void this.abortedCount++,
    };
  }
}

interface Pair {
  readonly sender: TestMember;
  readonly receiver: TestMember;
  readonly sent: Snapshots;
  readonly got: Snapshots;
}

async function startPair(t: TestContext, viaPort?: (port: number) => Promise<number>): Promise<Pair> {
  const sent = new Snapshots();
  const got = new Snapshots();
  const sender = await startMember(t, 1, { snapshots: sent });
  const receiver = await startMember(t, 2, { snapshots: got });
  const port = viaPort === undefined ? receiver.port : await viaPort(receiver.port);
  sender.transport.addPeer(two, [`http://127.0.0.1:${port}`]);
  return { sender, receiver, sent, got };
}

test("a store arrives whole, Raft hears of it after, and the sender of its success", async (t) => {
  const { sender, receiver, sent, got } = await startPair(t);
  sender.transport.send([snapshotMessage]);
  await eventually(() => sender.snapshotReports.length === 1);
  assert.deepEqual(sender.snapshotReports, [[two, true]]);
  assert.deepEqual([got.finished, got.announced], [[store], [store.length]]);
  assert.deepEqual(receiver.received, [snapshotMessage]);
  assert.deepEqual([sent.openedCount, sent.closedCount, got.abortedCount], [1, 1, 0]);
});

test("a store of a real member, which sends no digest, is taken", async (t) => {
  const { receiver, got } = await startPair(t);
  const body = concatBytes([messageFrame(snapshotMessage), store]);
  const answer = await ask(receiver, "/raft/snapshot", { method: "POST", headers: headersOf(1), body });
  assert.equal(answer.status, 204);
  assert.deepEqual([got.finished, got.announced], [[store], [undefined]]);
  assert.deepEqual(receiver.received, [snapshotMessage]);
});

test("a byte that changes on the way keeps the store from being installed", async (t) => {
  const { sender, receiver, got } = await startPair(t, async (port) => {
    const proxy = createProxy((inbound) => {
      const outbound = connect(port, "127.0.0.1");
      let isDamaged = false;
      inbound.on("data", (chunk) => {
        // Deep inside a chunk of the store, where HTTP does not look.
        if (!isDamaged && chunk.length > 32 * 1024) {
          isDamaged = true;
          chunk[20_000] = (chunk[20_000] as number) ^ 1;
        }
        outbound.write(chunk);
      });
      outbound.pipe(inbound);
      for (const socket of [inbound, outbound]) {
        socket.on("error", () => {});
        socket.on("close", () => {
          inbound.destroy();
          outbound.destroy();
        });
      }
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    t.after(() => proxy.close());
    return (proxy.address() as { readonly port: number }).port;
  });
  sender.transport.send([snapshotMessage]);
  await eventually(() => sender.snapshotReports.length === 1);
  assert.deepEqual(sender.snapshotReports, [[two, false]]);
  assert.deepEqual([got.finished.length, got.abortedCount], [0, 1]);
  assert.deepEqual(receiver.received, []);
  assert.ok(sender.warnings.some((text) => text.includes("damaged on its way")));
});

test("a store that breaks off is not installed", async (t) => {
  const { sender, receiver, sent, got } = await startPair(t);
  sent.failure = new Error("the disk went away");
  sender.transport.send([snapshotMessage]);
  await eventually(() => sender.snapshotReports.length === 1 && got.abortedCount === 1);
  assert.deepEqual(sender.snapshotReports, [[two, false]]);
  assert.deepEqual([got.finished, receiver.received, sent.closedCount], [[], [], 1]);
  assert.deepEqual(sender.unreachable, [two]);
});

test("a store that comes byte by byte is given up, before and within it, and a steady one is not", {
  timeout: 60_000,
}, async (t) => {
  const got = new Snapshots();
  const receiver = await startMember(t, 2, { snapshots: got, limits: { snapshotIdleMs: 1500 } });
  const frame = messageFrame(snapshotMessage);
  /** What was answered to a body that goes on like this, every 20 ms, until the end or as long as it may. */
  const send = async (
    start: Uint8Array,
    piece: Uint8Array,
    pieces = Number.POSITIVE_INFINITY,
  ): Promise<string> => {
    const socket = connect(receiver.port, "127.0.0.1");
    let text = "";
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
    });
    const bytes = pieces === Number.POSITIVE_INFINITY ? 1_000_000 : start.length + pieces * piece.length;
    const fields = { ...headersOf(1), Host: "a", Connection: "close", "Content-Length": String(bytes) };
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`POST /raft/snapshot HTTP/1.1\r\n${lines.join("")}\r\n`);
    socket.write(start);
    let sent = 0;
    const timer = setInterval(() => sent++ < pieces && socket.write(piece), 20);
    await new Promise((resolve) => socket.once("close", resolve));
    clearInterval(timer);
    return text;
  };
  await send(frame.subarray(0, 9), Uint8Array.of(1));
  assert.deepEqual(got.announced, []);
  await send(frame, Uint8Array.of(1));
  assert.deepEqual([got.announced.length, got.abortedCount, receiver.received], [1, 1, []]);
  assert.match(await send(frame, new Uint8Array(40_000), 60), /^HTTP\/1\.1 204/);
  assert.deepEqual([got.finished.length, receiver.received], [1, [snapshotMessage]]);
});

test("a store that cannot be installed fails at the sender, too", async (t) => {
  const { sender, receiver, got } = await startPair(t);
  got.failure = new Error("no space left");
  sender.transport.send([snapshotMessage]);
  await eventually(() => sender.snapshotReports.length === 1);
  assert.deepEqual(sender.snapshotReports, [[two, false]]);
  assert.deepEqual(receiver.received, []);
  assert.ok(sender.warnings.some((text) => text.includes("failed to save KV snapshot (no space left)")));
});

test("a snapshot to a peer that is not there, or of a member without stores, fails at once", async (t) => {
  const snapshots = new Snapshots();
  const sender = await startMember(t, 1, { snapshots });
  sender.transport.addPeer(two, ["http://127.0.0.1:1"]);
  sender.transport.send([snapshotMessage]);
  await eventually(() => sender.snapshotReports.length === 1);
  assert.equal(snapshots.closedCount, 1);
  const bare = await startMember(t, 1);
  bare.transport.addPeer(two, ["http://127.0.0.1:1"]);
  bare.transport.send([snapshotMessage]);
  await eventually(() => bare.snapshotReports.length === 1);
  assert.deepEqual(bare.snapshotReports, [[two, false]]);
});

test("what does not begin as a snapshot is refused", async (t) => {
  const { receiver, got } = await startPair(t);
  const lengthOnly = new Uint8Array(8);
  writeUint64(lengthOnly, 0, 65 * 1024 * 1024);
  const heartbeat = message("MsgHeartbeat", { from: one, to: two });
  const table: readonly (readonly [Uint8Array, number, RegExp])[] = [
    [lengthOnly, 400, /^failed to decode raft message \(rafthttp: error limit exceeded\)/],
    [utf8("short"), 400, /^failed to decode raft message/],
    [messageFrame(snapshotMessage).subarray(0, 30), 400, /^failed to decode raft message/],
    [messageFrame(heartbeat), 400, /^wrong raft message type/],
    [messageFrame({ ...snapshotMessage, to: nodeId(9) }), 412, /^to field mismatch/],
    [messageFrame({ ...snapshotMessage, snapshot: undefined }), 400, /^malformed raft message/],
  ];
  for (const [body, status, text] of table) {
    const answer = await ask(receiver, "/raft/snapshot", { method: "POST", headers: headersOf(1), body });
    assert.equal(answer.status, status);
    assert.match(answer.text, text);
  }
  receiver.removed.add(one);
  const body = messageFrame(snapshotMessage);
  const answer = await ask(receiver, "/raft/snapshot", { method: "POST", headers: headersOf(1), body });
  assert.equal(answer.status, 403);
  assert.deepEqual([receiver.received, got.finished], [[], []]);
});
