import assert from "node:assert/strict";
import { test } from "node:test";
import { type DescMessage, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { utf8 } from "../lib/bytes.ts";
import { SeededRandom } from "../lib/random.ts";
import { nestingLevelsMax, onePiece, type Pieces } from "./codec.ts";
import { codecs } from "./codecs.ts";
import { rangeResponsePieces } from "./hot-responses.ts";
import { jsonMessageOf } from "./json-fields.ts";
import { protobufOf } from "./json-request.ts";
import { JsonText } from "./json-response.ts";
import { JsonError } from "./json-scanner.ts";
import { drawMessage } from "./random-message.ts";
import { methods, services } from "./services.ts";
import { SharedRange } from "./shared-range.ts";

const types = [...new Set(methods.flatMap(({ requestType, responseType }) => [requestType, responseType]))];
const rounds = 40;

function jsonOf(type: DescMessage, bytes: Uint8Array, options = {}): string {
  const text = new JsonText(jsonMessageOf(type), onePiece(bytes), options);
  const pieces: Uint8Array[] = [];
  for (let piece = text.next(); piece !== undefined; piece = text.next()) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

function forEachDrawn(run: (type: DescMessage, bytes: Uint8Array) => void): void {
  const random = new SeededRandom(7);
  for (const type of types) {
    for (let round = 0; round < rounds; round++) {
      run(type, toBinary(type, drawMessage(type, random, { onlySafe: false }) as never));
    }
  }
}

test("every message goes out as the JSON that protobuf-es makes of it, in the order of its fields", () => {
  forEachDrawn((type, bytes) => {
    const expected = toJson(type, fromBinary(type, bytes), { useProtoFieldName: true });
    const json = jsonOf(type, bytes);
    assert.equal(json, JSON.stringify(expected), type.typeName);
  });
});

test("every message comes back from its JSON in either spelling as it was", () => {
  forEachDrawn((type, bytes) => {
    const original = fromBinary(type, bytes);
    for (const useProtoFieldName of [true, false]) {
      const json = JSON.stringify(toJson(type, original, { useProtoFieldName }), null, 1);
      const read = fromBinary(type, protobufOf(jsonMessageOf(type), utf8(json)));
      assert.deepEqual(read, original, `${type.typeName}: ${json}`);
    }
  });
});

test("texts are escaped, and within a Go map for HTML as well", () => {
  const { requestType } = services.maintenance.downgrade;
  const version = `<a&b>"\\\u2028\u0001é`;
  const bytes = codecs.DowngradeRequest.encode(codecs.DowngradeRequest.create({ version }));
  assert.equal(jsonOf(requestType, bytes), `{"version":"<a&b>\\"\\\\\u2028\\u0001é"}`);
  assert.equal(
    jsonOf(requestType, bytes, { prefix: `{"result":`, suffix: "}\n", isHtmlSafe: true }),
    `{"result":{"version":"\\u003ca\\u0026b\\u003e\\"\\\\\\u2028\\u0001é"}}\n`,
  );
});

test("a large message comes in pieces", () => {
  const value = new Uint8Array(10_000).fill(7);
  const kv = codecs.KeyValue.encode(codecs.KeyValue.create({ key: Uint8Array.of(1), value }));
  const bytes = codecs.RangeResponse.encode({
    ...codecs.RangeResponse.create(),
    kvs: Array.from({ length: 100 }, () => kv),
  });
  const text = new JsonText(jsonMessageOf(services.kv.range.responseType), onePiece(bytes));
  const sizes: number[] = [];
  for (let piece = text.next(); piece !== undefined; piece = text.next()) sizes.push(piece.length);
  assert.ok(sizes.length > 10 && Math.max(...sizes) < 100_000, `${sizes}`);
  assert.equal(JSON.parse(jsonOf(services.kv.range.responseType, bytes)).kvs.length, 100);
});

test("a message that is there in pieces goes out as the same text", () => {
  const kvs = Array.from({ length: 500 }, (_, i) =>
    codecs.KeyValue.encode(codecs.KeyValue.create({ key: Uint8Array.of(i), value: new Uint8Array(1000) })),
  );
  const header = codecs.ResponseHeader.create({ revision: 7 });
  const pieces = rangeResponsePieces({ header, shared: new SharedRange(kvs, true, 900) }) as Pieces;
  const text = new JsonText(jsonMessageOf(services.kv.range.responseType), pieces);
  let json = "";
  for (let piece = text.next(); piece !== undefined; piece = text.next()) json += Buffer.from(piece);
  const whole = codecs.RangeResponse.encode({ header, kvs, more: true, count: 900 });
  assert.equal(json, jsonOf(services.kv.range.responseType, whole));
});

const rangeType = jsonMessageOf(services.kv.range.requestType);

function range(json: string) {
  return codecs.RangeRequest.decode(protobufOf(rangeType, utf8(json)));
}

function problemOf(json: string | Uint8Array, type = rangeType): string {
  try {
    protobufOf(type, typeof json === "string" ? utf8(json) : json);
    return "none";
  } catch (error) {
    assert.ok(error instanceof JsonError, String(error));
    return error.message;
  }
}

test("integers are numbers or strings, with point and exponent too while they are integers", () => {
  for (const text of ["10", `"10"`, "10.0", "1e1", "1E+1", `"0.1e2"`, "1000e-2", `"10 x"`]) {
    assert.equal(range(`{"limit":${text}}`).limit, 10, text);
  }
  for (const text of ["0", "-0", "0.00e5", `"0"`, "0e99999999999", "null"]) {
    assert.equal(range(`{"limit":${text}}`).limit, 0, text);
  }
  for (const text of [
    "1.5",
    `"abc"`,
    `""`,
    `" 1"`,
    `"1 "`,
    `"1x"`,
    "1e30",
    "15e-1",
    "true",
    "9223372036854775808",
  ]) {
    assert.match(
      problemOf(`{"limit":${text}}`),
      /^proto: \(line 1:10\): invalid value for int64 field limit: /,
      text,
    );
  }
  assert.equal(range(`{"limit":9223372036854775807}`).limit, Number.MAX_SAFE_INTEGER);
  assert.equal(range(`{"limit":"-9223372036854775808"}`).limit, Number.MIN_SAFE_INTEGER);
});

test("bytes are base64 of either alphabet, padded or not", () => {
  for (const text of ["+/8=", "+/8", "-_8=", "-_8", "\\u002b/8="]) {
    assert.deepEqual([...range(`{"key":"${text}"}`).key], [0xfb, 0xff], text);
  }
  for (const text of ["%", "+_8=", "+/8==", "+/8=x", "A", "Zm9vY", "Zm=v", "=", "é"]) {
    const raw = JSON.stringify(text);
    assert.equal(problemOf(`{"key":${raw}}`), `proto: (line 1:8): invalid value for bytes field key: ${raw}`);
  }
});

test("enums are names or numbers, and a name that nobody knows is nothing", () => {
  assert.equal(range(`{"sort_order":"DESCEND"}`).sortOrder, 2);
  assert.equal(range(`{"sortOrder":17}`).sortOrder, 17);
  assert.equal(range(`{"sort_order":"BOGUS"}`).sortOrder, 0);
  assert.match(problemOf(`{"sort_order":2147483648}`), /enum field sortOrder: 2147483648/);
});

test("what is unknown or null is nothing, names of Object.prototype too", () => {
  const json = `{"__proto__":{"limit":1},"constructor":[{},"\\ud83d\\ude00",null,-1],"toString":"]}","key":null,"limit":3}`;
  assert.deepEqual(range(json), codecs.RangeRequest.create({ limit: 3 }));
});

test("a field comes once, and one of a oneof", () => {
  assert.equal(problemOf(`{"limit":1,\n "limit":2}`), `proto: (line 2:2): duplicate field "limit"`);
  assert.match(problemOf(`{"range_end":"","rangeEnd":""}`), /duplicate field "rangeEnd"/);
  assert.equal(
    problemOf(`{"compare":[{"version":1,"é":2,"value":""}]}`, jsonMessageOf(services.kv.txn.requestType)),
    `proto: (line 1:32): error parsing "value", oneof etcdserverpb.Compare.target_union is already set`,
  );
});

test("what is no message where one belongs, and text that is no Unicode, is a syntax error", () => {
  const txn = jsonMessageOf(services.kv.txn.requestType);
  assert.equal(problemOf("[1]"), "proto: syntax error (line 1:1): unexpected token [");
  assert.equal(problemOf(`{"compare":"a"}`, txn), `proto: syntax error (line 1:12): unexpected token "a"`);
  assert.equal(
    problemOf(`{"compare":[null]}`, txn),
    "proto: syntax error (line 1:13): unexpected token null",
  );
  const bad = Buffer.from(`{"bogus":"\xff"}`, "latin1");
  assert.equal(problemOf(bad), "proto: syntax error (line 1:10): invalid UTF-8 in string");
  assert.equal(problemOf(`{"key":"\\ud800"}`), "proto: unexpected EOF");
  assert.equal(
    problemOf(`{"key":"\\ud800\\u0041"}`),
    `proto: syntax error (line 1:8): invalid escape code "\\\\u0041" in string`,
  );
});

test("messages within messages are bounded", () => {
  const txn = jsonMessageOf(services.kv.txn.requestType);
  const nested = (levels: number): string => {
    const open = `{"success":[{"request_txn":`.repeat(levels / 2);
    return `${open}{}${"}]}".repeat(levels / 2)}`;
  };
  assert.equal(problemOf(nested(nestingLevelsMax), txn), "none");
  assert.equal(problemOf(nested(nestingLevelsMax + 2), txn), "proto: exceeded max recursion depth");
  assert.equal(problemOf(`{"bogus":${"[".repeat(9_000)}${"]".repeat(9_000)}}`), "none");
});
