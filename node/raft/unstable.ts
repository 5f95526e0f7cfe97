// The tail of the log that is not known to be on disk, and a received snapshot that is not.
//
// Entries go through three steps: appended here, handed out to be written ("in progress"), and reported stable.
// A new leader may overwrite them at any step; a late report about overwritten entries then names a term that
// is not here any more, and is ignored.

import { assert } from "../lib/assert.ts";
import type { Entry, Snapshot } from "../wire/raft.ts";
import { countWithin } from "./entry-size.ts";
import type { RaftLogger } from "./logger.ts";
import { noEntries } from "./message.ts";

export class Unstable {
  readonly #logger: RaftLogger;
  // Invariant: #entries[i].index === #offset + i, and #offset <= #offsetInProgress <= #offset + #entries.length.
  #entries: Entry[] = [];
  #offset: number;
  #offsetInProgress: number;
  #snapshot: Snapshot | undefined;
  #snapshotInProgress = false;

  constructor(offset: number, logger: RaftLogger) {
    this.#offset = offset;
    this.#offsetInProgress = offset;
    this.#logger = logger;
  }

  /** Entries from here on are unstable; those before are in storage or in the snapshot. */
  get offset(): number {
    return this.#offset;
  }

  get offsetInProgress(): number {
    return this.#offsetInProgress;
  }

  get length(): number {
    return this.#entries.length;
  }

  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  /** The index before which there is nothing, when a snapshot says so. */
  firstIndex(): number | undefined {
    return this.#snapshot === undefined ? undefined : this.#snapshot.metadata.index + 1;
  }

  lastIndex(): number | undefined {
    if (this.#entries.length > 0) return this.#offset + this.#entries.length - 1;
    return this.#snapshot?.metadata.index;
  }

  term(index: number): number | undefined {
    if (index >= this.#offset) return this.#entries[index - this.#offset]?.term;
    return this.#snapshot?.metadata.index === index ? this.#snapshot.metadata.term : undefined;
  }

  /** Entries not handed out yet. */
  nextEntries(): readonly Entry[] {
    return this.hasNextEntries() ? this.#entries.slice(this.#offsetInProgress - this.#offset) : noEntries;
  }

  hasNextEntries(): boolean {
    return this.#offset + this.#entries.length > this.#offsetInProgress;
  }

  /** The snapshot, unless it was handed out. */
  nextSnapshot(): Snapshot | undefined {
    return this.#snapshotInProgress ? undefined : this.#snapshot;
  }

  /** Everything here has been handed out. */
  acceptInProgress(): void {
    this.#offsetInProgress = this.#offset + this.#entries.length;
    if (this.#snapshot !== undefined) this.#snapshotInProgress = true;
  }

  /** Entries up to and including this one are on disk, if it is still the one meant. */
  stableTo(index: number, term: number): void {
    const known = this.term(index);
    if (known === undefined) {
      this.#logger.info(`entry at index ${index} missing from unstable log; ignoring`);
      return;
    }
    if (index < this.#offset) {
      this.#logger.info(`entry at index ${index} matched unstable snapshot; ignoring`);
      return;
    }
    if (known !== term) {
      this.#logger.info(
        `entry at (index,term)=(${index},${term}) mismatched with entry at (${index},${known}) in unstable log; ignoring`,
      );
      return;
    }
    this.#entries = this.#entries.slice(index + 1 - this.#offset);
    this.#offset = index + 1;
    this.#offsetInProgress = Math.max(this.#offsetInProgress, this.#offset);
  }

  stableSnapshotTo(index: number): void {
    if (this.#snapshot?.metadata.index !== index) return;
    this.#snapshot = undefined;
    this.#snapshotInProgress = false;
  }

  /** Starts anew after a snapshot. */
  restore(snapshot: Snapshot): void {
    this.#offset = snapshot.metadata.index + 1;
    this.#offsetInProgress = this.#offset;
    this.#entries = [];
    this.#snapshot = snapshot;
    this.#snapshotInProgress = false;
  }

  /** Appends entries, dropping whatever is at or behind the first one's index. Hot: every proposal goes through. */
  truncateAndAppend(entries: readonly Entry[]): void {
    const from = (entries[0] as Entry).index;
    if (from <= this.#offset) {
      if (from !== this.#offset || this.#entries.length > 0) {
        this.#logger.info(`replace the unstable entries from index ${from}`);
      }
      this.#entries = [];
      this.#offset = from;
      this.#offsetInProgress = from;
    } else if (from < this.#offset + this.#entries.length) {
      this.#logger.info(`truncate the unstable entries before index ${from}`);
      this.#entries.length = from - this.#offset;
      this.#offsetInProgress = Math.min(this.#offsetInProgress, from);
    }
    assert(from === this.#offset + this.#entries.length, "an append leaves a gap", {
      from,
      offset: this.#offset,
    });
    for (let i = 0; i < entries.length; i++) this.#entries.push(entries[i] as Entry);
  }

  /** Entries of [start, end), which must be here, cut to `bytesMax` but not to nothing. */
  slice(start: number, end: number, bytesMax: number): readonly Entry[] {
    assert(start <= end, "a slice ends before it starts", { start, end });
    assert(start >= this.#offset, "a slice starts before the unstable log", { start, offset: this.#offset });
    assert(end <= this.#offset + this.#entries.length, "a slice ends behind the log", { end });
    const from = start - this.#offset;
    return this.#entries.slice(from, from + countWithin(this.#entries, from, end - this.#offset, bytesMax));
  }
}
