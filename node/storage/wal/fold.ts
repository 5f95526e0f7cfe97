// What the records of a log add up to: the newest HardState, the snapshot records, and the entries that were
// not overwritten. Which of the snapshots counts is known only when all is read, because a record above the
// committed index does not. Until then an entry is only a place in its segment: most are never asked for.

import { must } from "../../lib/assert.ts";
import { emptyBytes, equalBytes } from "../../lib/bytes.ts";
import { noNode } from "../../lib/ids.ts";
import { WireError } from "../../wire/error.ts";
import type { Entry, HardState } from "../../wire/raft.ts";
import { raftCodecs, type WalSnapshot } from "../../wire/raft-codec.ts";
import { Reader } from "../../wire/reader.ts";
import { type Frame, recordTypes } from "./frame.ts";

export const emptyHardState: HardState = { term: 0, vote: noNode, commit: 0 };

/** Copies share blocks, small enough that they go one by one as the log in memory is compacted. */
const copyBlockBytes = 1 << 18;

export class LogFold {
  /** Encoded, the same in every segment. */
  metadata: Uint8Array = emptyBytes;
  hardState: HardState = emptyHardState;
  readonly snapshots: WalSnapshot[] = [];
  /** The index before the first entry. */
  baseIndex: number;
  /** Undefined when the log does not say. */
  #baseTerm: number | undefined;
  /** One element an entry, consecutive from `baseIndex + 1` on: its segment, its place there, its term. */
  readonly #segments: Uint8Array[] = [];
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  readonly #terms: number[] = [];
  /** A snapshot that takes the place of everything before it, as soon as something vouches that it counts. */
  #replacement: WalSnapshot | undefined;
  #reader: Reader = new Reader(emptyBytes);

  /** `firstIndex` is that of the oldest segment. */
  constructor(firstIndex: number) {
    this.baseIndex = Math.max(0, firstIndex - 1);
    this.#baseTerm = firstIndex === 0 ? 0 : undefined;
  }

  get lastIndex(): number {
    return this.baseIndex + this.#terms.length;
  }

  /**
   * Adds a record whose crc was right. Returns how it contradicts those before it, undefined when it does not.
   * Throws WireError when its data are not what its type says: the crc does not cover the type.
   */
  add(bytes: Uint8Array, { type, dataStart, dataEnd }: Frame): string | undefined {
    if (type === recordTypes.entry) return this.#addEntry(bytes, dataStart, dataEnd);
    const data = bytes.subarray(dataStart, dataEnd);
    switch (type) {
      case recordTypes.metadata:
        return this.#addMetadata(data);
      case recordTypes.state:
        this.hardState = raftCodecs.HardState.decode(data);
        if (this.#replacement !== undefined && this.hardState.commit >= this.#replacement.index)
          this.#replace();
        return undefined;
      case recordTypes.snapshot:
        this.#addSnapshot(raftCodecs.WalSnapshot.decode(data));
        return undefined;
      case recordTypes.crc:
        return undefined;
      default:
        throw new WireError(0, "a known record type");
    }
  }

  /** The entries from `index` on. Their data are copies, so that they hold no segment in memory. */
  entriesFrom(index: number): Entry[] {
    const entries: Entry[] = [];
    let block = emptyBytes;
    let used = 0;
    for (let i = Math.max(0, index - this.baseIndex - 1); i < this.#terms.length; i++) {
      const segment = must(this.#segments[i], "an entry has a segment");
      const entry = raftCodecs.Entry.decode(segment.subarray(this.#starts[i], this.#ends[i]));
      const { length } = entry.data;
      if (used + length > block.length) {
        block = new Uint8Array(Math.max(copyBlockBytes, length));
        used = 0;
      }
      const data = block.subarray(used, used + length);
      data.set(entry.data);
      used += length;
      entries.push({ ...entry, data });
    }
    return entries;
  }

  #addMetadata(data: Uint8Array): string | undefined {
    if (this.metadata.length > 0 && !equalBytes(this.metadata, data)) return "metadata of another log";
    this.metadata = data.slice();
    return undefined;
  }

  /** Hot. */
  #addEntry(bytes: Uint8Array, start: number, end: number): string | undefined {
    const { term, index } = this.#readPosition(bytes, start, end);
    if (this.#replacement !== undefined) this.#replace();
    if (index === 0) return "an entry with index 0";
    if (index > this.lastIndex + 1) return `entry ${index} after entry ${this.lastIndex}`;
    if (index <= this.baseIndex) this.#restart(index - 1, undefined);
    else if (index <= this.lastIndex) this.#keep(index - this.baseIndex - 1);
    this.#segments.push(bytes);
    this.#starts.push(start);
    this.#ends.push(end);
    this.#terms.push(term);
    return undefined;
  }

  /** Term and index of an encoded entry, all of which is checked. */
  #readPosition(bytes: Uint8Array, start: number, end: number): { term: number; index: number } {
    if (this.#reader.bytes !== bytes) this.#reader = new Reader(bytes);
    const reader = this.#reader;
    reader.position = start;
    reader.end = end;
    let term = 0;
    let index = 0;
    while (reader.position < end) {
      const tag = reader.tag();
      if (tag === 16) term = reader.counter("a term");
      else if (tag === 24) index = reader.counter("an index");
      else if (tag === 34) reader.view();
      else if (tag !== 8 || reader.int32() !== 0) {
        // Rare: a configuration change, or a field that only the decoder can judge.
        return raftCodecs.Entry.decode(bytes.subarray(start, end));
      }
    }
    return { term, index };
  }

  /**
   * A snapshot of an entry that the log does not hold, or holds with another term, replaces the log. It was received,
   * and its record is followed by a HardState that commits it: one that a crash left without counts for nothing.
   */
  #addSnapshot(snapshot: WalSnapshot): void {
    this.snapshots.push(snapshot);
    const { index, term } = snapshot;
    if (index < this.baseIndex || this.#termOf(index) === term) return;
    if (index === this.baseIndex && this.#baseTerm === undefined) this.#baseTerm = term;
    else if (this.hardState.commit >= index) this.#restart(index, term);
    else this.#replacement = snapshot;
  }

  #replace(): void {
    const { index, term } = must(this.#replacement, "a snapshot waits");
    this.#replacement = undefined;
    this.#restart(index, term);
  }

  #restart(baseIndex: number, baseTerm: number | undefined): void {
    this.baseIndex = baseIndex;
    this.#baseTerm = baseTerm;
    this.#keep(0);
  }

  /** Drops all entries but the first ones. */
  #keep(count: number): void {
    this.#segments.length = count;
    this.#starts.length = count;
    this.#ends.length = count;
    this.#terms.length = count;
  }

  #termOf(index: number): number | undefined {
    if (index === this.baseIndex) return this.#baseTerm;
    return this.#terms[index - this.baseIndex - 1];
  }
}
