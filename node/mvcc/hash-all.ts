// The Hash call: CRC-32C over every bucket of etcd's, in name order, each as its name followed by its keys and
// values. Three keys of `meta` that differ between equal members are left out.
//
// The small buckets are read at once and the key bucket in slices. As the ones before and after it in name order
// are hashed first, the tail's checksum is joined on at the end.

import { assert } from "../lib/assert.ts";
import { type BackendReader, type Bucket, etcdBuckets } from "../lib/backend.ts";
import { compareBytes, emptyBytes, equalBytes, utf8 } from "../lib/bytes.ts";
import { joinCrc32c, updateCrc32c } from "../lib/crc32c.ts";
import type { SliceLimits } from "./range.ts";
import { mainOf, type Revision, recordKey, subOf } from "./revision.ts";

const skippedMetaKeys = ["consistent_index", "term", "storageVersion"].map(utf8);

/** Ascending by bytes, which puts `auth` before `authRoles`. */
const bucketsByName = [...etcdBuckets].sort((a, b) => compareBytes(utf8(a), utf8(b)));
const keyPosition = bucketsByName.indexOf("key");

interface Sum {
  readonly crc: number;
  readonly bytes: number;
}

const empty: Sum = { crc: 0, bytes: 0 };

export class HashAllJob {
  readonly #reader: BackendReader;
  readonly #end: Uint8Array;
  readonly #tail: Sum;
  readonly #release: () => void;
  #crc: number;
  #next: Uint8Array = emptyBytes;
  #isDone = false;

  /** `revision` is the current one: records written later do not count. `release` lifts the pin of the records. */
  constructor(reader: BackendReader, revision: Revision, release: () => void) {
    this.#reader = reader;
    this.#release = release;
    this.#end = recordKey(revision + 1, 0, false);
    const head = sumOf(reader, bucketsByName.slice(0, keyPosition));
    this.#crc = updateCrc32c(head.crc, utf8("key"));
    this.#tail = sumOf(reader, bucketsByName.slice(keyPosition + 1));
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  result(): number {
    assert(this.#isDone, "the hash is there after the last slice");
    return this.#crc;
  }

  /** Does one slice; true when it was the last. */
  step({ recordsMax, bytesMax }: SliceLimits): boolean {
    assert(!this.#isDone, "a finished hash takes no steps");
    const cursor = this.#reader.cursor("key", { start: this.#next, end: this.#end });
    let bytesLeft = bytesMax;
    for (let records = 0; records < recordsMax && bytesLeft > 0; records++) {
      if (!cursor.next()) {
        this.#isDone = true;
        break;
      }
      const { key, value } = cursor;
      bytesLeft -= key.length + value.length;
      this.#crc = updateCrc32c(updateCrc32c(this.#crc, key), value);
      this.#next = recordKey(mainOf(key), subOf(key) + 1, false);
    }
    cursor.close();
    if (this.#isDone) {
      this.#crc = joinCrc32c(this.#crc, this.#tail.crc, this.#tail.bytes);
      this.close();
    }
    return this.#isDone;
  }

  /** Lets compactions go on: whoever drops a job half-way calls it. */
  close(): void {
    this.#release();
  }
}

function sumOf(reader: BackendReader, buckets: readonly Bucket[]): Sum {
  let sum = empty;
  for (const bucket of buckets) {
    sum = extended(sum, utf8(bucket));
    const cursor = reader.cursor(bucket, { start: emptyBytes });
    while (cursor.next()) {
      const isSkipped = bucket === "meta" && skippedMetaKeys.some((key) => equalBytes(key, cursor.key));
      if (!isSkipped) sum = extended(extended(sum, cursor.key), cursor.value);
    }
    cursor.close();
  }
  return sum;
}

function extended({ crc, bytes }: Sum, more: Uint8Array): Sum {
  return { crc: updateCrc32c(crc, more), bytes: bytes + more.length };
}
