// When the overlay goes to the engine. A flush is cut between two entries at applied index i and handed to the
// engine only after the log has synced every entry up to i and a HardState with commit >= i: after a power cut
// the log is never behind the store. The cut itself waits for nothing, so applying goes on meanwhile.

import { assert } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import type { Overlay } from "../mvcc/overlay.ts";
import { writeDurableState } from "./durable-state.ts";
import type { AppliedState } from "./snapshotter.ts";

export interface FlusherOptions {
  readonly overlay: Overlay;
  readonly clock: Clock;
  /** etcd's `--backend-batch-interval`. */
  readonly intervalMs: number;
  /** The active layer is flushed before its time above this, and applying pauses while two such layers exist. */
  readonly layerBytesMax: number;
  /** The state of what has been applied; called between two entries. */
  readonly appliedState: () => AppliedState;
  /** Calls back when the log holds everything up to `index`, and a commit of it, durably. */
  readonly whenLogged: (index: number, done: () => void) => void;
  /** A flush is durable. */
  readonly onFlushed: (state: AppliedState) => void;
  readonly observeSeconds?: (seconds: number) => void;
}

export class Flusher {
  readonly #options: FlusherOptions;
  #durableIndex: number;
  #isIdle = true;
  #isStopped = false;
  #isHeld = false;
  #whenIdle: (() => void)[] = [];

  constructor(options: FlusherOptions, durableIndex: number) {
    this.#options = options;
    this.#durableIndex = durableIndex;
  }

  start(): void {
    if (this.#isStopped) return;
    this.#options.clock.after(this.#options.intervalMs, () => {
      this.#flushIfIdle();
      this.start();
    });
  }

  /** The applied index that the store holds durably. */
  get durableIndex(): number {
    return this.#durableIndex;
  }

  /** True while both layers are full: no entry may be applied until a flush has finished. */
  get isFull(): boolean {
    const { overlay, layerBytesMax } = this.#options;
    return !this.#isIdle && overlay.activeBytes >= layerBytesMax;
  }

  /** Called after entries were applied. */
  onApplied(): void {
    if (this.#options.overlay.activeBytes >= this.#options.layerBytesMax) this.#flushIfIdle();
  }

  /** Calls back once everything applied before this call is durable. */
  flushAll(done: () => void): void {
    if (!this.#isIdle) {
      this.#whenIdle.push(() => this.flushAll(done));
      return;
    }
    // What is held back is about to be replaced.
    if (this.#isHeld || this.#options.appliedState().index <= this.#durableIndex) {
      done();
      return;
    }
    this.#whenIdle.push(done);
    this.#flushIfIdle();
  }

  /** No flush begins until `restart`; calls back when none is under way any more. */
  hold(done: () => void): void {
    this.#isHeld = true;
    if (this.#isIdle) done();
    else this.#whenIdle.push(done);
  }

  /** The store was replaced by one that has durably applied everything up to `durableIndex`. */
  restart(durableIndex: number): void {
    assert(this.#isIdle, "no flush is under way");
    this.#durableIndex = durableIndex;
    this.#isHeld = false;
  }

  /** No flush begins after this; one under way finishes. */
  stop(): void {
    this.#isStopped = true;
  }

  #flushIfIdle(): void {
    if (!this.#isIdle || this.#isStopped || this.#isHeld) return;
    const { overlay, clock } = this.#options;
    const state = this.#options.appliedState();
    if (state.index <= this.#durableIndex && overlay.activeBytes === 0) return;
    this.#isIdle = false;
    writeDurableState(overlay, state);
    overlay.cut();
    this.#options.whenLogged(state.index, () => {
      const startedMs = clock.nowMs();
      overlay.flush(() => {
        assert(state.index >= this.#durableIndex, "a flush never goes back", { index: state.index });
        this.#options.observeSeconds?.((clock.nowMs() - startedMs) / 1000);
        this.#durableIndex = state.index;
        this.#isIdle = true;
        this.#options.onFlushed(state);
        const waiting = this.#whenIdle;
        this.#whenIdle = [];
        for (const done of waiting) done();
      });
    });
  }
}
