import assert from "node:assert/strict";
import { test } from "node:test";
import { concatBytes, utf8 } from "../lib/bytes.ts";
import { nodeId } from "../lib/ids.ts";
import { SeededRandom } from "../lib/random.ts";
import { WireError } from "../wire/error.ts";
import type { Entry, Message } from "../wire/raft.ts";
import { writeUint64 } from "./byte-queue.ts";
import {
  AppendDecoder,
  AppendEncoder,
  type FrameDecoder,
  type FrameEncoder,
  FrameError,
  MessageDecoder,
  MessageEncoder,
} from "./frames.ts";
import { faultOf } from "./message-check.ts";
import { append, entry, message } from "./testing/messages.ts";

const local = nodeId(2);
const remote = nodeId(0xfd422379fda50e48n);
const bytesMax = 1024 * 1024;

/** What etcd 3.6.14's encoder of the message stream writes. */
const messageFrames: readonly (readonly [Message, string])[] = [
  [
    message("MsgHeartbeat", {
      to: nodeId(0x8e9e05c52164694dn),
      from: nodeId(1),
      term: 300,
      commit: 70000,
      context: utf8("abcdefgh"),
    }),
    "000000000000002a080810cdd2918bd2b881cf8e01180120ac022800300040f0a20450005800620861626364656667686800",
  ],
  [
    message("MsgVote", {
      to: local,
      from: remote,
      term: 5,
      logTerm: 4,
      index: 129,
      context: utf8("CampaignTransfer"),
    }),
    "00000000000000300805100218c89c94ed9fef88a1fd0120052804308101400050005800621043616d706169676e5472616e736665726800",
  ],
  [
    message("MsgAppResp", {
      to: local,
      from: nodeId(3),
      term: 5,
      logTerm: 4,
      index: 9,
      reject: true,
      rejectHint: 8,
    }),
    "00000000000000140804100218032005280430094000500158086800",
  ],
  [
    message("MsgProp", { to: local, from: nodeId(3), entries: [entry(0, 0, "put")] }),
    "00000000000000210802100218032000280030003a0b08001000180022037075744000500058006800",
  ],
];
const messageHeartbeat = "00000000000000140808100018002000280030004000500058006800";

function appended(
  term: number,
  logTerm: number,
  index: number,
  commit: number,
  ...entries: Entry[]
): Message {
  return append({ from: remote, to: local, term, logTerm, index, commit }, ...entries);
}

/** What one encoder of etcd 3.6.14's append stream writes, in this order. */
const appendFrames: readonly (readonly [Message, string])[] = [
  [
    appended(2, 1, 5, 5, entry(2, 6)),
    "0200000000000000250803100218c89c94ed9fef88a1fd012002280130053a060800100218064005500058006800",
  ],
  [
    appended(2, 2, 6, 6, entry(2, 7, "seven"), entry(2, 8, "eight")),
    "010000000000000002000000000000000d0800100218072205736576656e000000000000000d080010021808220565696768740000000000000006",
  ],
  [appended(2, 2, 8, 8), "0100000000000000000000000000000008"],
  [
    appended(2, 2, 8, 8, { type: "EntryConfChange", term: 2, index: 9, data: Uint8Array.of(1, 2, 3) }),
    "010000000000000001000000000000000b08011002180922030102030000000000000008",
  ],
  [
    appended(3, 2, 9, 8, entry(3, 10)),
    "0200000000000000250803100218c89c94ed9fef88a1fd012003280230093a0608001003180a4008500058006800",
  ],
  [appended(3, 3, 10, 10), "010000000000000000000000000000000a"],
  [
    appended(3, 3, 4, 4, entry(3, 5, "x")),
    "0200000000000000280803100218c89c94ed9fef88a1fd012003280330043a090800100318052201784004500058006800",
  ],
];

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function fromHex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "hex"));
}

function encode(encoder: FrameEncoder, messages: readonly Message[]): Uint8Array {
  const size = messages.reduce((sum, one) => sum + encoder.size(one), 0);
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const one of messages) at = encoder.writeTo(bytes, at, one);
  assert.equal(at, size, "the size is what was written");
  return bytes;
}

function decoderOf(kind: "message" | "append"): {
  decoder: FrameDecoder;
  messages: Message[];
  bytes: number[];
} {
  const messages: Message[] = [];
  const bytes: number[] = [];
  const deliver = (one: Message, size: number): void => {
    messages.push(one);
    bytes.push(size);
  };
  const decoder =
    kind === "message"
      ? new MessageDecoder(bytesMax, deliver)
      : new AppendDecoder({ local, remote, bytesMax, deliver });
  return { decoder, messages, bytes };
}

test("message frames are etcd's bytes", () => {
  for (const [one, expected] of messageFrames)
    assert.equal(hex(encode(new MessageEncoder(), [one])), expected);
  assert.equal(hex(new MessageEncoder().linkHeartbeat), messageHeartbeat);
});

test("append frames are etcd's bytes", () => {
  const encoder = new AppendEncoder();
  for (const [one, expected] of appendFrames) assert.equal(hex(encode(encoder, [one])), expected);
  assert.equal(hex(encoder.linkHeartbeat), "00");
});

test("etcd's message frames are read, and heartbeats of the link are swallowed", () => {
  const { decoder, messages, bytes } = decoderOf("message");
  for (const [, frame] of messageFrames) decoder.push(fromHex(messageHeartbeat + frame));
  assert.deepEqual(
    messages,
    messageFrames.map(([one]) => one),
  );
  assert.deepEqual(
    bytes,
    messageFrames.map(([, frame]) => frame.length / 2),
  );
});

test("etcd's append frames are read with what the short form leaves out", () => {
  const { decoder, messages, bytes } = decoderOf("append");
  for (const [, frame] of appendFrames) decoder.push(fromHex(`00${frame}`));
  assert.deepEqual(
    messages,
    appendFrames.map(([one]) => one),
  );
  assert.deepEqual(
    bytes,
    appendFrames.map(([, frame]) => frame.length / 2),
  );
});

test("frames survive being cut anywhere by the network", () => {
  for (const kind of ["message", "append"] as const) {
    const list = (kind === "message" ? messageFrames : appendFrames).map(([one]) => one);
    const stream = encode(kind === "message" ? new MessageEncoder() : new AppendEncoder(), list);
    for (let seed = 1; seed <= 50; seed++) {
      const random = new SeededRandom(seed);
      const { decoder, messages } = decoderOf(kind);
      let at = 0;
      while (at < stream.length) {
        const end = Math.min(stream.length, at + 1 + random.below(seed));
        decoder.push(stream.subarray(at, end));
        at = end;
      }
      assert.deepEqual(messages, list);
    }
  }
});

test("a decoded message keeps nothing of the buffer it arrived in", () => {
  const { decoder, messages } = decoderOf("message");
  const frame = encode(new MessageEncoder(), [messageFrames[3]?.[0] as Message]);
  decoder.push(frame);
  frame.fill(0xff);
  assert.deepEqual(messages[0], messageFrames[3]?.[0]);
});

test("a length beyond the bound is refused before its bytes arrive", () => {
  const length = new Uint8Array(8);
  writeUint64(length, 0, bytesMax + 1);
  assert.throws(() => decoderOf("message").decoder.push(length), FrameError);
  assert.throws(() => decoderOf("message").decoder.push(new Uint8Array(8).fill(0xff)), FrameError);
  assert.throws(() => decoderOf("append").decoder.push(concatBytes([Uint8Array.of(2), length])), FrameError);
  const started = fromHex(appendFrames[0]?.[1] as string);
  for (const count of [Math.floor(bytesMax / 8) + 1, Number.MAX_SAFE_INTEGER]) {
    const { decoder } = decoderOf("append");
    decoder.push(started);
    writeUint64(length, 0, count);
    assert.throws(() => decoder.push(concatBytes([Uint8Array.of(1), length])), FrameError);
  }
});

test("the entries of one append frame stay within the bound together", () => {
  const data = "x".repeat(0.4 * bytesMax);
  const start = appended(2, 1, 5, 5);
  const entries = [6, 7, 8].map((index) => entry(2, index, data));
  const fitting = decoderOf("append");
  fitting.decoder.push(encode(new AppendEncoder(), [start, appended(2, 2, 5, 5, ...entries.slice(0, 2))]));
  assert.equal(fitting.messages[1]?.entries.length, 2);
  const { decoder } = decoderOf("append");
  const tooMuch = encode(new AppendEncoder(), [start, appended(2, 2, 5, 5, ...entries)]);
  assert.throws(() => decoder.push(tooMuch), FrameError);
});

test("garbage is refused", () => {
  assert.throws(() => decoderOf("append").decoder.push(Uint8Array.of(7)), /unknown type 7/);
  assert.throws(
    () => decoderOf("append").decoder.push(fromHex("0100000000000000000000000000000008")),
    FrameError,
  );
  assert.throws(() => decoderOf("message").decoder.push(fromHex("0000000000000002ffff")), WireError);
  // A commit index beyond what is counted with.
  const { decoder } = decoderOf("append");
  decoder.push(fromHex(appendFrames[0]?.[1] as string));
  assert.throws(() => decoder.push(fromHex(`010000000000000000${"ff".repeat(8)}`)), FrameError);
});

test("damaged streams end in an error or in other messages, never otherwise", () => {
  const streams = {
    message: encode(
      new MessageEncoder(),
      messageFrames.map(([one]) => one),
    ),
    append: encode(
      new AppendEncoder(),
      appendFrames.map(([one]) => one),
    ),
  };
  const counts = { refused: 0, read: 0 };
  for (let seed = 1; seed <= 2000; seed++) {
    const random = new SeededRandom(seed);
    const kind = seed % 2 === 0 ? "message" : "append";
    const damaged = new Uint8Array(streams[kind]);
    for (let i = 0; i <= random.below(4); i++) damaged[random.below(damaged.length)] = random.below(256);
    const { decoder, messages } = decoderOf(kind);
    try {
      decoder.push(damaged);
      counts.read++;
    } catch (error) {
      assert.ok(error instanceof FrameError || error instanceof WireError, String(error));
      counts.refused++;
    }
    for (const one of messages) faultOf(one, local);
  }
  assert.ok(counts.refused > 100 && counts.read > 100, JSON.stringify(counts));
});
