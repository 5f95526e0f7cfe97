// How a value is stored: its bytes verbatim, then a trailer. LMDB detects no damage of its own, so every read
// checks the trailer before anyone sees the value.
//
//   value ... | checksum, 4 bytes little-endian | flags, 1 byte | format, 1 byte
//
// The checksum is the CRC-32 of key and value, seeded with bucket, flags and format: a record that turns up under
// another key or in another bucket does not pass either. The format stands last, so that a later format may have a
// trailer of another length. Flags are room for compression and encryption; 0 is the only one so far.

import { crc32 } from "node:zlib";
import { type Bucket, buckets } from "../../lib/backend.ts";
import { utf8 } from "../../lib/bytes.ts";

export const trailerBytes = 6;
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
  const checksum = crc32(bytes.subarray(start, end), seed);
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
  if (length < trailerBytes) return `a record of ${length} bytes has no envelope`;
  if (bytes[length - 1] !== format) return `envelope format ${bytes[length - 1]} is not ${format}`;
  if (bytes[length - 2] !== flags) return `envelope flags ${bytes[length - 2]} are not known`;
  const end = length - trailerBytes;
  const stored =
    ((bytes[end] as number) |
      ((bytes[end + 1] as number) << 8) |
      ((bytes[end + 2] as number) << 16) |
      ((bytes[end + 3] as number) << 24)) >>>
    0;
  // Not `bytes.subarray`: the package overrides `length` on its buffer.
  const value = new Uint8Array(bytes.buffer, bytes.byteOffset, end);
  const computed = crc32(value, crc32(key, seed));
  if (computed === stored) return undefined;
  return `checksum ${computed.toString(16)} is not the stored ${stored.toString(16)}`;
}
