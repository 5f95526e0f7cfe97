// Changes of a store as plain bytes: how they wait in memory for a flush, and how a flush moves between threads.
//
//   per change: bucket number, 1 byte | kind, 1 byte | key length, 2 bytes | value length, 4 bytes | key | value | room
//
// all little-endian. A delete has neither value nor room. The room is what a storage adapter puts behind a value, so that
// the stored value is a slice of these bytes too.

import { assert } from "./assert.ts";
import { type Bucket, buckets, type EngineOperation } from "./backend.ts";

/** Behind every value. */
export const roomBytes = 6;
const headerBytes = 8;
const kindDelete = 0;
const kindPut = 1;
const keyBytesMax = 0xffff;

/** Large enough to make allocation cheap, small enough that a value kept for long pins little. */
const chunkBytes = 64 * 1024;
/** Most buckets see a record or two, or none. */
const firstChunkBytes = 1024;
/** Up to here a loop is faster than a call of `set`. */
const shortBytesMax = 64;

const bucketNumbers: ReadonlyMap<Bucket, number> = new Map(buckets.map((bucket, i) => [bucket, i]));

/**
 * Changes of one bucket in the order in which they were added, each named by its position. Nothing is ever removed, and
 * views stay as they are. Hot: every write of the store passes here.
 */
export class Arena {
  readonly #bucketNumber: number;
  readonly #chunks: Uint8Array[] = [];
  /** How much of each chunk but the last is used. */
  readonly #usedBytes: number[] = [];
  #chunk: Uint8Array = noBytes;
  /** Of the last chunk. */
  #used = 0;
  #bytes = 0;

  constructor(bucket: Bucket) {
    this.#bucketNumber = bucketNumbers.get(bucket) as number;
  }

  /** Bytes of all changes. */
  get bytes(): number {
    return this.#bytes;
  }

  put(key: Uint8Array, value: Uint8Array): number {
    const position = this.#add(kindPut, key, value.length);
    copyBytes(this.#chunk, this.#used - roomBytes - value.length, value);
    return position;
  }

  /** As `put`, with a value that is still to be written through `valueAt`. */
  reserve(key: Uint8Array, valueBytes: number): number {
    return this.#add(kindPut, key, valueBytes);
  }

  delete(key: Uint8Array): number {
    return this.#add(kindDelete, key, 0);
  }

  isDelete(position: number): boolean {
    return this.#chunkOf(position)[offsetOf(position) + 1] === kindDelete;
  }

  keyAt(position: number): Uint8Array {
    const chunk = this.#chunkOf(position);
    const start = offsetOf(position) + headerBytes;
    return new Uint8Array(chunk.buffer, start, keyLengthOf(chunk, offsetOf(position)));
  }

  valueAt(position: number): Uint8Array {
    const chunk = this.#chunkOf(position);
    const offset = offsetOf(position);
    const start = offset + headerBytes + keyLengthOf(chunk, offset);
    return new Uint8Array(chunk.buffer, start, valueLengthOf(chunk, offset));
  }

  /** Below, at or above zero as the key at the position is below, at or above `key`. */
  compareKey(position: number, key: Uint8Array): number {
    const chunk = this.#chunkOf(position);
    const offset = offsetOf(position);
    const length = keyLengthOf(chunk, offset);
    const common = Math.min(length, key.length);
    const start = offset + headerBytes;
    for (let i = 0; i < common; i++) {
      const difference = (chunk[start + i] as number) - (key[i] as number);
      if (difference !== 0) return difference;
    }
    return length - key.length;
  }

  /** Below, at or above zero as the key at the one position is below, at or above that at the other. */
  compareKeys(one: number, other: number): number {
    const oneChunk = this.#chunkOf(one);
    const oneOffset = offsetOf(one);
    const oneLength = keyLengthOf(oneChunk, oneOffset);
    const otherChunk = this.#chunkOf(other);
    const otherOffset = offsetOf(other);
    const otherLength = keyLengthOf(otherChunk, otherOffset);
    const common = Math.min(oneLength, otherLength);
    const oneStart = oneOffset + headerBytes;
    const otherStart = otherOffset + headerBytes;
    for (let i = 0; i < common; i++) {
      const difference = (oneChunk[oneStart + i] as number) - (otherChunk[otherStart + i] as number);
      if (difference !== 0) return difference;
    }
    return oneLength - otherLength;
  }

  /** Bytes of one change. */
  bytesAt(position: number): number {
    return changeBytes(this.#chunkOf(position), offsetOf(position));
  }

  /** Copies one change, and answers where the next one goes. */
  copyTo(target: Uint8Array, at: number, position: number): number {
    const chunk = this.#chunkOf(position);
    const offset = offsetOf(position);
    const length = changeBytes(chunk, offset);
    if (length > 2 * shortBytesMax) target.set(chunk.subarray(offset, offset + length), at);
    else for (let i = 0; i < length; i++) target[at + i] = chunk[offset + i] as number;
    return at + length;
  }

  /** Copies all changes as they were added. */
  copyAllTo(target: Uint8Array, offset: number): number {
    let at = offset;
    for (let i = 0; i < this.#chunks.length; i++) {
      const used = (i < this.#usedBytes.length ? this.#usedBytes[i] : this.#used) as number;
      target.set((this.#chunks[i] as Uint8Array).subarray(0, used), at);
      at += used;
    }
    return at;
  }

  #add(kind: number, key: Uint8Array, valueBytes: number): number {
    const keyBytes = key.length;
    assert(keyBytes > 0 && keyBytes <= keyBytesMax, "a key has a length that fits its field", { keyBytes });
    const length = headerBytes + keyBytes + (kind === kindDelete ? 0 : valueBytes + roomBytes);
    if (this.#used + length > this.#chunk.length || this.#used >= chunkBytes) this.#addChunk(length);
    const chunk = this.#chunk;
    const offset = this.#used;
    chunk[offset] = this.#bucketNumber;
    chunk[offset + 1] = kind;
    chunk[offset + 2] = keyBytes;
    chunk[offset + 3] = keyBytes >>> 8;
    chunk[offset + 4] = valueBytes;
    chunk[offset + 5] = valueBytes >>> 8;
    chunk[offset + 6] = valueBytes >>> 16;
    chunk[offset + 7] = valueBytes >>> 24;
    copyBytes(chunk, offset + headerBytes, key);
    this.#used = offset + length;
    this.#bytes += length;
    return (this.#chunks.length - 1) * chunkBytes + offset;
  }

  /** A change longer than a chunk has one of its own. */
  #addChunk(length: number): void {
    if (this.#chunks.length > 0) this.#usedBytes.push(this.#used);
    const wanted = this.#chunks.length === 0 ? firstChunkBytes : chunkBytes;
    this.#chunk = new Uint8Array(new ArrayBuffer(Math.max(wanted, length)));
    this.#chunks.push(this.#chunk);
    this.#used = 0;
  }

  #chunkOf(position: number): Uint8Array {
    return this.#chunks[Math.floor(position / chunkBytes)] as Uint8Array;
  }
}

/** The same form from operations that lie elsewhere. */
export function packArena(operations: Iterable<EngineOperation>): Uint8Array<ArrayBuffer> {
  const all = [...operations];
  let length = 0;
  for (const { key, value } of all) {
    length += headerBytes + key.length + (value === undefined ? 0 : value.length + roomBytes);
  }
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const { bucket, key, value } of all) {
    assert(key.length > 0 && key.length <= keyBytesMax, "a key has a length that fits its field");
    bytes[offset] = bucketNumbers.get(bucket) as number;
    bytes[offset + 1] = value === undefined ? kindDelete : kindPut;
    view.setUint16(offset + 2, key.length, true);
    view.setUint32(offset + 4, value?.length ?? 0, true);
    bytes.set(key, offset + headerBytes);
    offset += headerBytes + key.length;
    if (value === undefined) continue;
    bytes.set(value, offset);
    offset += value.length + roomBytes;
  }
  return bytes;
}

/** Stands on one change after the other. Positions are offsets into `bytes`. */
export class ArenaReader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;
  bucketNumber = 0;
  isDelete = false;
  keyStart = 0;
  keyEnd = 0;
  /** The value starts at `keyEnd`; the room follows. */
  valueEnd = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  next(): boolean {
    const offset = this.#offset;
    if (offset === this.bytes.length) return false;
    this.bucketNumber = this.#view.getUint8(offset);
    this.isDelete = this.#view.getUint8(offset + 1) === kindDelete;
    this.keyStart = offset + headerBytes;
    this.keyEnd = this.keyStart + this.#view.getUint16(offset + 2, true);
    this.valueEnd = this.keyEnd + this.#view.getUint32(offset + 4, true);
    this.#offset = this.valueEnd + (this.isDelete ? 0 : roomBytes);
    assert(this.#offset <= this.bytes.length, "a change lies within its arena", { offset });
    return true;
  }
}

const noBytes = new Uint8Array(0);

function offsetOf(position: number): number {
  return position % chunkBytes;
}

function keyLengthOf(chunk: Uint8Array, offset: number): number {
  return (chunk[offset + 2] as number) | ((chunk[offset + 3] as number) << 8);
}

function valueLengthOf(chunk: Uint8Array, offset: number): number {
  return (
    ((chunk[offset + 4] as number) |
      ((chunk[offset + 5] as number) << 8) |
      ((chunk[offset + 6] as number) << 16) |
      ((chunk[offset + 7] as number) << 24)) >>>
    0
  );
}

function changeBytes(chunk: Uint8Array, offset: number): number {
  const room = chunk[offset + 1] === kindDelete ? 0 : roomBytes;
  return headerBytes + keyLengthOf(chunk, offset) + valueLengthOf(chunk, offset) + room;
}

function copyBytes(target: Uint8Array, at: number, bytes: Uint8Array): void {
  const { length } = bytes;
  if (length > shortBytesMax) target.set(bytes, at);
  else for (let i = 0; i < length; i++) target[at + i] = bytes[i] as number;
}
