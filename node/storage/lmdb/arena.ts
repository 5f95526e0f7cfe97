// One flush as one block of bytes that moves between threads without being copied.
//
//   per operation: bucket number, 1 byte | kind, 1 byte | key length, 2 bytes | value length, 4 bytes | key | value | trailer
//
// all little-endian. A delete has neither value nor trailer. The trailer's bytes are room that the store worker
// fills, so that the stored value is a slice of the arena too.

import { assert } from "../../lib/assert.ts";
import { type Bucket, buckets, type EngineOperation } from "../../lib/backend.ts";
import { trailerBytes } from "./envelope.ts";
import { keyBytesMax } from "./environment.ts";

const headerBytes = 8;
const kindDelete = 0;
const kindPut = 1;

const bucketNumbers: ReadonlyMap<Bucket, number> = new Map(buckets.map((bucket, i) => [bucket, i]));

/** Hot: runs on the main thread for every flush. */
export function packArena(operations: Iterable<EngineOperation>): ArrayBuffer {
  const all = [...operations];
  let length = 0;
  for (const { key, value } of all) {
    length += headerBytes + key.length + (value === undefined ? 0 : value.length + trailerBytes);
  }
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const { bucket, key, value } of all) {
    assert(key.length > 0, "a key is not empty");
    assert(key.length <= keyBytesMax, "a key fits into a page", { length: key.length });
    bytes[offset] = bucketNumbers.get(bucket) as number;
    bytes[offset + 1] = value === undefined ? kindDelete : kindPut;
    view.setUint16(offset + 2, key.length, true);
    view.setUint32(offset + 4, value?.length ?? 0, true);
    bytes.set(key, offset + headerBytes);
    offset += headerBytes + key.length;
    if (value === undefined) continue;
    bytes.set(value, offset);
    offset += value.length + trailerBytes;
  }
  return bytes.buffer;
}

/** Stands on one operation of an arena after the other. Positions are offsets into `bytes`. */
export class ArenaReader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;
  bucketNumber = 0;
  isDelete = false;
  keyStart = 0;
  keyEnd = 0;
  /** The value starts at `keyEnd`; the trailer's room follows. */
  valueEnd = 0;

  constructor(arena: ArrayBuffer) {
    this.bytes = new Uint8Array(arena);
    this.#view = new DataView(arena);
  }

  next(): boolean {
    const offset = this.#offset;
    if (offset === this.bytes.length) return false;
    this.bucketNumber = this.#view.getUint8(offset);
    this.isDelete = this.#view.getUint8(offset + 1) === kindDelete;
    this.keyStart = offset + headerBytes;
    this.keyEnd = this.keyStart + this.#view.getUint16(offset + 2, true);
    this.valueEnd = this.keyEnd + this.#view.getUint32(offset + 4, true);
    this.#offset = this.valueEnd + (this.isDelete ? 0 : trailerBytes);
    assert(this.#offset <= this.bytes.length, "an operation lies within its arena", { offset });
    return true;
  }
}
