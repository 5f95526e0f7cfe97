// HashKV: a checksum over the records up to a revision, equal on all members, on real etcd too, that have the same
// history and the same last compaction.
//
// CRC-32C over the bucket's name and then key and value of every record up to the revision. Of the records at or
// below the last compaction only those count that are the newest of a live key at the hashed revision; where no
// key at all is live then, those that the compaction keeps. A tombstone right at the compaction never counts. So
// the result does not depend on how far the compaction's removals have come.

import { assert, must } from "../lib/assert.ts";
import type { BackendReader } from "../lib/backend.ts";
import { emptyBytes, utf8 } from "../lib/bytes.ts";
import { updateCrc32c } from "../lib/crc32c.ts";
import { findPlace, versionAt } from "./key-index.ts";
import type { SliceLimits } from "./range.ts";
import { keyOfRecord } from "./records.ts";
import { assertRecordKey, isTombstoneKey, mainOf, type Revision, recordKey, subOf } from "./revision.ts";
import { VersionWalk } from "./version-walk.ts";

export interface HashKv {
  readonly hash: number;
  /** -1 before the first compaction. */
  readonly compactRevision: Revision;
  readonly hashRevision: Revision;
}

export interface HashKvSpan {
  readonly compactRevision: Revision;
  /** Invariant: compactRevision <= revision. */
  readonly revision: Revision;
  /** The hash that a compaction to `revision` takes along: there a tombstone right at it counts as something kept. */
  readonly isOfCompaction: boolean;
}

/** The hash of no records at all. */
export const bucketCrc = updateCrc32c(0, utf8("key"));

export class HashKvJob {
  readonly #reader: BackendReader;
  readonly #span: HashKvSpan;
  readonly #release: (() => void) | undefined;
  /** Looks for one live key. Undefined once it is known whether there is one. */
  #search: VersionWalk | undefined;
  #hasKept = false;
  #crc = bucketCrc;
  #next: Uint8Array = emptyBytes;
  #isDone = false;

  /**
   * Everything at and above the compact revision must stay until the job is done. A pin sees to that, which
   * `release` lifts; a compaction that hashes before it removes needs none.
   */
  constructor(reader: BackendReader, span: HashKvSpan, release?: () => void) {
    this.#reader = reader;
    this.#span = span;
    this.#release = release;
    // Where nothing was compacted, nothing is skipped.
    const needsSearch = span.compactRevision >= 0;
    if (needsSearch && span.isOfCompaction && this.#hasRecordAt(span.revision)) this.#hasKept = true;
    else if (needsSearch) {
      this.#search = new VersionWalk(reader, { start: emptyBytes, end: undefined, revision: span.revision });
    }
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  result(): HashKv {
    assert(this.#isDone, "the hash is there after the last slice");
    const { compactRevision, revision } = this.#span;
    return { hash: this.#crc, compactRevision, hashRevision: revision };
  }

  /** Does one slice; true when it was the last. */
  step(limits: SliceLimits): boolean {
    assert(!this.#isDone, "a finished hash takes no steps");
    if (this.#search !== undefined) this.#stepSearch(this.#search, limits);
    else this.#stepHash(limits);
    if (this.#isDone) this.close();
    return this.#isDone;
  }

  /** Gives the revision free: whoever drops a job half-way calls it. */
  close(): void {
    this.#search?.finish();
    this.#release?.();
  }

  #stepSearch(search: VersionWalk, { recordsMax }: SliceLimits): void {
    search.allow(recordsMax);
    this.#hasKept = search.next();
    const isKnown = this.#hasKept || search.isDone;
    if (!isKnown) return;
    search.finish();
    this.#search = undefined;
  }

  #stepHash({ recordsMax, bytesMax }: SliceLimits): void {
    const end = recordKey(this.#span.revision + 1, 0, false);
    const cursor = this.#reader.cursor("key", { start: this.#next, end });
    let bytesLeft = bytesMax;
    let recordsLeft = recordsMax;
    while (bytesLeft > 0 && recordsLeft > 0) {
      if (!cursor.next()) {
        this.#isDone = true;
        break;
      }
      const { key, value } = cursor;
      assertRecordKey(key);
      recordsLeft--;
      bytesLeft -= key.length + value.length;
      if (this.#counts(key, value)) this.#crc = updateCrc32c(updateCrc32c(this.#crc, key), value);
      this.#next = recordKey(mainOf(key), subOf(key) + 1, false);
    }
    cursor.close();
  }

  #counts(key: Uint8Array, value: Uint8Array): boolean {
    const { compactRevision, revision } = this.#span;
    const main = mainOf(key);
    if (main > compactRevision) return true;
    if (isTombstoneKey(key)) return false;
    // The newest at the hashed revision, or else at the compaction, is this very record.
    const place = must(findPlace(this.#reader, keyOfRecord(value)), "a record is indexed", { main });
    const newest = versionAt(this.#reader, place, this.#hasKept ? revision : compactRevision);
    return newest !== undefined && newest.main === main && newest.sub === subOf(key);
  }

  #hasRecordAt(revision: Revision): boolean {
    const cursor = this.#reader.cursor("key", {
      start: recordKey(revision, 0, false),
      end: recordKey(revision + 1, 0, false),
    });
    const hasRecord = cursor.next();
    cursor.close();
    return hasRecord;
  }
}
