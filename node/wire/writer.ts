// Writes protobuf wire data from its end to its start. A sub-message's length is known when its turn comes,
// so one pass suffices: fields are prepended in falling number order and come out in rising order.

import { assert } from "../lib/assert.ts";
import { newMessage } from "./fields.ts";
import { highHalf, lowHalf, varintSize, writeVarint } from "./int64.ts";

/** Holds most messages without growing. */
const initialBytes = 4096;
/** A buffer that grew past this is dropped after use, so that one large answer does not pin memory. */
const keptBytesMax = 1 << 20;

const encoder = new TextEncoder();

export class Writer {
  #buffer = new Uint8Array(initialBytes);
  /** Where the written bytes start. */
  #start = initialBytes;

  /** How many bytes are written. The difference of two sizes is the length of what was written between. */
  get size(): number {
    return this.#buffer.length - this.#start;
  }

  /** A copy of what was written; the writer is empty afterwards. */
  finish(): Uint8Array {
    const written = newMessage(this.size);
    written.set(this.#buffer.subarray(this.#start));
    this.reset();
    return written;
  }

  /** Forgets what was written, also after an error in the middle of a message. */
  reset(): void {
    if (this.#buffer.length > keptBytesMax) this.#buffer = new Uint8Array(initialBytes);
    this.#start = this.#buffer.length;
  }

  number(value: number): void {
    if ((value & 0x7f) === value) {
      this.#reserve(1);
      this.#buffer[this.#start] = value;
      return;
    }
    assert(Number.isSafeInteger(value), "a wire integer is a safe integer", { value });
    this.#varint(lowHalf(value), highHalf(value));
  }

  bigint(value: bigint): void {
    const bits = BigInt.asUintN(64, value);
    this.#varint(Number(bits & 0xffff_ffffn), Number(bits >> 32n));
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#start);
  }

  bytes(bytes: Uint8Array): void {
    this.raw(bytes);
    this.number(bytes.length);
  }

  text(text: string): void {
    this.bytes(encoder.encode(text));
  }

  #varint(low: number, high: number): void {
    this.#reserve(varintSize(low, high));
    writeVarint(this.#buffer, this.#start, low, high);
  }

  #reserve(length: number): void {
    if (length > this.#start) this.#grow(length);
    this.#start -= length;
  }

  #grow(length: number): void {
    const size = this.size;
    const larger = new Uint8Array(Math.max(this.#buffer.length * 2, size + length));
    larger.set(this.#buffer.subarray(this.#start), larger.length - size);
    this.#start = larger.length - size;
    this.#buffer = larger;
  }
}
