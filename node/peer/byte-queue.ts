// Bytes in the order they arrived, cut anywhere by the network.

import { assert, must } from "../lib/assert.ts";
import { Slab } from "../lib/slab.ts";

const two32 = 2 ** 32;

export class ByteQueue {
  readonly #slab = new Slab();
  #chunks: Uint8Array[] = [];
  /** Bytes of the first chunk that were taken already. */
  #offset = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Keeps the chunk until its bytes are taken. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  /** Copies, so that what is kept of a message does not keep a whole network buffer. Hot: a follower's entries. */
  take(count: number): Uint8Array {
    assert(count <= this.#length, "bytes are taken after they arrived", { count, length: this.#length });
    const taken = this.#slab.take(count);
    let at = 0;
    while (at < count) {
      const chunk = must(this.#chunks[0], "the queue holds as many bytes as it counts");
      const part = Math.min(count - at, chunk.length - this.#offset);
      taken.set(chunk.subarray(this.#offset, this.#offset + part), at);
      at += part;
      this.#offset += part;
      if (this.#offset === chunk.length) {
        this.#chunks.shift();
        this.#offset = 0;
      }
    }
    this.#length -= count;
    return taken;
  }

  takeByte(): number {
    assert(this.#length > 0, "bytes are taken after they arrived");
    const chunk = must(this.#chunks[0], "the queue holds as many bytes as it counts");
    const byte = chunk[this.#offset++] as number;
    this.#length--;
    if (this.#offset === chunk.length) {
      this.#chunks.shift();
      this.#offset = 0;
    }
    return byte;
  }

  /** A big-endian uint64; undefined when it is not a safe integer. */
  takeUint64(): number | undefined {
    let high = 0;
    let low = 0;
    for (let i = 0; i < 4; i++) high = high * 256 + this.takeByte();
    for (let i = 0; i < 4; i++) low = low * 256 + this.takeByte();
    const value = high * two32 + low;
    return Number.isSafeInteger(value) ? value : undefined;
  }

  /** Everything that is left. */
  takeAll(): Uint8Array {
    return this.take(this.#length);
  }
}

/** Writes a big-endian uint64 and returns the offset after it. */
export function writeUint64(target: Uint8Array, offset: number, value: number): number {
  const high = Math.floor(value / two32);
  for (let i = 0; i < 4; i++) {
    target[offset + i] = high >>> (24 - 8 * i);
    target[offset + 4 + i] = value >>> (24 - 8 * i);
  }
  return offset + 8;
}
