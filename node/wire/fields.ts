// Building blocks of the hand-written encoders: sizes and writers of single fields with one-byte tags, that
// is, field numbers up to 15.

import { Slab } from "../lib/slab.ts";
import { numberSize, writeNumber } from "./int64.ts";

/** gRPC puts this many bytes in front of a message. */
export const frameHeadBytes = 5;

/** Messages from this size on get the room; for small ones a copy is cheaper than a buffer of their own. */
const roomyMessageBytesMin = 16 * 1024;

const slab = new Slab();

/**
 * A target for a whole message, all of which has to be written. Small ones share blocks. In front of a large one lies
 * room for the transport, which need not copy it then.
 */
export function newMessage(size: number): Uint8Array {
  if (size < roomyMessageBytesMin) return slab.take(size);
  return new Uint8Array(new ArrayBuffer(frameHeadBytes + size), frameHeadBytes);
}

/** The buffer of such a message with its room, or undefined where there is none. */
export function roomOf(message: Uint8Array): Uint8Array | undefined {
  const { buffer, byteOffset, length } = message;
  const hasRoom = byteOffset === frameHeadBytes && buffer.byteLength === frameHeadBytes + length;
  return hasRoom && length >= roomyMessageBytesMin ? new Uint8Array(buffer) : undefined;
}

/** The tag byte of an integer, bool or enum field. */
export function varintTag(field: number): number {
  return field << 3;
}

/** The tag byte of a bytes, string or message field. */
export function bytesTag(field: number): number {
  return (field << 3) | 2;
}

/** A length-delimited field with a body of `length` bytes. */
export function sizedFieldSize(length: number): number {
  return 1 + numberSize(length) + length;
}

/** Writes tag and length of a length-delimited field; the body follows at the returned offset. */
export function writeFieldStart(target: Uint8Array, offset: number, field: number, length: number): number {
  target[offset] = bytesTag(field);
  return writeNumber(target, offset + 1, length);
}

export function writeBytesField(
  target: Uint8Array,
  offset: number,
  field: number,
  bytes: Uint8Array,
): number {
  const start = writeFieldStart(target, offset, field, bytes.length);
  target.set(bytes, start);
  return start + bytes.length;
}

export function writeNumberField(target: Uint8Array, offset: number, field: number, value: number): number {
  target[offset] = varintTag(field);
  return writeNumber(target, offset + 1, value);
}

/** Zero when the field is left out because it is empty. */
export function bytesFieldSizeUnlessEmpty(bytes: Uint8Array): number {
  return bytes.length === 0 ? 0 : sizedFieldSize(bytes.length);
}

export function writeBytesFieldUnlessEmpty(
  target: Uint8Array,
  offset: number,
  field: number,
  bytes: Uint8Array,
): number {
  return bytes.length === 0 ? offset : writeBytesField(target, offset, field, bytes);
}

/** Zero when the field is left out because it is zero. */
export function numberFieldSizeUnlessZero(value: number): number {
  return value === 0 ? 0 : 1 + numberSize(value);
}

export function writeNumberFieldUnlessZero(
  target: Uint8Array,
  offset: number,
  field: number,
  value: number,
): number {
  return value === 0 ? offset : writeNumberField(target, offset, field, value);
}
