// Reads protobuf wire data with etcd's strictness: a field of the wrong wire type, a length past the end, a
// varint of more than ten bytes and an illegal tag are errors; unknown fields are skipped.

import { WireError } from "./error.ts";
import { bigInt64, bigUint64, saturatedInt64, saturatedUint64 } from "./int64.ts";

export const wireVarint = 0;
export const wireFixed64 = 1;
export const wireBytes = 2;
export const wireGroup = 3;
export const wireGroupEnd = 4;
export const wireFixed32 = 5;

/** Groups within groups in unknown data. They are obsolete, so more than a few are an attack. */
const groupLevelsMax = 16;

/** ignoreBOM keeps a leading U+FEFF, which is data here. */
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class Reader {
  readonly bytes: Uint8Array;
  position: number;
  /** The first byte that does not belong to the message being read. */
  end: number;
  /** The halves of the last varint of more than one byte, unsigned; of any after `halves`. */
  low = 0;
  high = 0;

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.position = start;
    this.end = end;
  }

  /** A field's tag: its number times eight plus its wire type. */
  tag(): number {
    const start = this.position;
    const first = this.bytes[start] as number;
    if (first < 0x80 && start < this.end) {
      this.position = start + 1;
      if (first >= 8) return first;
    } else {
      this.#varint();
      // Field numbers end at 2^29 - 1, and zero is none.
      if (this.high === 0 && this.low >= 8) return this.low;
    }
    throw new WireError(start, "a field tag");
  }

  /** int64, saturating. */
  int64(): number {
    const first = this.bytes[this.position] as number;
    if (first < 0x80 && this.position < this.end) {
      this.position++;
      return first;
    }
    this.#varint();
    return saturatedInt64(this.low, this.high);
  }

  /** uint64, saturating. */
  uint64(): number {
    this.#varint();
    return saturatedUint64(this.low, this.high);
  }

  /** A term or index: one beyond the safe integers is refused by name instead of bent. */
  counter(name: string): number {
    const start = this.position;
    this.#varint();
    const value = saturatedUint64(this.low, this.high);
    if (value === Number.MAX_SAFE_INTEGER) throw new WireError(start, `${name} below 2^53 - 1`);
    return value;
  }

  /** A 64-bit integer, left in `low` and `high`. */
  halves(): void {
    this.#varint();
  }

  int64Id(): bigint {
    this.#varint();
    return bigInt64(this.low, this.high);
  }

  uint64Id(): bigint {
    this.#varint();
    return bigUint64(this.low, this.high);
  }

  /** int32 and enums; upper bits are dropped, as in Go. */
  int32(): number {
    this.#varint();
    return this.low | 0;
  }

  uint32(): number {
    this.#varint();
    return this.low;
  }

  bool(): boolean {
    this.#varint();
    return this.low !== 0 || this.high !== 0;
  }

  /** A view of the input, not a copy. */
  view(): Uint8Array {
    const length = this.length();
    const start = this.position;
    this.position = start + length;
    return this.bytes.subarray(start, start + length);
  }

  /** Go keeps any bytes in a string; here they must be UTF-8, since nothing else survives a string of ours. */
  text(): string {
    const start = this.position;
    const view = this.view();
    if (view.length === 0) return "";
    try {
      return decoder.decode(view);
    } catch {
      throw new WireError(start, "valid UTF-8");
    }
  }

  /** A length prefix that fits into what is left of the message. */
  length(): number {
    const start = this.position;
    this.#varint();
    if (this.high !== 0 || this.low > this.end - this.position) {
      throw new WireError(start, "a length within the message");
    }
    return this.low;
  }

  /** Steps over a field that nobody here knows. */
  skip(tag: number, levels = 0): void {
    const start = this.position;
    switch (tag & 7) {
      case wireVarint:
        this.#varint();
        return;
      case wireFixed64:
        this.#advance(8);
        return;
      case wireBytes: {
        const length = this.length();
        this.position += length;
        return;
      }
      case wireFixed32:
        this.#advance(4);
        return;
      case wireGroup:
        if (levels === groupLevelsMax)
          throw new WireError(start, `at most ${groupLevelsMax} levels of groups`);
        this.#skipGroup(levels + 1);
        return;
      default:
        throw new WireError(start, "a field of a known wire type");
    }
  }

  #skipGroup(levels: number): void {
    for (;;) {
      const tag = this.tag();
      if ((tag & 7) === wireGroupEnd) return;
      this.skip(tag, levels);
    }
  }

  #advance(length: number): void {
    if (length > this.end - this.position) throw new WireError(this.position, `${length} more bytes`);
    this.position += length;
  }

  #varint(): void {
    const bytes = this.bytes;
    const start = this.position;
    let at = start;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (at >= this.end) throw new WireError(start, "a complete varint");
      const byte = bytes[at++] as number;
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (shift - 32);
      if (byte < 0x80) {
        this.low = low >>> 0;
        this.high = high >>> 0;
        this.position = at;
        return;
      }
    }
    throw new WireError(start, "a varint of at most 10 bytes");
  }
}

/** Reads a sub-message: `read` sees its bytes as the whole input. */
export function readNested<T>(reader: Reader, read: (reader: Reader) => T): T {
  const length = reader.length();
  const outerEnd = reader.end;
  reader.end = reader.position + length;
  const value = read(reader);
  reader.end = outerEnd;
  return value;
}

/** Skips an unknown field. A number up to `knownMax` comes here only with the wrong wire type. */
export function skipBeyond(reader: Reader, tag: number, knownMax: number): void {
  if (tag >>> 3 <= knownMax) throw new WireError(reader.position, `the wire type of field ${tag >>> 3}`);
  reader.skip(tag);
}
