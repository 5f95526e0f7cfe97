import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import { textOf, utf8 } from "../lib/bytes.ts";
import { hexId, type LeaseId, leaseId, nodeId } from "../lib/ids.ts";
import { codecs } from "../wire/codecs.ts";
import { raftCodecs } from "../wire/raft-codec.ts";
import { unwrap, wrap } from "./lease-messages.ts";
import type { MemberPort } from "./port.ts";
import { ask, clusterId, eventually, headersOf, startMember } from "./testing/members.ts";
import { message } from "./testing/messages.ts";

const heartbeat = message("MsgHeartbeat", { from: nodeId(2), to: nodeId(1), term: 1 });
const sound = raftCodecs.Message.encode(heartbeat);

test("a posted message is processed and answered with 204", async (t) => {
  const one = await startMember(t, 1);
  const answer = await ask(one, "/raft", { method: "POST", headers: headersOf(2), body: sound });
  assert.equal(answer.status, 204);
  assert.equal(answer.headers["x-etcd-cluster-id"], hexId(clusterId));
  assert.deepEqual(one.received, [heartbeat]);
});

/** Path, request, status and text as etcd 3.6 answers, where nothing else is said. */
test("what is not sound is refused in etcd's words", async (t) => {
  const one = await startMember(t, 1, { limits: { messageBytesMax: 1000 } });
  one.removed.add(nodeId(3));
  one.transport.addPeer(nodeId(2), ["http://127.0.0.1:1"]);
  const post = (from: number, overrides: Record<string, string> = {}, body: Uint8Array = sound) => ({
    method: "POST",
    headers: headersOf(from, overrides),
    body,
  });
  const get = (from: number, overrides: Record<string, string> = {}) => ({
    headers: headersOf(from, { "X-Raft-To": "1", ...overrides }),
  });
  const fromRemoved = raftCodecs.Message.encode({ ...heartbeat, from: nodeId(3) });
  // etcd answers 403 here and so ends the sender; a reused address is no reason for that.
  const toOther = raftCodecs.Message.encode({ ...heartbeat, to: nodeId(9) });
  const fromSelf = raftCodecs.Message.encode({ ...heartbeat, from: nodeId(1) });
  const local = raftCodecs.Message.encode({ ...heartbeat, type: "MsgHup" });
  const table: readonly (readonly [string, Parameters<typeof ask>[2], number, string])[] = [
    ["/raft", { headers: headersOf(2) }, 405, "Method Not Allowed\n"],
    ["/raft", { method: "POST", body: sound }, 412, "incompatible version\n"],
    ["/raft", post(2, { "X-Etcd-Cluster-ID": "1" }), 412, "cluster ID mismatch\n"],
    ["/raft", post(2, { "X-Server-Version": "2.3.8" }), 412, "incompatible version\n"],
    ["/raft", post(2, { "X-Server-Version": "garbage" }), 412, "incompatible version\n"],
    ["/raft", post(2, { "X-Min-Cluster-Version": "3.7.0" }), 412, "incompatible version\n"],
    ["/raft", post(2, {}, utf8("garbage")), 400, "error unmarshalling raft message\n"],
    ["/raft", post(2, {}, new Uint8Array(1001)), 413, "request body too large\n"],
    ["/raft", post(3, {}, fromRemoved), 403, `{"message":"cannot process message from removed member"}`],
    ["/raft", post(2, {}, toOther), 412, "to field mismatch\n"],
    ["/raft", post(2, {}, fromSelf), 412, "to field mismatch\n"],
    ["/raft", post(2, {}, local), 400, "malformed raft message\n"],
    ["/raft/stream/message/2", post(2), 405, "Method Not Allowed\n"],
    ["/raft/stream/message/2", get(2, { "X-Etcd-Cluster-ID": "1" }), 412, "cluster ID mismatch\n"],
    ["/raft/stream/snapshot/2", get(2), 404, "invalid path\n"],
    ["/raft/stream/message/2/3", get(2), 404, "invalid path\n"],
    ["/raft/stream/message/two", get(2), 404, "invalid from\n"],
    ["/raft/stream/message/10000000000000000", get(2), 404, "invalid from\n"],
    ["/raft/stream/message/3", get(3), 410, "removed member\n"],
    ["/raft/stream/message/4", get(4), 404, "error sender not found\n"],
    ["/raft/stream/message/2", get(2, { "X-Raft-To": "9" }), 412, "to field mismatch\n"],
    ["/raft/snapshot", get(2), 405, "Method Not Allowed\n"],
    ["/nowhere", {}, 404, "404 page not found\n"],
    ["/__proto__", {}, 404, "404 page not found\n"],
  ];
  for (const [path, request, status, text] of table) {
    const answer = await ask(one, path, request);
    assert.deepEqual([path, answer.status, answer.text], [path, status, text]);
  }
  assert.deepEqual(one.received, []);
});

test("a newer member and one that only patches differ from us are let in", async (t) => {
  const one = await startMember(t, 1);
  for (const version of ["3.7.1", "3.6.0", "3.5.33", "4.0.0", "3.6.14-rc.1+git"]) {
    const headers = headersOf(2, { "X-Server-Version": version, "X-Min-Cluster-Version": "3.6.99" });
    const answer = await ask(one, "/raft", { method: "POST", headers, body: sound });
    assert.equal(answer.status, 204, version);
  }
});

test("a body without an end, or larger than it says, is cut off at the bound", async (t) => {
  const one = await startMember(t, 1, { limits: { messageBytesMax: 64 * 1024 } });
  let status: number | undefined;
  let written = 0;
  const request = httpRequest({
    ...{ host: "127.0.0.1", port: one.port, path: "/raft", method: "POST" },
    headers: headersOf(2),
  });
  const isOver = new Promise<void>((resolve) => {
    request.on("error", () => resolve());
    request.on("close", () => resolve());
    request.on("response", (response) => {
      status = response.statusCode;
      response.resume();
    });
  });
  const pour = (): void => {
    if (request.destroyed || written > 64 * 1024 * 1024) return;
    written += 16 * 1024;
    request.write(new Uint8Array(16 * 1024), pour);
  };
  pour();
  await isOver;
  assert.ok(written < 32 * 1024 * 1024, `${written} bytes went in`);
  assert.ok(status === undefined || status === 413);
  assert.deepEqual(one.received, []);
});

test("connections that say nothing are closed", async (t) => {
  const one = await startMember(t, 1, { limits: { readTimeoutMs: 100 } });
  for (const opening of [
    "",
    "POST /raft HTTP/1.1\r\n",
    "POST /raft HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
  ]) {
    const socket = connect(one.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.resume();
    socket.write(opening);
    await new Promise((resolve) => socket.once("close", resolve));
  }
  assert.deepEqual(one.received, []);
});

test("a body that comes byte by byte is cut off, whatever it is for", async (t) => {
  const one = await startMember(t, 1, { limits: { bodyTimeoutMs: 300 } });
  for (const path of ["/raft", "/members/hashkv", "/leases"]) {
    const socket = connect(one.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.resume();
    const fields = Object.entries({ ...headersOf(2), "Content-Length": "10000", Host: "a" });
    const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`);
    const method = path === "/members/hashkv" ? "GET" : "POST";
    socket.write(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
    const drip = setInterval(() => socket.write("x"), 20);
    await new Promise((resolve) => socket.once("close", resolve));
    clearInterval(drip);
  }
  assert.deepEqual(one.received, []);
});

test("a connection accepted elsewhere is served, too", async (t) => {
  const one = await startMember(t, 1);
  const handOver = createServer((socket) => one.serve(socket));
  await new Promise<void>((resolve) => handOver.listen(0, "127.0.0.1", resolve));
  t.after(() => handOver.close());
  const { port } = handOver.address() as { readonly port: number };
  const answer = await ask({ port }, "/raft/probing");
  assert.equal(answer.status, 200);
});

test("a probe is answered as etcd's prober wants it", async (t) => {
  const one = await startMember(t, 1);
  const answer = await ask(one, "/raft/probing");
  assert.equal(answer.status, 200);
  const { OK, Now } = JSON.parse(answer.text) as { readonly OK: boolean; readonly Now: string };
  assert.equal(OK, true);
  assert.ok(Math.abs(Date.parse(Now) - Date.now()) < 60_000);
});

test("senders that nobody knows are answered at the URLs they name, a few of them", async (t) => {
  const one = await startMember(t, 1, { limits: { remotesMax: 2 } });
  const asker = await startMember(t, 12);
  for (let id = 10; id < 20; id++) {
    const body = raftCodecs.Message.encode({ ...heartbeat, from: nodeId(id) });
    const urls = id === 11 ? asker.url : "http://127.0.0.1:1";
    const headers = headersOf(id, { "X-PeerURLs": id === 10 ? "no url" : urls });
    assert.equal((await ask(one, "/raft", { method: "POST", headers, body })).status, 204);
  }
  // 11 and 12 were taken; 11 says it is reached where 12 listens, which refuses what is not for it.
  for (const to of [11, 12, 13])
    one.transport.send([message("MsgHeartbeat", { from: nodeId(1), to: nodeId(to) })]);
  await eventually(() => asker.receivedFailures.length === 1);
});

const answering: Partial<MemberPort> = {
  clusterVersion: () => "3.6.0",
  membersJson: () => `[{"id":18249187646912138824,"peerURLs":["http://a:2380"],"name":"a"}]`,
  promote: async (id, authorization) => {
    if (id === 18249187646912138824n) return { ok: true, membersJson: `["${authorization}"]` };
    if (id === 1n) return { ok: false, reason: "notLearner" };
    if (id === 2n) return { ok: false, reason: "notReady" };
    return id === 3n
      ? { ok: false, reason: "other", text: "etcdserver: no leader" }
      : { ok: false, reason: "notFound" };
  },
  hashKv: async (revision) => {
    if (revision === 1) return { ok: false, reason: "compacted" };
    if (revision === 99) return { ok: false, reason: "futureRevision" };
    return {
      ok: true,
      currentRevision: 9,
      hash: 4_000_000_000,
      compactRevision: revision === 0 ? -1 : 0,
      hashRevision: revision,
    };
  },
  renewLease: async (id) =>
    id === leaseId(-7) ? { ok: true, ttlSeconds: 60 } : { ok: false, reason: "notFound" },
  leaseTimeToLive: async (id, withKeys) => {
    if (id === leaseId(8)) return { ok: false, reason: "notPrimary" };
    if (id === leaseId(9)) return { ok: false, reason: "applyTimeout" };
    return { ok: true, ttlSeconds: 30, grantedTtlSeconds: 60, keys: withKeys ? [utf8("k")] : [] };
  },
  isDowngradeEnabled: async () => ({ ok: true, isEnabled: true }),
};

test("members, versions, hashes and downgrades are told in etcd's JSON and words", async (t) => {
  const one = await startMember(t, 1, { member: answering });
  const post = { method: "POST", headers: { Authorization: "token" } };
  const hash = (body: string, headers: Record<string, string> = {}) => ({ headers, body });
  const table: readonly (readonly [string, Parameters<typeof ask>[2], number, string])[] = [
    ["/members", {}, 200, `[{"id":18249187646912138824,"peerURLs":["http://a:2380"],"name":"a"}]\n`],
    ["/members", post, 405, "Method Not Allowed\n"],
    ["/members/", {}, 404, "404 page not found\n"],
    ["/members/promote/18249187646912138824", post, 200, `["token"]\n`],
    ["/members/promote/18249187646912138824", {}, 405, "Method Not Allowed\n"],
    ["/members/promote/x", post, 404, "member x not found in cluster\n"],
    [
      "/members/promote/18446744073709551616",
      post,
      404,
      "member 18446744073709551616 not found in cluster\n",
    ],
    ["/members/promote/0", post, 404, "membership: ID not found\n"],
    ["/members/promote/1", post, 412, "membership: can only promote a learner member\n"],
    [
      "/members/promote/2",
      post,
      412,
      "etcdserver: can only promote a learner member which is in sync with leader\n",
    ],
    ["/members/promote/3", post, 500, "etcdserver: no leader\n"],
    [
      "/members/hashkv",
      hash(`{"revision":5}`),
      200,
      `{"header":{"revision":9},"hash":4000000000,"hash_revision":5}`,
    ],
    [
      "/members/hashkv",
      hash("{}", { "X-Etcd-Cluster-ID": hexId(clusterId) }),
      200,
      `{"header":{"revision":9},"hash":4000000000,"compact_revision":-1}`,
    ],
    ["/members/hashkv", hash(`{"revision":1}`), 400, "mvcc: required revision has been compacted\n"],
    ["/members/hashkv", hash(`{"revision":99}`), 400, "mvcc: required revision is a future revision\n"],
    ["/members/hashkv", hash("{}", { "X-Etcd-Cluster-ID": "1" }), 412, "cluster ID mismatch\n"],
    ["/members/hashkv", hash("[1"), 400, "error unmarshalling request\n"],
    ["/members/hashkv", hash(`{"revision":"1"}`), 400, "error unmarshalling request\n"],
    ["/members/hashkv", hash("x".repeat(65 * 1024)), 413, "request body too large\n"],
    ["/members/hashkv", { method: "PUT" }, 405, "Method Not Allowed\n"],
    ["/downgrade/enabled", {}, 200, "true"],
    ["/downgrade/enabled", post, 405, "Method Not Allowed\n"],
    ["/version", post, 405, "Method Not Allowed\n"],
  ];
  for (const [path, request, status, text] of table) {
    const answer = await ask(one, path, request);
    assert.deepEqual([path, answer.status, answer.text], [path, status, text]);
  }
  const version = JSON.parse((await ask(one, "/version")).text) as Readonly<Record<string, string>>;
  assert.equal(version["etcdserver"], "3.6.14");
  assert.equal(version["etcdcluster"], "3.6.0");
});

test("leases are renewed and looked up in protobuf, within bounds", async (t) => {
  const one = await startMember(t, 1, { member: answering });
  const renew = (ID: LeaseId) => {
    const body = codecs.LeaseKeepAliveRequest.encode(codecs.LeaseKeepAliveRequest.create({ ID }));
    return ask(one, "/leases", { method: "POST", body });
  };
  const renewed = await renew(leaseId(-7));
  assert.equal(renewed.headers["content-type"], "application/protobuf");
  const { ID, TTL } = codecs.LeaseKeepAliveResponse.decode(renewed.body);
  assert.deepEqual([ID, TTL], [-7n, 60]);
  const lost = await renew(leaseId(1));
  assert.deepEqual([lost.status, lost.text], [404, "lease not found\n"]);

  const lookUp = (id: LeaseId) => {
    const inner = codecs.LeaseTimeToLiveRequest.create({ ID: id, keys: true });
    const body = wrap(codecs.LeaseTimeToLiveRequest.encode(inner));
    return ask(one, "/leases/internal", { method: "POST", body });
  };
  const found = unwrap((await lookUp(leaseId(7))).body, codecs.LeaseTimeToLiveResponse);
  assert.deepEqual([found?.ID, found?.TTL, found?.grantedTTL], [7n, 30, 60]);
  assert.deepEqual(found?.keys.map(textOf), ["k"]);
  assert.equal((await lookUp(leaseId(8))).status, 500);
  const late = await lookUp(leaseId(9));
  assert.deepEqual(
    [late.status, late.text],
    [408, "waiting for node to catch up its applied index has timed out\n"],
  );
  for (const path of ["/leases", "/leases/internal"]) {
    const large = await ask(one, path, { method: "POST", body: new Uint8Array(64 * 1024 + 1) });
    assert.deepEqual([large.status, large.text], [413, "request body too large\n"]);
    assert.equal((await ask(one, path, { method: "POST", body: "\xff" })).status, 400);
    assert.equal((await ask(one, path)).status, 405);
  }
});
