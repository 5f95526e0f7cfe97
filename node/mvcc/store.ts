// The MVCC store: keys with all their versions since the last compaction, over a backend of byte records.
//
// Synchronous and deterministic. Opening reads two records: nothing is kept in memory per key. Long work is given
// out as jobs that the driver steps in bounded slices; a job's revision is pinned, so what it reads stays. Must not
// know Raft, transports, clocks or how answers are encoded. Tested against an array of versions: random requests,
// compactions and restarts.

import { assert } from "../lib/assert.ts";
import type { Backend } from "../lib/backend.ts";
import { emptyBytes } from "../lib/bytes.ts";
import { Compaction } from "./compaction.ts";
import { CountMemo } from "./count-memo.ts";
import { HashAllJob } from "./hash-all.ts";
import { bucketCrc, type HashKv, HashKvJob } from "./hash-kv.ts";
import { StoreHistory } from "./history.ts";
import { KeyIndex } from "./key-index.ts";
import { Pins } from "./pins.ts";
import {
  RangeJob,
  type RangeOutcome,
  type RangeRequest,
  type RangeView,
  type RevisionFailure,
  unlimited,
} from "./range.ts";
import { rangeOne } from "./range-one.ts";
import { RangeStreamJob } from "./range-stream.ts";
import { assertRecordKey, mainOf, type Revision } from "./revision.ts";
import type { WatchHistory } from "./watch-event.ts";
import { type LeaseAttachments, type TxnHost, type TxnResult, WriteTxn } from "./write-txn.ts";

export interface StoreOptions {
  readonly leases?: LeaseAttachments;
  /** Whether each compaction takes a hash along, as etcd's do: it reads every record up to its revision. */
  readonly hashesCompactions?: boolean;
}

/** Since the store was opened. */
export interface StoreCounters {
  ranges: number;
  puts: number;
  /** Deleted keys. */
  deletes: number;
  /** Transactions that made a revision. */
  txns: number;
}

/** The revision of a store that nothing was ever written to. */
const firstRevision: Revision = 1;

export class Store {
  readonly #backend: Backend;
  readonly #host: TxnHost;
  readonly #pins = new Pins();
  readonly #memo = new CountMemo();
  // Invariant: compaction.revision <= currentRevision.
  #currentRevision: Revision;
  #isWriting = false;
  #replacements = 0;

  readonly compaction: Compaction;
  /** What the watch hub reads. */
  readonly history: WatchHistory;
  readonly counters: StoreCounters = { ranges: 0, puts: 0, deletes: 0, txns: 0 };

  constructor(backend: Backend, { leases, hashesCompactions = true }: StoreOptions = {}) {
    this.#backend = backend;
    const index = new KeyIndex(backend);
    this.#host = {
      backend,
      index,
      leases,
      rangeAt: (request, revision) => this.#rangeAt(request, revision),
      end: (result) => this.#endWrite(result),
    };
    this.compaction = new Compaction(backend, { index, pins: this.#pins, takesHashes: hashesCompactions });
    // Compaction may have removed the newest records, but then it was decided at their revision or later.
    this.#currentRevision = Math.max(firstRevision, lastRecordRevision(backend), this.compaction.revision);
    this.history = new StoreHistory(backend, this);
  }

  /**
   * The backend's content was replaced by another history of the same cluster. Jobs that were started before read
   * what is not theirs any more: whoever holds one asks `replacements`.
   */
  restored(): void {
    assert(!this.#isWriting, "a store is replaced between two transactions");
    this.compaction.restored();
    this.#memo.clear();
    this.#currentRevision = Math.max(
      firstRevision,
      lastRecordRevision(this.#backend),
      this.compaction.revision,
    );
    this.#replacements++;
  }

  /** How often the content was replaced since the store was opened. */
  get replacements(): number {
    return this.#replacements;
  }

  get currentRevision(): Revision {
    return this.#currentRevision;
  }

  /** Reads below it fail. -1 before the first compaction. */
  get compactRevision(): Revision {
    return this.compaction.revision;
  }

  /** Jobs and pins that hold removals back. */
  get pinCount(): number {
    return this.#pins.count;
  }

  /** One at a time. The caller ends it before it returns to the event loop. */
  beginWrite(): WriteTxn {
    assert(!this.#isWriting, "one transaction writes at a time");
    this.#isWriting = true;
    return new WriteTxn(this.#host, this.#currentRevision);
  }

  /** A whole range in one go: for single keys, small ranges, and inside the apply of an entry. */
  range(request: RangeRequest): RangeOutcome {
    return this.#rangeAt(request, this.#currentRevision);
  }

  /** A range in slices. The revision stays readable until the job is done or closed. */
  startRange(request: RangeRequest): { readonly ok: true; readonly job: RangeJob } | RevisionFailure {
    const view = this.#pinnedView(request);
    if (!view.ok) return view;
    return { ok: true, job: new RangeJob(view.view, request) };
  }

  /** A range in chunks that grow towards `chunkBytes`. Sorts and filters are refused by the API before. */
  startRangeStream(
    request: RangeRequest,
    chunkBytes: number,
  ): { readonly ok: true; readonly job: RangeStreamJob } | RevisionFailure {
    const view = this.#pinnedView(request);
    if (!view.ok) return view;
    return { ok: true, job: new RangeStreamJob(view.view, request, chunkBytes) };
  }

  /**
   * Keeps every record that is there now until the returned function is called. Removals that are decided, or under way,
   * wait as well: whoever reads the records themselves would otherwise meet a put and no more the deletion behind it.
   */
  holdRemovals(): () => void {
    return this.#pins.pin(this.compaction.finishedRevision);
  }

  /** Decides a compaction. `compaction.step` removes what it frees. */
  compact(revision: Revision): { readonly ok: true } | RevisionFailure {
    if (revision <= this.compactRevision) return this.#compacted();
    if (revision > this.#currentRevision) return this.#future();
    this.compaction.schedule(revision);
    return { ok: true };
  }

  /** A checksum of the history up to a revision, 0 for the current one; at once where a compaction has left it. */
  startHashKv(
    revision: Revision,
  ):
    | { readonly ok: true; readonly known: HashKv }
    | { readonly ok: true; readonly job: HashKvJob }
    | RevisionFailure {
    const known = this.compaction.hashAt(revision);
    if (known !== undefined) return { ok: true, known };
    const compactRevision = this.compactRevision;
    // As in etcd, which takes a negative revision for one before all records.
    if (revision < 0)
      return { ok: true, known: { hash: bucketCrc, compactRevision, hashRevision: revision } };
    if (revision > 0 && revision < compactRevision) return this.#compacted();
    if (revision > this.#currentRevision) return this.#future();
    const span = {
      compactRevision,
      revision: revision === 0 ? this.#currentRevision : revision,
      isOfCompaction: false,
    };
    return { ok: true, job: new HashKvJob(this.#backend, span, this.#pins.pin(compactRevision)) };
  }

  /** A checksum of everything in etcd's buckets as it is now. */
  startHashAll(): HashAllJob {
    return new HashAllJob(this.#backend, this.#currentRevision, this.holdRemovals());
  }

  #endWrite({ revision, events }: TxnResult): void {
    this.#isWriting = false;
    if (events.length === 0) return;
    assert(revision === this.#currentRevision + 1, "a transaction makes the next revision", { revision });
    this.#currentRevision = revision;
    this.counters.txns++;
    for (const { type } of events) {
      if (type === "put") this.counters.puts++;
      else this.counters.deletes++;
    }
  }

  #rangeAt(request: RangeRequest, newest: Revision): RangeOutcome {
    const failure = this.#failureOf(request, newest);
    if (failure !== undefined) return failure;
    this.counters.ranges++;
    const view = this.#viewOf(request, newest, undefined);
    if (request.rangeEnd.length === 0) return rangeOne(view, request);
    const job = new RangeJob(view, request);
    while (!job.step(unlimited));
    return job.answer();
  }

  #pinnedView(request: RangeRequest): { readonly ok: true; readonly view: RangeView } | RevisionFailure {
    const failure = this.#failureOf(request, this.#currentRevision);
    if (failure !== undefined) return failure;
    this.counters.ranges++;
    const revision = request.revision > 0 ? request.revision : this.#currentRevision;
    return { ok: true, view: this.#viewOf(request, this.#currentRevision, this.#pins.pin(revision)) };
  }

  #viewOf(request: RangeRequest, newest: Revision, release: (() => void) | undefined): RangeView {
    const revision = request.revision > 0 ? request.revision : newest;
    const isPublished = revision <= this.#currentRevision;
    return {
      reader: this.#backend,
      revision,
      currentRevision: newest,
      memo: isPublished ? this.#memo : undefined,
      release,
    };
  }

  #failureOf(request: RangeRequest, newest: Revision): RevisionFailure | undefined {
    if (request.revision > newest) return { ok: false, reason: "future", currentRevision: newest };
    const revision = request.revision > 0 ? request.revision : newest;
    return revision < this.compactRevision ? this.#compacted() : undefined;
  }

  #compacted(): RevisionFailure {
    return { ok: false, reason: "compacted", compactRevision: this.compactRevision };
  }

  #future(): RevisionFailure {
    return { ok: false, reason: "future", currentRevision: this.#currentRevision };
  }
}

function lastRecordRevision(backend: Backend): Revision {
  const cursor = backend.cursor("key", { start: emptyBytes, reverse: true });
  let revision = 0;
  if (cursor.next()) {
    assertRecordKey(cursor.key);
    revision = mainOf(cursor.key);
  }
  cursor.close();
  return revision;
}
