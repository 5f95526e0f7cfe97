// Compaction: for each key only the newest version at or below the compact revision stays, and a tombstone only
// right at that revision, so that a watch from there still sees the delete.
//
// The decision is persisted at once, the removal follows in slices and starts over after a restart. Whatever was
// compacted before holds one version a key, so only the records since then are visited: the cost is that of what
// changed, not of what is stored.

import { assert, must } from "../lib/assert.ts";
import type { Backend } from "../lib/backend.ts";
import { utf8 } from "../lib/bytes.ts";
import { type HashKv, HashKvJob } from "./hash-kv.ts";
import type { KeyPlace } from "./index-key.ts";
import { findPlace, headOf, type KeyIndex, olderVersionAt, versionsBelow } from "./key-index.ts";
import type { Pins } from "./pins.ts";
import type { SliceLimits } from "./range.ts";
import { keyOfRecord } from "./records.ts";
import {
  assertRecordKey,
  isTombstoneKey,
  mainOf,
  type Revision,
  recordKey,
  revisionValue,
  subOf,
} from "./revision.ts";
import type { RecordId } from "./version.ts";

const scheduledKey = utf8("scheduledCompactRev");
const finishedKey = utf8("finishedCompactRev");

/** Before the first compaction. */
export const neverCompacted: Revision = -1;

/** As many as etcd keeps. */
const hashesMax = 10;
/** Older versions fetched at once below one that stays. There is more than one only after an interrupted compaction. */
const olderMax = 16;

export type CompactionProgress =
  | "idle"
  /** Only reads. */
  | "hashing"
  /** Reads and removes. */
  | "removing"
  | "waiting for readers";

interface Scrub {
  readonly target: Revision;
  readonly from: Revision;
  /** Runs before anything is removed; undefined when done or not wanted. */
  hash: HashKvJob | undefined;
  /** The finished hash. It is answered for only when the removals are through: then the next one is kept, too. */
  taken: HashKv | undefined;
  next: Uint8Array;
}

interface Waiter {
  readonly revision: Revision;
  readonly done: () => void;
}

export class Compaction {
  readonly #backend: Backend;
  readonly #index: KeyIndex;
  readonly #pins: Pins;
  readonly #takesHashes: boolean;
  #scheduled: Revision;
  #finished: Revision;
  #running: Scrub | undefined;
  /** The next one; a later one replaces it, as it removes all that the earlier would have. */
  #pending: { readonly target: Revision; readonly hashFrom: Revision | undefined } | undefined;
  #hashes: HashKv[] = [];
  #waiters: Waiter[] = [];
  #removed = 0;

  constructor(
    backend: Backend,
    { index, pins, takesHashes }: { index: KeyIndex; pins: Pins; takesHashes: boolean },
  ) {
    this.#backend = backend;
    this.#index = index;
    this.#pins = pins;
    this.#takesHashes = takesHashes;
    this.#finished = readRevision(backend, finishedKey);
    this.#scheduled = Math.max(readRevision(backend, scheduledKey), this.#finished);
    if (this.#scheduled > this.#finished) this.#pending = { target: this.#scheduled, hashFrom: undefined };
  }

  /** The store was replaced: what was under way belonged to the one before. */
  restored(): void {
    this.#running?.hash?.close();
    this.#running = undefined;
    this.#hashes = [];
    this.#finished = readRevision(this.#backend, finishedKey);
    this.#scheduled = Math.max(readRevision(this.#backend, scheduledKey), this.#finished);
    const isUnfinished = this.#scheduled > this.#finished;
    this.#pending = isUnfinished ? { target: this.#scheduled, hashFrom: undefined } : undefined;
    const due = this.#waiters.filter(({ revision }) => revision <= this.#finished);
    this.#waiters = this.#waiters.filter(({ revision }) => revision > this.#finished);
    for (const { done } of due) done();
  }

  /** The revision below which nothing can be read: that of the last compaction decided. */
  get revision(): Revision {
    return this.#scheduled;
  }

  /** The revision up to which removals are complete. */
  get finishedRevision(): Revision {
    return this.#finished;
  }

  /** Records removed since the store was opened. */
  get removed(): number {
    return this.#removed;
  }

  /** The hashes that finished compactions took along, by hashed revision. */
  hashAt(revision: Revision): HashKv | undefined {
    return this.#hashes.find(({ hashRevision }) => hashRevision === revision);
  }

  /** Decides a compaction. The revision is above the last one and not above the current. */
  schedule(revision: Revision): void {
    assert(revision > this.#scheduled, "compactions go forward", { revision, scheduled: this.#scheduled });
    // A hash is only kept when all removals before it were complete.
    const hashFrom = this.#takesHashes && this.#finished === this.#scheduled ? this.#scheduled : undefined;
    this.#scheduled = revision;
    this.#backend.put("meta", scheduledKey, revisionValue(revision));
    this.#pending = { target: revision, hashFrom };
  }

  /** Runs `done` when all removals up to the revision are written, at once if they are. */
  whenFinished(revision: Revision, done: () => void): void {
    if (this.#finished >= revision) done();
    else this.#waiters.push({ revision, done });
  }

  /** Does one slice. */
  step(limits: SliceLimits): CompactionProgress {
    this.#running ??= this.#begin();
    const scrub = this.#running;
    if (scrub === undefined) return "idle";
    if (scrub.hash !== undefined) {
      if (scrub.hash.step(limits)) {
        scrub.taken = scrub.hash.result();
        scrub.hash = undefined;
      }
      return "hashing";
    }
    if (this.#pins.lowest() < scrub.target) return "waiting for readers";
    if (this.#scrub(scrub, limits)) this.#finish(scrub);
    return "removing";
  }

  #begin(): Scrub | undefined {
    const pending = this.#pending;
    if (pending === undefined) return undefined;
    this.#pending = undefined;
    const { target, hashFrom } = pending;
    const hash =
      hashFrom === undefined
        ? undefined
        : new HashKvJob(this.#backend, { compactRevision: hashFrom, revision: target, isOfCompaction: true });
    // Tombstones right at the last compaction are still there, so it starts with that revision again.
    const from = Math.max(this.#finished, 0);
    return { target, from, hash, taken: undefined, next: recordKey(from, 0, false) };
  }

  /** Visits the next records; true when all up to the target were visited. */
  #scrub(scrub: Scrub, { recordsMax, bytesMax }: SliceLimits): boolean {
    const cursor = this.#backend.cursor("key", {
      start: scrub.next,
      end: recordKey(scrub.target + 1, 0, false),
    });
    // Collected first, because nothing may be written under an open cursor.
    const visited: { readonly recordKey: Uint8Array; readonly key: Uint8Array }[] = [];
    let bytesLeft = bytesMax;
    let isLast = false;
    while (bytesLeft > 0 && visited.length < recordsMax) {
      isLast = !cursor.next();
      if (isLast) break;
      const { key, value } = cursor;
      assertRecordKey(key);
      bytesLeft -= value.length;
      visited.push({ recordKey: key, key: keyOfRecord(value) });
    }
    cursor.close();
    for (const record of visited) this.#visit(record.recordKey, record.key, scrub.target);
    const last = visited.at(-1)?.recordKey;
    if (last !== undefined) scrub.next = recordKey(mainOf(last), subOf(last) + 1, false);
    return isLast;
  }

  #visit(recordKey: Uint8Array, key: Uint8Array, target: Revision): void {
    const main = mainOf(recordKey);
    const sub = subOf(recordKey);
    const place = must(findPlace(this.#backend, key), "a record is indexed", { main, sub });
    const head = must(headOf(this.#backend, place), "a record is indexed", { main, sub });
    const kept = head.main <= target ? head : olderVersionAt(this.#backend, place, target);
    if (kept === undefined || kept.main !== main || kept.sub !== sub) {
      this.#removeOlder(place, { main, sub, isTombstone: isTombstoneKey(recordKey) });
      return;
    }
    for (;;) {
      const older = versionsBelow(this.#backend, place, kept, olderMax);
      for (const version of older) this.#removeOlder(place, version);
      if (older.length < olderMax) break;
    }
    if (!kept.isTombstone || main === target) return;
    if (kept !== head) {
      this.#removeOlder(place, kept);
      return;
    }
    this.#index.removeLast(key, place, head);
    this.#removeRecord(head);
  }

  #removeOlder(place: KeyPlace, version: RecordId): void {
    this.#index.removeOlder(place, version);
    this.#removeRecord(version);
  }

  #removeRecord({ main, sub, isTombstone }: RecordId): void {
    this.#backend.delete("key", recordKey(main, sub, isTombstone));
    this.#removed++;
  }

  #keepHash(hash: HashKv): void {
    // Revision 0 asks for the current one, so a hash must never be found under it.
    if (hash.hashRevision === 0) return;
    this.#hashes.push(hash);
    if (this.#hashes.length > hashesMax) this.#hashes.shift();
  }

  #finish(scrub: Scrub): void {
    this.#backend.put("meta", finishedKey, revisionValue(scrub.target));
    this.#finished = scrub.target;
    this.#running = undefined;
    if (scrub.taken !== undefined) this.#keepHash(scrub.taken);
    const due = this.#waiters.filter(({ revision }) => revision <= scrub.target);
    this.#waiters = this.#waiters.filter(({ revision }) => revision > scrub.target);
    for (const { done } of due) done();
  }
}

function readRevision(backend: Backend, key: Uint8Array): Revision {
  const value = backend.get("meta", key);
  if (value === undefined) return neverCompacted;
  assertRecordKey(value);
  return mainOf(value);
}
