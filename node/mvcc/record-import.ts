// Takes records of the bucket `key` that another store wrote, in their order, and makes the index for them. The
// bytes stay as they are. What comes in is a file of unknown origin, so what is wrong with it is an Error.

import type { Backend } from "../lib/backend.ts";
import { emptyBytes, utf8 } from "../lib/bytes.ts";
import { type LeaseId, noLease } from "../lib/ids.ts";
import { KeyValueScan } from "../wire/hot-kv.ts";
import { headOf, KeyIndex } from "./key-index.ts";
import {
  isTombstoneKey,
  mainOf,
  type Revision,
  recordKey,
  recordKeyBytes,
  revisionMax,
  revisionValue,
  subOf,
} from "./revision.ts";
import type { LeaseAttachments } from "./write-txn.ts";

export interface ImportedLeases extends LeaseAttachments {
  has(id: LeaseId): boolean;
}

const subMax = 0xffff_ffff;
const separatorAt = 8;
const separator = 0x5f;

export class RecordImport {
  readonly #backend: Backend;
  readonly #index: KeyIndex;
  readonly #leases: ImportedLeases;
  #revision: Revision = 0;

  constructor(backend: Backend, leases: ImportedLeases) {
    this.#backend = backend;
    this.#index = new KeyIndex(backend);
    this.#leases = leases;
  }

  /** The main revision of the last record. */
  get revision(): Revision {
    return this.#revision;
  }

  /** Key and value are kept. Throws an Error for what is no record, WireError for a value that is no KeyValue. */
  add(recordKey: Uint8Array, value: Uint8Array): void {
    checkRecordKey(recordKey);
    const main = mainOf(recordKey);
    const kv = new KeyValueScan(value);
    this.#revision = main;
    this.#backend.put("key", recordKey, value);
    this.#makeNewest(kv, { main, sub: subOf(recordKey), isTombstone: isTombstoneKey(recordKey) });
  }

  /**
   * Moves the store's revision on without a change of any key, and makes all revisions up to there compacted: so
   * whoever watched the cluster before sees that the history is another one. The record is etcd's: an empty value.
   */
  bump(amount: number): Revision {
    const revision = this.#revision + amount;
    if (revision >= revisionMax) throw new Error(`revision ${this.#revision} + ${amount} is above 2^53`);
    this.add(recordKey(revision, 0, false), emptyBytes);
    this.#backend.put("meta", utf8("scheduledCompactRev"), revisionValue(revision));
    return revision;
  }

  #makeNewest(
    { key: view, createRevision, version, lease }: KeyValueScan,
    id: { readonly main: Revision; readonly sub: number; readonly isTombstone: boolean },
  ): void {
    const key = view.slice();
    const place = this.#index.makePlace(key);
    const head = headOf(this.#backend, place);
    const isAttached = !id.isTombstone && lease !== noLease;
    const content = id.isTombstone
      ? { createRevision: 0, version: 0, lease: noLease }
      : { createRevision, version, lease };
    this.#index.push(place, head, { ...id, ...content });
    if (head !== undefined && head.lease !== noLease) {
      this.#leases.detach(head.lease, key, recordKey(head.main, head.sub, false));
    }
    if (isAttached && this.#leases.has(lease)) {
      this.#leases.attach(lease, key, recordKey(id.main, id.sub, false));
    }
  }
}

function checkRecordKey(key: Uint8Array): void {
  const isSound =
    (key.length === recordKeyBytes || isTombstoneKey(key)) &&
    key[separatorAt] === separator &&
    mainOf(key) < revisionMax &&
    subOf(key) <= subMax;
  if (!isSound)
    throw new Error(`a record of the bucket "key" has the key [${key.join(" ")}], which is no revision`);
}
