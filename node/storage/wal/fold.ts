// What the records of a log add up to: the newest HardState, the snapshot records, and the entries that were
// not overwritten. Which of the snapshots counts is known only when all is read, because a record above the
// committed index does not.

import { must } from "../../lib/assert.ts";
import { emptyBytes, equalBytes } from "../../lib/bytes.ts";
import { noNode } from "../../lib/ids.ts";
import { WireError } from "../../wire/error.ts";
import type { Entry, HardState } from "../../wire/raft.ts";
import { raftCodecs, type WalRecord, type WalSnapshot } from "../../wire/raft-codec.ts";
import { recordTypes } from "./frame.ts";

export const emptyHardState: HardState = { term: 0, vote: noNode, commit: 0 };

export class LogFold {
  /** Encoded, the same in every segment. */
  metadata: Uint8Array = emptyBytes;
  hardState: HardState = emptyHardState;
  readonly snapshots: WalSnapshot[] = [];
  /** Consecutive. Their data are views of the segments read. */
  readonly entries: Entry[] = [];
  /** The index and term before the first of `entries`; the term is undefined when the log does not say. */
  base: { index: number; term: number | undefined };

  /** `firstIndex` is that of the oldest segment. */
  constructor(firstIndex: number) {
    this.base = firstIndex === 0 ? { index: 0, term: 0 } : { index: firstIndex - 1, term: undefined };
  }

  get lastIndex(): number {
    return this.base.index + this.entries.length;
  }

  /**
   * Adds a record whose crc was right. Returns how it contradicts those before it, undefined when it does not.
   * Throws WireError when its data are not what its type says: the crc does not cover the type.
   */
  add(record: WalRecord): string | undefined {
    switch (record.type) {
      case recordTypes.metadata:
        return this.#addMetadata(record.data);
      case recordTypes.entry:
        return this.#addEntry(raftCodecs.Entry.decode(record.data));
      case recordTypes.state:
        this.hardState = raftCodecs.HardState.decode(record.data);
        return undefined;
      case recordTypes.snapshot:
        this.#addSnapshot(raftCodecs.WalSnapshot.decode(record.data));
        return undefined;
      case recordTypes.crc:
        return undefined;
      default:
        throw new WireError(0, "a known record type");
    }
  }

  #addMetadata(data: Uint8Array): string | undefined {
    if (this.metadata.length > 0 && !equalBytes(this.metadata, data)) return "metadata of another log";
    this.metadata = data.slice();
    return undefined;
  }

  #addEntry(entry: Entry): string | undefined {
    if (entry.index === 0) return "an entry with index 0";
    if (entry.index > this.lastIndex + 1) return `entry ${entry.index} after entry ${this.lastIndex}`;
    if (entry.index <= this.base.index) {
      this.base = { index: entry.index - 1, term: undefined };
      this.entries.length = 0;
    } else {
      this.entries.length = entry.index - this.base.index - 1;
    }
    this.entries.push(entry);
    return undefined;
  }

  /** A snapshot of an entry that the log does not hold, or holds with another term, replaced the log. */
  #addSnapshot(snapshot: WalSnapshot): void {
    this.snapshots.push(snapshot);
    if (snapshot.index < this.base.index) return;
    if (this.#termOf(snapshot.index) === snapshot.term) return;
    if (snapshot.index === this.base.index && this.base.term === undefined) {
      this.base.term = snapshot.term;
      return;
    }
    this.base = { index: snapshot.index, term: snapshot.term };
    this.entries.length = 0;
  }

  #termOf(index: number): number | undefined {
    if (index === this.base.index) return this.base.term;
    if (index > this.lastIndex) return undefined;
    return must(this.entries[index - this.base.index - 1], "the entry is within the log").term;
  }
}
