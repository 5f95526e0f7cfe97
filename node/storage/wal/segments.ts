// Names of segments: `%016x-%016x.wal`, the sequence number and the index the first new entry will have.

import { must } from "../../lib/assert.ts";
import type { Disk } from "../disk.ts";

export interface Segment {
  readonly sequence: number;
  /** The entry that follows the last one of the segment before. */
  readonly firstIndex: number;
}

/** etcd's segment size. A segment may end a little beyond it: the batch that fills it is not split. */
export const defaultSegmentBytes = 64_000_000;

const pattern = /^([0-9a-f]{16})-([0-9a-f]{16})\.wal$/;

export function segmentName(segment: Segment): string {
  return `${hex16(segment.sequence)}-${hex16(segment.firstIndex)}.wal`;
}

export function hex16(value: number): string {
  return value.toString(16).padStart(16, "0");
}

/** The segments in a folder, oldest first; none when there is no folder. */
export function listSegments(disk: Disk, directory: string): Segment[] {
  if (disk.stat(directory) === undefined) return [];
  const segments: Segment[] = [];
  for (const name of disk.readdir(directory)) {
    const match = pattern.exec(name);
    if (match === null) continue;
    segments.push({
      sequence: Number.parseInt(match[1] as string, 16),
      firstIndex: Number.parseInt(match[2] as string, 16),
    });
  }
  return segments;
}

/** How many of the oldest segments hold nothing at or above `index`. */
export function countBelow(segments: readonly Segment[], index: number): number {
  for (let i = segments.length - 1; i > 0; i--) {
    const segment = must(segments[i], "the index is within the list");
    if (segment.firstIndex <= index) return i;
  }
  return 0;
}
