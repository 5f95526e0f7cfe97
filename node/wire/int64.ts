// The only place where 64-bit wire integers become numbers and back.
//
// What the cluster counts is a `number`. Inbound values beyond +-MAX_SAFE_INTEGER saturate: no stored value
// ever equals the bound, so every comparison with a client's integer keeps its exact answer. Outbound, a
// number is split into two 32-bit halves, and no bigint is made; the saturation bounds go out as the bounds of
// int64, so that a client that sent one gets it back. Ids are bigints and pass untouched.

import { assert } from "../lib/assert.ts";

const two32 = 0x1_0000_0000;
/** The upper half of MAX_SAFE_INTEGER + 1. */
const unsafeHigh = 0x20_0000;

/** The lower 32 bits of a safe integer in two's complement; a saturated one goes out as the bound of int64. */
export function lowHalf(value: number): number {
  return value === Number.MIN_SAFE_INTEGER ? 0 : value >>> 0;
}

/** The upper 32 bits of a safe integer in two's complement, unsigned; of a saturated one as for `lowHalf`. */
export function highHalf(value: number): number {
  if (value === Number.MAX_SAFE_INTEGER) return 0x7fff_ffff;
  return value === Number.MIN_SAFE_INTEGER ? 0x8000_0000 : Math.floor(value / two32) >>> 0;
}

/** int64 from its unsigned halves, saturating at +-MAX_SAFE_INTEGER. */
export function saturatedInt64(low: number, high: number): number {
  const signedHigh = high | 0;
  if (signedHigh >= unsafeHigh) return Number.MAX_SAFE_INTEGER;
  // -2^53 itself is one below the bound, so the lowest exact value is -2^53 + 1.
  if (signedHigh < -unsafeHigh || (signedHigh === -unsafeHigh && low === 0)) return Number.MIN_SAFE_INTEGER;
  return signedHigh * two32 + low;
}

/** uint64 from its unsigned halves, saturating at MAX_SAFE_INTEGER. */
export function saturatedUint64(low: number, high: number): number {
  return high >= unsafeHigh ? Number.MAX_SAFE_INTEGER : high * two32 + low;
}

/** int64 from its unsigned halves, exact. */
export function bigInt64(low: number, high: number): bigint {
  return high === 0 ? BigInt(low) : (BigInt(high | 0) << 32n) | BigInt(low);
}

/** uint64 from its unsigned halves, exact. */
export function bigUint64(low: number, high: number): bigint {
  return high === 0 ? BigInt(low) : (BigInt(high) << 32n) | BigInt(low);
}

/** Bytes a varint of the two halves takes. */
export function varintSize(low: number, high: number): number {
  if (high === 0) {
    if (low < 0x80) return 1;
    if (low < 0x4000) return 2;
    if (low < 0x20_0000) return 3;
    return low < 0x1000_0000 ? 4 : 5;
  }
  if (high < 0x8) return 5;
  if (high < 0x400) return 6;
  if (high < 0x2_0000) return 7;
  if (high < 0x100_0000) return 8;
  return high < 0x8000_0000 ? 9 : 10;
}

/** Bytes a varint of a safe integer takes; a negative one takes 10. */
export function numberSize(value: number): number {
  return varintSize(lowHalf(value), highHalf(value));
}

/** Bytes a varint of a 64-bit id takes. */
export function bigintSize(value: bigint): number {
  const bits = BigInt.asUintN(64, value);
  return varintSize(Number(bits & 0xffff_ffffn), Number(bits >> 32n));
}

/** Writes the varint of the two halves at `offset` and returns the offset after it. */
export function writeVarint(target: Uint8Array, offset: number, low: number, high: number): number {
  let at = offset;
  let rest = low;
  let upper = high;
  while (upper !== 0) {
    target[at++] = (rest & 0x7f) | 0x80;
    rest = ((rest >>> 7) | (upper << 25)) >>> 0;
    upper >>>= 7;
  }
  while (rest >= 0x80) {
    target[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  target[at++] = rest;
  return at;
}

/** Writes a safe integer as a varint and returns the offset after it. */
export function writeNumber(target: Uint8Array, offset: number, value: number): number {
  if ((value & 0x7f) === value) {
    target[offset] = value;
    return offset + 1;
  }
  assert(Number.isSafeInteger(value), "a wire integer is a safe integer", { value });
  return writeVarint(target, offset, lowHalf(value), highHalf(value));
}

/** Writes a 64-bit id as a varint and returns the offset after it. */
export function writeBigint(target: Uint8Array, offset: number, value: bigint): number {
  const bits = BigInt.asUintN(64, value);
  return writeVarint(target, offset, Number(bits & 0xffff_ffffn), Number(bits >> 32n));
}
