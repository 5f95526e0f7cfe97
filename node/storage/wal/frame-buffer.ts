// Frames on their way to the disk: a growing buffer that carries the running crc along.

import { copyWithCrc32c, updateCrc32c } from "../../lib/crc32c.ts";
import { numberSize } from "../../wire/int64.ts";
import type { SizedCodec } from "../../wire/raft-codec.ts";
import { frameBytes, markData, recordBytes, recordTypes, writeFrameHead } from "./frame.ts";

const initialBytes = 1 << 16;
/** A buffer that grew past this is dropped after use, so that one large batch does not pin memory. */
const keptBytesMax = 8 << 20;
/** Most running values have their top bits set. */
const crcLikely = 0xffff_ffff;

export class FrameBuffer {
  /** The running CRC-32C after the last frame. */
  crc: number;
  #buffer = new Uint8Array(initialBytes);
  #view = new DataView(this.#buffer.buffer);
  #length = 0;

  constructor(crc: number) {
    this.crc = crc;
  }

  get length(): number {
    return this.#length;
  }

  /** A view, valid until the next change. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  clear(): void {
    if (this.#buffer.length > keptBytesMax) this.#use(new Uint8Array(initialBytes));
    this.#length = 0;
  }

  add(type: number, data: Uint8Array): void {
    const start = this.#reserve(type, data.length);
    this.#buffer.set(data, start);
    this.#seal(type, start, data.length);
  }

  /** As `add`, for data that lies in `source` from `start` to `end`. Hot. */
  addFrom(type: number, source: DataView, start: number, end: number): void {
    const dataBytes = end - start;
    const dataStart = this.#reserve(type, dataBytes);
    this.crc = copyWithCrc32c(this.crc, source, start, end, this.#view, dataStart);
    this.#frame(type, dataStart, dataBytes);
  }

  addEncoded<T>(type: number, codec: SizedCodec<T>, value: T): void {
    const dataBytes = codec.size(value);
    const start = this.#reserve(type, dataBytes);
    codec.writeTo(this.#buffer, start, value);
    this.#seal(type, start, dataBytes);
  }

  /** The record in front of a segment. */
  addCrc(): void {
    this.#addCrcRecord(new Uint8Array(0));
  }

  /** A sync mark; `offset` is where in the segment this buffer will be written. */
  addMark(sequence: number, offset: number): void {
    this.#addCrcRecord(markData(sequence, offset));
  }

  /** A crc record states the running value and leaves it as it is, whatever data it carries. */
  #addCrcRecord(data: Uint8Array): void {
    const type = recordTypes.crc;
    this.#grow(frameBytes(recordBytes(type, this.crc, data.length)));
    const start = writeFrameHead(this.#buffer, this.#length, type, this.crc, data.length);
    this.#buffer.set(data, start);
    this.#length += frameBytes(recordBytes(type, this.crc, data.length));
  }

  /** Makes room for a frame and returns where its data most likely goes: the crc is known only after the data. */
  #reserve(type: number, dataBytes: number): number {
    this.#grow(frameBytes(recordBytes(type, crcLikely, dataBytes)));
    return this.#length + 8 + recordBytes(type, crcLikely, dataBytes) - dataBytes;
  }

  #seal(type: number, dataStart: number, dataBytes: number): void {
    this.crc = updateCrc32c(this.crc, this.#buffer, dataStart, dataStart + dataBytes);
    this.#frame(type, dataStart, dataBytes);
  }

  #frame(type: number, dataStart: number, dataBytes: number): void {
    const shift = numberSize(crcLikely) - numberSize(this.crc);
    if (shift > 0) this.#buffer.copyWithin(dataStart - shift, dataStart, dataStart + dataBytes);
    writeFrameHead(this.#buffer, this.#length, type, this.crc, dataBytes);
    this.#length += frameBytes(recordBytes(type, this.crc, dataBytes));
  }

  #grow(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(needed, this.#buffer.length * 2));
    larger.set(this.bytes);
    this.#use(larger);
  }

  #use(buffer: Uint8Array<ArrayBuffer>): void {
    this.#buffer = buffer;
    this.#view = new DataView(buffer.buffer);
  }
}
