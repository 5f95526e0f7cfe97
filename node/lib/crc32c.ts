// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), eight bytes a step through eight tables.
// `updateCrc32c` continues a running value, so a chain over pieces equals one pass over the whole:
// updateCrc32c(updateCrc32c(0, a), b) = updateCrc32c(0, ab). It is the update function of Go's hash/crc32.

const tables = buildTables();

/** The running CRC-32C after `bytes`; `crc` is the value so far, 0 at the start. Unsigned 32 bits. Hot. */
export function updateCrc32c(crc: number, bytes: Uint8Array, start = 0, end: number = bytes.length): number {
  const table = tables;
  let c = ~crc;
  let i = start;
  for (const wordsEnd = end - 7; i < wordsEnd; i += 8) {
    c ^=
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24);
    c =
      (table[0x700 | (c & 0xff)] as number) ^
      (table[0x600 | ((c >>> 8) & 0xff)] as number) ^
      (table[0x500 | ((c >>> 16) & 0xff)] as number) ^
      (table[0x400 | (c >>> 24)] as number) ^
      (table[0x300 | (bytes[i + 4] as number)] as number) ^
      (table[0x200 | (bytes[i + 5] as number)] as number) ^
      (table[0x100 | (bytes[i + 6] as number)] as number) ^
      (table[bytes[i + 7] as number] as number);
  }
  for (; i < end; i++) c = (table[(c ^ (bytes[i] as number)) & 0xff] as number) ^ (c >>> 8);
  return ~c >>> 0;
}

/** Table k at [k << 8, (k + 1) << 8) advances a byte over k further zero bytes. */
function buildTables(): Int32Array {
  const table = new Int32Array(8 * 256);
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
    table[n] = c;
  }
  for (let i = 256; i < table.length; i++) {
    const previous = table[i - 256] as number;
    table[i] = (table[previous & 0xff] as number) ^ (previous >>> 8);
  }
  return table;
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
