// Makes a log that was read writable: temporary files go, a torn tail becomes zeros again, and everything that
// was read becomes durable, because it may have come from the page cache of a process that ended before it had
// synced, or whose sync had failed. After a failed sync the pages count as clean and no later one writes them
// (fsyncgate), so what no sync mark vouches for is written again. Called only after the reading was accepted,
// so a refused log stays as it is.

import { must } from "../../lib/assert.ts";
import { type Disk, fatalOfDisk } from "../disk.ts";
import type { WalReading } from "./read.ts";
import { segmentName } from "./segments.ts";
import type { WalPosition } from "./wal.ts";

const zeros = new Uint8Array(1 << 20);

/** Throws FatalError. */
export function repairWal(disk: Disk, directory: string, reading: WalReading): WalPosition {
  const last = must(reading.segments.at(-1), "a log has a segment");
  const path = `${directory}/${segmentName(last)}`;
  try {
    for (const name of disk.readdir(directory)) {
      if (name.endsWith(".tmp")) disk.unlink(`${directory}/${name}`);
    }
    const file = disk.open(path, "readWrite");
    try {
      const { offset, syncedOffset, contentEnd } = reading.end;
      const unsynced = new Uint8Array(offset - syncedOffset);
      disk.pread(file, unsynced, syncedOffset);
      disk.pwrite(file, unsynced, syncedOffset);
      for (let at = offset; at < contentEnd; at += zeros.length) {
        disk.pwrite(file, zeros.subarray(0, Math.min(zeros.length, contentEnd - at)), at);
      }
      disk.fdatasync(file);
    } finally {
      disk.close(file);
    }
    disk.fsyncDir(directory);
  } catch (error) {
    throw fatalOfDisk(error, path);
  }
  return {
    metadata: reading.metadata,
    segments: reading.segments,
    offset: reading.end.offset,
    crc: reading.end.crc,
    lastIndex: reading.lastIndex,
    hardState: reading.hardState,
  };
}
