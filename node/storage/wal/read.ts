// Reads a log from its folder without changing anything: the whole chain of segments is verified, and what the
// records add up to is returned with the place where writing goes on. Damage is a FatalError with file and
// byte offset; a torn tail (torn.ts) is reported, and repaired only by repair.ts.

import { must } from "../../lib/assert.ts";
import { FatalError } from "../../lib/fatal.ts";
import { type NodeId, nodeId } from "../../lib/ids.ts";
import { codecs } from "../../wire/codecs.ts";
import { WireError } from "../../wire/error.ts";
import type { Entry, HardState } from "../../wire/raft.ts";
import type { WalSnapshot } from "../../wire/raft-codec.ts";
import { type Disk, fatalOfDisk, readWhole } from "../disk.ts";
import { LogFold } from "./fold.ts";
import { checkedCrc, isMark, readFrame, recordTypes } from "./frame.ts";
import { listSegments, type Segment, segmentName } from "./segments.ts";
import { isTorn, lastNonZero } from "./torn.ts";

/** Whose log it is. */
export interface WalMetadata {
  readonly nodeId: NodeId;
  readonly clusterId: bigint;
}

export interface WalReading {
  readonly metadata: WalMetadata;
  readonly segments: readonly Segment[];
  readonly hardState: HardState;
  /** In the order written; the ones above the committed index do not count. */
  readonly snapshots: readonly WalSnapshot[];
  /** Consecutive, from `firstIndex` on. Their data are views of whole segments. */
  readonly entries: readonly Entry[];
  readonly firstIndex: number;
  readonly lastIndex: number;
  /** The end of the last valid record of the last segment. */
  readonly end: WalEnd;
}

export interface WalEnd {
  /** The last segment. */
  readonly file: string;
  readonly offset: number;
  /** Everything before it was synced once; it is that of the last sync mark. */
  readonly syncedOffset: number;
  readonly crc: number;
  /** Behind it, `offset` included, the file holds only zeros. */
  readonly contentEnd: number;
  /** Set when a torn tail lies behind the end: what was found there. */
  readonly torn: string | undefined;
}

/** Whether the folder holds a log. A folder left by a creation that did not finish does not. */
export function walExists(disk: Disk, directory: string): boolean {
  return listSegments(disk, directory).length > 0;
}

/** Throws FatalError: WAL_DAMAGED, or IO_ERROR when a file cannot be read. */
export function readWal(disk: Disk, directory: string): WalReading {
  const segments = listSegments(disk, directory);
  const [first] = segments;
  if (first === undefined) throw new FatalError("WAL_DAMAGED", `no log in ${directory}`, { file: directory });
  const fold = new LogFold(first.firstIndex);
  let crc: number | undefined;
  let end: WalEnd | undefined;
  for (const [i, segment] of segments.entries()) {
    const file = `${directory}/${segmentName(segment)}`;
    if (segment.sequence !== first.sequence + i) {
      const missing = (first.sequence + i).toString(16);
      throw new FatalError("WAL_DAMAGED", `${file}: segment ${missing} before it is missing`, { file });
    }
    const bytes = readSegment(disk, file);
    if (crc !== undefined && end !== undefined && goesOnFromElsewhere(bytes, crc)) {
      const before = `${directory}/${segmentName(must(segments[i - 1], "a segment was read before"))}`;
      throw damage(before, end.offset, "records are missing");
    }
    const stop = readRecords(bytes, { file, sequence: segment.sequence, crc, fold });
    const contentEnd = lastNonZero(bytes, stop.offset);
    const isLast = i === segments.length - 1;
    if (stop.frames < headFrames) throw damage(file, stop.offset, stop.what ?? "an incomplete segment head");
    let torn: string | undefined;
    if (contentEnd > stop.offset) {
      torn = stop.what ?? "zeros instead of a length";
      const { sequence } = segment;
      const mayBeTorn =
        isLast && isTorn(bytes, { sequence, offset: stop.offset, hasMarks: stop.markOffset !== undefined });
      if (!mayBeTorn) throw damage(file, stop.offset, torn);
    }
    crc = stop.crc;
    end = { file, offset: stop.offset, syncedOffset: stop.markOffset ?? 0, crc, contentEnd, torn };
  }
  return {
    metadata: metadataOf(fold.metadata),
    segments,
    hardState: fold.hardState,
    snapshots: fold.snapshots,
    entries: fold.entries,
    firstIndex: fold.base.index + 1,
    lastIndex: fold.lastIndex,
    end: must(end, "a log has a segment"),
  };
}

/** A segment is renamed into place when its crc and metadata records are durable. */
const headFrames = 2;

interface SegmentStart {
  readonly file: string;
  readonly sequence: number;
  /** The running crc at the end of the segment before; undefined for the oldest segment. */
  readonly crc: number | undefined;
  readonly fold: LogFold;
}

interface SegmentStop {
  readonly offset: number;
  readonly crc: number;
  readonly frames: number;
  /** Of the last sync mark; undefined in a log without. */
  readonly markOffset: number | undefined;
  /** What is wrong at `offset`; undefined at a proper end. */
  readonly what: string | undefined;
}

function readRecords(bytes: Uint8Array, start: SegmentStart): SegmentStop {
  const { file, sequence, fold } = start;
  let offset = 0;
  let crc = start.crc ?? 0;
  let frames = 0;
  let markOffset: number | undefined;
  for (;;) {
    const frame = readFrame(bytes, offset);
    if (frame.kind !== "frame") {
      const what = frame.kind === "end" ? undefined : frame.what;
      return { offset, crc, frames, markOffset, what };
    }
    const { record } = frame;
    const expectedType = frames === 0 ? recordTypes.crc : frames === 1 ? recordTypes.metadata : record.type;
    if (record.type !== expectedType)
      throw damage(file, offset, `a segment head with a type ${record.type} record`);
    // The oldest segment says where the chain starts: the ones before it were released.
    const isSeed = frames === 0 && start.crc === undefined;
    const next = isSeed ? record.crc : checkedCrc(crc, record);
    if (next === undefined)
      return { offset, crc, frames, markOffset, what: "a record with a wrong checksum" };
    const hasMark = isMark(record, sequence, offset);
    if (record.type === recordTypes.crc && record.data.length > 0 && !hasMark) {
      return { offset, crc, frames, markOffset, what: "a sync mark of another place" };
    }
    try {
      const wrong = fold.add(record);
      if (wrong !== undefined) throw damage(file, offset, wrong);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      const what = `a record that is none of type ${record.type}: ${error.message}`;
      return { offset, crc, frames, markOffset, what };
    }
    if (hasMark) markOffset = offset;
    crc = next;
    offset = frame.end;
    frames++;
  }
}

/** Whether a segment is sound by itself and continues another chain: the segment before lost its end. */
function goesOnFromElsewhere(bytes: Uint8Array, crc: number): boolean {
  const seed = readFrame(bytes, 0);
  if (seed.kind !== "frame" || seed.record.type !== recordTypes.crc || seed.record.crc === crc) return false;
  const next = readFrame(bytes, seed.end);
  return next.kind === "frame" && checkedCrc(seed.record.crc, next.record) !== undefined;
}

function readSegment(disk: Disk, file: string): Uint8Array {
  try {
    return must(readWhole(disk, file), "a listed segment is a file", { file });
  } catch (error) {
    throw fatalOfDisk(error, file);
  }
}

function metadataOf(bytes: Uint8Array): WalMetadata {
  const metadata = codecs.Metadata.decode(bytes);
  return { nodeId: nodeId(metadata.NodeID), clusterId: metadata.ClusterID };
}

function damage(file: string, offset: number, what: string): FatalError {
  return new FatalError("WAL_DAMAGED", `${file}: ${what} at byte ${offset}`, { file, offset });
}
