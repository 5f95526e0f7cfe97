import assert from "node:assert/strict";
import { test } from "node:test";
import type { DescMessage } from "@bufbuild/protobuf";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import * as auth from "../../proto/gen/authpb/auth_pb.ts";
import * as server from "../../proto/gen/etcdserverpb/etcdserver_pb.ts";
import * as internal from "../../proto/gen/etcdserverpb/raft_internal_pb.ts";
import * as rpc from "../../proto/gen/etcdserverpb/rpc_pb.ts";
import * as health from "../../proto/gen/grpc/health/v1/health_pb.ts";
import * as membership from "../../proto/gen/membershippb/membership_pb.ts";
import * as kv from "../../proto/gen/mvccpb/kv_pb.ts";
import * as election from "../../proto/gen/v3electionpb/v3election_pb.ts";
import * as lock from "../../proto/gen/v3lockpb/v3lock_pb.ts";
import { utf8 } from "../lib/bytes.ts";
import { leaseId, nodeId } from "../lib/ids.ts";
import { SeededRandom } from "../lib/random.ts";
import type { Codec } from "./codec.ts";
import { codecOf, entryNestingLevelsMax, nestingLevelsMax } from "./codec.ts";
import { codecs, genericCodecs } from "./codecs.ts";
import { WireError } from "./error.ts";
import { drawMessage, plainOf } from "./random-message.ts";
import type { TxnRequest } from "./rpc.ts";

type AnyCodec = Codec<unknown, unknown>;

const schemas = [auth, server, internal, rpc, health, membership, kv, election, lock]
  .flatMap((module) => Object.values(module) as unknown[])
  .filter((value) => (value as DescMessage).kind === "message") as DescMessage[];

/** A codec of each kind for every message, the hand-written ones included. */
const allCodecs = schemas.flatMap((schema) => {
  const candidates = [codecOf(schema as never), genericCodecs, codecs].map((source) =>
    "decode" in source ? source : (source as unknown as Record<string, Codec<never>>)[schema.name],
  );
  return candidates
    .filter((codec) => codec?.typeName === schema.typeName)
    .map((codec) => ({ schema, codec: codec as unknown as AnyCodec }));
});

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, "hex"));

test("every message of the API and of log entries has a codec", () => {
  const names = new Set(Object.values(codecs).map((codec) => codec.typeName));
  const missing = schemas.filter((schema) => !names.has(schema.typeName)).map((schema) => schema.typeName);
  assert.deepEqual(missing, ["membershippb.Member"]);
});

test("every message decodes to the plain value of what protobuf-es encoded", () => {
  const random = new SeededRandom(1);
  for (const { schema, codec } of allCodecs) {
    for (let round = 0; round < 25; round++) {
      const message = drawMessage(schema, random, { onlySafe: false });
      const expected = plainOf(schema, message);
      assert.deepEqual(codec.decode(toBinary(schema, message as never)), expected, schema.typeName);
    }
  }
});

test("every message encodes to the bytes of protobuf-es", () => {
  const random = new SeededRandom(2);
  for (const { schema, codec } of allCodecs) {
    for (let round = 0; round < 25; round++) {
      const message = drawMessage(schema, random, { onlySafe: true });
      const expected = toBinary(schema, message as never);
      assert.equal(hex(codec.encode(plainOf(schema, message))), hex(expected), schema.typeName);
      // The bytes are also what another reader understands.
      assert.deepEqual(plainOf(schema, fromBinary(schema, expected) as never), plainOf(schema, message));
    }
  }
});

test("bytes cut or flipped anywhere give a value or a WireError, the same from both codecs", () => {
  const random = new SeededRandom(3);
  for (const name of ["KeyValue", "PutRequest", "RangeRequest", "TxnRequest", "WatchRequest"] as const) {
    const schema = schemas.find((candidate) => candidate.name === name) as DescMessage;
    for (let round = 0; round < 400; round++) {
      const bytes = toBinary(schema, drawMessage(schema, random, { onlySafe: false }) as never);
      if (bytes.length === 0) continue;
      if (round % 2 === 0) bytes[random.below(bytes.length)] = random.below(256);
      const damaged = bytes.subarray(0, round % 4 < 2 ? bytes.length : random.below(bytes.length + 1));
      assert.deepEqual(outcome(codecs[name], damaged), outcome(genericCodecs[name], damaged), hex(damaged));
    }
  }
});

function outcome(codec: Codec<unknown, never>, bytes: Uint8Array): unknown {
  try {
    return codec.decode(bytes);
  } catch (error) {
    assert.ok(error instanceof WireError, String(error));
    return "refused";
  }
}

const header = codecs.ResponseHeader.create();
const id = 0xfedcba9876543210n;

// The hex strings were produced by etcd's own code, api 3.6.14.
const golden: [what: string, codec: Codec<unknown, never>, value: unknown, hex: string][] = [
  [
    "negative lease",
    codecs.KeyValue,
    {
      key: utf8("k"),
      createRevision: 2,
      modRevision: 2 ** 31,
      version: 3,
      value: utf8("v"),
      lease: leaseId(-2),
    },
    "0a016b100218808080800820032a017630feffffffffffffffff01",
  ],
  [
    "empty previous key value",
    codecs.Event,
    {
      type: 1,
      kv: codecs.KeyValue.create({ key: utf8("k"), modRevision: 5 }),
      prevKv: codecs.KeyValue.create(),
    },
    "080112050a016b18051a00",
  ],
  [
    "zero in a oneof",
    codecs.Compare,
    codecs.Compare.create({
      result: 2,
      target: 4,
      key: utf8("k"),
      targetUnion: { case: "lease", value: leaseId(0) },
      rangeEnd: utf8("z"),
    }),
    "080210041a016b40008204017a",
  ],
  [
    "empty headers of nested answers",
    codecs.TxnResponse,
    {
      header,
      succeeded: false,
      responses: [
        { response: { case: "responseTxn", value: codecs.TxnResponse.create({ header }) } },
        {
          response: {
            case: "responsePut",
            value: { header: codecs.ResponseHeader.create({ revision: 4 }), prevKv: undefined },
          },
        },
        { response: undefined },
      ],
    },
    "0a001a0422020a001a0612040a0218041a00",
  ],
  [
    "packed enums",
    codecs.WatchCreateRequest,
    codecs.WatchCreateRequest.create({ key: utf8("k"), filters: [0, 1], watchId: -1n, fragment: true }),
    "0a016b2a02000138ffffffffffffffffff014001",
  ],
  [
    "every field of a watch response",
    codecs.WatchResponse,
    {
      header: { clusterId: id, memberId: nodeId(1), revision: 2, raftTerm: 3 },
      watchId: -1n,
      created: true,
      canceled: true,
      compactRevision: 6,
      cancelReason: "r",
      fragment: true,
      events: [
        codecs.Event.create(),
        codecs.Event.create({ kv: codecs.KeyValue.create({ key: utf8("k") }) }),
      ],
    },
    "0a110890e4d0b287d3aeeefe0110011802200310ffffffffffffffffff0118012001280632017238015a005a0512030a016b",
  ],
  [
    "zero v2 request",
    codecs.Request,
    codecs.Request.create(),
    "080012001a0022002800320038004800500058006000680070007800800100",
  ],
  [
    "v2 request with pointers",
    codecs.Request,
    codecs.Request.create({
      ID: id,
      Method: "PUT",
      Path: "/p",
      Val: "v",
      PrevExist: false,
      Expiration: -1,
      Refresh: true,
    }),
    "0890e4d0b287d3aeeefe0112035055541a022f70220176280032003800400048ffffffffffffffffff01500058006000680070007800800100880101",
  ],
  ["log metadata", codecs.Metadata, { NodeID: nodeId(id), ClusterID: 2n }, "0890e4d0b287d3aeeefe011002"],
  [
    "put entry",
    codecs.InternalRaftRequest,
    codecs.InternalRaftRequest.create({
      header: { ID: id, username: "u", authRevision: 3 },
      put: codecs.PutRequest.create({ key: utf8("k"), lease: leaseId(-(2n ** 63n)) }),
    }),
    "220e0a016b1880808080808080808001a206100890e4d0b287d3aeeefe011201751803",
  ],
  [
    "empty request in an entry",
    codecs.InternalRaftRequest,
    codecs.InternalRaftRequest.create({ ID: 1n, authEnable: {} }),
    "0801c23e00",
  ],
  [
    "far fields of an entry",
    codecs.InternalRaftRequest,
    codecs.InternalRaftRequest.create({
      ID: 1n,
      v2: codecs.Request.create(),
      clusterMemberAttrSet: {
        memberID: nodeId(id),
        memberAttributes: { name: "n", clientUrls: ["a", ""] },
      },
      downgradeVersionTest: { ver: "3.6.0" },
    }),
    "0801121f080012001a0022002800320038004800500058006000680070007800800100aa51150890e4d0b287d3aeeefe0112080a016e1201611200e2ea04070a05332e362e30",
  ],
  [
    "user with empty options",
    codecs.User,
    { name: utf8("u"), password: new Uint8Array(0), roles: ["r"], options: { noPassword: false } },
    "0a01751a01722200",
  ],
  [
    "status",
    codecs.StatusResponse,
    codecs.StatusResponse.create({
      dbSize: 2 ** 33,
      leader: nodeId(id),
      errors: ["e1", "e2"],
      isLearner: true,
      dbSizeQuota: 8,
      downgradeInfo: { enabled: true, targetVersion: "3.5" },
    }),
    "1880808080202090e4d0b287d3aeeefe014202653142026532500160086a0708011203332e35",
  ],
];

for (const [what, codec, value, expected] of golden) {
  test(`etcd's bytes: ${what}`, () => {
    assert.equal(hex(codec.encode(value as never)), expected);
    assert.deepEqual(codec.decode(bytesOf(expected)), value);
  });
}

test("integers beyond the safe range saturate, unknown enum numbers survive", () => {
  const etcds = "0a010012010018ffffffffffffffffff0120ffffffffffffffff7f280230096880808080808080808001";
  const request = codecs.RangeRequest.decode(bytesOf(etcds));
  assert.equal(request.limit, -1);
  assert.equal(request.revision, Number.MAX_SAFE_INTEGER);
  assert.equal(request.maxCreateRevision, Number.MIN_SAFE_INTEGER);
  assert.equal(request.sortOrder, 2);
  assert.equal(request.sortTarget, 9);
});

test("Go's decoding rules hold: merging, last one wins, truncated enums, skipped groups", () => {
  const merged = codecs.PutResponse.decode(bytesOf("0a0208010a021002"));
  assert.deepEqual(merged.header, codecs.ResponseHeader.create({ clusterId: 1n, memberId: nodeId(2) }));
  const last = codecs.RequestOp.decode(bytesOf("0a030a01410a021802"));
  assert.deepEqual(last.request, { case: "requestRange", value: codecs.RangeRequest.create({ limit: 2 }) });
  assert.equal(codecs.RangeRequest.decode(bytesOf("28ffffffff1f")).sortOrder, -1);
  assert.equal(codecs.RangeRequest.decode(bytesOf("18ffffffffffffffffff7f")).limit, -1);
  assert.deepEqual(codecs.WatchCreateRequest.decode(bytesOf("7b08017c0a0141")).key, utf8("A"));
  assert.deepEqual(
    codecs.WatchCreateRequest.decode(bytesOf("2801280028 01".replace(" ", ""))).filters,
    [1, 0, 1],
  );
});

const malformed: [hex: string, offset: number, expectation: string][] = [
  ["0801", 0, "the wire type of etcdserverpb.DeleteRangeRequest.key"],
  ["0a0541", 1, "a length within the message"],
  ["0affffffffffffffffff01", 1, "a length within the message"],
  ["18ffffffffffffffffffff01", 1, "a varint of at most 10 bytes"],
  ["1880", 1, "a complete varint"],
  ["00", 0, "a field tag"],
  ["7c", 1, "a field of a known wire type"],
  ["790102", 1, "8 more bytes"],
  ["7b0801", 3, "a complete varint"],
];

for (const [input, offset, expectation] of malformed) {
  test(`${input} is refused: expected ${expectation}`, () => {
    assert.throws(
      () => codecs.DeleteRangeRequest.decode(bytesOf(input)),
      (error) => {
        assert.ok(error instanceof WireError);
        assert.deepEqual([error.offset, error.expectation], [offset, expectation]);
        return true;
      },
    );
  });
}

test("a string that is not UTF-8 is refused", () => {
  assert.throws(() => codecs.AuthUserAddRequest.decode(bytesOf("0a01ff")), /expected valid UTF-8 at byte 1/);
});

function nestedTxn(levels: number): TxnRequest {
  let txn = codecs.TxnRequest.create();
  for (let level = 0; level < levels; level += 2) {
    txn = codecs.TxnRequest.create({ success: [{ request: { case: "requestTxn", value: txn } }] });
  }
  return txn;
}

test("nesting is bounded, and what a client may send fits into a log entry", () => {
  const deepest = nestedTxn(nestingLevelsMax);
  const bytes = codecs.TxnRequest.encode(deepest);
  assert.equal(hex(codecs.TxnRequest.encode(codecs.TxnRequest.decode(bytes))), hex(bytes));
  const tooDeep = codecs.TxnRequest.encode(nestedTxn(nestingLevelsMax + 2));
  assert.throws(() => codecs.TxnRequest.decode(tooDeep), /expected fewer levels of nested messages/);
  const txn = nestedTxn(entryNestingLevelsMax - 2);
  const entry = codecs.InternalRaftRequest.encode(codecs.InternalRaftRequest.create({ txn }));
  const decoded = codecs.InternalRaftRequest.decode(entry);
  assert.equal(hex(codecs.InternalRaftRequest.encode(decoded)), hex(entry));
});

test("a transaction nested deeper than the usual limit on operations is read, so that its check can refuse it", () => {
  const bytes = codecs.TxnRequest.encode(nestedTxn(2 * 130));
  assert.equal(hex(codecs.TxnRequest.encode(codecs.TxnRequest.decode(bytes))), hex(bytes));
});

test("unknown fields are skipped, and the first is found by number", () => {
  const known = codecs.InternalRaftRequest.encode(
    codecs.InternalRaftRequest.create({ ID: 5n, authEnable: {} }),
  );
  assert.equal(codecs.InternalRaftRequest.unknownField(known), undefined);
  const strange = new Uint8Array([...known, ...bytesOf("a2770141")]);
  assert.equal(codecs.InternalRaftRequest.unknownField(strange), 1908);
  assert.equal(codecs.InternalRaftRequest.decode(strange).ID, 5n);
});

test("encoded sub-messages are spliced wherever a message stands", () => {
  const stored = codecs.KeyValue.create({ key: utf8("k"), value: utf8("v"), modRevision: 9 });
  const range = { header, kvs: [stored, stored], more: true, count: 7 };
  const spliced = { ...range, kvs: [codecs.KeyValue.encode(stored), stored] };
  assert.equal(hex(genericCodecs.RangeResponse.encode(spliced)), hex(codecs.RangeResponse.encode(range)));
  const txn = (value: Uint8Array | typeof range) =>
    codecs.TxnResponse.encode({
      header,
      succeeded: true,
      responses: [{ response: { case: "responseRange", value } }],
    });
  assert.equal(hex(txn(codecs.RangeResponse.encode(range))), hex(txn(range)));
});

test("an encoder that failed midway leaves nothing behind for the next message", () => {
  const broken = codecs.CompactionRequest.create({ revision: 2 ** 60 });
  assert.throws(() => codecs.CompactionRequest.encode(broken), { name: "AssertionFailure" });
  assert.equal(
    hex(codecs.CompactionRequest.encode(codecs.CompactionRequest.create({ revision: 1 }))),
    "0801",
  );
});

test("messages larger than the kept buffer are written whole, and small ones after them", () => {
  const blob = new Uint8Array(3_000_000).fill(7);
  const decoded = codecs.SnapshotResponse.decode(
    codecs.SnapshotResponse.encode({ header, remainingBytes: 1, blob, version: "3.6.0" }),
  );
  assert.equal(Buffer.compare(decoded.blob, blob), 0);
  assert.equal(decoded.version, "3.6.0");
  assert.equal(hex(codecs.LockRequest.encode({ name: utf8("n"), lease: leaseId(1) })), "0a016e1001");
});
