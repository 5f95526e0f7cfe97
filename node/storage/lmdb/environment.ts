// The only file that knows the `lmdb` package. It opens an environment with the options that this project relies on
// and gives it the types that the package's own declarations lack.
//
// Options, and why:
// - overlappingSync off: with it a failed fsync leaves the transaction visible, and the next one succeeds.
// - no noSync, no useWritemap: a power cut would destroy the file; a full disk would be a SIGBUS.
// - pages of 8 KiB: values of a few KiB fill pages well, and keys up to 4,026 bytes are possible.
// - no compression of the package's own: a record's flags say how it is encoded, and we check it first.
// All environments of one folder in one process share one native environment, so a worker may write while the
// main thread reads.

import { open } from "lmdb";
import { assert } from "../../lib/assert.ts";
import { type Bucket, buckets } from "../../lib/backend.ts";
import { emptyBytes } from "../../lib/bytes.ts";

export const pageBytes = 8192;
/** LMDB's limit at this page size. */
export const keyBytesMax = 4026;
export const dataFileName = "data.mdb";
export const lockFileName = "lock.mdb";

/** The package refuses the 13th named database by default. */
const databasesMax = 64;
const readersMax = 126;

/** A read view. Pages freed after it began stay in the file until `done`. */
export interface ReadTransaction {
  done(): void;
}

interface ReadOptions {
  readonly transaction: ReadTransaction;
}

export interface RangeOptions extends ReadOptions {
  readonly start?: Uint8Array | undefined;
  readonly end?: Uint8Array | undefined;
  readonly reverse?: boolean;
  readonly exclusiveStart?: boolean;
  readonly inclusiveEnd?: boolean;
}

/** Bytes that the next read overwrites. The array is longer than the value: only `length` bytes are the value. */
export interface VolatileBytes {
  readonly bytes: Uint8Array;
  readonly length: number;
}

interface PageCounts {
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
  readonly entryCount: number;
}

/** One named database. */
export interface Database {
  /** Overwritten by the next read; its true length is in `lastSize`. */
  getBinaryFast(key: Uint8Array, options: ReadOptions): Uint8Array | undefined;
  readonly lastSize: number;
  getRange(options: RangeOptions): { [Symbol.iterator](): DatabaseIterator };
  /** Inside a write transaction: false when the key did not allow it, an exception for any other failure. */
  putSync(key: Uint8Array, value: Uint8Array, options?: { readonly append: boolean }): boolean;
  /** False when the key was not there. */
  removeSync(key: Uint8Array): boolean;
  readonly db: { stat(): PageCounts };
}

export interface DatabaseIterator {
  next(): {
    readonly done?: boolean;
    readonly value: { readonly key: Uint8Array; readonly value: VolatileBytes };
  };
  return(): void;
}

interface RootDatabase {
  openDB(name: string, options: object): Database | undefined;
  transactionSync(work: () => void): void;
  useReadTransaction(): ReadTransaction;
  resetReadTxn(): void;
  close(): Promise<void>;
}

export interface EnvironmentOptions {
  readonly readOnly?: boolean;
}

/** What the buckets of a store take. A bucket has no page before its first record. */
export interface PageUse {
  readonly pages: number;
  readonly bucketsWithPages: number;
}

const { copy } = Buffer.prototype;

/** Keys are bytes as they are, and come out as plain arrays of their own. */
const keyEncoder = {
  writeKey(key: Uint8Array, target: Uint8Array, start: number): number {
    target.set(key, start);
    return start + key.length;
  },
  readKey(source: Uint8Array, start: number, end: number): Uint8Array {
    const key = new Uint8Array(end - start);
    copy.call(source, key, 0, start, end);
    return key;
  },
};

/** Values pass as they are; a range hands out the package's own buffer, which the next step overwrites. */
const encoder = {
  encode: (value: Uint8Array): Uint8Array => value,
  decode: (bytes: Uint8Array, length: number): VolatileBytes => ({ bytes, length }),
};

/** An open environment with all buckets. Throws the package's errors: `code` is LMDB's or errno's number. */
export class Environment {
  readonly #root: RootDatabase;
  readonly #databases: ReadonlyMap<Bucket, Database>;

  constructor(folder: string, options: EnvironmentOptions = {}) {
    const readOnly = options.readOnly ?? false;
    // The options go beyond the package's declarations (permissionsMode, the custom encoder).
    const rootOptions = {
      path: folder,
      noSubdir: false,
      readOnly,
      maxDbs: databasesMax,
      maxReaders: readersMax,
      pageSize: pageBytes,
      overlappingSync: false,
      compression: false,
      permissionsMode: 0o600,
    };
    this.#root = open(rootOptions) as unknown as RootDatabase;
    const databases = new Map<Bucket, Database>();
    for (const name of buckets) {
      const database = this.#root.openDB(name, { keyEncoder, encoder });
      assert(database !== undefined, "every bucket has a database", { name, folder });
      databases.set(name, database);
    }
    this.#databases = databases;
  }

  database(bucket: Bucket): Database {
    const database = this.#databases.get(bucket);
    assert(database !== undefined, "the bucket is known", { bucket });
    return database;
  }

  /** Runs `work` in one transaction and returns after it is durable; an exception in it leaves nothing. */
  write(work: () => void): void {
    this.#root.transactionSync(work);
  }

  /** A view of the newest transaction. */
  beginRead(): ReadTransaction {
    // Without the reset the package may hand out a view that it opened earlier in this turn.
    this.#root.resetReadTxn();
    return this.#root.useReadTransaction();
  }

  /** Call it inside `write`, or where no other thread writes. */
  pageUse(): PageUse {
    let pages = 0;
    let bucketsWithPages = 0;
    for (const database of this.#databases.values()) {
      const { treeBranchPageCount, treeLeafPageCount, overflowPages } = database.db.stat();
      const count = treeBranchPageCount + treeLeafPageCount + overflowPages;
      pages += count;
      if (count > 0) bucketsWithPages++;
    }
    return { pages, bucketsWithPages };
  }

  close(done: () => void): void {
    void this.#root.close().then(done);
  }
}

/** The greatest key of a bucket. */
export function lastKeyOf(environment: Environment, bucket: Bucket): Uint8Array | undefined {
  const transaction = environment.beginRead();
  // Without a bound the package takes the range for an empty one.
  const range = { transaction, reverse: true, end: emptyBytes, inclusiveEnd: true };
  const records = environment.database(bucket).getRange(range)[Symbol.iterator]();
  const first = records.next();
  const key = first.done === true ? undefined : first.value.key;
  records.return();
  transaction.done();
  return key;
}
