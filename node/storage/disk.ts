// The disk as a synchronous port: what the log asks of a file system, no more. The log worker calls it from
// its own thread; the simulator puts a disk behind it that loses what was not synced. Errors are those of
// node:fs, with a `code`. Nothing is durable before `fdatasync` of the file and, for names, `fsyncDir`.

import {
  closeSync,
  constants,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { type FatalError, fatalOfSystemError } from "../lib/fatal.ts";

/** An open file. Only the disk that gave it out knows what the number means. */
export type DiskFile = number;

export interface DiskStat {
  readonly bytes: number;
  readonly isDirectory: boolean;
}

export interface Disk {
  /** Opens a file that exists. */
  open(path: string, mode: "readOnly" | "readWrite"): DiskFile;
  /** Creates a file for reading and writing; one of that name is emptied. */
  create(path: string): DiskFile;
  close(file: DiskFile): void;
  /** Fills `target` from `position` on and returns how many bytes there were. */
  pread(file: DiskFile, target: Uint8Array, position: number): number;
  /** Writes all of `bytes`. */
  pwrite(file: DiskFile, bytes: Uint8Array, position: number): void;
  fdatasync(file: DiskFile): void;
  truncate(file: DiskFile, bytes: number): void;
  rename(from: string, to: string): void;
  unlink(path: string): void;
  /** Creates a directory in one that exists. */
  mkdir(path: string): void;
  /** Names in a directory, sorted. */
  readdir(path: string): string[];
  stat(path: string): DiskStat | undefined;
  /** Makes names created, renamed and removed in the directory durable. */
  fsyncDir(path: string): void;
}

/** The machine's file system. */
export const nodeDisk: Disk = {
  open(path, mode) {
    return openSync(path, mode === "readOnly" ? constants.O_RDONLY : constants.O_RDWR);
  },
  create(path) {
    return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600);
  },
  close(file) {
    closeSync(file);
  },
  pread(file, target, position) {
    let done = 0;
    while (done < target.length) {
      const count = readSync(file, target, done, target.length - done, position + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  },
  pwrite(file, bytes, position) {
    let done = 0;
    while (done < bytes.length) {
      done += writeSync(file, bytes, done, bytes.length - done, position + done);
    }
  },
  fdatasync(file) {
    fdatasyncSync(file);
  },
  truncate(file, bytes) {
    ftruncateSync(file, bytes);
  },
  rename(from, to) {
    renameSync(from, to);
  },
  unlink(path) {
    unlinkSync(path);
  },
  mkdir(path) {
    mkdirSync(path, { mode: 0o700 });
  },
  readdir(path) {
    return readdirSync(path).sort();
  },
  stat(path) {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat === undefined ? undefined : { bytes: stat.size, isDirectory: stat.isDirectory() };
  },
  fsyncDir(path) {
    const directory = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  },
};

/** What a failed call means to the member. An error that is not the disk's is thrown on. */
export function fatalOfDisk(error: unknown, path: string): FatalError {
  if (error instanceof Error && "code" in error) {
    return fatalOfSystemError(error as NodeJS.ErrnoException, path);
  }
  throw error;
}

/**
 * Creates a directory and the missing ones above it, durably. One that is there may have been made by a run that
 * ended before its name was durable, so that is seen to in any case.
 */
export function makeDirectory(disk: Disk, path: string): void {
  const parent = dirname(path);
  if (disk.stat(path) === undefined) {
    makeDirectory(disk, parent);
    disk.mkdir(path);
    disk.fsyncDir(parent);
    return;
  }
  try {
    disk.fsyncDir(parent);
  } catch (error) {
    // Whoever may not open the directory above has not made this one either.
    const isForbidden = error instanceof Error && "code" in error && error.code === "EACCES";
    if (!isForbidden) throw error;
  }
}

/** The whole content of a file, or undefined when there is none. */
export function readWhole(disk: Disk, path: string): Uint8Array | undefined {
  const stat = disk.stat(path);
  if (stat === undefined || stat.isDirectory) return undefined;
  const file = disk.open(path, "readOnly");
  try {
    const bytes = new Uint8Array(stat.bytes);
    return bytes.subarray(0, disk.pread(file, bytes, 0));
  } finally {
    disk.close(file);
  }
}

/**
 * Writes a file so that after a crash it is there whole or not at all: a temporary file beside it, synced,
 * renamed into place, and the directory synced.
 */
export function writeWhole(disk: Disk, directory: string, name: string, bytes: Uint8Array): void {
  const temporary = `${directory}/${name}.tmp`;
  const file = disk.create(temporary);
  try {
    disk.pwrite(file, bytes, 0);
    disk.fdatasync(file);
  } finally {
    disk.close(file);
  }
  disk.rename(temporary, `${directory}/${name}`);
  disk.fsyncDir(directory);
}
