// Frames, the bytes of a segment. A frame is a little-endian length field of eight bytes, a walpb.Record, and
// zeros up to a multiple of eight. The field's lower 56 bits hold the record's length; when there is padding
// its top byte holds 0x80 and the number of padding bytes. A length field of zero means "nothing here yet".
//
// A record's crc is the running CRC-32C over the data of all records of the log up to and with its own.
// Records of type crc carry the running value without adding to it; etcd puts one in front of every segment.
//
// Our own use of the crc record is the *sync mark*: one that carries its segment's sequence number and its own
// offset as data, which etcd ignores. A mark is written only when everything before it is durable, so a mark
// found behind a damaged place proves that the place had been durable (torn.ts).

import { updateCrc32c } from "../../lib/crc32c.ts";
import { numberSize, writeNumber } from "../../wire/int64.ts";

/** `type` of a record. */
export const recordTypes = { metadata: 1, entry: 2, state: 3, crc: 4, snapshot: 5 } as const;

export const frameAlignment = 8;
const lengthBytes = 8;
const markDataBytes = 16;

/** Bytes of a frame that holds a record of `recordBytes`. */
export function frameBytes(recordBytes: number): number {
  return lengthBytes + Math.ceil(recordBytes / frameAlignment) * frameAlignment;
}

/** Length of a record with data of `dataBytes` bytes; no data is no field. */
export function recordBytes(type: number, crc: number, dataBytes: number): number {
  const head = 2 + numberSize(type) + numberSize(crc);
  return dataBytes === 0 ? head : head + 1 + numberSize(dataBytes) + dataBytes;
}

/** Writes length field, record head and padding; returns where the data goes. Hot. */
export function writeFrameHead(
  target: Uint8Array,
  offset: number,
  type: number,
  crc: number,
  dataBytes: number,
): number {
  const length = recordBytes(type, crc, dataBytes);
  const padding = (frameAlignment - (length % frameAlignment)) % frameAlignment;
  target[offset] = length & 0xff;
  target[offset + 1] = (length >>> 8) & 0xff;
  target[offset + 2] = (length >>> 16) & 0xff;
  target[offset + 3] = length >>> 24;
  target[offset + 4] = 0;
  target[offset + 5] = 0;
  target[offset + 6] = 0;
  target[offset + 7] = padding === 0 ? 0 : 0x80 | padding;
  const end = offset + lengthBytes + length;
  for (let i = 0; i < padding; i++) target[end + i] = 0;
  let at = offset + lengthBytes;
  target[at++] = 0x08;
  at = writeNumber(target, at, type);
  target[at++] = 0x10;
  at = writeNumber(target, at, crc);
  if (dataBytes === 0) return at;
  target[at++] = 0x1a;
  return writeNumber(target, at, dataBytes);
}

/** The data of a sync mark at `offset` of the segment with this sequence number. */
export function markData(sequence: number, offset: number): Uint8Array {
  const data = new Uint8Array(markDataBytes);
  const view = new DataView(data.buffer);
  view.setBigUint64(0, BigInt(sequence), true);
  view.setBigUint64(8, BigInt(offset), true);
  return data;
}

/** A frame that was read: where its record's data lie. One object serves for a whole log. */
export class Frame {
  type = 0;
  /** The record's; the reader of the chain checks it. */
  crc = 0;
  dataStart = 0;
  dataEnd = 0;
  /** Where the next frame starts. */
  end = 0;
}

/**
 * Reads the frame at `offset` into `frame`. Answers "frame", "end" for a length field of zero or the end of the
 * file, or what is wrong. Nothing is allocated by what the bytes claim. Hot.
 */
export function readFrame(bytes: Uint8Array, offset: number, frame: Frame): string {
  if (offset === bytes.length) return "end";
  if (offset + lengthBytes > bytes.length) return "a length field cut short";
  const length = uint32(bytes, offset);
  if (length === 0 && uint32(bytes, offset + 4) === 0) return "end";
  const end = frameEnd(bytes, offset);
  if (end === undefined) return "a wrong length";
  const start = offset + lengthBytes;
  for (let i = start + length; i < end; i++) if (bytes[i] !== 0) return "padding that is not zero";
  if (!readRecord(bytes, start, start + length, frame)) return "a record that cannot be decoded";
  frame.end = end;
  return "frame";
}

/**
 * Reads a record in the one form in which it is written. The bytes before the data are outside the checksum,
 * so any other form is taken for damage.
 */
function readRecord(bytes: Uint8Array, start: number, end: number, frame: Frame): boolean {
  const type = bytes[start + 1] as number;
  if (bytes[start] !== 0x08 || type >= 0x80 || bytes[start + 2] !== 0x10) return false;
  const crc = canonicalVarint(bytes, start + 3);
  if (crc < 0) return false;
  const headEnd = start + 3 + numberSize(crc);
  frame.type = type;
  frame.crc = crc;
  frame.dataStart = end;
  frame.dataEnd = end;
  if (headEnd === end) return true;
  const dataBytes = canonicalVarint(bytes, headEnd + 1);
  if (bytes[headEnd] !== 0x1a || dataBytes <= 0) return false;
  frame.dataStart = headEnd + 1 + numberSize(dataBytes);
  return frame.dataStart + dataBytes === end;
}

/** A varint of up to 32 bits in its shortest form, -1 for anything else. */
function canonicalVarint(bytes: Uint8Array, offset: number): number {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    const byte = bytes[offset + i] as number;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return value <= 0xffff_ffff && numberSize(value) === i + 1 ? value : -1;
  }
  return -1;
}

/** Where the frame at `offset` ends by its length field; undefined when that cannot be. */
export function frameEnd(bytes: Uint8Array, offset: number): number | undefined {
  if (offset + lengthBytes > bytes.length) return undefined;
  const length = uint32(bytes, offset);
  const high = uint32(bytes, offset + 4);
  const padding = (frameAlignment - (length % frameAlignment)) % frameAlignment;
  const highExpected = padding === 0 ? 0 : (0x80 | padding) * 0x100_0000;
  if (high !== highExpected || length > bytes.length - offset - lengthBytes - padding) return undefined;
  return offset + lengthBytes + length + padding;
}

/** Little-endian. */
function uint32(bytes: Uint8Array, offset: number): number {
  const low = (bytes[offset] as number) | ((bytes[offset + 1] as number) << 8);
  const high = (bytes[offset + 2] as number) | ((bytes[offset + 3] as number) << 8);
  return high * 0x1_0000 + low;
}

/** The running crc after a record; undefined when the record's own crc contradicts it. Hot. */
export function checkedCrc(crc: number, bytes: Uint8Array, frame: Frame): number | undefined {
  const { type, dataStart, dataEnd } = frame;
  const expected = type === recordTypes.crc ? crc : updateCrc32c(crc, bytes, dataStart, dataEnd);
  return frame.crc === expected ? expected : undefined;
}

/** Whether the record, read at `offset` of a segment, is a sync mark of that place. */
export function isMark(bytes: Uint8Array, frame: Frame, sequence: number, offset: number): boolean {
  if (frame.type !== recordTypes.crc || frame.dataEnd - frame.dataStart !== markDataBytes) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset + frame.dataStart, markDataBytes);
  return view.getBigUint64(0, true) === BigInt(sequence) && view.getBigUint64(8, true) === BigInt(offset);
}
