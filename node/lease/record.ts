// Leases and their attachments as they are on disk.
//
// Bucket `lease`, as etcd has it: 8 bytes id, big-endian -> leasepb.Lease { ID = 1, TTL = 2, RemainingTTL = 3 }.
// Bucket `lease_keys`, ours: the same 8 bytes and the 17-byte revision of the put that attached the key -> the key.
// No time of day is in either: how long a lease still lives is the leader's business.

import { assert } from "../lib/assert.ts";
import type { KeyRange } from "../lib/backend.ts";
import { type LeaseId, leaseId } from "../lib/ids.ts";
import { Reader } from "../wire/reader.ts";
import { Writer } from "../wire/writer.ts";

export interface LeaseRecord {
  readonly id: LeaseId;
  readonly ttlSeconds: number;
  /** What was left at the last checkpoint; zero if there was none since the last renewal. */
  readonly remainingTtlSeconds: number;
}

const leaseKeyBytes = 8;
const revisionBytes = 17;

const tagId = 0x08;
const tagTtl = 0x10;
const tagRemainingTtl = 0x18;

export function leaseKey(id: LeaseId): Uint8Array {
  const key = new Uint8Array(leaseKeyBytes);
  writeId(key, id);
  return key;
}

export function attachmentKey(id: LeaseId, revision: Uint8Array): Uint8Array {
  assert(revision.length === revisionBytes, "a put's revision has 17 bytes", { length: revision.length });
  const key = new Uint8Array(leaseKeyBytes + revisionBytes);
  writeId(key, id);
  key.set(revision, leaseKeyBytes);
  return key;
}

/** All attachments of a lease. */
export function attachmentRange(id: LeaseId): KeyRange {
  const isLast = id === -1n;
  return isLast ? { start: leaseKey(id) } : { start: leaseKey(id), end: leaseKey(leaseId(id + 1n)) };
}

export function encodeLease({ id, ttlSeconds, remainingTtlSeconds }: LeaseRecord): Uint8Array {
  const writer = new Writer();
  if (remainingTtlSeconds !== 0) {
    writer.number(remainingTtlSeconds);
    writer.number(tagRemainingTtl);
  }
  if (ttlSeconds !== 0) {
    writer.number(ttlSeconds);
    writer.number(tagTtl);
  }
  if (id !== 0n) {
    writer.bigint(id);
    writer.number(tagId);
  }
  return writer.finish();
}

/** Throws WireError if the bytes are no leasepb.Lease. */
export function decodeLease(bytes: Uint8Array): LeaseRecord {
  const reader = new Reader(bytes);
  let id = 0n;
  let ttlSeconds = 0;
  let remainingTtlSeconds = 0;
  while (reader.position < reader.end) {
    const tag = reader.tag();
    if (tag === tagId) id = reader.int64Id();
    else if (tag === tagTtl) ttlSeconds = reader.int64();
    else if (tag === tagRemainingTtl) remainingTtlSeconds = reader.int64();
    else reader.skip(tag);
  }
  return { id: leaseId(id), ttlSeconds, remainingTtlSeconds };
}

function writeId(target: Uint8Array, id: LeaseId): void {
  new DataView(target.buffer).setBigInt64(0, id);
}
