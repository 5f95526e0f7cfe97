// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78).
// `updateCrc32c` continues a running value, so a chain over pieces equals one pass over the whole:
// updateCrc32c(updateCrc32c(0, a), b) = updateCrc32c(0, ab). It is the update function of Go's hash/crc32.

import { copyWithCrc, crcTables, updateCrc } from "./crc-tables.ts";

const tables = crcTables(0x82f63b78);

/** The running CRC-32C after `bytes`; `crc` is the value so far, 0 at the start. Unsigned 32 bits. Hot. */
export function updateCrc32c(crc: number, bytes: Uint8Array, start = 0, end: number = bytes.length): number {
  return updateCrc(tables, crc, bytes, start, end);
}

/** Copies the bytes from `start` to `end` of the source to `offset` of the target. Returns the running CRC-32C after them. */
export function copyWithCrc32c(
  crc: number,
  source: DataView,
  start: number,
  end: number,
  target: DataView,
  offset: number,
): number {
  return copyWithCrc(tables, crc, source, start, end, target, offset);
}

/** The CRC-32C of two byte strings one after the other, from the CRC-32C of each and the second one's length. */
export function joinCrc32c(first: number, second: number, secondBytes: number): number {
  // Appending a zero byte multiplies the checksum's polynomial by x^8, so the first moves up by x^(8 * length).
  let factor = reflectedOne;
  let square = reflectedByte;
  for (let rest = secondBytes; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) factor = multiplied(factor, square);
    square = multiplied(square, square);
  }
  return (multiplied(first, factor) ^ second) >>> 0;
}

/** The polynomials 1 and x^8: reflected, the top bit is the constant term. */
const reflectedOne = 0x8000_0000;
const reflectedByte = 0x0080_0000;

/** The product of two reflected polynomials modulo the CRC's. */
function multiplied(a: number, b: number): number {
  let product = 0;
  let shifted = b;
  for (let bit = 31; bit >= 0; bit--) {
    if ((a >>> bit) & 1) product ^= shifted;
    shifted = shifted & 1 ? (shifted >>> 1) ^ 0x82f6_3b78 : shifted >>> 1;
  }
  return product >>> 0;
}
