// One defragmentation as the engine sees it. A thread copies the live store while flushes go on and are recorded; then
// it replays what was recorded, again and again, until little is left. For the last of it the next flush waits, so
// that both stores are equal for a moment: in that moment the engine puts the new one in the place of the old.

import { Worker } from "node:worker_threads";
import type { DefragmentWorkerData, FromDefragmentWorker, ToDefragmentWorker } from "./defragment-worker.ts";
import { Turn } from "./turn.ts";

/** So little is replayed faster than anyone notices that a flush waits. */
const heldBytesMax = 4 * 1024 * 1024;
/** When flushes come as fast as they can be replayed, one round more would leave as much as the last one did. */
const roundsMax = 16;
/** A batch takes some tens of milliseconds; a disk that takes longer than this will not finish either. */
const exitWaitMs = 10_000;

export type DefragmentationEnd =
  /** The target holds what the source does, and is closed and sealed. */
  | { readonly kind: "whole" }
  | { readonly kind: "interrupted" }
  | { readonly kind: "failed"; readonly text: string }
  | { readonly kind: "damaged"; readonly text: string };

export interface DefragmentationOptions {
  readonly source: string;
  readonly target: string;
  /** A flush that was held back may go on, into whichever store is live. */
  readonly onReleased: () => void;
  /** The last call; the target is closed. */
  readonly onEnded: (end: DefragmentationEnd) => void;
}

export class Defragmentation {
  readonly target: string;
  /** The store worker records every flush here. */
  readonly recordPath: string;
  readonly #options: DefragmentationOptions;
  readonly #worker: Worker;
  readonly #onExit: () => void;
  #recordedBytes = 0;
  #rounds = 0;
  #replayedBytes = 0;
  #isWorkerBusy = true;
  #isFlushing = false;
  #isHolding = false;
  /** Why it ends without a new store, while the thread still closes its files. */
  #failure: DefragmentationEnd | undefined;

  /** No flush is under way, and all later ones go through `onFlushBegins` and `onFlushEnds`. */
  constructor(options: DefragmentationOptions) {
    this.#options = options;
    this.target = options.target;
    this.recordPath = `${options.target}/flushes`;
    const turn = new Turn();
    this.#onExit = () => turn.end(exitWaitMs);
    const { source, target } = options;
    this.#worker = startWorker({ source, target, recordPath: this.recordPath, turnMemory: turn.memory });
    process.on("exit", this.#onExit);
    this.#worker.on("message", (message: FromDefragmentWorker) => this.#onMessage(message));
    // Only a bug gets here: every failure of LMDB and the disk comes as a message.
    this.#worker.on("error", (error) => {
      throw error;
    });
  }

  /** The next flush has to wait. */
  get isHolding(): boolean {
    return this.#isHolding;
  }

  onFlushBegins(): void {
    this.#isFlushing = true;
  }

  /** `recorded`: the length of the record with this flush, or why it is not in it. */
  onFlushEnds(recorded: number | string | undefined): void {
    this.#isFlushing = false;
    if (typeof recorded === "number") this.#recordedBytes = recorded;
    else this.#fail({ kind: "failed", text: recorded ?? "a flush was not recorded" });
    this.#advance();
  }

  /** Ends it without a new store. */
  cancel(): void {
    this.#fail({ kind: "interrupted" });
  }

  #fail(end: DefragmentationEnd): void {
    if (this.#failure !== undefined) return;
    this.#failure = end;
    this.#post({ kind: "cancel" });
    this.#release();
  }

  #onMessage(message: FromDefragmentWorker): void {
    switch (message.kind) {
      case "copied":
        this.#isWorkerBusy = false;
        this.#advance();
        return;
      case "replayed":
        this.#isWorkerBusy = false;
        this.#replayedBytes = message.end;
        this.#advance();
        return;
      case "ended":
        this.#end(this.#failure ?? (message.isWhole ? { kind: "whole" } : { kind: "interrupted" }));
        return;
      case "failed": {
        const { isDamaged, text } = message;
        this.#end(isDamaged ? { kind: "damaged", text } : (this.#failure ?? { kind: "failed", text }));
      }
    }
  }

  #advance(): void {
    if (this.#isWorkerBusy || this.#failure !== undefined) return;
    const left = this.#recordedBytes - this.#replayedBytes;
    if (left <= heldBytesMax || this.#rounds >= roundsMax) this.#isHolding = true;
    if (left > 0) {
      this.#rounds++;
      this.#isWorkerBusy = true;
      this.#post({ kind: "replay", end: this.#recordedBytes });
      return;
    }
    if (this.#isFlushing) return;
    this.#isWorkerBusy = true;
    this.#post({ kind: "finish" });
  }

  #end(end: DefragmentationEnd): void {
    process.off("exit", this.#onExit);
    this.#options.onEnded(end);
    this.#release();
  }

  #release(): void {
    if (!this.#isHolding) return;
    this.#isHolding = false;
    this.#options.onReleased();
  }

  #post(message: ToDefragmentWorker): void {
    this.#worker.postMessage(message);
  }
}

function startWorker(workerData: DefragmentWorkerData): Worker {
  const name = import.meta.url.endsWith(".ts") ? "./defragment-worker.ts" : "./defragment-worker.js";
  return new Worker(new URL(name, import.meta.url), { name: "defragment", workerData });
}
