// What goes out on one connection: frames are appended to buffers, and everything of one turn leaves in one write.

import { writeFrameHead } from "./protocol.ts";

const bufferBytesMin = 512;
const bufferBytesMax = 64 * 1024;
/** What is left of a buffer is kept for the next turn when it is at least and at most this much. */
const keptBytes = { min: 256, max: 4096 } as const;
/** Bytes of a message from this size on go out where they lie; smaller ones are copied. */
const sharedBytesMin = 4096;

export class Output {
  /** Full buffers and shared bytes, in the order in which they leave. */
  #parts: Buffer[] = [];
  #buffer: Buffer = empty;
  /** Written bytes of `#buffer` are [start, at). */
  #start = 0;
  #at = 0;
  #partBytes = 0;
  /** A turn is like the one before: its size is where the next buffer begins. */
  #expectedBytes = bufferBytesMin;

  /** Bytes that wait to leave. */
  get size(): number {
    return this.#partBytes + this.#at - this.#start;
  }

  /** Hands out what was written. */
  take(): readonly Buffer[] {
    const bytes = this.size;
    this.#expectedBytes = Math.min(bufferBytesMax, Math.max(bufferBytesMin, bytes + (bytes >>> 2)));
    this.#closePart();
    const restBytes = this.#buffer.length - this.#at;
    if (restBytes < keptBytes.min || restBytes > keptBytes.max) {
      this.#buffer = empty;
      this.#start = this.#at = 0;
    }
    const parts = this.#parts;
    this.#parts = [];
    this.#partBytes = 0;
    return parts;
  }

  /** A frame with a payload that is small. */
  frame(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    const at = this.reserve(9 + payload.length);
    const target = this.#buffer;
    const body = writeFrameHead(target, at, payload.length, type, flags, streamId);
    // Hot, and mostly a few bytes.
    if (payload.length < 16) for (let i = 0; i < payload.length; i++) target[body + i] = payload[i] as number;
    else target.set(payload, body);
  }

  /** Room for so many bytes in `target`, at the returned offset. They count as written. */
  reserve(length: number): number {
    if (this.#buffer.length - this.#at < length) this.#renew(length);
    const at = this.#at;
    this.#at = at + length;
    return at;
  }

  /** Where `reserve` gave room. */
  get target(): Buffer {
    return this.#buffer;
  }

  /** Bytes as they are. Large ones are not copied, and must stay as they are until they have left. */
  bytes(bytes: Uint8Array): void {
    if (bytes.length < sharedBytesMin) {
      const at = this.reserve(bytes.length);
      this.#buffer.set(bytes, at);
      return;
    }
    this.#closePart();
    this.#parts.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    this.#partBytes += bytes.length;
  }

  #closePart(): void {
    if (this.#at === this.#start) return;
    this.#parts.push(this.#buffer.subarray(this.#start, this.#at));
    this.#partBytes += this.#at - this.#start;
    this.#start = this.#at;
  }

  #renew(length: number): void {
    this.#closePart();
    this.#buffer = Buffer.allocUnsafe(Math.max(length, this.#expectedBytes));
    this.#start = this.#at = 0;
  }
}

const empty = Buffer.alloc(0);
