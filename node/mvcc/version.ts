// One version of a key as the index keeps it: what a put or a filter needs without reading the record. The record
// itself stays out: with values of 256 bytes in the index, LMDB took twice as long for a put, for a range a third less.
// Form: flags, main, then what the flags announce: sub, create revision, version as varints, lease as 8 bytes.

import { type LeaseId, leaseId, noLease } from "../lib/ids.ts";
import { Scratch } from "../lib/slab.ts";
import { numberSize, writeNumber } from "../wire/int64.ts";
import type { Revision } from "./revision.ts";

/** Names a record in the bucket `key`. */
export interface RecordId {
  readonly main: Revision;
  readonly sub: number;
  readonly isTombstone: boolean;
}

export interface Version extends RecordId {
  /** Zero for a tombstone, like version and lease. */
  readonly createRevision: Revision;
  readonly version: number;
  readonly lease: LeaseId;
}

const flags = {
  tombstone: 1,
  /** Absent sub is zero. */
  sub: 2,
  /** Absent create revision and version are those of a key's first version: main and 1. */
  generation: 4,
  lease: 8,
} as const;

const leaseBytes = 8;

const scratch = new Scratch();

export function encodeVersion(version: Version): Uint8Array {
  return scratchVersion(version).slice();
}

/** The same in bytes that the next call uses again. Hot. */
export function scratchVersion({
  main,
  sub,
  isTombstone,
  createRevision,
  version,
  lease,
}: Version): Uint8Array {
  const hasGeneration = !isTombstone && !(createRevision === main && version === 1);
  let flag = isTombstone ? flags.tombstone : 0;
  let size = 1 + numberSize(main);
  if (sub !== 0) {
    flag |= flags.sub;
    size += numberSize(sub);
  }
  if (hasGeneration) {
    flag |= flags.generation;
    size += numberSize(createRevision) + numberSize(version);
  }
  if (lease !== noLease) {
    flag |= flags.lease;
    size += leaseBytes;
  }
  const bytes = scratch.take(size);
  bytes[0] = flag;
  let at = writeNumber(bytes, 1, main);
  if (sub !== 0) at = writeNumber(bytes, at, sub);
  if (hasGeneration) at = writeNumber(bytes, writeNumber(bytes, at, createRevision), version);
  if (lease !== noLease) new DataView(bytes.buffer).setBigInt64(at, lease);
  return bytes;
}

export function decodeVersion(bytes: Uint8Array): Version {
  const flag = bytes[0] as number;
  const main = readNumber(bytes, 1);
  const sub = flag & flags.sub ? readNumber(bytes, position) : 0;
  const isTombstone = (flag & flags.tombstone) !== 0;
  let createRevision = isTombstone ? 0 : main;
  let version = isTombstone ? 0 : 1;
  if (flag & flags.generation) {
    createRevision = readNumber(bytes, position);
    version = readNumber(bytes, position);
  }
  const lease =
    flag & flags.lease
      ? leaseId(new DataView(bytes.buffer, bytes.byteOffset + position, leaseBytes).getBigInt64(0))
      : noLease;
  return { main, sub, isTombstone, createRevision, version, lease };
}

/** The main revision alone, for walks that pass most versions by. */
export function mainOfVersion(bytes: Uint8Array): Revision {
  return readNumber(bytes, 1);
}

export function isTombstoneVersion(bytes: Uint8Array): boolean {
  return ((bytes[0] as number) & flags.tombstone) !== 0;
}

/** Where the last readNumber stopped. */
let position = 0;

/** A varint of at most 53 bits. Additions, as shifts end at 32 bits. */
function readNumber(bytes: Uint8Array, offset: number): number {
  let at = offset;
  let byte = bytes[at++] as number;
  let value = byte & 0x7f;
  let factor = 0x80;
  while (byte >= 0x80) {
    byte = bytes[at++] as number;
    value += (byte & 0x7f) * factor;
    factor *= 0x80;
  }
  position = at;
  return value;
}
