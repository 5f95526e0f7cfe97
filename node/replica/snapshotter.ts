// The log's snapshots: every `snapshotCount` applied entries the `.snap` file and the log's snapshot record name a
// position that the store holds durably; older segments go, and the log in memory keeps only what slow followers
// may still ask for.

import { utf8 } from "../lib/bytes.ts";
import type { Logger } from "../lib/log.ts";
import type { Member } from "../membership/member.ts";
import { encodeV2Document } from "../membership/v2-document.ts";
import type { MemoryStorage } from "../raft/memory-storage.ts";
import type { DurableState } from "./durable-state.ts";
import type { LogStore } from "./log-store.ts";

/** The applied state with the membership of the same moment. */
export interface AppliedState extends DurableState {
  readonly members: readonly Member[];
  readonly clusterVersion: string | undefined;
}

export interface SnapshotterOptions {
  readonly log: LogStore;
  readonly storage: MemoryStorage;
  readonly logger: Logger;
  readonly snapshotCount: number;
  readonly catchupEntries: number;
  /**
   * What the entries kept for slow followers may take. As much again comes at most until the next snapshot, and a
   * follower that needs more gets a snapshot.
   */
  readonly catchupBytesMax: number;
  /**
   * What they may take while a snapshot is on its way. Beyond it the oldest go all the same, and the follower, which
   * will miss them, is sent another snapshot.
   */
  readonly pinnedBytesMax: number;
  /**
   * Up to where Raft knows that entries are applied. It learns that for many entries at once, so it may be far
   * behind the store, and still reads those in between.
   */
  readonly raftAppliedIndex: () => number;
}

/** A line that operators and tests look for. */
export const savedSnapshot = "saved snapshot to disk";

export class Snapshotter {
  readonly #options: SnapshotterOptions;
  #snapshotIndex: number;
  /** Of the entries in memory, what the last snapshot kept. */
  #keptBytes: number;
  #isSaving = false;
  /** Indexes behind which somebody still needs every entry. */
  readonly #pins = new Set<{ readonly index: number }>();

  constructor(options: SnapshotterOptions, snapshotIndex: number) {
    this.#options = options;
    this.#keptBytes = options.storage.bytes;
    this.#snapshotIndex = snapshotIndex;
  }

  /** Keeps the entries behind `index` in memory until the returned function is called. */
  pin(index: number): () => void {
    const pin = { index };
    this.#pins.add(pin);
    return () => this.#pins.delete(pin);
  }

  /** A snapshot was received, and the log begins behind it. */
  restart(index: number): void {
    this.#snapshotIndex = index;
    this.#keptBytes = this.#options.storage.bytes;
  }

  /** The store holds `state` durably: saves a snapshot of it when enough came since the last one. */
  onFlushed(state: AppliedState): void {
    const { log, storage, logger, snapshotCount } = this.#options;
    if (this.#isSaving || !this.#isDue(state.index)) return;
    logger.info("triggering snapshot", {
      "local-member-applied-index": state.index,
      "local-member-snapshot-index": this.#snapshotIndex,
      "local-member-snapshot-count": snapshotCount,
    });
    this.#isSaving = true;
    const { index, term, confState } = state;
    const data = utf8(encodeV2Document(state.members, state.clusterVersion));
    log.saveSnapshot({ index, term, confState, data }, index, () => {
      this.#isSaving = false;
      this.#snapshotIndex = index;
      logger.info(savedSnapshot, { "snapshot-index": index });
      storage.createSnapshot(index, { confState, data });
      this.#compact(index);
    });
  }

  #isDue(index: number): boolean {
    const { storage, snapshotCount, catchupBytesMax } = this.#options;
    if (index - this.#snapshotIndex > snapshotCount) return true;
    return index > this.#snapshotIndex && storage.bytes - this.#keptBytes > catchupBytesMax;
  }

  #compact(index: number): void {
    const { storage, logger, catchupEntries, catchupBytesMax, raftAppliedIndex } = this.#options;
    this.#dropPins();
    const pinned = [...this.#pins].map((pin) => pin.index);
    const wanted = Math.max(1, index - catchupEntries, storage.indexBeforeLast(catchupBytesMax));
    // No further than the snapshot, whatever came behind it meanwhile.
    const compactIndex = Math.min(wanted, index, raftAppliedIndex(), ...pinned);
    if (storage.firstIndex() <= compactIndex) {
      storage.compact(compactIndex);
      logger.info("compacted Raft logs", { "compact-index": compactIndex });
    }
    this.#keptBytes = storage.bytes;
  }

  #dropPins(): void {
    const { storage, logger, pinnedBytesMax } = this.#options;
    const keptIndex = storage.indexBeforeLast(pinnedBytesMax);
    for (const pin of this.#pins) {
      if (pin.index >= keptIndex) continue;
      this.#pins.delete(pin);
      logger.warn("gave up log entries that a snapshot on its way needs behind it", {
        "snapshot-index": pin.index,
        "log-bytes": storage.bytes,
        "log-bytes-max": pinnedBytesMax,
      });
    }
  }
}
