// Range: all of RangeRequest's options, in bounded slices.
//
// Etcd's rules, where they are not obvious: the count is that of all keys in the range, whatever limit and
// filters say; the limit cuts before sorting where a sort target is given without an order; `more` only means
// that the limit cut something off.

import { assert } from "../lib/assert.ts";
import type { BackendReader } from "../lib/backend.ts";
import { compareBytes } from "../lib/bytes.ts";
import { GoSort } from "../lib/go-sort.ts";
import { decodeKeyValue, withoutValue } from "../wire/hot-kv.ts";
import type { CountMemo } from "./count-memo.ts";
import { recordAt } from "./records.ts";
import type { Revision } from "./revision.ts";
import type { Version } from "./version.ts";
import { successor, VersionWalk } from "./version-walk.ts";

/** Wire numbers, as in etcdserverpb.RangeRequest. */
export const sortOrders = { none: 0, ascend: 1, descend: 2 } as const;
export const sortTargets = { key: 0, version: 1, create: 2, mod: 3, value: 4 } as const;

/** A decoded RangeRequest fits. Sort order and target are known ones: the API refuses others. */
export interface RangeRequest {
  readonly key: Uint8Array;
  /** Empty: the key alone. A single zero byte: all keys from `key` on. */
  readonly rangeEnd: Uint8Array;
  /** Zero or less: no limit. */
  readonly limit: number;
  /** Zero or less: the current one. */
  readonly revision: Revision;
  readonly sortOrder: number;
  readonly sortTarget: number;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  /** Zero: no bound. */
  readonly minModRevision: Revision;
  readonly maxModRevision: Revision;
  readonly minCreateRevision: Revision;
  readonly maxCreateRevision: Revision;
}

export interface RangeAnswer {
  readonly ok: true;
  /** The store's current revision, also when an older one was read. */
  readonly revision: Revision;
  /** Encoded mvccpb.KeyValue. */
  readonly kvs: readonly Uint8Array[];
  readonly count: number;
  readonly more: boolean;
}

export type RevisionFailure =
  | { readonly ok: false; readonly reason: "compacted"; readonly compactRevision: Revision }
  | { readonly ok: false; readonly reason: "future"; readonly currentRevision: Revision };

export type RangeOutcome = RangeAnswer | RevisionFailure;

/** What one slice may do: index entries and records touched, bytes of records read. */
export interface SliceLimits {
  readonly recordsMax: number;
  readonly bytesMax: number;
}

export const unlimited: SliceLimits = {
  recordsMax: Number.POSITIVE_INFINITY,
  bytesMax: Number.POSITIVE_INFINITY,
};

/** What one range reads: everything below is fixed from its first slice to its last. */
export interface RangeView {
  readonly reader: BackendReader;
  /** The revision to read at, already checked. */
  readonly revision: Revision;
  /** For the answer. */
  readonly currentRevision: Revision;
  /** Absent where the revision is still being written. */
  readonly memo: CountMemo | undefined;
  /** Called when nothing is read any more, perhaps more than once. Absent for what is read in one go. */
  readonly release: (() => void) | undefined;
}

/** What a record in an answer takes beside its bytes: the view of them, and its place in lists. */
const recordOverheadBytes = 128;

/** Comparing two versions costs so much less than reading a record. */
const comparisonsPerRecord = 10;

interface Candidate {
  readonly version: Version;
  /** Position in key order. */
  readonly order: number;
  /** Read already only where the sort looks at values. */
  readonly record: Uint8Array | undefined;
  readonly value: Uint8Array | undefined;
}

/** The end bound that a request's `rangeEnd` stands for. */
export function endOf(key: Uint8Array, rangeEnd: Uint8Array): Uint8Array | undefined {
  if (rangeEnd.length === 0) return successor(key);
  return rangeEnd.length === 1 && rangeEnd[0] === 0 ? undefined : rangeEnd;
}

export class RangeJob {
  readonly #view: RangeView;
  readonly #request: RangeRequest;
  readonly #walk: VersionWalk;
  readonly #limit: number;
  readonly #isFiltered: boolean;
  /** In key order until the sort; undefined where that is the order of the answer. */
  readonly #candidates: Candidate[] | undefined;
  /** While and after the candidates are sorted. */
  #sort: GoSort<Candidate> | undefined;
  /** Set while the walk should only count from here on. */
  #isFull: boolean;
  #count = 0;
  /** Keys that passed the filters. */
  #matches = 0;
  #kvs: Uint8Array[] = [];
  #heldBytes = 0;
  #bytesLeft = 0;
  /** Where the walk went on only to count, so that the next page need not. */
  #cut: { readonly next: Uint8Array; readonly count: number } | undefined;
  #isSorted = false;
  #isDone = false;

  constructor(view: RangeView, request: RangeRequest) {
    this.#view = view;
    this.#request = request;
    this.#limit = request.limit > 0 ? request.limit : Number.POSITIVE_INFINITY;
    this.#isFiltered =
      request.minModRevision !== 0 ||
      request.maxModRevision !== 0 ||
      request.minCreateRevision !== 0 ||
      request.maxCreateRevision !== 0;
    this.#isFull = request.countOnly;
    this.#candidates = request.countOnly || !isSorted(request) ? undefined : [];
    const { key, rangeEnd } = request;
    this.#walk = new VersionWalk(view.reader, {
      start: key,
      end: endOf(key, rangeEnd),
      revision: view.revision,
    });
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  /** What it reads at. */
  get revision(): Revision {
    return this.#view.revision;
  }

  /** What the job and its answer hold, about. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** After the last slice. */
  answer(): RangeAnswer {
    assert(this.#isDone, "the answer is there after the last slice");
    return {
      ok: true,
      revision: this.#view.currentRevision,
      kvs: this.#kvs,
      count: this.#count,
      more: !this.#request.countOnly && this.#matches > this.#limit,
    };
  }

  /** Does one slice; true when it was the last. Writes may happen between slices. */
  step({ recordsMax, bytesMax }: SliceLimits): boolean {
    assert(!this.#isDone, "a finished range takes no steps");
    this.#bytesLeft = bytesMax;
    if (this.#isSorted) this.#fetchSorted(recordsMax);
    else if (this.#sort !== undefined) this.#isSorted = this.#sort.step(recordsMax * comparisonsPerRecord);
    else this.#walkSlice(recordsMax);
    if (this.#isDone) this.close();
    return this.#isDone;
  }

  /** Gives the revision free: whoever drops a job half-way calls it. */
  close(): void {
    this.#walk.finish();
    this.#view.release?.();
  }

  #walkSlice(recordsMax: number): void {
    const walk = this.#walk;
    walk.allow(recordsMax);
    while (this.#bytesLeft > 0 && walk.next()) {
      this.#count++;
      if (this.#isFull) {
        // With filters, `more` needs to know of one further match.
        if (this.#isFiltered && !this.#request.countOnly && this.#matches <= this.#limit) this.#match(walk);
        else this.#matches++;
      } else this.#collect(walk);
      if (this.#cut === undefined && this.#matches === this.#limit && this.#reachCut()) break;
    }
    if (!walk.isDone) {
      walk.pause();
      return;
    }
    if (this.#cut !== undefined) this.#rememberCount(this.#cut);
    if (this.#candidates === undefined) this.#isDone = true;
    else this.#sort = new GoSort(this.#candidates, orderOf(this.#request));
  }

  #match(walk: VersionWalk): boolean {
    const isMatch = passes(this.#request, walk.version);
    if (isMatch) this.#matches++;
    return isMatch;
  }

  #collect(walk: VersionWalk): void {
    const version = walk.version;
    if (this.#isFiltered && !passes(this.#request, version)) return;
    this.#matches++;
    if (this.#candidates === undefined) {
      this.#take(this.#read(version));
      this.#isFull = this.#matches >= this.#limit;
      return;
    }
    const needsValue = this.#request.sortTarget === sortTargets.value;
    const record = needsValue ? this.#read(version) : undefined;
    const value = record === undefined ? undefined : decodeKeyValue(record).value;
    this.#heldBytes += (record?.length ?? 0) + recordOverheadBytes;
    this.#candidates.push({ version, order: this.#count, record, value });
    // The limit cuts before the sort when no order was asked for; one more is kept, so that it shows as `more`.
    if (this.#request.sortOrder === sortOrders.none && !this.#isFiltered)
      this.#isFull = this.#matches > this.#limit;
  }

  #fetchSorted(recordsMax: number): void {
    const candidates = this.#candidates;
    assert(candidates !== undefined, "only a sorted range fetches after its walk");
    for (let i = 0; i < recordsMax && this.#bytesLeft > 0; i++) {
      const taken = this.#kvs.length;
      const candidate = taken < this.#limit ? candidates[taken] : undefined;
      if (candidate === undefined) {
        this.#isDone = true;
        return;
      }
      this.#take(candidate.record ?? this.#read(candidate.version));
    }
  }

  #read(version: Version): Uint8Array {
    const record = recordAt(this.#view.reader, version);
    this.#bytesLeft -= record.length;
    return record;
  }

  #take(record: Uint8Array): void {
    const kv = this.#request.keysOnly ? withoutValue(record) : record;
    this.#kvs.push(kv);
    this.#heldBytes += kv.length + recordOverheadBytes;
  }

  /** The page is full: true when what lies behind it was counted before. */
  #reachCut(): boolean {
    const { memo, revision } = this.#view;
    if (memo === undefined || this.#isFiltered || this.#candidates !== undefined || this.#request.countOnly)
      return false;
    const { key, rangeEnd } = this.#request;
    this.#cut = { next: successor(this.#walk.key()), count: this.#count };
    const total = memo.get({ revision, start: key, end: rangeEnd });
    const rest =
      total === undefined
        ? memo.get({ revision, start: this.#cut.next, end: rangeEnd })
        : total - this.#count;
    if (rest === undefined) return false;
    this.#count += rest;
    this.#matches += rest;
    this.#walk.finish();
    return true;
  }

  #rememberCount(cut: { readonly next: Uint8Array; readonly count: number }): void {
    const { memo, revision } = this.#view;
    memo?.set({ revision, start: cut.next, end: this.#request.rangeEnd }, this.#count - cut.count);
  }
}

/** Whether the answer is in another order than that of the keys. */
function isSorted(request: RangeRequest): boolean {
  return request.sortTarget !== sortTargets.key || request.sortOrder === sortOrders.descend;
}

export function passes(request: RangeRequest, version: Version): boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  return (
    (maxModRevision === 0 || version.main <= maxModRevision) &&
    (minModRevision === 0 || version.main >= minModRevision) &&
    (maxCreateRevision === 0 || version.createRevision <= maxCreateRevision) &&
    (minCreateRevision === 0 || version.createRevision >= minCreateRevision)
  );
}

/** Equal items stand as the sort happens to leave them, which clients of etcd see. */
function orderOf(request: RangeRequest): (a: Candidate, b: Candidate) => number {
  const sign = request.sortOrder === sortOrders.descend ? -1 : 1;
  switch (request.sortTarget) {
    case sortTargets.key:
      return (a, b) => sign * (a.order - b.order);
    case sortTargets.version:
      return (a, b) => sign * (a.version.version - b.version.version);
    case sortTargets.create:
      return (a, b) => sign * (a.version.createRevision - b.version.createRevision);
    case sortTargets.mod:
      return (a, b) => sign * (a.version.main - b.version.main);
    default:
      assert(request.sortTarget === sortTargets.value, "the sort target is a known one", {
        sortTarget: request.sortTarget,
      });
      return (a, b) => {
        assert(a.value !== undefined && b.value !== undefined, "a sort by value has read the values");
        return sign * compareBytes(a.value, b.value);
      };
  }
}
