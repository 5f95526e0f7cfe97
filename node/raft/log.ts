// The log as the state machine sees it: storage and the unstable tail as one sequence, with three marks in it.

import { assert } from "../lib/assert.ts";
import type { Entry, Snapshot } from "../wire/raft.ts";
import { encodedBytesOf, noLimit } from "./entry-size.ts";
import type { RaftLogger } from "./logger.ts";
import { noEntries } from "./message.ts";
import type { Storage } from "./storage.ts";
import { Unstable } from "./unstable.ts";

export class RaftLog {
  readonly #storage: Storage;
  readonly #logger: RaftLogger;
  readonly #unstable: Unstable;
  // Invariant: #applied <= #applying <= #committed.
  #committed: number;
  /** Entries up to here were handed out to be applied, */
  #applying: number;
  /** and up to here they were applied. */
  #applied: number;
  readonly #applyingBytesMax: number;
  #applyingBytes = 0;
  /** Nothing more is handed out to apply until something comes back. */
  #applyingPaused = false;

  constructor(storage: Storage, options: { readonly logger: RaftLogger; readonly applyingBytesMax: number }) {
    this.#storage = storage;
    this.#logger = options.logger;
    this.#unstable = new Unstable(storage.lastIndex() + 1, options.logger);
    this.#applyingBytesMax = options.applyingBytesMax;
    this.#committed = storage.firstIndex() - 1;
    this.#applying = this.#committed;
    this.#applied = this.#committed;
  }

  get committed(): number {
    return this.#committed;
  }

  get applied(): number {
    return this.#applied;
  }

  firstIndex(): number {
    return this.#unstable.firstIndex() ?? this.#storage.firstIndex();
  }

  lastIndex(): number {
    return this.#unstable.lastIndex() ?? this.#storage.lastIndex();
  }

  lastTerm(): number {
    const term = this.term(this.lastIndex());
    assert(term !== undefined, "the term of the last entry is not known", { last: this.lastIndex() });
    return term;
  }

  /** Undefined for an entry that is compacted or does not exist. */
  term(index: number): number | undefined {
    const term = this.#unstable.term(index);
    if (term !== undefined) return term;
    // The entry before the first one has a known term: a follower's log may have to match there.
    if (index + 1 < this.firstIndex() || index > this.lastIndex()) return undefined;
    return this.#storage.term(index);
  }

  matches(index: number, term: number): boolean {
    return this.term(index) === term;
  }

  /** Whether a log ending so holds everything that may have been committed, as far as this one knows. */
  isUpToDate(lastIndex: number, lastTerm: number): boolean {
    const ourTerm = this.lastTerm();
    return lastTerm > ourTerm || (lastTerm === ourTerm && lastIndex >= this.lastIndex());
  }

  /** Appends without a look at what is there; nothing committed may be overwritten. Returns the last index. */
  append(entries: readonly Entry[]): number {
    const first = entries[0];
    if (first === undefined) return this.lastIndex();
    assert(first.index > this.#committed, "an append would overwrite a committed entry", {
      first: first.index,
      committed: this.#committed,
    });
    this.#unstable.truncateAndAppend(entries);
    return this.lastIndex();
  }

  /**
   * Takes a leader's entries that follow (previousIndex, previousTerm), and its commit index. Returns the index of
   * the last entry known to equal the leader's, or undefined when the logs do not meet there.
   */
  appendFromLeader(message: {
    readonly index: number;
    readonly logTerm: number;
    readonly entries: readonly Entry[];
    readonly commit: number;
  }): number | undefined {
    if (!this.matches(message.index, message.logTerm)) return undefined;
    const { entries } = message;
    const firstNew = this.#findConflict(entries);
    if (firstNew < entries.length) {
      const conflict = (entries[firstNew] as Entry).index;
      assert(conflict > this.#committed, "a leader contradicts a committed entry", {
        conflict,
        committed: this.#committed,
      });
      this.append(firstNew === 0 ? entries : entries.slice(firstNew));
    }
    const lastMatching = message.index + entries.length;
    this.commitTo(Math.min(message.commit, lastMatching));
    return lastMatching;
  }

  /** Position in `entries` of the first one that the log does not have; their count when it has all. */
  #findConflict(entries: readonly Entry[]): number {
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as Entry;
      const known = this.term(entry.index);
      if (known === entry.term) continue;
      if (entry.index <= this.lastIndex()) {
        this.#logger.info(
          `found conflict at index ${entry.index} [existing term: ${known ?? 0}, conflicting term: ${entry.term}]`,
        );
      }
      return i;
    }
    return entries.length;
  }

  /**
   * The largest index up to `index` whose term is at most `term`, with its term (zero when not known): no entry
   * between it and `index` can equal the other side's. Skips whole terms of a diverged log in one round trip.
   */
  findConflictByTerm(index: number, term: number): { readonly index: number; readonly term: number } {
    for (let at = index; at > 0; at--) {
      const ourTerm = this.term(at);
      if (ourTerm === undefined) return { index: at, term: 0 };
      if (ourTerm <= term) return { index: at, term: ourTerm };
    }
    return { index: 0, term: 0 };
  }

  commitTo(index: number): void {
    if (index <= this.#committed) return;
    assert(index <= this.lastIndex(), "commit beyond the last entry: was the log truncated or lost?", {
      index,
      last: this.lastIndex(),
    });
    this.#committed = index;
  }

  /** Commits up to `index` if the entry there is of `term`: a leader counts only entries of its own term. */
  commitOwnTerm(index: number, term: number): boolean {
    if (index <= this.#committed || term === 0 || !this.matches(index, term)) return false;
    this.commitTo(index);
    return true;
  }

  appliedTo(index: number, bytes: number): void {
    assert(index <= this.#committed, "applied beyond the commit index", {
      index,
      committed: this.#committed,
    });
    assert(index >= this.#applied, "the applied index went back", { index, applied: this.#applied });
    this.#applied = index;
    this.#applying = Math.max(this.#applying, index);
    this.#applyingBytes = Math.max(0, this.#applyingBytes - bytes);
    this.#applyingPaused = this.#applyingBytes >= this.#applyingBytesMax;
  }

  /** Entries up to `index` of `bytes` in all were handed out to apply. */
  acceptApplying(index: number, bytes: number, allowUnstable: boolean): void {
    assert(index <= this.#committed, "applying beyond the commit index", {
      index,
      committed: this.#committed,
    });
    this.#applying = index;
    this.#applyingBytes += bytes;
    // A page that was cut short by the limit also pauses, as the next entry alone may be larger than what is left.
    this.#applyingPaused =
      this.#applyingBytes >= this.#applyingBytesMax || index < this.#appliableIndex(allowUnstable);
  }

  /** The next page of committed entries to apply. Unstable ones only if the driver writes before it applies. */
  nextCommitted(allowUnstable: boolean): readonly Entry[] {
    if (!this.hasNextCommitted(allowUnstable)) return noEntries;
    const bytesMax = this.#applyingBytesMax - this.#applyingBytes;
    assert(bytesMax > 0, "no room to apply, but not paused", { bytesMax });
    const entries = this.slice(this.#applying + 1, this.#appliableIndex(allowUnstable) + 1, bytesMax);
    assert(entries !== undefined, "entries were compacted before they were applied", {
      applying: this.#applying,
    });
    return entries;
  }

  hasNextCommitted(allowUnstable: boolean): boolean {
    if (this.#applyingPaused || this.hasSnapshot()) return false;
    return this.#applying < this.#appliableIndex(allowUnstable);
  }

  #appliableIndex(allowUnstable: boolean): number {
    return allowUnstable ? this.#committed : Math.min(this.#committed, this.#unstable.offset - 1);
  }

  nextUnstable(): readonly Entry[] {
    return this.#unstable.nextEntries();
  }

  hasNextUnstable(): boolean {
    return this.#unstable.hasNextEntries();
  }

  /** Entries that were not reported stable, handed out or not. */
  hasUnstable(): boolean {
    return this.#unstable.length > 0;
  }

  nextSnapshot(): Snapshot | undefined {
    return this.#unstable.nextSnapshot();
  }

  /** A received snapshot is not installed yet, handed out or not. */
  hasSnapshot(): boolean {
    return this.#unstable.snapshot !== undefined;
  }

  acceptUnstable(): void {
    this.#unstable.acceptInProgress();
  }

  stableTo(index: number, term: number): void {
    this.#unstable.stableTo(index, term);
  }

  stableSnapshotTo(index: number): void {
    this.#unstable.stableSnapshotTo(index);
  }

  /** The snapshot a follower that lags behind the log needs. */
  snapshot(): Snapshot | undefined {
    return this.#unstable.snapshot ?? this.#storage.snapshot();
  }

  restore(snapshot: Snapshot): void {
    const { index, term } = snapshot.metadata;
    this.#logger.info(`log [${this.describe()}] starts to restore snapshot [index: ${index}, term: ${term}]`);
    this.#committed = index;
    this.#unstable.restore(snapshot);
  }

  /** Restores the commit index of the last run. */
  loadCommitted(index: number): void {
    assert(index >= this.#committed, "the stored commit index is before the log", {
      index,
      committed: this.#committed,
    });
    assert(index <= this.lastIndex(), "the stored commit index is behind the log", {
      index,
      last: this.lastIndex(),
    });
    this.#committed = index;
  }

  /** Entries from `start` to the end of the log, within the limit. Undefined when `start` is compacted. */
  entriesFrom(start: number, bytesMax: number): readonly Entry[] | undefined {
    const last = this.lastIndex();
    return start > last ? noEntries : this.slice(start, last + 1, bytesMax);
  }

  /** Entries of [start, end) within the limit, at least one. Undefined when `start` is compacted. */
  slice(start: number, end: number, bytesMax: number): readonly Entry[] | undefined {
    assert(start <= end, "a slice ends before it starts", { start, end });
    if (start < this.firstIndex()) return undefined;
    assert(end <= this.lastIndex() + 1, "a slice ends behind the log", { end, last: this.lastIndex() });
    if (start === end) return noEntries;

    const offset = this.#unstable.offset;
    if (start >= offset) return this.#unstable.slice(start, end, bytesMax);

    const stableEnd = Math.min(end, offset);
    const stable = this.#storage.entries(start, stableEnd, bytesMax);
    if (stable === undefined || end <= offset || stable.length < stableEnd - start) return stable;
    if (bytesMax >= noLimit) return stable.concat(this.#unstable.slice(offset, end, bytesMax));

    const room = bytesMax - encodedBytesOf(stable);
    if (room <= 0) return stable;
    const tail = this.#unstable.slice(offset, end, room);
    // The cut keeps one entry whatever its size; behind others it need not.
    if (tail.length === 1 && encodedBytesOf(tail) > room) return stable;
    return stable.concat(tail);
  }

  describe(): string {
    return (
      `committed=${this.#committed}, applied=${this.#applied}, applying=${this.#applying}, ` +
      `unstable.offset=${this.#unstable.offset}, unstable.offsetInProgress=${this.#unstable.offsetInProgress}, ` +
      `len(unstable.Entries)=${this.#unstable.length}`
    );
  }
}
