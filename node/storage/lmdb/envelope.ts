// How a value is stored: its bytes verbatim, then a trailer. LMDB detects no damage of its own, so every read
// checks the trailer before anyone sees the value.
//
//   value ... | checksum, 4 bytes little-endian | flags, 1 byte | format, 1 byte
//
// The checksum is the CRC-32 of key and value, seeded with bucket, flags and format: a record that turns up under
// another key or in another bucket does not pass either. The format stands last, so that a later format may have a
// trailer of another length. Flags are room for compression and encryption; 0 is the only one so far.

import { crc32 } from "node:zlib";
import { roomBytes } from "../../lib/arena.ts";
import { type Bucket, buckets } from "../../lib/backend.ts";
import { utf8 } from "../../lib/bytes.ts";
import { crcTables, updateCrc } from "../../lib/crc-tables.ts";

/** Changes that wait for a flush have that much room behind each value. */
export const trailerBytes = roomBytes;
const format = 1;
const flags = 0;

const seeds: ReadonlyMap<Bucket, number> = new Map(
  buckets.map((bucket) => [bucket, crc32(Uint8Array.of(flags, format), crc32(utf8(bucket)))]),
);

/** The checksum's start for a bucket. */
export function seedOf(bucket: Bucket): number {
  return seeds.get(bucket) as number;
}

/**
 * Fills the trailer of a record that lies in `bytes` as key, value, room for the trailer.
 * `start` is where the key starts, `end` where the value ends.
 */
export function seal(bytes: Uint8Array, start: number, end: number, seed: number): void {
  const checksum = checksumOfRecord(bytes, start, end, seed);
  bytes[end] = checksum & 0xff;
  bytes[end + 1] = (checksum >>> 8) & 0xff;
  bytes[end + 2] = (checksum >>> 16) & 0xff;
  bytes[end + 3] = checksum >>> 24;
  bytes[end + 4] = flags;
  bytes[end + 5] = format;
}

/** What is wrong with a stored value, or undefined when it is whole. Only the first `length` bytes are the value. */
export function faultOf(
  key: Uint8Array,
  bytes: Uint8Array,
  length: number,
  seed: number,
): string | undefined {
  const fault = faultOfTrailer(bytes, 0, length);
  if (fault !== undefined) return fault;
  const end = length - trailerBytes;
  // Not `bytes.subarray`: the package overrides `length` on its buffer.
  const value = new Uint8Array(bytes.buffer, bytes.byteOffset, end);
  return faultOfChecksum(crc32(value, crc32(key, seed)), bytes, end);
}

/** As faultOf for a record that lies in `bytes` as key and value. Hot. */
export function faultOfRecord(
  bytes: Uint8Array,
  { keyStart, valueStart, valueEnd }: RecordPlace,
  seed: number,
): string | undefined {
  const fault = faultOfTrailer(bytes, valueStart, valueEnd);
  if (fault !== undefined) return fault;
  const end = valueEnd - trailerBytes;
  return faultOfChecksum(checksumOfRecord(bytes, keyStart, end, seed), bytes, end);
}

function checksumOfRecord(bytes: Uint8Array, start: number, end: number, seed: number): number {
  if (end - start <= shortBytesMax) return checksumOf(bytes, start, end, seed);
  return crc32(bytes.subarray(start, end), seed);
}

export interface RecordPlace {
  readonly keyStart: number;
  readonly valueStart: number;
  /** Behind the trailer. */
  readonly valueEnd: number;
}

function faultOfTrailer(bytes: Uint8Array, start: number, end: number): string | undefined {
  if (end - start < trailerBytes) return `a record of ${end - start} bytes has no envelope`;
  if (bytes[end - 1] !== format) return `envelope format ${bytes[end - 1]} is not ${format}`;
  if (bytes[end - 2] !== flags) return `envelope flags ${bytes[end - 2]} are not known`;
  return undefined;
}

function faultOfChecksum(computed: number, bytes: Uint8Array, at: number): string | undefined {
  const stored =
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0;
  if (computed === stored) return undefined;
  return `checksum ${computed.toString(16)} is not the stored ${stored.toString(16)}`;
}

/** Up to here the tables are faster than a call out of the language (measured: 40 bytes 0.05 us against 0.3 us). */
const shortBytesMax = 128;

const tables = crcTables(0xedb8_8320);

/** What zlib's crc32 gives for the bytes from `start` to `end`. */
export function checksumOf(bytes: Uint8Array, start: number, end: number, seed: number): number {
  return updateCrc(tables, seed, bytes, start, end);
}
