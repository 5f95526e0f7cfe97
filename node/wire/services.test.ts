import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../lib/bytes.ts";
import { codecs } from "./codecs.ts";
import { methodByPath, methods, services } from "./services.ts";

test("the table holds the methods of all services", () => {
  const counts = new Map<string, number>();
  for (const { service } of methods) counts.set(service, (counts.get(service) ?? 0) + 1);
  assert.deepEqual(Object.fromEntries(counts), {
    "etcdserverpb.KV": 6,
    "etcdserverpb.Watch": 1,
    "etcdserverpb.Lease": 5,
    "etcdserverpb.Cluster": 5,
    "etcdserverpb.Maintenance": 8,
    "etcdserverpb.Auth": 17,
    "v3lockpb.Lock": 2,
    "v3electionpb.Election": 5,
    "grpc.health.v1.Health": 3,
  });
  assert.equal(methodByPath.size, methods.length);
});

test("streaming kinds are those of the protocol", () => {
  const streaming = methods.filter(({ kind }) => kind !== "unary").map(({ path, kind }) => `${path} ${kind}`);
  assert.deepEqual(streaming, [
    "/etcdserverpb.KV/RangeStream serverStream",
    "/etcdserverpb.Watch/Watch bidi",
    "/etcdserverpb.Lease/LeaseKeepAlive bidi",
    "/etcdserverpb.Maintenance/Snapshot serverStream",
    "/v3electionpb.Election/Observe serverStream",
    "/grpc.health.v1.Health/Watch serverStream",
  ]);
});

test("a method found by its path decodes its request and encodes its response", () => {
  assert.equal(methodByPath.get("/etcdserverpb.KV/DeleteRange"), services.kv.deleteRange);
  const { request, response } = services.kv.deleteRange;
  const sent = codecs.DeleteRangeRequest.create({ key: utf8("a"), prevKv: true });
  assert.deepEqual(request.decode(request.encode(sent)), sent);
  const answer = { header: codecs.ResponseHeader.create({ revision: 3 }), deleted: 1, prevKvs: [] };
  assert.deepEqual(response.decode(response.encode(answer)), answer);
  assert.equal(methodByPath.get("/etcdserverpb.KV/Nothing"), undefined);
});
