import assert from "node:assert/strict";
import { test } from "node:test";
import type { DescMessage } from "@bufbuild/protobuf";
import { toBinary } from "@bufbuild/protobuf";
import * as raftpb from "../../proto/gen/raftpb/raft_pb.ts";
import * as snappb from "../../proto/gen/snappb/snap_pb.ts";
import * as walpb from "../../proto/gen/walpb/record_pb.ts";
import { emptyBytes, utf8 } from "../lib/bytes.ts";
import { nodeId, noNode } from "../lib/ids.ts";
import { SeededRandom } from "../lib/random.ts";
import { WireError } from "./error.ts";
import type { ConfState, Entry, Message, SnapshotMetadata } from "./raft.ts";
import { confChangeTypes, messageTypes } from "./raft.ts";
import type { SizedCodec } from "./raft-codec.ts";
import { entrySize, raftCodecs } from "./raft-codec.ts";
import { confChangeTransitions, entryTypes } from "./raft-write.ts";
import { drawMessage } from "./random-message.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, "hex"));

const big = nodeId(0xfedcba9876543210n);
const ids = (...numbers: (bigint | number)[]) => numbers.map(nodeId);

const noConfState: ConfState = {
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};
const confState: ConfState = {
  voters: ids(1, big),
  learners: ids(3),
  votersOutgoing: ids(4, 5),
  learnersNext: ids(6),
  autoLeave: true,
};
const metadata: SnapshotMetadata = { confState, index: 300, term: 2 };
const snapshot = { data: Uint8Array.of(1, 2, 3), metadata };
const noEntry: Entry = { type: "EntryNormal", term: 0, index: 0, data: emptyBytes };
const entry: Entry = { type: "EntryConfChange", term: 7, index: 2 ** 40, data: utf8("abc") };
const noMessage: Message = {
  type: "MsgHup",
  to: noNode,
  from: noNode,
  term: 0,
  logTerm: 0,
  index: 0,
  entries: [],
  commit: 0,
  vote: noNode,
  snapshot: undefined,
  reject: false,
  rejectHint: 0,
  context: emptyBytes,
  responses: [],
};

// The hex strings were produced by etcd's own code: raft 3.6.0 and server 3.6.14.
const golden: [what: string, codec: SizedCodec<unknown>, value: unknown, hex: string][] = [
  ["zero entry", raftCodecs.Entry, noEntry, "080010001800"],
  ["entry", raftCodecs.Entry, entry, "08011007188080808080202203616263"],
  ["zero hard state", raftCodecs.HardState, { term: 0, vote: noNode, commit: 0 }, "080010001800"],
  [
    "hard state",
    raftCodecs.HardState,
    { term: 5, vote: big, commit: 2 ** 32 - 1 },
    "08051090e4d0b287d3aeeefe0118ffffffff0f",
  ],
  ["zero conf state", raftCodecs.ConfState, noConfState, "2800"],
  ["conf state", raftCodecs.ConfState, confState, "08010890e4d0b287d3aeeefe0110031804180520062801"],
  [
    "zero snapshot metadata",
    raftCodecs.SnapshotMetadata,
    { confState: noConfState, index: 0, term: 0 },
    "0a02280010001800",
  ],
  [
    "snapshot metadata",
    raftCodecs.SnapshotMetadata,
    metadata,
    "0a1708010890e4d0b287d3aeeefe011003180418052006280110ac021802",
  ],
  [
    "zero snapshot",
    raftCodecs.Snapshot,
    { data: emptyBytes, metadata: { confState: noConfState, index: 0, term: 0 } },
    "12080a02280010001800",
  ],
  [
    "snapshot",
    raftCodecs.Snapshot,
    snapshot,
    "0a03010203121e0a1708010890e4d0b287d3aeeefe011003180418052006280110ac021802",
  ],
  ["zero message", raftCodecs.Message, noMessage, "0800100018002000280030004000500058006800"],
  [
    "heartbeat",
    raftCodecs.Message,
    {
      ...noMessage,
      type: "MsgHeartbeat",
      to: big,
      from: nodeId(2),
      term: 9,
      commit: 1000,
      context: utf8("ctx"),
    },
    "08081090e4d0b287d3aeeefe01180220092800300040e8075000580062036374786800",
  ],
  [
    "message with everything",
    raftCodecs.Message,
    {
      type: "MsgStorageAppend",
      to: big,
      from: nodeId(2),
      term: 9,
      logTerm: 8,
      index: 12,
      entries: [noEntry, entry],
      commit: 11,
      vote: nodeId(2),
      snapshot,
      reject: true,
      rejectHint: 10,
      context: utf8("c"),
      responses: [{ ...noMessage, type: "MsgAppResp", to: nodeId(1), from: nodeId(2) }],
    },
    "08131090e4d0b287d3aeeefe01180220092808300c3a060800100018003a1008011007188080808080202203616263400b4a250a03010203121e0a1708010890e4d0b287d3aeeefe011003180418052006280110ac0218025001580a620163680272140804100118022000280030004000500058006800",
  ],
  [
    "zero configuration change",
    raftCodecs.ConfChange,
    { id: 0n, type: "ConfChangeAddNode", nodeId: noNode, context: emptyBytes },
    "080010001800",
  ],
  [
    "configuration change",
    raftCodecs.ConfChange,
    { id: big, type: "ConfChangeAddLearnerNode", nodeId: nodeId(77), context: utf8("{}") },
    "0890e4d0b287d3aeeefe011003184d22027b7d",
  ],
  [
    "zero joint configuration change",
    raftCodecs.ConfChangeV2,
    { transition: "ConfChangeTransitionAuto", changes: [], context: emptyBytes },
    "0800",
  ],
  [
    "joint configuration change",
    raftCodecs.ConfChangeV2,
    {
      transition: "ConfChangeTransitionJointExplicit",
      changes: [
        { type: "ConfChangeAddNode", nodeId: noNode },
        { type: "ConfChangeRemoveNode", nodeId: big },
      ],
      context: utf8("x"),
    },
    "0802120408001000120d08011090e4d0b287d3aeeefe011a0178",
  ],
  ["zero log record", raftCodecs.WalRecord, { type: 0, crc: 0, data: emptyBytes }, "08001000"],
  [
    "log record",
    raftCodecs.WalRecord,
    { type: 2, crc: 2 ** 32 - 1, data: utf8("data") },
    "080210ffffffff0f1a0464617461",
  ],
  ["zero snapshot record", raftCodecs.WalSnapshot, { index: 0, term: 0, confState: undefined }, "08001000"],
  [
    "snapshot record",
    raftCodecs.WalSnapshot,
    { index: 300, term: 2, confState: { ...noConfState, voters: ids(1) } },
    "08ac0210021a0408012800",
  ],
  ["snap file", raftCodecs.SnapFile, { crc: 2 ** 31, data: utf8("snap") }, "0880808080081204736e6170"],
];

for (const [what, codec, value, expected] of golden) {
  test(`etcd's bytes: ${what}`, () => {
    assert.equal(codec.size(value), expected.length / 2);
    assert.equal(hex(codec.encode(value)), expected);
    assert.deepEqual(codec.decode(bytesOf(expected)), value);
    const target = new Uint8Array(expected.length / 2 + 8);
    assert.equal(codec.writeTo(target, 5, value), 5 + expected.length / 2);
    assert.equal(hex(target.subarray(5, 5 + expected.length / 2)), expected);
  });
}

const schemas: [codec: SizedCodec<unknown>, schema: DescMessage][] = [
  [raftCodecs.Entry, raftpb.EntrySchema],
  [raftCodecs.HardState, raftpb.HardStateSchema],
  [raftCodecs.ConfState, raftpb.ConfStateSchema],
  [raftCodecs.SnapshotMetadata, raftpb.SnapshotMetadataSchema],
  [raftCodecs.Snapshot, raftpb.SnapshotSchema],
  [raftCodecs.Message, raftpb.MessageSchema],
  [raftCodecs.ConfChange, raftpb.ConfChangeSchema],
  [raftCodecs.ConfChangeV2, raftpb.ConfChangeV2Schema],
  [raftCodecs.WalRecord, walpb.RecordSchema],
  [raftCodecs.WalSnapshot, walpb.SnapshotSchema],
  [raftCodecs.SnapFile, snappb.snapshotSchema],
] as [SizedCodec<unknown>, unknown][] as [SizedCodec<unknown>, DescMessage][];

test("random messages keep their bytes from protobuf-es through decoding and encoding", () => {
  const random = new SeededRandom(4);
  for (const [codec, schema] of schemas) {
    for (let round = 0; round < 200; round++) {
      const bytes = toBinary(schema, drawMessage(schema, random, { onlySafe: true }, 2) as never);
      assert.equal(hex(codec.encode(codec.decode(bytes))), hex(bytes), schema.typeName);
    }
  }
});

test("bytes cut or flipped anywhere give a value or a WireError", () => {
  const random = new SeededRandom(5);
  let refused = 0;
  for (const [codec, schema] of schemas) {
    for (let round = 0; round < 200; round++) {
      const bytes = toBinary(schema, drawMessage(schema, random, { onlySafe: true }, 2) as never);
      if (round % 2 === 0) bytes[random.below(bytes.length)] = random.below(256);
      try {
        codec.decode(bytes.subarray(0, round % 2 === 0 ? bytes.length : random.below(bytes.length)));
      } catch (error) {
        assert.ok(error instanceof WireError, String(error));
        refused++;
      }
    }
  }
  assert.ok(refused > 300, `only ${refused} refused`);
});

test("the names stand at the positions of their wire numbers", () => {
  const numbers = (table: Record<string, number>) =>
    Object.entries(table)
      .sort(([, a], [, b]) => a - b)
      .map(([name]) => name);
  assert.deepEqual(numbers(raftpb.MessageType), [...messageTypes]);
  assert.deepEqual(numbers(raftpb.EntryType), [...entryTypes]);
  assert.deepEqual(numbers(raftpb.ConfChangeType), [...confChangeTypes]);
  assert.deepEqual(numbers(raftpb.ConfChangeTransition), [...confChangeTransitions]);
});

const refusals: [what: string, codec: SizedCodec<unknown>, hex: string, message: RegExp][] = [
  ["an unsafe index", raftCodecs.Entry, "18ffffffffffffff0f", /expected an index below 2\^53 - 1 at byte 1/],
  ["an unsafe term", raftCodecs.HardState, "08ffffffffffffffffff01", /expected a term below/],
  ["an unknown entry type", raftCodecs.Entry, "0803", /expected a known entry type instead of 3 at byte 1/],
  ["an unknown message type", raftCodecs.Message, "0818", /expected a known message type instead of 24/],
  ["a negative type", raftCodecs.Message, "08ffffffffffffffffff01", /instead of -1/],
  ["a wrong wire type", raftCodecs.Entry, "0a00", /expected the wire type of field 1/],
  [
    "responses within responses",
    raftCodecs.Message,
    "7208720672047202 7200".replace(" ", ""),
    /fewer levels/,
  ],
];

for (const [what, codec, input, message] of refusals) {
  test(`${what} is refused by name`, () => {
    assert.throws(() => codec.decode(bytesOf(input)), { name: "WireError", message });
  });
}

test("a peer that packs ids or omits fields is understood, and fields to come are skipped", () => {
  assert.deepEqual(raftCodecs.ConfState.decode(bytesOf("0a020102")), { ...noConfState, voters: ids(1, 2) });
  assert.deepEqual(raftCodecs.Message.decode(bytesOf("0808")), { ...noMessage, type: "MsgHeartbeat" });
  assert.deepEqual(raftCodecs.Entry.decode(bytesOf("10077a0141")), { ...noEntry, term: 7 });
});

test("entrySize is the length of the encoding at every varint boundary", () => {
  for (let bit = 0; bit < 53; bit++) {
    for (const value of [2 ** bit - 1, 2 ** bit]) {
      const sized = { ...entry, term: value, index: value, data: new Uint8Array(Math.min(value, 20_000)) };
      assert.equal(entrySize(sized), raftCodecs.Entry.encode(sized).length);
    }
  }
});
