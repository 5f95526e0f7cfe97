// Keys that wait to be worked on. A key waits at most once; one that is added while it is being worked on waits
// again afterwards, so no change is missed and no two workers ever hold the same key.
import type { Clock, Random } from "../lib/clock.ts";
import { backoffMs } from "./backoff.ts";

export interface WorkQueueOptions {
  readonly clock: Clock;
  readonly random: Random;
}

const backoff = { firstMs: 200, mostMs: 60_000 };

export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #working = new Set<string>();
  readonly #again = new Set<string>();
  readonly #delayed = new Map<string, { readonly atMs: number; readonly cancel: () => void }>();
  readonly #failures = new Map<string, number>();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  #isClosed = false;
  adds = 0;
  retries = 0;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  /** Keys that wait now; delayed ones are not among them. */
  get depth(): number {
    return this.#waiting.size;
  }

  add(key: string): void {
    if (this.#isClosed) return;
    this.#dropDelay(key);
    if (this.#working.has(key)) {
      this.#again.add(key);
      return;
    }
    if (this.#waiting.has(key)) return;
    this.adds++;
    const taker = this.#takers.shift();
    if (taker === undefined) {
      this.#waiting.add(key);
      return;
    }
    this.#working.add(key);
    taker(key);
  }

  /** Adds it later, or earlier than an addition that is planned already. */
  addAfter(key: string, delayMs: number): void {
    if (this.#isClosed) return;
    const atMs = this.#options.clock.nowMs() + delayMs;
    const planned = this.#delayed.get(key);
    if (planned !== undefined && planned.atMs <= atMs) return;
    this.#dropDelay(key);
    const cancel = this.#options.clock.after(delayMs, () => this.add(key));
    this.#delayed.set(key, { atMs, cancel });
  }

  /** Adds it after a delay that grows with its failures in a row. Returns the delay. */
  addAfterFailure(key: string): number {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    this.retries++;
    const delayMs = backoffMs(failures, { ...backoff, random: this.#options.random });
    this.addAfter(key, delayMs);
    return delayMs;
  }

  /** Its failures no longer count. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** The next key, or undefined once the queue is closed. The taker says `done` for it. */
  take(): Promise<string | undefined> {
    if (this.#isClosed) return Promise.resolve(undefined);
    for (const key of this.#waiting) {
      this.#waiting.delete(key);
      this.#working.add(key);
      return Promise.resolve(key);
    }
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  done(key: string): void {
    this.#working.delete(key);
    if (this.#again.delete(key)) this.add(key);
  }

  /** Takers get undefined; what waits is dropped. */
  close(): void {
    this.#isClosed = true;
    for (const key of [...this.#delayed.keys()]) this.#dropDelay(key);
    this.#waiting.clear();
    this.#again.clear();
    for (const taker of this.#takers.splice(0)) taker(undefined);
  }

  #dropDelay(key: string): void {
    this.#delayed.get(key)?.cancel();
    this.#delayed.delete(key);
  }
}
