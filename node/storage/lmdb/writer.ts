// Writes flushes into an environment, one durable transaction each. Runs in the store worker.

import { ArenaReader } from "../../lib/arena.ts";
import { assert } from "../../lib/assert.ts";
import { buckets } from "../../lib/backend.ts";
import { compareBytes } from "../../lib/bytes.ts";
import { seal, seedOf, trailerBytes } from "./envelope.ts";
import { type Database, type Environment, keyBytesMax, lastKeyOf, type PageUse } from "./environment.ts";

const append = { append: true };
const appendBucketNumber = buckets.indexOf("key");

export interface WriterOptions {
  /** Every key is above all of its bucket: the store is a copy of another one, made in order. */
  readonly isCopying?: boolean;
}

export class StoreWriter {
  readonly #environment: Environment;
  readonly #isCopying: boolean;
  /**
   * At or above every key of the `key` bucket. Revision keys ascend, and appending those above it fills pages
   * wholly and costs half as much.
   */
  #lastRevisionKey: Uint8Array;

  constructor(environment: Environment, { isCopying = false }: WriterOptions = {}) {
    this.#environment = environment;
    this.#isCopying = isCopying;
    this.#lastRevisionKey = lastKeyOf(environment, "key") ?? new Uint8Array(0);
  }

  /**
   * Applies every operation of the arena, durably, or none: then it throws what the package throws, and the writer
   * must not be used again. Returns what the buckets take afterwards.
   */
  write(arena: Uint8Array): PageUse {
    let use: PageUse = { pages: 0, bucketsWithPages: 0 };
    this.#environment.write(() => {
      this.#apply(new ArenaReader(arena));
      use = this.#environment.pageUse();
    });
    return use;
  }

  #apply(reader: ArenaReader): void {
    let bucketNumber = -1;
    let seed = 0;
    let database: Database | undefined;
    while (reader.next()) {
      if (reader.bucketNumber !== bucketNumber) {
        bucketNumber = reader.bucketNumber;
        const bucket = buckets[bucketNumber];
        assert(bucket !== undefined, "the bucket number is known", { bucketNumber });
        database = this.#environment.database(bucket);
        seed = seedOf(bucket);
      }
      assert(database !== undefined, "a bucket was chosen");
      const key = reader.bytes.subarray(reader.keyStart, reader.keyEnd);
      assert(key.length <= keyBytesMax, "a key fits into a page", { length: key.length });
      if (reader.isDelete) {
        // False for a key that was put and deleted within one flush: it never got here.
        database.removeSync(key);
        continue;
      }
      seal(reader.bytes, reader.keyStart, reader.valueEnd, seed);
      const value = reader.bytes.subarray(reader.keyEnd, reader.valueEnd + trailerBytes);
      const isStored = this.#mayAppend(bucketNumber, key)
        ? database.putSync(key, value, append)
        : database.putSync(key, value);
      assert(isStored, "LMDB stored the record", { bucketNumber });
    }
    // The arena must not live as long as the writer does.
    this.#lastRevisionKey = this.#lastRevisionKey.slice();
  }

  #mayAppend(bucketNumber: number, key: Uint8Array): boolean {
    if (this.#isCopying) return true;
    if (bucketNumber !== appendBucketNumber || compareBytes(key, this.#lastRevisionKey) <= 0) return false;
    this.#lastRevisionKey = key;
    return true;
  }
}
