// The messages in the body of a stream: a byte that says whether one is compressed, four bytes of length, the message.
// Bytes are kept as they came until a message is asked for, so that many small ones cost no more than their bytes.

import type { ApiError } from "../api/errors.ts";
import { uint32At } from "./http2/protocol.ts";
import { messageTooLarge } from "./status.ts";

export const messageHeadBytes = 5;
/** Small pieces are gathered in buffers of this size. */
const gatherBytes = 1024;

export interface Message {
  /** 0: as it is, 1: compressed; nothing else is known. */
  readonly format: number;
  readonly bytes: Uint8Array;
}

/** Bytes [start, end) are one message. */
export function isWholeMessage(bytes: Uint8Array, start: number, end: number): boolean {
  return end - start >= messageHeadBytes && uint32At(bytes, start + 1) === end - start - messageHeadBytes;
}

/** The message that bytes [start, end) are. */
export function messageIn(bytes: Uint8Array, start: number, end: number): Message {
  return { format: bytes[start] as number, bytes: bytes.subarray(start + messageHeadBytes, end) };
}

export class MessageQueue {
  readonly #bytesMax: number;
  #parts: Buffer[] = [];
  /** Bytes of the first part that are used up. */
  #offset = 0;
  /** Room behind the last part, when it is a gathering one. */
  #room: Buffer | undefined;
  #length = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes that no message was made of yet. */
  get length(): number {
    return this.#length;
  }

  /** True when all of a message, or something wrong, is there. */
  get hasNext(): boolean {
    if (!this.isBegun) return false;
    const length = this.#nextLength();
    return length > this.#bytesMax || this.#length >= messageHeadBytes + length;
  }

  /** True when the next message's head is there. */
  get isBegun(): boolean {
    return this.#length >= messageHeadBytes;
  }

  /** True when the next message is longer than any may be, which its head tells already. */
  get isOversized(): boolean {
    return this.isBegun && this.#nextLength() > this.#bytesMax;
  }

  /** Keeps a copy of bytes [start, end). */
  push(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    this.#length += length;
    const source = bytes.subarray(start, end);
    if (this.#room !== undefined && this.#room.length >= length) {
      this.#room.set(source);
      const last = this.#parts.length - 1;
      const part = this.#parts[last] as Buffer;
      this.#parts[last] = Buffer.from(part.buffer, part.byteOffset, part.length + length);
      this.#room = this.#room.subarray(length);
      return;
    }
    const target = Buffer.allocUnsafeSlow(Math.max(length, gatherBytes));
    target.set(source);
    this.#parts.push(target.subarray(0, length));
    this.#room = target.subarray(length);
  }

  /** Takes the next message out, or tells what is wrong with it. Only while `hasNext`. */
  shift(): Message | ApiError {
    const length = this.#nextLength();
    if (length > this.#bytesMax) return messageTooLarge(length, this.#bytesMax);
    const format = this.#take(1)[0] as number;
    this.#take(messageHeadBytes - 1);
    return { format, bytes: this.#take(length) };
  }

  clear(): void {
    this.#parts = [];
    this.#offset = 0;
    this.#length = 0;
    this.#room = undefined;
  }

  #nextLength(): number {
    const first = this.#parts[0] as Buffer;
    if (first.length - this.#offset >= messageHeadBytes) return uint32At(first, this.#offset + 1);
    const head = Buffer.concat(this.#parts.slice(0, messageHeadBytes)).subarray(this.#offset);
    return uint32At(head, 1);
  }

  #take(length: number): Uint8Array {
    if (length === 0) return noBytes;
    this.#length -= length;
    const first = this.#parts[0] as Buffer;
    if (first.length - this.#offset >= length) {
      const bytes = first.subarray(this.#offset, this.#offset + length);
      this.#advance(first, length);
      return bytes;
    }
    const bytes = Buffer.allocUnsafeSlow(length);
    let at = 0;
    while (at < length) {
      const part = this.#parts[0] as Buffer;
      const count = Math.min(length - at, part.length - this.#offset);
      part.copy(bytes, at, this.#offset, this.#offset + count);
      this.#advance(part, count);
      at += count;
    }
    return bytes;
  }

  #advance(first: Buffer, length: number): void {
    this.#offset += length;
    if (this.#offset < first.length) return;
    this.#parts.shift();
    this.#offset = 0;
    if (this.#parts.length === 0) this.#room = undefined;
  }
}

const noBytes = new Uint8Array(0);
