// The replica's port to its write-ahead log: submit and completion calls, no promises.

import type { NodeId } from "../lib/ids.ts";
import type { ConfState, Entry, HardState } from "../wire/raft.ts";

export interface LogAppend {
  readonly hardState: HardState | undefined;
  /** Consecutive; may overwrite a suffix that was appended before. */
  readonly entries: readonly Entry[];
}

export interface LogSnapshot {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
  /** The v2 membership JSON that goes into the `.snap` file, never empty. */
  readonly data: Uint8Array;
}

export interface LogStore {
  /**
   * Appends. With `done` it asks for a sync, and `done` runs when this append and all before it are durable;
   * completions run in the order of submission. Without `done` the bytes are written at once and
   * durable with a later sync.
   */
  append(append: LogAppend, done?: () => void): void;
  /**
   * Writes the `.snap` file, then a snapshot record and the newest HardState, synced, then releases segments
   * that lie wholly below `releaseIndex`. `done` runs after the release.
   */
  saveSnapshot(snapshot: LogSnapshot, releaseIndex: number, done: () => void): void;
  /**
   * A snapshot received from a leader takes the place of the whole log: writes the `.snap` file, a snapshot record and
   * the HardState, which commits it, synced, then releases all segments below. `done` runs after that.
   */
  installSnapshot(snapshot: LogSnapshot, hardState: HardState, done: () => void): void;
  /** Finishes what was submitted, syncs, closes. */
  close(done: () => void): void;
}

/** What a log held when it was opened. */
export interface LogContents {
  readonly clusterId: bigint;
  readonly nodeId: NodeId;
  readonly hardState: HardState;
  /** The newest snapshot at or below the committed index; index 0 when there is none. */
  readonly snapshot: LogSnapshot;
  /** Entries after the snapshot's index, consecutive. */
  readonly entries: readonly Entry[];
}
