import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../lib/bytes.ts";
import { nodeId } from "../lib/ids.ts";
import { SeededRandom } from "../lib/random.ts";
import { type ConfChange, type ConfChangeV2, confChangeTypes } from "../wire/raft.ts";
import {
  confChangeOf,
  decodeConfChange,
  decodeConfChangeV2,
  encodeConfChange,
  encodeConfChangeV2,
} from "./conf-change.ts";

test("a change in the old form survives encoding", () => {
  for (const type of confChangeTypes) {
    const change: ConfChange = {
      id: 0xfedc_ba98_7654_3210n,
      type,
      nodeId: nodeId(0x8211_f1d0_f64f_3269n),
      context: utf8("{}"),
    };
    assert.deepEqual(decodeConfChange(encodeConfChange(change)), change);
  }
});

test("a change in the general form survives encoding", () => {
  const change: ConfChangeV2 = {
    transition: "ConfChangeTransitionJointExplicit",
    changes: confChangeTypes.map((type, at) => ({ type, nodeId: nodeId(at * 1000) })),
    context: utf8("why"),
  };
  assert.deepEqual(decodeConfChangeV2(encodeConfChangeV2(change)), change);
});

test("the encodings are those of the protocol", () => {
  const add: ConfChange = { id: 0n, type: "ConfChangeAddNode", nodeId: nodeId(300), context: utf8("") };
  assert.deepEqual([...encodeConfChange(add)], [0x10, 0, 0x18, 0xac, 2]);
  const leave: ConfChangeV2 = { transition: "ConfChangeTransitionAuto", changes: [], context: utf8("") };
  assert.deepEqual([...encodeConfChangeV2(leave)], [8, 0]);
});

test("no data is the empty change, and an absent field is its default", () => {
  const entry = { term: 1, index: 1, data: new Uint8Array(0) } as const;
  assert.deepEqual(confChangeOf({ ...entry, type: "EntryConfChangeV2" })?.changes, []);
  assert.deepEqual(confChangeOf({ ...entry, type: "EntryConfChange" })?.changes, [
    { type: "ConfChangeAddNode", nodeId: nodeId(0) },
  ]);
});

test("broken bytes are refused and never thrown over", () => {
  assert.equal(decodeConfChange(Uint8Array.from([0x10])), undefined);
  assert.equal(decodeConfChange(Uint8Array.from([0x10, 9])), undefined);
  assert.equal(decodeConfChange(Uint8Array.from([0x22, 5, 1])), undefined);
  assert.equal(decodeConfChange(new Uint8Array(11).fill(0xff)), undefined);
  assert.equal(decodeConfChangeV2(Uint8Array.from([0x12, 1, 8])), undefined);
  const random = new SeededRandom(5);
  for (let i = 0; i < 5_000; i++) {
    const bytes = Uint8Array.from({ length: random.below(20) }, () => random.below(256));
    decodeConfChange(bytes);
    decodeConfChangeV2(bytes);
  }
});
