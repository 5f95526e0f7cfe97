import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../lib/random.ts";
import * as int64 from "./int64.ts";

const safe = BigInt(Number.MAX_SAFE_INTEGER);

/** Values around every power of two, both signs, that fit into an int64. */
const samples: bigint[] = [];
for (let bit = 0n; bit < 64n; bit++) {
  for (const near of [-1n, 0n, 1n]) {
    const value = (1n << bit) + near;
    for (const signed of [value, -value]) if (BigInt.asIntN(64, signed) === signed) samples.push(signed);
  }
}

function halves(value: bigint): [low: number, high: number] {
  const bits = BigInt.asUintN(64, value);
  return [Number(bits & 0xffff_ffffn), Number(bits >> 32n)];
}

function varint(value: bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
}

test("an inbound integer is exact inside the safe range and saturates outside", () => {
  for (const value of samples) {
    const bounded = value > safe ? safe : value < -safe ? -safe : value;
    assert.equal(int64.saturatedInt64(...halves(value)), Number(bounded), `${value}`);
    const unsigned = BigInt.asUintN(64, value);
    assert.equal(
      int64.saturatedUint64(...halves(value)),
      Number(unsigned > safe ? safe : unsigned),
      `${unsigned}`,
    );
  }
});

test("an id keeps all 64 bits", () => {
  for (const value of samples) {
    assert.equal(int64.bigInt64(...halves(value)), value);
    assert.equal(int64.bigUint64(...halves(value)), BigInt.asUintN(64, value));
  }
});

test("numbers and ids are written as the varint of their two's complement", () => {
  const target = new Uint8Array(16);
  for (const value of samples) {
    const expected = varint(value);
    assert.equal(int64.bigintSize(value), expected.length, `${value}`);
    const end = int64.writeBigint(target, 3, value);
    assert.deepEqual([...target.subarray(3, end)], expected, `${value}`);
    if (value >= safe || value <= -safe) continue;
    assert.equal(int64.numberSize(Number(value)), expected.length, `${value}`);
    const numberEnd = int64.writeNumber(target, 1, Number(value));
    assert.deepEqual([...target.subarray(1, numberEnd)], expected, `${value}`);
  }
});

test("a saturated number goes out as the bound of int64 that a client may have sent", () => {
  const target = new Uint8Array(16);
  for (const [bound, sent] of [
    [Number.MAX_SAFE_INTEGER, 2n ** 63n - 1n],
    [Number.MIN_SAFE_INTEGER, -(2n ** 63n)],
  ] as const) {
    assert.equal(int64.saturatedInt64(...halves(sent)), bound);
    assert.equal(int64.numberSize(bound), varint(sent).length);
    assert.deepEqual([...target.subarray(0, int64.writeNumber(target, 0, bound))], varint(sent));
  }
});

test("random numbers survive both halves", () => {
  const random = new SeededRandom(7);
  for (let i = 0; i < 1_000; i++) {
    const magnitude = random.bits32() * 2 ** random.below(21);
    const value = random.below(2) === 0 ? magnitude : -magnitude;
    assert.equal(int64.saturatedInt64(int64.lowHalf(value), int64.highHalf(value)), value);
  }
});

test("an unsafe number is a bug, not a message", () => {
  assert.throws(() => int64.writeNumber(new Uint8Array(16), 0, 2 ** 53), { name: "AssertionFailure" });
  assert.throws(() => int64.writeNumber(new Uint8Array(16), 0, 0.5), { name: "AssertionFailure" });
});
