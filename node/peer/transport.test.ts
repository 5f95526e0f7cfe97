import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, createServer as createSocketServer } from "node:net";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { utf8 } from "../lib/bytes.ts";
import { type NodeId, nodeId } from "../lib/ids.ts";
import { compatibleVersion } from "../lib/version.ts";
import type { Message } from "../wire/raft.ts";
import { messageFrame } from "./frames.ts";
import {
  eventually,
  introduce,
  rawStream,
  startMember,
  startPair,
  type TestMember,
} from "./testing/members.ts";
import { append, entry, message } from "./testing/messages.ts";

function heartbeat(from: TestMember, to: TestMember, commit = 0): Message {
  return message("MsgHeartbeat", { from: from.id, to: to.id, term: 1, commit });
}

/** The id of a member whose place a test's own server takes. */
const other = nodeId(2);

/** Answers every request as told, in the place of a member. */
async function fakePeer(t: TestContext, onRequest: Parameters<typeof createServer>[1]): Promise<string> {
  const server: Server = createServer({}, onRequest as never);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("messages arrive in order on both streams, entries whole", async (t) => {
  const [one, two] = await startPair(t);
  const fields = { from: one.id, to: two.id, term: 2, logTerm: 2, commit: 3 };
  const appends = [
    append({ ...fields, logTerm: 1, index: 3 }, entry(2, 4, "four")),
    append({ ...fields, index: 4 }, entry(2, 5, "five"), entry(2, 6, "six")),
    append({ ...fields, index: 6 }),
    append({ ...fields, index: 2 }, entry(2, 3, "again")),
  ];
  const others = [1, 2, 3].map((commit) => heartbeat(one, two, commit));
  one.transport.send([...appends.slice(0, 2), ...others, ...appends.slice(2)]);
  await eventually(() => two.received.length === 7);
  assert.deepEqual(
    two.received.filter(({ type }) => type === "MsgApp"),
    appends,
  );
  assert.deepEqual(
    two.received.filter(({ type }) => type === "MsgHeartbeat"),
    others,
  );
  two.transport.send([message("MsgAppResp", { from: two.id, to: one.id, term: 2, index: 6 })]);
  await eventually(() => one.received.length === 1);
  assert.deepEqual(one.unreachable, []);
});

test("a message larger than what is written at a time arrives whole", async (t) => {
  const [one, two] = await startPair(t);
  const data = "x".repeat(5 * 1024 * 1024);
  const fields = { from: one.id, to: two.id, term: 1, logTerm: 1, index: 1, commit: 1 };
  one.transport.send([append(fields, entry(1, 2, data)), append({ ...fields, index: 2 }, entry(1, 3, "y"))]);
  await eventually(() => two.received.length === 2);
  assert.deepEqual(two.received[0]?.entries[0]?.data, utf8(data));
});

test("idle streams live on by heartbeats of the link, and round trips are measured", async (t) => {
  const [one, two] = await startPair(t);
  const since = one.transport.activeSinceMs(two.id);
  const readTimeoutMs = one.transport.settings.limits.readTimeoutMs;
  const start = performance.now();
  await eventually(() => performance.now() - start > 2.5 * readTimeoutMs);
  assert.equal(one.transport.activeSinceMs(two.id), since);
  assert.ok(one.transport.isFullyConnected(two.id));
  assert.ok(one.roundTrips.length > 0);
});

test("without a stream a message goes as a request of its own", async (t) => {
  const one = await startMember(t, 1);
  const two = await startMember(t, 2);
  // The other does not know us as a peer, so it opens no stream.
  one.transport.addPeer(two.id, [two.url]);
  one.transport.send([heartbeat(one, two, 7)]);
  await eventually(() => two.received.length === 1);
  assert.deepEqual(two.received, [heartbeat(one, two, 7)]);
  // It answers at the URLs that the request named.
  two.transport.send([message("MsgHeartbeatResp", { from: two.id, to: one.id, term: 1 })]);
  await eventually(() => one.received.length === 1);
});

test("messages to nobody, to strangers and to removed peers are ignored", async (t) => {
  const [one, two] = await startPair(t);
  one.transport.send([message("MsgHeartbeat", { from: one.id }), message("MsgHeartbeat", { to: nodeId(9) })]);
  one.transport.removePeer(two.id);
  one.transport.send([heartbeat(one, two)]);
  two.transport.send([heartbeat(two, one)]);
  await eventually(() => !two.transport.isFullyConnected(one.id));
  assert.deepEqual(two.received, []);
  assert.equal(one.transport.activePeerCount, 0);
});

test("a peer that goes away is reported and found again when it is back", async (t) => {
  const [one, two] = await startPair(t);
  two.transport.removePeer(one.id);
  await two.closeServer();
  await eventually(() => one.transport.activeSinceMs(two.id) === undefined);
  one.transport.send([heartbeat(one, two)]);
  await eventually(() => one.unreachable.includes(two.id));
  assert.equal(one.transport.activePeerCount, 0);
  await two.listen();
  two.transport.addPeer(one.id, [one.url]);
  await eventually(() => one.transport.isFullyConnected(two.id));
  one.transport.send([heartbeat(one, two, 5)]);
  await eventually(() => two.received.some(({ commit }) => commit === 5));
});

test("a peer is followed to a new URL, and a dead URL is passed over", async (t) => {
  const one = await startMember(t, 1);
  const two = await startMember(t, 2);
  two.transport.addPeer(one.id, [one.url]);
  one.transport.addPeer(two.id, ["http://127.0.0.1:1", two.url]);
  await eventually(() => one.transport.isFullyConnected(two.id));
  const third = await startMember(t, 2);
  third.transport.addPeer(one.id, [one.url]);
  one.transport.updatePeer(two.id, [third.url]);
  await two.stop();
  await eventually(() => third.transport.isFullyConnected(one.id));
});

test("a peer that does not read stops nothing: its queue fills, the rest is dropped and reported", async (t) => {
  const one = await startMember(t, 1, { limits: { queueMessagesMax: 100, readTimeoutMs: 300 } });
  one.transport.addPeer(other, ["http://127.0.0.1:1"]);
  const socket = rawStream(t, one, "/raft/stream/msgapp/2", 2);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("data", resolve));
  socket.pause();
  const big = entry(1, 1, "x".repeat(128 * 1024));
  for (let i = 0; i < 400; i++) {
    one.transport.send([append({ from: one.id, to: other, term: 1, logTerm: 0, index: 0, commit: 0 }, big)]);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  assert.ok(one.unreachable.includes(other), "drops are reported");
  // Some MiB are with the kernel and 100 messages wait; the connection is given up.
  await eventually(() => one.warnings.some((text) => text.includes("the peer took nothing for 600 ms")));
  socket.resume();
  await closed;
});

test("a stream that falls silent is given up and opened anew", async (t) => {
  let streams = 0;
  const url = await fakePeer(t, (request, response) => {
    if (!request.url?.startsWith("/raft/stream/message")) return;
    streams++;
    response.writeHead(200, { "X-Server-Version": compatibleVersion });
    response.flushHeaders();
  });
  const one = await startMember(t, 1, { limits: { readTimeoutMs: 100 } });
  one.transport.addPeer(other, [url]);
  await eventually(() => streams >= 3);
  assert.deepEqual(one.received, []);
});

test("garbage ends a stream, and nothing of it reaches Raft", async (t) => {
  let streams = 0;
  const sound = message("MsgHeartbeat", { from: other, to: nodeId(1), term: 1 });
  const url = await fakePeer(t, (request, response) => {
    if (!request.url?.startsWith("/raft/stream/message")) {
      response.writeHead(404).end();
      return;
    }
    streams++;
    response.writeHead(200, { "X-Server-Version": compatibleVersion });
    response.write(messageFrame(sound));
    response.write(new Uint8Array(64).fill(streams % 2 === 0 ? 0xff : 0));
  });
  const one = await startMember(t, 1, { limits: { readTimeoutMs: 200 } });
  one.transport.addPeer(other, [url]);
  await eventually(() => streams >= 4);
  assert.ok(one.receivedFailures.includes("2"));
  for (const got of one.received) assert.deepEqual(got, sound);
});

test("R15: unsound messages on a stream, such as for another member, are dropped, and the stream goes on", async (t) => {
  const one = nodeId(1);
  const good = message("MsgHeartbeat", { from: other, to: one, term: 1, commit: 1 });
  const gap = { from: other, to: one, term: 2, logTerm: 1, index: 5, commit: 1 };
  const bad: readonly Message[] = [
    // From this member itself.
    message("MsgHeartbeat", { from: one, to: one, term: 9 }),
    // For another member that had this address before.
    message("MsgHeartbeat", { from: other, to: nodeId(7), term: 9 }),
    message("MsgHup", { from: other, to: one }),
    message("MsgStorageAppendResp", { from: other, to: one }),
    message("MsgHeartbeat", { from: 0xffff_ffff_ffff_ffffn as NodeId, to: one }),
    message("MsgHeartbeat", { from: nodeId(8), to: one, term: 9 }),
    append(gap, entry(2, 7)),
    append(gap, entry(3, 6)),
    append(gap, entry(2, 6), entry(1, 7)),
    message("MsgSnap", {
      from: other,
      to: one,
      snapshot: {
        data: utf8("{}"),
        metadata: {
          confState: { voters: [one], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false },
          index: 9,
          term: 2,
        },
      },
    }),
  ];
  const url = await fakePeer(t, (request, response) => {
    if (!request.url?.startsWith("/raft/stream/message")) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "X-Server-Version": compatibleVersion });
    for (const wrong of bad) response.write(messageFrame(wrong));
    response.write(messageFrame(good));
  });
  const member = await startMember(t, 1);
  member.removed.add(nodeId(8));
  member.transport.addPeer(other, [url]);
  await eventually(() => member.received.length > 0);
  assert.deepEqual(member.received[0], good);
  assert.ok(member.receivedFailures.length >= bad.length);
});

test("a removed member is told, by stream and by request", async (t) => {
  const one = await startMember(t, 1);
  const two = await startMember(t, 2);
  one.removed.add(two.id);
  two.transport.addPeer(one.id, [one.url]);
  await eventually(() => two.removedCount >= 2);
  const before = two.removedCount;
  two.transport.send([heartbeat(two, one)]);
  await eventually(() => two.removedCount > before && two.unreachable.includes(one.id));
  assert.deepEqual(one.received, []);
});

test("members of two clusters never exchange a message", async (t) => {
  const one = await startMember(t, 1);
  const two = await startMember(t, 2, { clusterId: 1n });
  introduce(one, two);
  one.transport.send([heartbeat(one, two)]);
  two.transport.send([heartbeat(two, one)]);
  await eventually(() => one.unreachable.length > 0 && two.unreachable.length > 0);
  assert.deepEqual([one.received, two.received], [[], []]);
  assert.deepEqual([one.removedCount, two.removedCount], [0, 0]);
});

test("what streams take before a stop still arrives", async (t) => {
  const [one, two] = await startPair(t);
  one.transport.send([message("MsgTimeoutNow", { from: one.id, to: two.id, term: 1 })]);
  one.transport.stop();
  await eventually(() => two.received.length === 1);
  assert.equal(two.received[0]?.type, "MsgTimeoutNow");
});

test("connections can be opened and accepted by somebody else, as TLS needs it", async (t) => {
  const dialed = new Set<string>();
  const accepting = createSocketServer((socket) => two.serve(socket));
  await new Promise<void>((resolve) => accepting.listen(0, "127.0.0.1", resolve));
  t.after(() => accepting.close());
  const { port } = accepting.address() as AddressInfo;
  const one = await startMember(t, 1, {
    connect(url) {
      dialed.add(url.href);
      return connect(port, "127.0.0.1");
    },
  });
  const two = await startMember(t, 2);
  one.transport.addPeer(two.id, ["https://two.test:2380"]);
  two.transport.addPeer(one.id, [one.url]);
  await eventually(() => one.transport.isFullyConnected(two.id));
  one.transport.send([heartbeat(one, two)]);
  await eventually(() => two.received.length === 1);
  assert.deepEqual([...dialed], ["https://two.test:2380/"]);
});

test("a peer that needs TLS is out of reach without it, and stops nothing", async (t) => {
  const one = await startMember(t, 1);
  one.transport.addPeer(other, ["https://127.0.0.1:1"]);
  one.transport.send([message("MsgHeartbeat", { from: one.id, to: other, term: 1 })]);
  await eventually(() => one.unreachable.length === 1);
  await eventually(() => one.warnings.some((text) => text.includes("only http is set up")));
});

test("a peer that is there no more is reported once as gone, and again after it was back", async (t) => {
  const [one, two] = await startPair(t);
  for (let round = 1; round <= 2; round++) {
    await two.closeServer();
    await eventually(() => one.gone.length >= round);
    // Both streams stood, and each of them is dialed on and on.
    await delay(300);
    assert.ok(one.gone.length <= 2 * round, `${one.gone.length} reports`);
    assert.ok(one.gone.every((id) => id === two.id));
    one.gone.length = round;
    await two.listen();
    await eventually(() => one.transport.isFullyConnected(two.id));
  }
});

test("a peer that was never reached, or resets connections, is not gone", async (t) => {
  const one = await startMember(t, 1);
  const resetting = createSocketServer((socket) => socket.resetAndDestroy());
  await new Promise<void>((resolve) => resetting.listen(0, "127.0.0.1", resolve));
  t.after(() => resetting.close());
  const { port } = resetting.address() as AddressInfo;
  one.transport.addPeer(nodeId(2), ["http://127.0.0.1:1"]);
  one.transport.addPeer(nodeId(3), [`http://127.0.0.1:${port}`]);
  await delay(500);
  assert.deepEqual(one.gone, []);
});
