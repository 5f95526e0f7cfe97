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
import { WireError } from "../../wire/error.ts";
import { numberSize, writeNumber } from "../../wire/int64.ts";
import { raftCodecs, type WalRecord } from "../../wire/raft-codec.ts";

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

export type FrameReading =
  | { readonly kind: "frame"; readonly record: WalRecord; readonly end: number }
  /** A length field of zero, or the end of the file. */
  | { readonly kind: "end" }
  /** Bytes that are no frame. The crc is the caller's to check. */
  | { readonly kind: "damaged"; readonly what: string };

/** Reads the frame at `offset`. Nothing is allocated by what the bytes claim. The record's data is a view. */
export function readFrame(bytes: Uint8Array, offset: number): FrameReading {
  if (offset === bytes.length) return { kind: "end" };
  if (offset + lengthBytes > bytes.length) return { kind: "damaged", what: "a length field cut short" };
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, lengthBytes);
  const low = view.getUint32(0, true);
  if (low === 0 && view.getUint32(4, true) === 0) return { kind: "end" };
  const end = frameEnd(bytes, offset);
  if (end === undefined) return { kind: "damaged", what: "a wrong length" };
  const start = offset + lengthBytes;
  for (let i = start + low; i < end; i++) {
    if (bytes[i] !== 0) return { kind: "damaged", what: "padding that is not zero" };
  }
  try {
    const record = raftCodecs.WalRecord.decode(bytes.subarray(start, start + low));
    if (!isCanonical(bytes, start, low, record)) return { kind: "damaged", what: "a record in another form" };
    return { kind: "frame", record, end };
  } catch (error) {
    if (error instanceof WireError) return { kind: "damaged", what: "a record that cannot be decoded" };
    throw error;
  }
}

const canonical = new Uint8Array(64);

/** The bytes before the data are outside the checksum; they are right if they are the ones we would write. */
function isCanonical(
  bytes: Uint8Array,
  start: number,
  length: number,
  { type, crc, data }: WalRecord,
): boolean {
  if (recordBytes(type, crc, data.length) !== length) return false;
  const headEnd = writeFrameHead(canonical, 0, type, crc, data.length);
  for (let i = lengthBytes; i < headEnd; i++) {
    if (canonical[i] !== bytes[start - lengthBytes + i]) return false;
  }
  return true;
}

/** Where the frame at `offset` ends by its length field; undefined when that cannot be. */
export function frameEnd(bytes: Uint8Array, offset: number): number | undefined {
  if (offset + lengthBytes > bytes.length) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, lengthBytes);
  const length = view.getUint32(0, true);
  const high = view.getUint32(4, true);
  const padding = (frameAlignment - (length % frameAlignment)) % frameAlignment;
  const highExpected = padding === 0 ? 0 : (0x80 | padding) * 0x100_0000;
  if (high !== highExpected || length > bytes.length - offset - lengthBytes - padding) return undefined;
  return offset + lengthBytes + length + padding;
}

/** The running crc after a record; undefined when the record's own crc contradicts it. Hot. */
export function checkedCrc(crc: number, record: WalRecord): number | undefined {
  const expected = record.type === recordTypes.crc ? crc : updateCrc32c(crc, record.data);
  return record.crc === expected ? expected : undefined;
}

/** Whether the record, read at `offset` of a segment, is a sync mark of that place. */
export function isMark(record: WalRecord, sequence: number, offset: number): boolean {
  if (record.type !== recordTypes.crc || record.data.length !== markDataBytes) return false;
  const view = new DataView(record.data.buffer, record.data.byteOffset, markDataBytes);
  return view.getBigUint64(0, true) === BigInt(sequence) && view.getBigUint64(8, true) === BigInt(offset);
}
