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
import { checkedCrc, Frame, isMark, readFrame, recordTypes } from "./frame.ts";
import { listSegments, type Segment, segmentName } from "./segments.ts";
import { isTorn, lastNonZero } from "./torn.ts";

/** Whose log it is. */
export interface WalMetadata {
  readonly nodeId: NodeId;
  readonly clusterId: bigint;
}

interface WalFacts {
  readonly hardState: HardState;
  /** In the order written; the ones above the committed index do not count. */
  readonly snapshots: readonly WalSnapshot[];
  readonly firstIndex: number;
  readonly lastIndex: number;
}

export interface WalReading extends WalFacts {
  readonly metadata: WalMetadata;
  readonly segments: readonly Segment[];
  /** The entries from `index` on, which is at least `firstIndex`, to the last. Their data are copies. */
  entriesFrom(index: number): Entry[];
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
  const fold = new LogFold(segments[0]?.firstIndex ?? 0);
  const end = readSegments(disk, directory, segments, fold);
  return {
    metadata: metadataOf(fold.metadata),
    segments,
    ...factsOf(fold),
    entriesFrom: (index) => fold.entriesFrom(index),
    end,
  };
}

/** What a log says up to its end, or up to where it is damaged. */
export interface WalSurvey extends WalFacts {
  /** Undefined when not even that can be read. */
  readonly metadata: WalMetadata | undefined;
  readonly damage: FatalError | undefined;
}

/** Reads what can be read, changes nothing, and trusts nothing behind the first damage. */
export function surveyWal(disk: Disk, directory: string): WalSurvey {
  const segments = listSegments(disk, directory);
  const fold = new LogFold(segments[0]?.firstIndex ?? 0);
  let damage: FatalError | undefined;
  try {
    readSegments(disk, directory, segments, fold);
  } catch (error) {
    if (!(error instanceof FatalError)) throw error;
    damage = error;
  }
  const metadata = fold.metadata.length === 0 ? undefined : metadataOf(fold.metadata);
  return { metadata, ...factsOf(fold), damage };
}

function factsOf({ hardState, snapshots, baseIndex, lastIndex }: LogFold): WalFacts {
  return { hardState, snapshots, firstIndex: baseIndex + 1, lastIndex };
}

/** Returns where the last segment ends. Throws FatalError; `fold` holds what was read before. */
function readSegments(disk: Disk, directory: string, segments: readonly Segment[], fold: LogFold): WalEnd {
  const [first] = segments;
  if (first === undefined) throw new FatalError("WAL_DAMAGED", `no log in ${directory}`, { file: directory });
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
  return must(end, "a log has a segment");
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
  const frame = new Frame();
  let offset = 0;
  let crc = start.crc ?? 0;
  let frames = 0;
  let markOffset: number | undefined;
  const stop = (what: string | undefined): SegmentStop => ({ offset, crc, frames, markOffset, what });
  for (;;) {
    const outcome = readFrame(bytes, offset, frame);
    if (outcome !== "frame") return stop(outcome === "end" ? undefined : outcome);
    const { type } = frame;
    if ((frames === 0 && type !== recordTypes.crc) || (frames === 1 && type !== recordTypes.metadata)) {
      throw damage(file, offset, `a segment head with a type ${type} record`);
    }
    // The oldest segment says where the chain starts: the ones before it were released.
    const isSeed = frames === 0 && start.crc === undefined;
    const next = isSeed ? frame.crc : checkedCrc(crc, bytes, frame);
    if (next === undefined) return stop("a record with a wrong checksum");
    if (type === recordTypes.crc && frame.dataEnd > frame.dataStart) {
      if (!isMark(bytes, frame, sequence, offset)) return stop("a sync mark of another place");
      markOffset = offset;
    }
    try {
      const wrong = fold.add(bytes, frame);
      if (wrong !== undefined) throw damage(file, offset, wrong);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return stop(`a record that is none of type ${type}: ${error.message}`);
    }
    crc = next;
    offset = frame.end;
    frames++;
  }
}

/** Whether a segment is sound by itself and continues another chain: the segment before lost its end. */
function goesOnFromElsewhere(bytes: Uint8Array, crc: number): boolean {
  const seed = new Frame();
  if (readFrame(bytes, 0, seed) !== "frame" || seed.type !== recordTypes.crc || seed.crc === crc)
    return false;
  const next = new Frame();
  return readFrame(bytes, seed.end, next) === "frame" && checkedCrc(seed.crc, bytes, next) !== undefined;
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
