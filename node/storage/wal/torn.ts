// Torn or damaged? The rule by which a log whose last segment cannot be read to its end is repaired or refused.
//
// What a power cut can do: everything before the last finished sync is there; of the batch written after it,
// any subset of sectors is there and the others still read as the zeros that were in the file before, or lie
// beyond its end. Only such a *torn tail* may be cut off, because nothing in it was ever acknowledged.
// Everything else is damage, which is refused and left as it is.
//
// At the first place P that does not read as a record of the chain, in the last segment:
// 1. A sync mark anywhere behind P: P had been durable when the mark was written. Damaged.
// 2. The log has sync marks, and the frame at P has lost a sector (512 aligned bytes of zeros, a length field
//    of zero among them): all behind P is the last, unsynced batch. Torn, whatever else of it arrived.
// 3. A frame behind P still reads as a record: a power cut would have left zeros at P. Damaged.
//    In a log without marks, as etcd writes it, this also refuses what might have been a torn batch.
// 4. Nothing readable follows. Torn.
//
// The last synced batch of a log that was never written to again cannot be told from an unsynced one, by any
// reader. An acknowledged entry is beyond that doubt once the HardState that commits it has been written.

import { raftCodecs } from "../../wire/raft-codec.ts";
import { Frame, frameAlignment, frameEnd, isMark, readFrame, recordTypes } from "./frame.ts";

const sectorBytes = 512;

/** What is wrong at `offset`, and what was seen before it. */
export interface BadPlace {
  readonly sequence: number;
  readonly offset: number;
  /** Whether the segment has sync marks before the place. */
  readonly hasMarks: boolean;
}

export function isTorn(bytes: Uint8Array, place: BadPlace): boolean {
  const contentEnd = lastNonZero(bytes, place.offset);
  const frame = new Frame();
  let hasReadableFrame = false;
  for (let at = place.offset + frameAlignment; at < contentEnd; at += frameAlignment) {
    if (!isPlausible(bytes, at, frame)) continue;
    if (isMark(bytes, frame, place.sequence, at)) return false;
    hasReadableFrame = true;
  }
  if (place.hasMarks && lostSector(bytes, place.offset)) return true;
  return !hasReadableFrame;
}

/** The first position at or after `start` behind which there are only zeros. */
export function lastNonZero(bytes: Uint8Array, start: number): number {
  let end = bytes.length;
  while (end > start && end % 8 !== 0) {
    if (bytes[end - 1] !== 0) return end;
    end--;
  }
  const wordsStart = Math.ceil((bytes.byteOffset + start) / 8) * 8;
  const wordsEnd = bytes.byteOffset + end;
  if (wordsEnd % 8 === 0 && wordsEnd > wordsStart) {
    const words = new Float64Array(bytes.buffer, wordsStart, (wordsEnd - wordsStart) / 8);
    let i = words.length;
    // Object.is tells +0 from -0, whose bytes are not all zero.
    while (i > 0 && Object.is(words[i - 1], 0)) i--;
    end = wordsStart + i * 8 - bytes.byteOffset;
  }
  while (end > start && bytes[end - 1] === 0) end--;
  return end;
}

/** Whether the frame at `offset` has a piece within one sector that is all zeros, as a lost write leaves it. */
function lostSector(bytes: Uint8Array, offset: number): boolean {
  if (readFrame(bytes, offset, new Frame()) === "end") return true;
  const end = frameEnd(bytes, offset);
  // A length field lies within one sector: it arrives whole or reads as zero, so a wrong one was not torn.
  if (end === undefined) return false;
  for (let start = offset; start < end; ) {
    const sectorEnd = Math.min(end, (Math.floor(start / sectorBytes) + 1) * sectorBytes);
    if (lastNonZero(bytes.subarray(0, sectorEnd), start) === start) return true;
    start = sectorEnd;
  }
  return false;
}

/** Whether a record of a known type is there, whose data is what its type says. */
function isPlausible(bytes: Uint8Array, offset: number, frame: Frame): boolean {
  // Every record starts with its type; looking at two bytes first keeps the search cheap.
  const type = bytes[offset + 9] as number;
  if (bytes[offset + 8] !== 0x08 || type < recordTypes.metadata || type > recordTypes.snapshot) return false;
  if (readFrame(bytes, offset, frame) !== "frame") return false;
  const data = bytes.subarray(frame.dataStart, frame.dataEnd);
  try {
    if (type === recordTypes.entry) return raftCodecs.Entry.decode(data).index > 0;
    if (type === recordTypes.state) return raftCodecs.HardState.decode(data).term > 0;
    if (type === recordTypes.snapshot) return raftCodecs.WalSnapshot.decode(data).index > 0;
    return type === recordTypes.crc && (data.length === 0 || data.length === 16);
  } catch {
    return false;
  }
}
