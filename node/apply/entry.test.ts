import assert from "node:assert/strict";
import { test } from "node:test";
import { concatBytes, textOf, utf8 } from "../lib/bytes.ts";
import { FatalError } from "../lib/fatal.ts";
import { nodeId } from "../lib/ids.ts";
import { codecs } from "../wire/codecs.ts";
import type { InternalRaftRequest, Request } from "../wire/rpc.ts";
import { type ReadEntry, readEntry } from "./entry.ts";

const header = { ID: 7n, username: "", authRevision: 0 };
const encode = (fields: Partial<InternalRaftRequest>): Uint8Array =>
  codecs.InternalRaftRequest.encode(codecs.InternalRaftRequest.create({ header, ...fields }));
const read = (data: Uint8Array): ReadEntry => readEntry({ index: 12, data });

/** The text of the fatal end, with the index that it carries. */
function endOf(data: Uint8Array): string {
  try {
    read(data);
  } catch (error) {
    assert.ok(error instanceof FatalError, String(error));
    assert.equal(error.reason, "UNKNOWN_ENTRY");
    assert.equal(error.details.index, 12);
    return error.message;
  }
  return "read";
}

const v2 = (fields: Partial<Request>): Request => codecs.Request.create({ ID: 9n, Method: "PUT", ...fields });
const attributes = v2({
  Path: "/0/members/8e9e05c52164694d/attributes",
  Val: '{"name":"a","clientURLs":["http://127.0.0.1:2379"]}',
});

test("a put is read with its request id", () => {
  const put = codecs.PutRequest.create({ key: utf8("k"), value: utf8("v") });
  const request = read(encode({ put }));
  assert.deepEqual([request.idLow, request.idHigh], [7, 0]);
  assert.equal(textOf(request.put?.key ?? utf8("")), "k");
});

test("what members of 3.5 publish in requests of the old store is read, bare and wrapped", () => {
  for (const data of [codecs.Request.encode(attributes), encode({ v2: attributes })]) {
    const request = read(data);
    assert.deepEqual([request.idLow, request.idHigh], [9, 0]);
    assert.equal(request.clusterMemberAttrSet?.memberID, nodeId(0x8e9e05c52164694dn));
    assert.deepEqual(request.clusterMemberAttrSet?.memberAttributes, {
      name: "a",
      clientUrls: ["http://127.0.0.1:2379"],
    });
  }
  const version = v2({ Path: "/0/version", Val: "3.5.0" });
  for (const data of [codecs.Request.encode(version), encode({ v2: version })]) {
    assert.equal(read(data).clusterVersionSet?.ver, "3.5.0");
  }
});

test("other requests of the old store stop the member with their method and path", () => {
  assert.match(endOf(codecs.Request.encode(v2({ Path: "/1/a", Val: "b" }))), /entry 12 .*PUT \/1\/a/);
  assert.match(endOf(encode({ v2: { ...attributes, Method: "DELETE" } })), /DELETE \/0\/members\//);
});

test("an unknown field stops the member with its number, wherever it stands", () => {
  // Field 1400, a varint.
  const unknown = Uint8Array.of(0xc0, 0x57, 1);
  const known = encode({ compaction: { revision: 3, physical: false } });
  for (const data of [concatBytes([unknown, known]), concatBytes([known, unknown]), unknown]) {
    assert.match(endOf(data), /entry 12 has field 1400/);
  }
});

test("a field that a client added to its own message is looked past, as real members do", () => {
  // Field 200 of a put, a varint.
  const put = concatBytes([
    codecs.PutRequest.encode(codecs.PutRequest.create({ key: utf8("k") })),
    Uint8Array.of(0xc0, 0x0c, 1),
  ]);
  const data = concatBytes([Uint8Array.of(34, put.length), put]);
  assert.equal(textOf(read(data).put?.key ?? utf8("")), "k");
});

test("bytes that are nothing stop the member", () => {
  assert.match(endOf(Uint8Array.of(0xff, 0xff)), /entry 12 is neither/);
  assert.match(endOf(encode({})), /entry 12 holds no operation/);
});

test("what would change users or roles stops the member by name, what only reads them does not", () => {
  assert.match(endOf(encode({ authEnable: {} })), /entry 12 is authEnable/);
  const authUserAdd = codecs.AuthUserAddRequest.create({ name: "u" });
  assert.match(endOf(encode({ authUserAdd })), /is authUserAdd/);
  assert.equal(endOf(encode({ authStatus: {} })), "read");
});

test("a cluster version above our own stops the member, one at or below it does not", () => {
  assert.match(endOf(encode({ clusterVersionSet: { ver: "3.7.0" } })), /to 3\.7\.0, above 3\.6\.0/);
  assert.match(endOf(encode({ clusterVersionSet: { ver: "4.0.0" } })), /to 4\.0\.0/);
  assert.match(endOf(encode({ clusterVersionSet: { ver: "x" } })), /to "x", expected/);
  for (const ver of ["3.0.0", "3.5.0", "3.6.0"]) {
    assert.equal(read(encode({ clusterVersionSet: { ver } })).clusterVersionSet?.ver, ver);
  }
});

test("a downgrade names a version when it is one", () => {
  assert.match(endOf(encode({ downgradeInfoSet: { enabled: true, ver: "low" } })), /downgrade to "low"/);
  assert.equal(endOf(encode({ downgradeInfoSet: { enabled: false, ver: "" } })), "read");
  assert.equal(endOf(encode({ downgradeInfoSet: { enabled: true, ver: "3.5.0" } })), "read");
});

test("the entry that etcd's own tests inject is read", () => {
  assert.equal(endOf(encode({ downgradeVersionTest: codecs.DowngradeVersionTestRequest.create() })), "read");
});
