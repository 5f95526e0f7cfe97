// Work that nobody waits for, in slices with pauses: scrubbing what a compaction freed, feeding watchers that lag,
// periodic progress of watches.

import type { Clock } from "../lib/clock.ts";
import type { Metrics } from "../lib/metrics.ts";
import type { Store } from "../mvcc/store.ts";
import type { WatchHub } from "../mvcc/watch-hub.ts";

export interface BackgroundOptions {
  readonly clock: Clock;
  readonly store: Store;
  readonly hub: WatchHub;
  /** `--compaction-batch-limit` and `--compaction-sleep-interval`. */
  readonly compactionBatchRecords: number;
  readonly compactionPauseMs: number;
  /** True while nothing may be written to the store. */
  readonly isStoreFull: () => boolean;
  readonly metrics: Metrics;
}

const compactionBatchBytesMax = 4 * 1024 * 1024;
const hubIntervalMs = 100;
/** How long a lagging watcher waits for the next round of catching up. */
const watchSyncDelayMs = 10;

export class Background {
  readonly #options: BackgroundOptions;
  #isStopped = false;
  #isScrubbing = false;
  #scrubStartedMs = 0;
  /** Of the hub's count, what the metrics know of. */
  #eventsReported = 0;

  constructor(options: BackgroundOptions) {
    this.#options = options;
  }

  start(): void {
    this.#tickLater();
    this.scrub();
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Lagging watchers wait; called by the hub, at any time. */
  onSyncWanted(): void {
    this.#options.clock.after(watchSyncDelayMs, () => this.#syncWatchers());
  }

  /** Removes what compactions have freed, also what an earlier run of the member left over. */
  scrub(): void {
    const { clock, store } = this.#options;
    if (this.#isScrubbing || store.compaction.finishedRevision >= store.compaction.revision) return;
    this.#isScrubbing = true;
    this.#scrubStartedMs = clock.nowMs();
    clock.defer(() => this.#scrubSlice());
  }

  #scrubSlice(): void {
    if (this.#isStopped) return;
    const { clock, store, compactionBatchRecords, compactionPauseMs, isStoreFull, metrics } = this.#options;
    const limits = { recordsMax: compactionBatchRecords, bytesMax: compactionBatchBytesMax };
    const removedBefore = store.compaction.removed;
    const startedMs = clock.nowMs();
    const progress = isStoreFull() ? "waiting for room" : store.compaction.step(limits);
    const tookMs = clock.nowMs() - startedMs;
    metrics.compactedKeys.increment(store.compaction.removed - removedBefore);
    if (progress === "hashing" || progress === "removing") metrics.compactionPauseMs.observe(tookMs);
    if (progress === "idle") {
      this.#isScrubbing = false;
      metrics.compactionTotalMs.observe(clock.nowMs() - this.#scrubStartedMs);
      return;
    }
    // What only reads takes half of the time at most, and leaves it to the removals to be gentle to the disk.
    const pauseMs = progress === "hashing" ? Math.min(tookMs, compactionPauseMs) : compactionPauseMs;
    clock.after(pauseMs, () => this.#scrubSlice());
  }

  #tickLater(): void {
    const { clock, hub, metrics } = this.#options;
    clock.after(hubIntervalMs, () => {
      if (this.#isStopped) return;
      hub.tick(clock.nowMs());
      metrics.events.increment(hub.eventCount - this.#eventsReported);
      this.#eventsReported = hub.eventCount;
      this.#syncWatchers();
      this.#tickLater();
    });
  }

  #syncWatchers(): void {
    if (this.#isStopped || !this.#options.hub.syncStep()) return;
    this.#options.clock.defer(() => this.#syncWatchers());
  }
}
