// The port to the stable part of the log: what the member has on disk (or, in the driver, in memory with the
// disk behind it). Raft only reads it; whoever carries out a Ready or a MsgStorageAppend writes it.

import type { ConfState, Entry, HardState, Snapshot } from "../wire/raft.ts";

export interface Storage {
  /** What the last run left behind. `hardState` is undefined on a new member. */
  initialState(): { readonly hardState: HardState | undefined; readonly confState: ConfState };

  /** The lowest index that `entries` can return: one past the last compacted or snapshotted entry. */
  firstIndex(): number;

  /** The highest stable index; `firstIndex() - 1` when there are no entries. */
  lastIndex(): number;

  /** Term of the entry at `index`, known for [firstIndex - 1, lastIndex]; undefined outside. */
  term(index: number): number | undefined;

  /**
   * Entries of [start, end), cut where they exceed `bytesMax` encoded bytes but never empty for a non-empty range.
   * Undefined when `start` was compacted away. `end` is at most lastIndex() + 1. The caller does not modify them.
   */
  entries(start: number, end: number, bytesMax: number): readonly Entry[] | undefined;

  /** The latest snapshot, or undefined when there is none to send just now: Raft asks again later. */
  snapshot(): Snapshot | undefined;
}
