// HPACK's Huffman code (RFC 7541, appendix B). The code is canonical, so the lengths say everything: codes of one
// length count up in the order of their symbols.

import { ConnectionError, ErrorCode } from "./protocol.ts";

/** The length in bits of the code of each byte, and last of the end marker. */
const lengths = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28,
  28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7,
  8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19,
  13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13,
  28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21,
  22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23,
  22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25,
  25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const endMarker = 256;
const lengthMax = 30;

/** For each length: its first code, and where its symbols begin in `symbols`. */
const firstCode = new Int32Array(lengthMax + 2);
const firstSymbol = new Int32Array(lengthMax + 2);
const symbolCounts = new Int32Array(lengthMax + 2);
const symbols = new Int32Array(lengths.length);
/** For codes of up to eight bits: by the next eight bits, symbol * 16 + length; zero for longer codes. */
const shortCodes = new Int32Array(256);

buildTables();

function buildTables(): void {
  for (const length of lengths) symbolCounts[length] = (symbolCounts[length] as number) + 1;
  let code = 0;
  let position = 0;
  for (let length = 1; length <= lengthMax; length++) {
    firstCode[length] = code;
    firstSymbol[length] = position;
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      if (lengths[symbol] !== length) continue;
      symbols[position++] = symbol;
      if (length <= 8) {
        const first = code << (8 - length);
        shortCodes.fill(symbol * 16 + length, first, first + (1 << (8 - length)));
      }
      code += 1;
    }
    code <<= 1;
  }
}

/** The text of coded bytes, one character a byte. Throws ConnectionError. */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  let bit = start * 8;
  const endBit = end * 8;
  while (endBit - bit >= 8) {
    const at = bit >>> 3;
    const pair = ((bytes[at] as number) << 8) | (at + 1 < end ? (bytes[at + 1] as number) : 0);
    const short = shortCodes[(pair >>> (8 - (bit & 7))) & 0xff] as number;
    if (short !== 0) {
      text += String.fromCharCode(short >>> 4);
      bit += short & 15;
      continue;
    }
    const length = longCodeLength(bytes, bit, endBit);
    if (length === 0) break;
    text += String.fromCharCode(symbolAt(bytes, bit, length));
    bit += length;
  }
  // What is left is codes of less than a byte, then padding: less than a byte of it, and all ones.
  while (bit < endBit) {
    const length = longCodeLength(bytes, bit, endBit);
    if (length === 0) break;
    text += String.fromCharCode(symbolAt(bytes, bit, length));
    bit += length;
  }
  if (endBit - bit >= 8) throw badCode("ends in the middle of a code");
  for (; bit < endBit; bit++) if (bitAt(bytes, bit) === 0) throw badCode("ends in wrong padding");
  return text;
}

/** The length of the code that begins at this bit; zero when it does not end before `endBit`. */
function longCodeLength(bytes: Uint8Array, bit: number, endBit: number): number {
  let code = 0;
  for (let length = 1; bit + length <= endBit; length++) {
    code = (code << 1) | bitAt(bytes, bit + length - 1);
    if (code - (firstCode[length] as number) < (symbolCounts[length] as number)) return length;
  }
  return 0;
}

function symbolAt(bytes: Uint8Array, bit: number, length: number): number {
  let code = 0;
  for (let i = bit; i < bit + length; i++) code = (code << 1) | bitAt(bytes, i);
  const symbol = symbols[(firstSymbol[length] as number) + code - (firstCode[length] as number)] as number;
  if (symbol === endMarker) throw badCode("holds the end marker");
  return symbol;
}

function bitAt(bytes: Uint8Array, bit: number): number {
  return ((bytes[bit >>> 3] as number) >>> (7 - (bit & 7))) & 1;
}

function badCode(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.compressionError, `a Huffman-coded text ${what}`);
}
