// Room for small byte arrays in shared blocks: an array buffer of its own costs as much as everything else that is
// done with a record of a few hundred bytes (measured: 0.94 us against 0.11 us).

/** Large enough to make allocation cheap, small enough that a value kept for long pins little. */
const blockBytes = 16 * 1024;
const sharedBytesMax = blockBytes / 8;
/** Keys are mostly shorter, and all arrays together take half the square of it. */
const scratchBytesMax = 512;

export class Slab {
  #block = new ArrayBuffer(blockBytes);
  #used = 0;

  /** Zeroed bytes that nobody else has. Their buffer is shared: it must never be transferred to another thread. */
  take(length: number): Uint8Array {
    if (length > sharedBytesMax) return new Uint8Array(length);
    if (this.#used + length > blockBytes) {
      this.#block = new ArrayBuffer(blockBytes);
      this.#used = 0;
    }
    const bytes = new Uint8Array(this.#block, this.#used, length);
    this.#used += length;
    return bytes;
  }
}

/**
 * For short keys. V8 keeps an array of up to 64 bytes inside its heap until somebody wants its buffer, as every function
 * outside the language does: then it moves out, which costs more than all else that is done with a key.
 */
export const keySlab = new Slab();

/** Arrays that are used again and again, one of each length, for what is written and copied at once. */
export class Scratch {
  readonly #arrays: Uint8Array[] = [];

  /** Bytes that the next call of that length hands out again. What they hold is of the last use. */
  take(length: number): Uint8Array {
    const known = this.#arrays[length];
    if (known !== undefined) return known;
    if (length > scratchBytesMax) return new Uint8Array(length);
    while (this.#arrays.length <= length)
      this.#arrays.push(new Uint8Array(new ArrayBuffer(this.#arrays.length)));
    return this.#arrays[length] as Uint8Array;
  }
}
