// Keys of the index: user keys in an order-preserving form, cut into chunks where they are long.
//
// The index is a tree of tables. The root table is the bucket `index`; the others share the bucket
// `index_chunks`, each under the 8 bytes of its id. In a table stands, for each key whose rest is at most
// `chunkBytesMax` long, escaped(rest) and
//   00 01    the key's newest version (its head),
// and for all longer keys that agree in their next `chunkBytesMax` bytes
//   escaped(chunk) 00 02    the link to the table that holds what follows.
// Escaping turns 00 into 00 FF. As 00 01 < 00 02 < 00 FF < 01, the tables hold keys in exact byte order, a link in
// the place of everything behind it, and a walk that descends at links meets all keys of any length in order.
//
// Older versions are in a bucket of their own, `index_history`, so that a walk at the current revision meets
// nothing but heads: a byte for root (0) or other table (1), the head's key, and the revision, inverted, so that
// newer ones come first.

import { assert } from "../lib/assert.ts";
import type { Bucket } from "../lib/backend.ts";
import { keySlab, Scratch } from "../lib/slab.ts";
import { writeUint32, writeUint64 } from "./revision.ts";

/** Fully escaped, with table id and revision, a chunk stays below the 4,026 bytes that LMDB takes at 8 KiB pages. */
export const chunkBytesMax = 1900;

export type Table = number;
export const rootTable: Table = 0;
const tableIdBytes = 8;
const two32 = 0x1_0000_0000;

/** The second byte of what ends an escaped text. `behindLink` is a bound only. */
export const endings = { none: 0, head: 1, link: 2, behindLink: 3 } as const;
export type Ending = (typeof endings)[keyof typeof endings];

/** Inverted main and sub. */
export const historySuffixBytes = 12;
const endingBytes = 2;

export function bucketOf(table: Table): Bucket {
  return table === rootTable ? "index" : "index_chunks";
}

/** The first position of a table; with the next table's, a range over it. */
export function tableStart(table: Table): Uint8Array {
  const key = new Uint8Array(table === rootTable ? 0 : tableIdBytes);
  if (table !== rootTable) writeUint64(key, 0, table);
  return key;
}

/** Where the table's records end, undefined for the end of the bucket. */
export function tableEnd(table: Table): Uint8Array | undefined {
  return table === rootTable ? undefined : tableStart(table + 1);
}

/** A table's key for the bytes of the span. */
export function indexKey(
  table: Table,
  bytes: Uint8Array,
  span: { readonly start: number; readonly end: number },
  ending: Ending,
): Uint8Array {
  return wholeKey(table, bytes.subarray(span.start, span.end), ending);
}

/** A table's key for all the bytes. Hot: bytes without zeros are copied as they are. */
export function wholeKey(table: Table, bytes: Uint8Array, ending: Ending): Uint8Array {
  const offset = table === rootTable ? 0 : tableIdBytes;
  let zeros = 0;
  for (let i = 0; i < bytes.length; i++) if (bytes[i] === 0) zeros++;
  const textEnd = offset + bytes.length + zeros;
  const key = keySlab.take(textEnd + (ending === endings.none ? 0 : endingBytes));
  if (offset > 0) writeUint64(key, 0, table);
  if (zeros === 0) key.set(bytes, offset);
  else escapeInto(key, offset, bytes);
  if (ending !== endings.none) key[textEnd + 1] = ending;
  return key;
}

function escapeInto(target: Uint8Array, offset: number, bytes: Uint8Array): void {
  let at = offset;
  for (const byte of bytes) {
    target[at++] = byte;
    if (byte === 0) target[at++] = 0xff;
  }
}

/** Where a user key's newest version stands. */
export interface KeyPlace {
  readonly bucket: Bucket;
  readonly headKey: Uint8Array;
}

/** The key of an older version. As a start it finds what is at or below (main, sub). */
export function historyKey(place: KeyPlace, main: number, sub: number): Uint8Array {
  return writeHistoryKey(keySlab.take(historyKeyBytes(place)), place, main, sub);
}

/** The same in bytes that the next call uses again. */
export function scratchHistoryKey(place: KeyPlace, main: number, sub: number): Uint8Array {
  return writeHistoryKey(scratch.take(historyKeyBytes(place)), place, main, sub);
}

const scratch = new Scratch();

function historyKeyBytes({ headKey }: KeyPlace): number {
  return 1 + headKey.length + historySuffixBytes;
}

function writeHistoryKey(
  key: Uint8Array,
  { bucket, headKey }: KeyPlace,
  main: number,
  sub: number,
): Uint8Array {
  assert(sub < two32, "a sub revision fits into 32 bits", { sub });
  key[0] = bucket === "index" ? 0 : 1;
  key.set(headKey, 1);
  const at = 1 + headKey.length;
  writeUint32(key, at, ~Math.floor(main / two32));
  writeUint32(key, at + 4, ~(main >>> 0));
  writeUint32(key, at + 8, ~(sub >>> 0));
  return key;
}

/** Just behind all older versions of a key. */
export function historyEnd({ bucket, headKey }: KeyPlace): Uint8Array {
  const key = new Uint8Array(1 + headKey.length);
  key[0] = bucket === "index" ? 0 : 1;
  key.set(headKey, 1);
  key[key.length - 1] = endings.link;
  return key;
}

/** Where the escaped text of a table's key ends, which is where its two ending bytes start. */
export function textEnd(table: Table, key: Uint8Array): number {
  let at = key.indexOf(0, table === rootTable ? 0 : tableIdBytes);
  while (at >= 0 && key[at + 1] === 0xff) at = key.indexOf(0, at + 2);
  assert(at >= 0, "an index key has an ending", { table, length: key.length });
  return at;
}

/** The user key's bytes of a table's key, unescaped. */
export function textOf(table: Table, key: Uint8Array, end: number): Uint8Array {
  const start = table === rootTable ? 0 : tableIdBytes;
  const text = key.slice(start, end);
  let at = text.indexOf(0);
  if (at < 0) return text;
  let length = at;
  while (at < text.length) {
    const byte = text[at] as number;
    text[length++] = byte;
    at += byte === 0 ? 2 : 1;
  }
  return text.slice(0, length);
}
