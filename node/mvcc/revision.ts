// Revisions and the keys that records have in the bucket `key`, in etcd's encoding:
// 8 bytes main, big-endian, '_', 8 bytes sub, big-endian, and a trailing 't' for a tombstone.

import { assert } from "../lib/assert.ts";
import { keySlab, Scratch } from "../lib/slab.ts";

/** The main revision: one for each transaction that changed something. A fresh store is at 1. */
export type Revision = number;

const two32 = 0x1_0000_0000;
const separator = 0x5f;
const tombstoneMark = 0x74;
export const recordKeyBytes = 17;

/** Revisions stay exact as numbers; the last one is never allocated, so that a saturated input is always beyond. */
export const revisionMax: Revision = Number.MAX_SAFE_INTEGER - 1;

/** Orders by main, then by sub. Hot, thus a flat function of numbers. */
export function recordKey(main: Revision, sub: number, isTombstone: boolean): Uint8Array {
  return writeRecordKey(
    keySlab.take(isTombstone ? recordKeyBytes + 1 : recordKeyBytes),
    main,
    sub,
    isTombstone,
  );
}

/** The same in bytes that the next call uses again. */
export function scratchRecordKey(main: Revision, sub: number, isTombstone: boolean): Uint8Array {
  return writeRecordKey(
    scratch.take(isTombstone ? recordKeyBytes + 1 : recordKeyBytes),
    main,
    sub,
    isTombstone,
  );
}

const scratch = new Scratch();

function writeRecordKey(key: Uint8Array, main: Revision, sub: number, isTombstone: boolean): Uint8Array {
  writeUint64(key, 0, main);
  key[8] = separator;
  writeUint64(key, 9, sub);
  if (isTombstone) key[recordKeyBytes] = tombstoneMark;
  return key;
}

/** The form in which `meta` keeps compaction revisions. */
export function revisionValue(main: Revision): Uint8Array {
  return recordKey(main, 0, false);
}

export function mainOf(key: Uint8Array): Revision {
  return readUint64(key, 0);
}

export function subOf(key: Uint8Array): number {
  return readUint64(key, 9);
}

export function isTombstoneKey(key: Uint8Array): boolean {
  return key.length === recordKeyBytes + 1 && key[recordKeyBytes] === tombstoneMark;
}

/** A record key read from disk has the one shape that etcd writes. */
export function assertRecordKey(key: Uint8Array): void {
  const isSound =
    key.length === recordKeyBytes ||
    (key.length === recordKeyBytes + 1 && key[recordKeyBytes] === tombstoneMark);
  assert(isSound && key[8] === separator, "a record key is a revision", { length: key.length });
}

export function writeUint64(target: Uint8Array, offset: number, value: number): void {
  writeUint32(target, offset, Math.floor(value / two32));
  writeUint32(target, offset + 4, value >>> 0);
}

export function readUint64(source: Uint8Array, offset: number): number {
  return readUint32(source, offset) * two32 + readUint32(source, offset + 4);
}

export function writeUint32(target: Uint8Array, offset: number, value: number): void {
  target[offset] = value >>> 24;
  target[offset + 1] = value >>> 16;
  target[offset + 2] = value >>> 8;
  target[offset + 3] = value;
}

export function readUint32(source: Uint8Array, offset: number): number {
  return (
    (((source[offset] as number) << 24) |
      ((source[offset + 1] as number) << 16) |
      ((source[offset + 2] as number) << 8) |
      (source[offset + 3] as number)) >>>
    0
  );
}
