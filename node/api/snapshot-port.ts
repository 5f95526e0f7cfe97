// Where a snapshot becomes a file before it is sent: its size comes first in the stream, and writes go on meanwhile.

import type { SnapshotSlice } from "../replica/snapshot-source.ts";

export interface SnapshotSpool {
  /** Begins a file of about `expectedBytes`. Rejects with the system's error, also when there is too little room. */
  create(expectedBytes: number): Promise<SnapshotWriter>;
}

/** A file being written. All its calls reject with the system's error. One of `finish` and `discard` is the last. */
export interface SnapshotWriter {
  /** Resolves when the next slice may come. */
  write(slice: SnapshotSlice): Promise<void>;
  finish(): Promise<SnapshotFile>;
  discard(): Promise<void>;
}

/** A finished file, which nobody else sees and which is gone when it is closed. */
export interface SnapshotFile {
  readonly bytes: number;
  /** The bytes from `position` on, at most `bytesMax`. */
  read(position: number, bytesMax: number): Promise<Uint8Array>;
  close(): Promise<void>;
}
