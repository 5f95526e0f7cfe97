// Checked reads from an environment at one read transaction. Every value passes its envelope's checksum before
// anyone sees it; a damaged one is reported and raised, never returned.
//
// Where no other thread writes while a read transaction begins, whole pages are read beside the package: for ranges in
// key order, and for single keys that lie close together.

import { assert, must } from "../../lib/assert.ts";
import { type BackendReader, type Bucket, buckets, type Cursor, type KeyRange } from "../../lib/backend.ts";
import { compareBytes, emptyBytes } from "../../lib/bytes.ts";
import { FatalError } from "../../lib/fatal.ts";
import { Slab } from "../../lib/slab.ts";
import type { Disk } from "../disk.ts";
import { faultOf, faultOfRecord, type RecordPlace, seedOf, trailerBytes } from "./envelope.ts";
import {
  type Database,
  type DatabaseIterator,
  type Environment,
  pageBytes,
  type RangeOptions,
  type ReadTransaction,
} from "./environment.ts";
import { fatalOfStoreError } from "./errors.ts";
import { type Page, PageFault } from "./page.ts";
import { BucketTree, TreeFile, type TreeWalk } from "./tree.ts";

const { copy } = Buffer.prototype;

export interface ReaderOptions {
  readonly environment: Environment;
  /** For messages. */
  readonly file: string;
  /** Told of damage before it is thrown. */
  readonly onFatal: (error: FatalError) => void;
  /** Where pages of `file` are read. Only if nothing is written while a reader is made and renewed. */
  readonly disk?: Disk;
}

export class StoreReader implements BackendReader {
  readonly #environment: Environment;
  readonly #file: string;
  readonly #onFatal: (error: FatalError) => void;
  readonly #values = new Slab();
  readonly #treeFile: TreeFile | undefined;
  readonly #trees = new Map<Bucket, BucketTree>();
  #transaction: ReadTransaction | undefined;

  constructor(options: ReaderOptions) {
    this.#environment = options.environment;
    this.#file = options.file;
    this.#onFatal = options.onFatal;
    this.#transaction = this.#environment.beginRead();
    if (options.disk === undefined) return;
    const treeFile = new TreeFile(options.disk, options.file);
    this.#treeFile = treeFile;
    for (const bucket of buckets) this.#trees.set(bucket, new BucketTree(treeFile, bucket));
  }

  /** From here on reads see the newest transaction. No cursor may be open. */
  renew(): void {
    const before = this.#transaction;
    this.#transaction = this.#environment.beginRead();
    before?.done();
    this.#treeFile?.renew();
  }

  /** Gives the read transaction back; nothing may be read after this. */
  close(): void {
    this.#treeFile?.close();
    this.#transaction?.done();
    this.#transaction = undefined;
  }

  get(bucket: Bucket, key: Uint8Array): Uint8Array | undefined {
    const tree = this.#trees.get(bucket);
    if (tree !== undefined) {
      try {
        const page = tree.leafFor(key);
        if (page !== undefined) {
          const { node } = tree;
          return node === undefined ? undefined : this.#valueAt(bucket, page, node);
        }
      } catch (error) {
        throw this.#fatalOfPages(error);
      }
    }
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
    const tree = this.#trees.get(bucket);
    if (tree !== undefined && !reverse) return this.#treeCursor(bucket, tree, range);
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

  #treeCursor(bucket: Bucket, tree: BucketTree, { start, end }: KeyRange): Cursor {
    const checks: TreeChecks = {
      valueAt: (page, node) => this.#valueAt(bucket, page, node),
      fail: (error) => this.#fatalOfPages(error),
    };
    try {
      return new TreeCursor(tree.walk(start, end), checks);
    } catch (error) {
      throw checks.fail(error);
    }
  }

  /** The value of a node that was found, without its trailer. It is part of the page, which nobody writes to. */
  #valueAt(bucket: Bucket, page: Page, node: number): Uint8Array {
    const keyStart = page.keyStart(node);
    const valueStart = page.keyEnd(node);
    const first = page.bigValueOf(node);
    if (first !== undefined) {
      const key = page.bytes.subarray(keyStart, valueStart);
      const value = must(this.#treeFile, "pages are read").bigValue(first, page.valueBytes(node));
      const fault = faultOf(key, value, value.length, seedOf(bucket));
      if (fault !== undefined) throw this.#damage(bucket, key, fault);
      return value.subarray(0, value.length - trailerBytes);
    }
    const place: RecordPlace = { keyStart, valueStart, valueEnd: page.valueEnd(node) };
    const fault = faultOfRecord(page.bytes, place, seedOf(bucket));
    if (fault !== undefined) throw this.#damage(bucket, page.bytes.subarray(keyStart, valueStart), fault);
    return page.bytes.subarray(valueStart, place.valueEnd - trailerBytes);
  }

  #open(): ReadTransaction {
    return must(this.#transaction, "the reader is open");
  }

  /** A copy of the value without its trailer. */
  #checked(bucket: Bucket, key: Uint8Array, bytes: Uint8Array, length: number): Uint8Array {
    const fault = faultOf(key, bytes, length, seedOf(bucket));
    if (fault === undefined) return this.#copy(bytes, length - trailerBytes);
    throw this.#damage(bucket, key, fault);
  }

  #damage(bucket: Bucket, key: Uint8Array, fault: string): FatalError {
    const text = `${this.#file}: bucket ${bucket}, key ${Buffer.from(key).toString("hex")}: ${fault}`;
    return this.#fatal(new FatalError("STORE_DAMAGED", text, { file: this.#file }));
  }

  /** Damage that was reported already passes on. */
  #fatalOfPages(error: unknown): FatalError {
    if (error instanceof FatalError) return error;
    if (!(error instanceof PageFault)) return this.#fatal(fatalOfStoreError(error, this.#file));
    const place = { file: this.#file, offset: error.page * pageBytes };
    return this.#fatal(new FatalError("STORE_DAMAGED", `${this.#file}: ${error.message}`, place));
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

interface TreeChecks {
  valueAt(page: Page, node: number): Uint8Array;
  fail(error: unknown): FatalError;
}

class TreeCursor implements Cursor {
  readonly #walk: TreeWalk;
  readonly #checks: TreeChecks;
  #key: Uint8Array = emptyBytes;
  #value: Uint8Array = emptyBytes;

  constructor(walk: TreeWalk, checks: TreeChecks) {
    this.#walk = walk;
    this.#checks = checks;
  }

  next(): boolean {
    const walk = this.#walk;
    assert(walk.isCurrent, "a cursor is closed before its reader is renewed");
    try {
      if (!walk.next()) return false;
      const { page, node } = walk;
      this.#value = this.#checks.valueAt(page, node);
      this.#key = page.bytes.subarray(page.keyStart(node), page.keyEnd(node));
      return true;
    } catch (error) {
      throw this.#checks.fail(error);
    }
  }

  get key(): Uint8Array {
    return this.#key;
  }

  get value(): Uint8Array {
    return this.#value;
  }

  close(): void {}
}

const emptyCursor: Cursor = {
  next: () => false,
  key: emptyBytes,
  value: emptyBytes,
  close() {},
};
