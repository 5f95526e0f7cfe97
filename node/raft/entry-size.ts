// Sizes that limits are expressed in. They equal the protobuf encoding of an entry as the etcd-io/raft 3.7
// module writes it: term and index always present, type only when it is not EntryNormal, data only when
// not empty. Every page a member cuts from its log therefore has the length its peers would have cut.

import type { Entry } from "../wire/raft.ts";

/** Stands for "unlimited" in every byte limit: an integer no sum of sizes ever reaches. */
export const noLimit = Number.MAX_SAFE_INTEGER;

/** Bytes of the encoded entry, without the tag and length a containing message adds. */
export function encodedBytes(entry: Entry): number {
  const dataLength = entry.data.length;
  return (
    (entry.type === "EntryNormal" ? 0 : 2) +
    (1 + varintBytes(entry.term)) +
    (1 + varintBytes(entry.index)) +
    (dataLength === 0 ? 0 : 1 + varintBytes(dataLength) + dataLength)
  );
}

/** Sum of `encodedBytes`. Hot: once per batch of applied entries. */
export function encodedBytesOf(entries: readonly Entry[]): number {
  let bytes = 0;
  for (let i = 0; i < entries.length; i++) bytes += encodedBytes(entries[i] as Entry);
  return bytes;
}

/** Sum of the data lengths alone: what inflight and uncommitted limits count. */
export function payloadBytesOf(entries: readonly Entry[]): number {
  let bytes = 0;
  for (let i = 0; i < entries.length; i++) bytes += (entries[i] as Entry).data.length;
  return bytes;
}

/**
 * How many of `entries[start, end)` fit into `bytesMax`, at least one when the range is not empty: a limit smaller
 * than an entry slows a member down to one entry at a time, it never stops it.
 */
export function countWithin(entries: readonly Entry[], start: number, end: number, bytesMax: number): number {
  if (start >= end) return 0;
  if (bytesMax >= noLimit) return end - start;
  let bytes = encodedBytes(entries[start] as Entry);
  for (let i = start + 1; i < end; i++) {
    bytes += encodedBytes(entries[i] as Entry);
    if (bytes > bytesMax) return i - start;
  }
  return end - start;
}

/** Length of an unsigned LEB128 varint. Integers only, up to the safe maximum. */
export function varintBytes(value: number): number {
  // A seventh, rounded down: 37 / 256 gives the same for all that can come.
  if (value < 0x1000_0000) return ((38 - Math.clz32(value | 1)) * 37) >>> 8;
  return 4 + varintBytes(Math.floor(value / 0x1000_0000));
}
