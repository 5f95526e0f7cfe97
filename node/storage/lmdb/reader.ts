// Checked reads from an environment at one read transaction. Every value passes its envelope's checksum before
// anyone sees it; a damaged one is reported and raised, never returned.

import { must } from "../../lib/assert.ts";
import type { BackendReader, Bucket, Cursor, KeyRange } from "../../lib/backend.ts";
import { compareBytes, emptyBytes } from "../../lib/bytes.ts";
import { FatalError } from "../../lib/fatal.ts";
import { Slab } from "../../lib/slab.ts";
import { faultOf, seedOf, trailerBytes } from "./envelope.ts";
import type {
  Database,
  DatabaseIterator,
  Environment,
  RangeOptions,
  ReadTransaction,
} from "./environment.ts";
import { fatalOfStoreError } from "./errors.ts";

const { copy } = Buffer.prototype;

export interface ReaderOptions {
  readonly environment: Environment;
  /** For messages. */
  readonly file: string;
  /** Told of damage before it is thrown. */
  readonly onFatal: (error: FatalError) => void;
}

export class StoreReader implements BackendReader {
  readonly #environment: Environment;
  readonly #file: string;
  readonly #onFatal: (error: FatalError) => void;
  readonly #values = new Slab();
  #transaction: ReadTransaction | undefined;

  constructor(options: ReaderOptions) {
    this.#environment = options.environment;
    this.#file = options.file;
    this.#onFatal = options.onFatal;
    this.#transaction = this.#environment.beginRead();
  }

  /** From here on reads see the newest transaction. No cursor may be open. */
  renew(): void {
    const before = this.#transaction;
    this.#transaction = this.#environment.beginRead();
    before?.done();
  }

  /** Gives the read transaction back; nothing may be read after this. */
  close(): void {
    this.#transaction?.done();
    this.#transaction = undefined;
  }

  get(bucket: Bucket, key: Uint8Array): Uint8Array | undefined {
    const database = this.#environment.database(bucket);
    let bytes: Uint8Array | undefined;
    try {
      bytes = database.getBinaryFast(key, { transaction: this.#open() });
    } catch (error) {
      throw this.#fatal(fatalOfStoreError(error, this.#file));
    }
    return bytes === undefined ? undefined : this.#checked(bucket, key, bytes, database.lastSize);
  }

  cursor(bucket: Bucket, range: KeyRange): Cursor {
    if (range.end !== undefined && compareBytes(range.start, range.end) >= 0) return emptyCursor;
    const reverse = range.reverse ?? false;
    const transaction = this.#open();
    // Backwards the package starts at the upper end, and both ends need the other kind of bound.
    const options: RangeOptions = reverse
      ? {
          transaction,
          reverse,
          start: range.end,
          exclusiveStart: range.end !== undefined,
          end: range.start,
          inclusiveEnd: true,
        }
      : { transaction, start: range.start, end: range.end };
    const database: Database = this.#environment.database(bucket);
    try {
      const iterator = database.getRange(options)[Symbol.iterator]();
      return new LmdbCursor(iterator, {
        check: (key, bytes, length) => this.#checked(bucket, key, bytes, length),
        fail: (error) => this.#fatal(fatalOfStoreError(error, this.#file)),
      });
    } catch (error) {
      throw this.#fatal(fatalOfStoreError(error, this.#file));
    }
  }

  #open(): ReadTransaction {
    return must(this.#transaction, "the reader is open");
  }

  /** A copy of the value without its trailer. */
  #checked(bucket: Bucket, key: Uint8Array, bytes: Uint8Array, length: number): Uint8Array {
    const fault = faultOf(key, bytes, length, seedOf(bucket));
    if (fault === undefined) return this.#copy(bytes, length - trailerBytes);
    const text = `${this.#file}: bucket ${bucket}, key ${Buffer.from(key).toString("hex")}: ${fault}`;
    throw this.#fatal(new FatalError("STORE_DAMAGED", text, { file: this.#file }));
  }

  /** `bytes` may claim any length; its first `length` bytes are copied. */
  #copy(bytes: Uint8Array, length: number): Uint8Array {
    const target = this.#values.take(length);
    copy.call(bytes, target, 0, 0, length);
    return target;
  }

  #fatal(error: FatalError): FatalError {
    this.#onFatal(error);
    return error;
  }
}

interface Checks {
  check(key: Uint8Array, bytes: Uint8Array, length: number): Uint8Array;
  fail(error: unknown): FatalError;
}

class LmdbCursor implements Cursor {
  readonly #iterator: DatabaseIterator;
  readonly #checks: Checks;
  #key: Uint8Array = emptyBytes;
  #value: Uint8Array = emptyBytes;

  constructor(iterator: DatabaseIterator, checks: Checks) {
    this.#iterator = iterator;
    this.#checks = checks;
  }

  next(): boolean {
    let step: ReturnType<DatabaseIterator["next"]>;
    try {
      step = this.#iterator.next();
    } catch (error) {
      throw this.#checks.fail(error);
    }
    if (step.done === true) return false;
    const { key, value } = step.value;
    // Checked at once: the package's buffer belongs to the next read, whoever does it.
    this.#value = this.#checks.check(key, value.bytes, value.length);
    this.#key = key;
    return true;
  }

  get key(): Uint8Array {
    return this.#key;
  }

  get value(): Uint8Array {
    return this.#value;
  }

  close(): void {
    this.#iterator.return();
  }
}

const emptyCursor: Cursor = {
  next: () => false,
  key: emptyBytes,
  value: emptyBytes,
  close() {},
};
