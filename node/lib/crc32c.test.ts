import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "./bytes.ts";
import { copyWithCrc32c, joinCrc32c, updateCrc32c } from "./crc32c.ts";
import { SeededRandom } from "./random.ts";

function bitByBit(crc: number, bytes: Uint8Array): number {
  let c = ~crc >>> 0;
  for (const byte of bytes) {
    c ^= byte;
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  }
  return ~c >>> 0;
}

test("the check values of RFC 3720 and of the CRC catalogue come out", () => {
  const ascending = Uint8Array.from({ length: 32 }, (_, i) => i);
  assert.equal(updateCrc32c(0, utf8("123456789")), 0xe3069283);
  assert.equal(updateCrc32c(0, new Uint8Array(32)), 0x8a9136aa);
  assert.equal(updateCrc32c(0, new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(updateCrc32c(0, ascending), 0x46dd794e);
  assert.equal(updateCrc32c(0, ascending.toReversed()), 0x113fdb5c);
});

test("any bytes cut anywhere give the value of the bitwise definition", () => {
  const random = new SeededRandom(7);
  for (let round = 0; round < 500; round++) {
    const bytes = Uint8Array.from({ length: random.below(100) }, () => random.below(256));
    const seed = random.bits32();
    const cut = random.below(bytes.length + 1);
    const expected = bitByBit(seed, bytes);
    assert.equal(updateCrc32c(seed, bytes), expected);
    assert.equal(updateCrc32c(updateCrc32c(seed, bytes.subarray(0, cut)), bytes, cut), expected);
  }
});

test("a copy with its value is a copy, from anywhere to anywhere, and touches nothing else", () => {
  const random = new SeededRandom(9);
  for (let round = 0; round < 500; round++) {
    const source = Uint8Array.from({ length: 120 }, () => random.below(256));
    const start = random.below(20);
    const end = start + random.below(100);
    const offset = random.below(20);
    const target = new Uint8Array(140).fill(0xee);
    const expected = target.slice();
    expected.set(source.subarray(start, end), offset);
    const seed = random.bits32();
    const crc = copyWithCrc32c(
      seed,
      new DataView(source.buffer),
      start,
      end,
      new DataView(target.buffer),
      offset,
    );
    assert.equal(crc, bitByBit(seed, source.subarray(start, end)));
    assert.deepEqual(target, expected);
  }
});

test("no bytes leave the running value as it is", () => {
  assert.equal(updateCrc32c(0xdeadbeef, new Uint8Array(0)), 0xdeadbeef);
});

test("the values of two parts join to the value of the whole", () => {
  const random = new SeededRandom(8);
  for (const length of [0, 1, 2, 9, 1000, 70_001]) {
    const bytes = Uint8Array.from({ length }, () => random.below(256));
    const cut = random.below(length + 1);
    const joined = joinCrc32c(updateCrc32c(0, bytes, 0, cut), updateCrc32c(0, bytes, cut), length - cut);
    assert.equal(joined, updateCrc32c(0, bytes));
  }
});
