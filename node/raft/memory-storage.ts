// A stable log held in memory. The driver keeps the entries a leader may still have to send in one of these,
// appending what the write-ahead log has made durable; tests and transcripts use it as the whole disk.

import { assert } from "../lib/assert.ts";
import { emptyBytes } from "../lib/bytes.ts";
import type { ConfState, Entry, HardState, Snapshot } from "../wire/raft.ts";
import { emptyConfState } from "./conf-state.ts";
import { countWithin, payloadBytesOf } from "./entry-size.ts";
import type { Storage } from "./storage.ts";

const noSnapshot: Snapshot = {
  data: emptyBytes,
  metadata: { confState: emptyConfState, index: 0, term: 0 },
};

export class MemoryStorage implements Storage {
  #hardState: HardState | undefined;
  #snapshot = noSnapshot;
  /** Position and term of the entry just before the first one kept. */
  #compactedIndex = 0;
  #compactedTerm = 0;
  // Invariant: #entries[i].index === #compactedIndex + 1 + i.
  #entries: Entry[] = [];
  /** Of the data of all entries kept. */
  #bytes = 0;

  initialState(): { hardState: HardState | undefined; confState: ConfState } {
    return { hardState: this.#hardState, confState: this.#snapshot.metadata.confState };
  }

  firstIndex(): number {
    return this.#compactedIndex + 1;
  }

  lastIndex(): number {
    return this.#compactedIndex + this.#entries.length;
  }

  term(index: number): number | undefined {
    if (index === this.#compactedIndex) return this.#compactedTerm;
    return this.#entries[index - this.#compactedIndex - 1]?.term;
  }

  entries(start: number, end: number, bytesMax: number): readonly Entry[] | undefined {
    if (start <= this.#compactedIndex) return undefined;
    assert(end <= this.lastIndex() + 1, "entries beyond the end of the log", { end, last: this.lastIndex() });
    const from = start - this.#compactedIndex - 1;
    const until = end - this.#compactedIndex - 1;
    return this.#entries.slice(from, from + countWithin(this.#entries, from, until, bytesMax));
  }

  snapshot(): Snapshot {
    return this.#snapshot;
  }

  /** Bytes of data that the entries kept hold. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The least index behind which the entries hold at most that many bytes of data; the last index at most. */
  indexBeforeLast(bytesMax: number): number {
    if (this.#bytes <= bytesMax) return this.#compactedIndex;
    let bytes = 0;
    for (let i = this.#entries.length; i > 0; i--) {
      bytes += (this.#entries[i - 1] as Entry).data.length;
      if (bytes > bytesMax) return this.#compactedIndex + i;
    }
    return this.#compactedIndex;
  }

  setHardState(hardState: HardState): void {
    this.#hardState = hardState;
  }

  /** Adds entries, replacing everything from the first one's index on. Parts already compacted are skipped. */
  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    assert(first.index <= this.lastIndex() + 1, "an append leaves a gap", {
      first: first.index,
      last: this.lastIndex(),
    });
    const skip = Math.max(0, this.firstIndex() - first.index);
    if (skip >= entries.length) return;
    const kept = first.index + skip - this.firstIndex();
    if (kept < this.#entries.length) this.#bytes -= payloadBytesOf(this.#entries.slice(kept));
    this.#entries.length = kept;
    for (let i = skip; i < entries.length; i++) {
      const entry = entries[i] as Entry;
      this.#entries.push(entry);
      this.#bytes += entry.data.length;
    }
  }

  /** Forgets entries up to and including `index`. Answers "compacted" when they were gone already. */
  compact(index: number): "ok" | "compacted" {
    if (index <= this.#compactedIndex) return "compacted";
    assert(index <= this.lastIndex(), "compaction beyond the end of the log", {
      index,
      last: this.lastIndex(),
    });
    const kept = index - this.#compactedIndex;
    this.#compactedTerm = (this.#entries[kept - 1] as Entry).term;
    this.#bytes -= payloadBytesOf(this.#entries.slice(0, kept));
    this.#entries = this.#entries.slice(kept);
    this.#compactedIndex = index;
    return "ok";
  }

  /** Makes the snapshot that `snapshot()` answers from now on. The log itself stays as it is. */
  createSnapshot(
    index: number,
    options: { readonly confState?: ConfState; readonly data: Uint8Array },
  ): Snapshot | "outOfDate" {
    if (index <= this.#snapshot.metadata.index) return "outOfDate";
    const term = this.term(index);
    assert(term !== undefined, "a snapshot of an entry that is not in the log", {
      index,
      last: this.lastIndex(),
    });
    const confState = options.confState ?? this.#snapshot.metadata.confState;
    this.#snapshot = { data: options.data, metadata: { confState, index, term } };
    return this.#snapshot;
  }

  /** Replaces the whole log by a snapshot received from a leader. */
  applySnapshot(snapshot: Snapshot): "ok" | "outOfDate" {
    const { index, term } = snapshot.metadata;
    const known = this.#snapshot.metadata.index;
    if (known !== 0 && known >= index) return "outOfDate";
    this.#snapshot = snapshot;
    this.#entries = [];
    this.#bytes = 0;
    this.#compactedIndex = index;
    this.#compactedTerm = term;
    return "ok";
  }
}
