// The sliding window of append messages sent to one follower and not yet acknowledged, bounded by count and by
// bytes: a ring that grows on demand, since most windows stay nearly empty.

import { assert } from "../lib/assert.ts";

export class Inflights {
  readonly #countMax: number;
  readonly #bytesMax: number;
  /** Index of the last entry of each message, and the message's bytes. Both rings have the same length. */
  #indexes: number[] = [];
  #sizes: number[] = [];
  #start = 0;
  #count = 0;
  #bytes = 0;

  constructor(limits: { readonly countMax: number; readonly bytesMax: number }) {
    this.#countMax = limits.countMax;
    this.#bytesMax = limits.bytesMax;
  }

  get count(): number {
    return this.#count;
  }

  /** The byte limit is checked before, not after: a message larger than the whole window still goes out alone. */
  get isFull(): boolean {
    return this.#count === this.#countMax || this.#bytes >= this.#bytesMax;
  }

  add(lastIndex: number, bytes: number): void {
    assert(!this.isFull, "a message was sent although the window is full");
    if (this.#count === this.#indexes.length) this.#grow();
    const at = (this.#start + this.#count) % this.#indexes.length;
    this.#indexes[at] = lastIndex;
    this.#sizes[at] = bytes;
    this.#count++;
    this.#bytes += bytes;
  }

  /** Frees every message whose last entry is at or below `index`. */
  freeUpTo(index: number): void {
    while (this.#count > 0 && (this.#indexes[this.#start] as number) <= index) {
      this.#bytes -= this.#sizes[this.#start] as number;
      this.#start = (this.#start + 1) % this.#indexes.length;
      this.#count--;
    }
  }

  clear(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytes = 0;
  }

  #grow(): void {
    const length = this.#indexes.length;
    const indexes = new Array<number>(Math.max(1, Math.min(length * 2, this.#countMax))).fill(0);
    const sizes = new Array<number>(indexes.length).fill(0);
    for (let i = 0; i < this.#count; i++) {
      const from = (this.#start + i) % length;
      indexes[i] = this.#indexes[from] as number;
      sizes[i] = this.#sizes[from] as number;
    }
    this.#indexes = indexes;
    this.#sizes = sizes;
    this.#start = 0;
  }
}
