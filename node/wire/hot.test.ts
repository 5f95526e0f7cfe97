import assert from "node:assert/strict";
import { test } from "node:test";
import type { DescMessage } from "@bufbuild/protobuf";
import { TxnRequestSchema } from "../../proto/gen/etcdserverpb/rpc_pb.ts";
import { emptyBytes, utf8 } from "../lib/bytes.ts";
import { leaseId, nodeId } from "../lib/ids.ts";
import type { Random } from "../lib/random.ts";
import { SeededRandom } from "../lib/random.ts";
import { codecs, genericCodecs } from "./codecs.ts";
import { WireError } from "./error.ts";
import { decodeHotEntry, encodePutEntry, encodeTxnEntry } from "./hot-entry.ts";
import { encodeKeyValue, KeyValueScan, withoutValue } from "./hot-kv.ts";
import {
  encodeEvent,
  encodeRangeResponse,
  encodeWatchResponse,
  rangeResponsePieces,
} from "./hot-responses.ts";
import { drawMessage, plainOf } from "./random-message.ts";
import type { Event, KeyValue, OutgoingTxnResponse, PutRequest, ResponseHeader, TxnRequest } from "./rpc.ts";
import { SharedRange } from "./shared-range.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

function drawBytes(random: Random): Uint8Array {
  return Uint8Array.from({ length: random.below(4) * random.below(80) }, () => random.below(256));
}

function drawCount(random: Random): number {
  return random.below(3) === 0 ? 0 : random.bits32() * 2 ** random.below(20);
}

function drawId(random: Random): bigint {
  return random.below(3) === 0 ? 0n : (BigInt(random.bits32()) << 32n) | BigInt(random.bits32());
}

function halvesOf(id: bigint): { readonly idLow: number; readonly idHigh: number } {
  return { idLow: Number(BigInt.asUintN(32, id)), idHigh: Number(id >> 32n) };
}

function drawKeyValue(random: Random): KeyValue {
  return {
    key: drawBytes(random),
    createRevision: drawCount(random),
    modRevision: drawCount(random),
    version: drawCount(random),
    value: drawBytes(random),
    lease: leaseId(BigInt.asIntN(64, drawId(random))),
  };
}

function drawHeader(random: Random): ResponseHeader {
  return {
    clusterId: drawId(random),
    memberId: nodeId(drawId(random)),
    revision: drawCount(random),
    raftTerm: drawCount(random),
  };
}

function drawEvent(random: Random): Event {
  return {
    type: random.below(2),
    kv: random.below(4) === 0 ? undefined : drawKeyValue(random),
    prevKv: random.below(2) === 0 ? undefined : drawKeyValue(random),
  };
}

function drawList<T>(random: Random, draw: (random: Random) => T): T[] {
  return Array.from({ length: random.below(5) }, () => draw(random));
}

function rounds(seed: number, body: (random: Random) => void): void {
  const random = new SeededRandom(seed);
  for (let round = 0; round < 300; round++) body(random);
}

test("a key value has the bytes of the generic codec, and a scan finds its fields", () => {
  rounds(1, (random) => {
    const kv = drawKeyValue(random);
    const bytes = encodeKeyValue(kv);
    assert.equal(hex(bytes), hex(genericCodecs.KeyValue.encode(kv)));
    const { key, createRevision, modRevision, version, value, lease } = new KeyValueScan(bytes);
    assert.deepEqual({ key, createRevision, modRevision, version, value, lease }, kv);
  });
});

test("a scan copies nothing", () => {
  const bytes = encodeKeyValue(codecs.KeyValue.create({ key: utf8("key"), value: utf8("value") }));
  const scan = new KeyValueScan(bytes);
  assert.equal(scan.key.buffer, bytes.buffer);
  assert.equal(scan.value.buffer, bytes.buffer);
  assert.deepEqual(bytes.subarray(scan.valueStart, scan.valueEnd), utf8("value"));
});

test("dropping the value keeps every other field", () => {
  rounds(2, (random) => {
    const kv = drawKeyValue(random);
    const bare = genericCodecs.KeyValue.encode({ ...kv, value: emptyBytes });
    assert.equal(hex(withoutValue(encodeKeyValue(kv))), hex(bare));
  });
});

test("a range spliced from stored bytes equals one encoded from values", () => {
  rounds(3, (random) => {
    const kvs = drawList(random, drawKeyValue);
    const header = random.below(8) === 0 ? undefined : drawHeader(random);
    const response = { header, kvs, more: random.below(2) === 1, count: drawCount(random) };
    const expected = hex(genericCodecs.RangeResponse.encode(response));
    const stored = { ...response, kvs: kvs.map(encodeKeyValue) };
    assert.equal(hex(encodeRangeResponse(response)), expected);
    assert.equal(hex(encodeRangeResponse(stored)), expected);
    const part = hex(genericCodecs.RangeStreamResponse.encode({ rangeResponse: response }));
    assert.equal(hex(codecs.RangeStreamResponse.encode({ rangeResponse: stored })), part);
    assert.equal(
      hex(codecs.RangeStreamResponse.encode({ rangeResponse: encodeRangeResponse(stored) })),
      part,
    );
  });
});

test("a shared range is encoded once, in pieces that are the answer of every call but for its header", () => {
  const random = new SeededRandom(10);
  for (const keys of [3000, 9000, 0]) {
    const kvs = Array.from({ length: keys }, () =>
      encodeKeyValue({ ...drawKeyValue(random), value: new Uint8Array(1000) }),
    );
    const shared = new SharedRange(kvs, keys > 0, 7000);
    const answers = [1, 2].map(() => {
      const header = drawHeader(random);
      const expected = encodeRangeResponse({ header, kvs, more: keys > 0, count: 7000 });
      assert.ok(Buffer.from(encodeRangeResponse({ header, shared })).equals(expected));
      const { encoding } = codecs.RangeResponse;
      const target = Buffer.alloc(encoding?.size({ header, shared } as never) ?? 0);
      assert.equal(encoding?.writeTo(target, 0, { header, shared } as never), expected.length);
      assert.ok(target.equals(expected));
      const parts: Uint8Array[] = [];
      const pieces = rangeResponsePieces({ header, shared });
      for (let part = pieces?.next(); part !== undefined; part = pieces?.next()) parts.push(part);
      if (keys === 0) assert.equal(pieces, undefined);
      else {
        assert.equal(pieces?.size, expected.length);
        assert.ok(Buffer.concat(parts).equals(expected));
        assert.ok(Math.max(...parts.map((part) => part.length)) < 200_000);
      }
      return parts;
    });
    // The first part holds the header.
    const [one, two] = answers.map((parts) => parts.slice(1, -1));
    assert.ok(
      one?.every((part, i) => part === two?.[i]),
      "pieces are shared, also those that nobody keeps",
    );
  }
});

test("a watch response spliced from events encoded once equals one encoded from values", () => {
  rounds(4, (random) => {
    const events = drawList(random, drawEvent);
    const response = {
      header: drawHeader(random),
      watchId: BigInt.asIntN(64, drawId(random)),
      created: random.below(2) === 1,
      canceled: random.below(2) === 1,
      compactRevision: drawCount(random),
      cancelReason: ["", "etcdserver: mvcc", "grün"][random.below(3)] as string,
      fragment: random.below(2) === 1,
      events,
    };
    const expected = hex(genericCodecs.WatchResponse.encode(response));
    assert.equal(hex(encodeWatchResponse(response)), expected);
    assert.equal(hex(encodeWatchResponse({ ...response, events: events.map(encodeEvent) })), expected);
  });
});

test("an event spliced from stored bytes equals one encoded from values", () => {
  rounds(5, (random) => {
    const event = drawEvent(random);
    const spliced = {
      type: event.type,
      kv: event.kv === undefined ? undefined : encodeKeyValue(event.kv),
      prevKv: event.prevKv === undefined ? undefined : encodeKeyValue(event.prevKv),
    };
    assert.equal(hex(encodeEvent(spliced)), hex(genericCodecs.Event.encode(event)));
  });
});

test("a put's answer has the bytes of the generic codec", () => {
  rounds(6, (random) => {
    const prevKv = random.below(2) === 0 ? undefined : drawKeyValue(random);
    const response = { header: drawHeader(random), prevKv };
    const expected = hex(genericCodecs.PutResponse.encode(response));
    assert.equal(hex(codecs.PutResponse.encode(response)), expected);
    const header = genericCodecs.ResponseHeader.encode(response.header);
    const stored = prevKv === undefined ? undefined : encodeKeyValue(prevKv);
    assert.equal(hex(codecs.PutResponse.encode({ header, prevKv: stored })), expected);
  });
});

test("a keepalive's answer has the bytes of the generic codec", () => {
  rounds(6, (random) => {
    const [header, ID, TTL] = [
      drawHeader(random),
      leaseId(BigInt.asIntN(64, drawId(random))),
      drawCount(random),
    ];
    for (const response of [
      { header, ID, TTL },
      { header: undefined, ID, TTL: -TTL },
      { header: genericCodecs.ResponseHeader.encode(header), ID, TTL },
    ]) {
      const expected = hex(genericCodecs.LeaseKeepAliveResponse.encode(response));
      assert.equal(hex(codecs.LeaseKeepAliveResponse.encode(response)), expected);
    }
  });
});

function readsAsPut(entry: Uint8Array): boolean {
  try {
    return decodeHotEntry(entry) !== undefined;
  } catch (error) {
    assert.ok(error instanceof WireError);
    return false;
  }
}

test("an entry that holds more than a put and a request id is left to the generic codec", () => {
  const { InternalRaftRequest } = genericCodecs;
  const put = codecs.PutRequest.create({ key: utf8("k") });
  const header = { ID: 7n, username: "", authRevision: 0 };
  const others = [
    { header: { ...header, username: "root" }, put },
    { header: { ...header, authRevision: 3 }, put },
    { header, put, leaseRevoke: { ID: leaseId(3n) } },
    { header, deleteRange: genericCodecs.DeleteRangeRequest.create({ key: utf8("k") }) },
    { put },
    { header },
    {},
  ];
  for (const fields of others) {
    const entry = InternalRaftRequest.encode(InternalRaftRequest.create(fields));
    assert.equal(decodeHotEntry(entry), undefined, hex(entry));
  }
  const plain = encodePutEntry({ idLow: 7, idHigh: 0, put });
  assert.equal(decodeHotEntry(Uint8Array.of(...plain, 0xc0, 0x3e, 1)), undefined, "an unknown field behind");
  for (let cut = 0; cut < plain.length; cut++) {
    assert.ok(!readsAsPut(plain.subarray(0, cut)), `the first ${cut} bytes`);
  }
});

test("a transaction's log entry has the bytes of the generic codec", () => {
  rounds(8, (random) => {
    const drawn = drawMessage(TxnRequestSchema as unknown as DescMessage, random, { onlySafe: true });
    const txn = plainOf(TxnRequestSchema as unknown as DescMessage, drawn) as unknown as TxnRequest;
    const header = { ID: drawId(random), username: "", authRevision: 0 };
    const expected = genericCodecs.InternalRaftRequest.encode(
      genericCodecs.InternalRaftRequest.create({ header, txn }),
    );
    const entry = encodeTxnEntry({ ...halvesOf(header.ID), txn });
    assert.equal(hex(entry), hex(expected));
    assert.deepEqual(decodeHotEntry(entry), { ...halvesOf(header.ID), txn });
  });
});

test("a transaction's answer spliced from stored bytes equals one encoded from values", () => {
  rounds(9, (random) => {
    const kvs = drawList(random, drawKeyValue);
    const answer = (stored: boolean): OutgoingTxnResponse => {
      const all = stored ? kvs.map(encodeKeyValue) : kvs;
      const inner = { clusterId: 0n, memberId: nodeId(0n), revision: 7, raftTerm: 0 };
      return {
        header: undefined,
        succeeded: true,
        responses: [
          { response: { case: "responseRange", value: { header: inner, kvs: all, more: false, count: 3 } } },
          { response: { case: "responsePut", value: { header: inner, prevKv: all[0] } } },
          { response: { case: "responseDeleteRange", value: { header: inner, deleted: 2, prevKvs: all } } },
          { response: { case: "responseTxn", value: { header: inner, succeeded: false, responses: [] } } },
          { response: undefined },
        ],
      };
    };
    const expected = hex(genericCodecs.TxnResponse.encode(answer(false)));
    assert.equal(hex(codecs.TxnResponse.encode(answer(false))), expected);
    assert.equal(hex(codecs.TxnResponse.encode(answer(true))), expected);
  });
});

test("a put's log entry has the bytes of the generic codec", () => {
  rounds(7, (random) => {
    const put: PutRequest = {
      key: drawBytes(random),
      value: drawBytes(random),
      lease: leaseId(BigInt.asIntN(64, drawId(random))),
      prevKv: random.below(2) === 1,
      ignoreValue: random.below(2) === 1,
      ignoreLease: random.below(2) === 1,
    };
    const header = { ID: drawId(random), username: "", authRevision: 0 };
    const expected = genericCodecs.InternalRaftRequest.encode(
      genericCodecs.InternalRaftRequest.create({ header, put }),
    );
    const entry = encodePutEntry({ ...halvesOf(header.ID), put });
    assert.equal(hex(entry), hex(expected));
    assert.deepEqual(decodeHotEntry(entry), { ...halvesOf(header.ID), put });
    assert.equal(hex(codecs.PutRequest.encode(put)), hex(genericCodecs.PutRequest.encode(put)));
  });
});
