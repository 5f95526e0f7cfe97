// What an error of LMDB or of the file system means for the member.

import { statfsSync } from "node:fs";
import { FatalError, type FatalReason, fatalOfSystemError } from "../../lib/fatal.ts";

const noSpace = 28; // ENOSPC
const quotaExceeded = 122; // EDQUOT

/** LMDB's own codes for a file that contradicts itself. */
const damageCodes: ReadonlySet<number> = new Set([
  -30797, // page not found
  -30796, // corrupted
  -30795, // panic: a meta page could not be written
  -30794, // version mismatch
  -30793, // not an LMDB file
  -30782, // transaction must abort
]);

/** As a FatalError. An error that comes from neither LMDB nor the file system is a bug, and is thrown on. */
export function fatalOfStoreError(error: unknown, file: string): FatalError {
  if (error instanceof FatalError) return error;
  if (error instanceof Error && "code" in error) {
    if (typeof error.code === "number") {
      return new FatalError(reasonOf(error.code), `${error.message} (${file})`, { file }, error);
    }
    if ("syscall" in error) return fatalOfSystemError(error as NodeJS.ErrnoException, file);
  }
  throw error;
}

/** What else a commit may need: copies of index pages, the free list. */
const commitBytes = 1024 * 1024;

export interface WriteSpace {
  readonly flushBytes: number;
  /** Left on the file system after the failure. */
  readonly availableBytes: number;
}

export function availableBytesAt(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}

/** LMDB reports a write that a full disk cut short as a plain I/O error; the space that is left tells them apart. */
export function fatalOfFailedWrite(error: unknown, file: string, space: WriteSpace): FatalError {
  const fatal = fatalOfStoreError(error, file);
  if (fatal.reason !== "IO_ERROR" || space.availableBytes >= space.flushBytes + commitBytes) return fatal;
  const text = `${fatal.message}, with ${space.availableBytes} bytes left on the disk`;
  return new FatalError("DISK_FULL", text, fatal.details, error);
}

/** LMDB reports its own codes as negative numbers and the system's as positive ones. */
function reasonOf(code: number): FatalReason {
  if (code === noSpace || code === quotaExceeded) return "DISK_FULL";
  return damageCodes.has(code) ? "STORE_DAMAGED" : "IO_ERROR";
}
