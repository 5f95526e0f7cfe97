// The write-ahead log: etcd's segments and records, written synchronously through a Disk.
//
// It knows nothing of threads, queues or completions: a driver calls append..., write and sync, and answers
// whoever waits once sync has returned. The log worker does that in production (log-worker.ts), the simulator
// with time between the steps. Tests run it on a disk that loses what was not synced.
//
// Any failing disk call ends the log for good (FatalError): after a failed sync nobody knows what is durable.

import { assert, must } from "../../lib/assert.ts";
import { codecs } from "../../wire/codecs.ts";
import type { Entry, HardState } from "../../wire/raft.ts";
import { raftCodecs, type WalSnapshot } from "../../wire/raft-codec.ts";
import { type Disk, type DiskFile, fatalOfDisk, makeDirectory } from "../disk.ts";
import { emptyHardState } from "./fold.ts";
import { recordTypes } from "./frame.ts";
import { FrameBuffer } from "./frame-buffer.ts";
import type { WalMetadata } from "./read.ts";
import { countBelow, defaultSegmentBytes, type Segment, segmentName } from "./segments.ts";

export interface WalOptions {
  readonly disk: Disk;
  /** The folder of the segments, `member/wal`. */
  readonly directory: string;
  /** A segment that has reached this size is followed by the next. */
  readonly segmentBytes?: number;
}

/** Where writing goes on. Plain data: a log is opened in one thread and written in another. */
export interface WalPosition {
  readonly metadata: WalMetadata;
  readonly segments: readonly Segment[];
  /** In the last segment. Behind it are only zeros. */
  readonly offset: number;
  readonly crc: number;
  readonly lastIndex: number;
  readonly hardState: HardState;
}

/** Zeros are written this far ahead of the records, so that a sync need not allocate blocks. */
const zerosAheadBytes = 4 << 20;
const zerosSliceBytes = 1 << 20;
const zeros = new Uint8Array(zerosSliceBytes);

/** The next segment while it has no name yet. etcd takes files that end so for leftovers. */
const nextName = "next.tmp";

/** Creates the first segment and makes it durable. Throws FatalError. */
export function createWal(options: WalOptions, metadata: WalMetadata): WalPosition {
  const { disk, directory } = options;
  const head = new FrameBuffer(0);
  head.addCrc();
  head.add(recordTypes.metadata, encodeMetadata(metadata));
  const origin: WalSnapshot = { index: 0, term: 0, confState: undefined };
  head.add(recordTypes.snapshot, raftCodecs.WalSnapshot.encode(origin));
  const segment = { sequence: 0, firstIndex: 0 };
  head.addMark(segment.sequence, head.length);
  try {
    makeDirectory(disk, directory);
    const file = createNext(disk, directory, options.segmentBytes ?? defaultSegmentBytes);
    nameNext(disk, directory, segment, file, head.bytes);
    disk.close(file);
  } catch (error) {
    throw fatalOfDisk(error, `${directory}/${segmentName(segment)}`);
  }
  return {
    metadata,
    segments: [segment],
    offset: head.length,
    crc: head.crc,
    lastIndex: 0,
    hardState: emptyHardState,
  };
}

export class Wal {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #metadata: WalMetadata;
  readonly #segments: Segment[];
  /** The last segment. */
  #file: DiskFile;
  /** Where the next write goes. Invariant: behind it the file holds only zeros. */
  #offset: number;
  /** Zeros were written up to here. */
  #zerosEnd: number;
  /** Frames that are not written yet. */
  readonly #pending: FrameBuffer;
  /** Something written is not synced. */
  #isDirty = false;
  #lastIndex: number;
  #hardState: HardState;
  /** The prepared file of the next segment. */
  #next: DiskFile | undefined;
  #hasFailed = false;

  constructor(options: WalOptions, position: WalPosition) {
    this.#disk = options.disk;
    this.#directory = options.directory;
    this.#segmentBytes = options.segmentBytes ?? defaultSegmentBytes;
    this.#metadata = position.metadata;
    this.#segments = [...position.segments];
    this.#offset = position.offset;
    this.#zerosEnd = position.offset;
    this.#pending = new FrameBuffer(position.crc);
    this.#lastIndex = position.lastIndex;
    this.#hardState = position.hardState;
    this.#file = this.#guard(() => this.#disk.open(this.#path(this.#segment), "readWrite"));
  }

  /** The newest that was appended. */
  get hardState(): HardState {
    return this.#hardState;
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /** Bytes that `write` will write. */
  get pendingBytes(): number {
    return this.#pending.length;
  }

  /** Whether something appended is not durable. */
  get needsSync(): boolean {
    return this.#isDirty || this.#pending.length > 0;
  }

  appendEntry(entry: Entry): void {
    this.#begin();
    this.#pending.addEncoded(recordTypes.entry, raftCodecs.Entry, entry);
    this.#lastIndex = entry.index;
  }

  /** As appendEntry, for a raftpb.Entry that is encoded already. The bytes are copied. */
  appendEncodedEntry(index: number, bytes: Uint8Array): void {
    this.#begin();
    this.#pending.add(recordTypes.entry, bytes);
    this.#lastIndex = index;
  }

  /** The same for one that lies in `source` from `start` to `end`. */
  appendEntryFrom(index: number, source: DataView, start: number, end: number): void {
    this.#begin();
    this.#pending.addFrom(recordTypes.entry, source, start, end);
    this.#lastIndex = index;
  }

  appendHardState(hardState: HardState): void {
    this.#begin();
    this.#pending.addEncoded(recordTypes.state, raftCodecs.HardState, hardState);
    this.#hardState = hardState;
  }

  /** Only after the `.snap` file of the same index and term is durable. */
  appendSnapshot(snapshot: WalSnapshot): void {
    this.#begin();
    this.#pending.addEncoded(recordTypes.snapshot, raftCodecs.WalSnapshot, snapshot);
    this.#lastIndex = Math.max(this.#lastIndex, snapshot.index);
  }

  /** Hands everything appended to the operating system, in one call. */
  write(): void {
    assert(!this.#hasFailed, "a failed log is not written to");
    if (this.#pending.length === 0) return;
    this.#guard(() => this.#disk.pwrite(this.#file, this.#pending.bytes, this.#offset));
    this.#offset += this.#pending.length;
    this.#pending.clear();
    this.#isDirty = true;
  }

  /** Everything written is durable when it returns. */
  sync(): void {
    assert(!this.#hasFailed, "a failed log is never taken for synced");
    if (!this.#isDirty) return;
    this.#guard(() => this.#disk.fdatasync(this.#file));
    this.#isDirty = false;
  }

  /**
   * Does work ahead of need, best called when nobody waits: zeros in front of the records, the file of the next
   * segment, the cut to it. Returns whether there may be more to do. Everything works without it, only slower.
   */
  prepare(): boolean {
    if (this.#offset >= this.#segmentBytes && this.#pending.length === 0) {
      this.#cut();
      return true;
    }
    if (this.#zerosEnd < Math.min(this.#offset + zerosAheadBytes, this.#segmentBytes)) {
      this.#writeZeros();
      return true;
    }
    if (this.#next === undefined && this.#offset > this.#segmentBytes / 2) {
      this.#next = this.#guard(() => createNext(this.#disk, this.#directory, this.#segmentBytes));
      return true;
    }
    return false;
  }

  /** Deletes the oldest segments, as far as they hold nothing at or above `index`. Returns how many. */
  release(index: number): number {
    const count = countBelow(this.#segments, index);
    for (const segment of this.#segments.splice(0, count)) {
      // One by one, or a power cut could keep an older segment and lose a newer one.
      this.#guard(() => {
        this.#disk.unlink(this.#path(segment));
        this.#disk.fsyncDir(this.#directory);
      });
    }
    return count;
  }

  /** Writes and syncs what is left. */
  close(): void {
    this.write();
    this.sync();
    this.#guard(() => {
      this.#disk.close(this.#file);
      if (this.#next === undefined) return;
      this.#disk.close(this.#next);
      this.#disk.unlink(`${this.#directory}/${nextName}`);
    });
  }

  get #segment(): Segment {
    return must(this.#segments.at(-1), "a log has a segment");
  }

  #path(segment: Segment): string {
    return `${this.#directory}/${segmentName(segment)}`;
  }

  /** Starts a batch, unless one is pending. The mark vouches for everything before it, so that has to be synced. */
  #begin(): void {
    assert(!this.#hasFailed, "a failed log is not written to");
    if (this.#pending.length > 0) return;
    if (this.#offset >= this.#segmentBytes) this.#cut();
    if (!this.#isDirty) this.#pending.addMark(this.#segment.sequence, this.#offset);
  }

  /** Goes on in a new segment. It gets its name only when its head is durable, and so is all before it. */
  #cut(): void {
    assert(this.#pending.length === 0, "a cut is made between batches");
    this.sync();
    const segment = { sequence: this.#segment.sequence + 1, firstIndex: this.#lastIndex + 1 };
    const head = new FrameBuffer(this.#pending.crc);
    head.addCrc();
    head.add(recordTypes.metadata, encodeMetadata(this.#metadata));
    if (this.#hardState.term > 0) {
      head.addEncoded(recordTypes.state, raftCodecs.HardState, this.#hardState);
    }
    head.addMark(segment.sequence, head.length);
    this.#guard(() => {
      const next = this.#next ?? createNext(this.#disk, this.#directory, this.#segmentBytes);
      nameNext(this.#disk, this.#directory, segment, next, head.bytes);
      this.#disk.close(this.#file);
      this.#file = next;
    });
    this.#next = undefined;
    this.#segments.push(segment);
    this.#pending.crc = head.crc;
    this.#offset = head.length;
    this.#zerosEnd = Math.min(zeros.length, this.#segmentBytes);
  }

  #writeZeros(): void {
    const start = Math.max(this.#zerosEnd, this.#offset);
    const end = Math.min(this.#segmentBytes, start - (start % zerosSliceBytes) + zerosSliceBytes);
    this.#guard(() => {
      this.#disk.pwrite(this.#file, zeros.subarray(0, end - start), start);
      this.#disk.fdatasync(this.#file);
    });
    this.#isDirty = false;
    this.#zerosEnd = end;
  }

  /** Runs disk calls. One that fails ends the log. */
  #guard<T>(run: () => T): T {
    assert(!this.#hasFailed, "a failed log makes no disk call");
    try {
      return run();
    } catch (error) {
      this.#hasFailed = true;
      throw fatalOfDisk(error, this.#path(this.#segment));
    }
  }
}

/** A file for a segment to come: of full size, the first part of it written, without a name of its own yet. */
function createNext(disk: Disk, directory: string, segmentBytes: number): DiskFile {
  const file = disk.create(`${directory}/${nextName}`);
  disk.truncate(file, segmentBytes);
  disk.pwrite(file, zeros.subarray(0, Math.min(zeros.length, segmentBytes)), 0);
  disk.fdatasync(file);
  return file;
}

/** Writes the head and renames the file into place, durably. */
function nameNext(disk: Disk, directory: string, segment: Segment, file: DiskFile, head: Uint8Array): void {
  disk.pwrite(file, head, 0);
  disk.fdatasync(file);
  disk.rename(`${directory}/${nextName}`, `${directory}/${segmentName(segment)}`);
  disk.fsyncDir(directory);
}

function encodeMetadata(metadata: WalMetadata): Uint8Array {
  return codecs.Metadata.encode({ NodeID: metadata.nodeId, ClusterID: metadata.clusterId });
}
