// The bucket `key`: the records themselves, by revision.

import { must } from "../lib/assert.ts";
import type { BackendReader } from "../lib/backend.ts";
import { emptyBytes } from "../lib/bytes.ts";
import { noLease } from "../lib/ids.ts";
import { encodeKeyValue, KeyValueScan } from "../wire/hot-kv.ts";
import { type Revision, recordKey } from "./revision.ts";
import type { RecordId } from "./version.ts";

const keyTag = 0x0a;

/** The record that an index entry speaks of. Compaction removes both together, so it is there. */
export function recordAt(reader: BackendReader, { main, sub, isTombstone }: RecordId): Uint8Array {
  const record = reader.get("key", recordKey(main, sub, isTombstone));
  return must(record, "an indexed record is stored", { main, sub, isTombstone });
}

/** The user key of an encoded KeyValue, a view of it. Hot. */
export function keyOfRecord(record: Uint8Array): Uint8Array {
  // The key stands first, before a length of one byte mostly.
  const length = record[1] as number;
  if (record[0] === keyTag && length < 0x80) return record.subarray(2, 2 + length);
  return new KeyValueScan(record).key;
}

/** What a delete's event shows of the key, while its record holds the key alone. */
export function deleteEventKv(key: Uint8Array, modRevision: Revision): Uint8Array {
  return encodeKeyValue({
    key,
    createRevision: 0,
    modRevision,
    version: 0,
    value: emptyBytes,
    lease: noLease,
  });
}
