// Copies etcd's buckets from a bbolt file into an engine, with the indexes that this program keeps beside them. The
// bytes stay as they are. Memory is one flush, whatever the size of the file.

import { Lessor } from "../lease/lessor.ts";
import { type Backend, type Bucket, type Engine, etcdBuckets } from "../lib/backend.ts";
import { textOf } from "../lib/bytes.ts";
import { Overlay } from "../mvcc/overlay.ts";
import { RecordImport } from "../mvcc/record-import.ts";
import type { BoltReader, BoltRecord } from "../storage/bbolt/reader.ts";

/** An overlay of this size goes to disk. */
const flushBytes = 16 * 1024 * 1024;

export interface FillOptions {
  /** Which records of the small buckets are copied; all by default. */
  readonly isCopied?: (bucket: Bucket, name: string) => boolean;
  /** Adds what is the new store's own, after everything else. */
  readonly complete: (backend: Backend, records: RecordImport) => void;
}

/** Throws BoltError, or an Error that says which record is none. */
export async function fillStore(engine: Engine, reader: BoltReader, options: FillOptions): Promise<void> {
  const { isCopied = () => true, complete } = options;
  const overlay = new Overlay(engine);
  const flush = (): Promise<void> => new Promise((done) => overlay.flush(done));
  const flushIfLarge = async (): Promise<void> => {
    if (overlay.activeBytes >= flushBytes) await flush();
  };
  for (const bucket of etcdBuckets) {
    if (bucket === "key") continue;
    for (const { key, value } of reader.records(bucket)) {
      if (isCopied(bucket, textOf(key))) overlay.put(bucket, key, value);
      await flushIfLarge();
    }
  }
  // The leases are there now, so that keys can be attached to them.
  const records = new RecordImport(overlay, new Lessor(overlay));
  for (const record of reader.records("key")) {
    addRecord(records, record);
    await flushIfLarge();
  }
  complete(overlay, records);
  await flush();
}

function addRecord(records: RecordImport, { key, value }: BoltRecord): void {
  try {
    records.add(key, value);
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`a record of the bucket "key" behind revision ${records.revision}: ${what}`, { cause });
  }
}
