// What the answers of equal ranges have in common: all but the header. It is encoded once for all calls that are
// answered with it, and its bytes are shared.

import type { Pieces } from "./codec.ts";
import {
  newMessage,
  numberFieldSizeUnlessZero,
  sizedFieldSize,
  writeBytesField,
  writeNumberFieldUnlessZero,
} from "./fields.ts";

/** Up to this size the encoding is kept in place of the key values. */
const keptBytesMax = 8 * 1024 * 1024;
const pieceBytes = 128 * 1024;

/** Fields 2 to 4 of a RangeResponse. */
export class SharedRange {
  readonly more: boolean;
  readonly count: number;
  /** Bytes of the fields. */
  readonly size: number;
  /** The encoding is kept, and the key values are not. */
  readonly isKept: boolean;
  /** Encoded key values; empty once the pieces are there. */
  #kvs: readonly Uint8Array[];
  #pieces: readonly Uint8Array[] | undefined;
  /** Of a large range, by position: what some call still has to send is not made again for another. */
  readonly #made: WeakRef<Uint8Array>[] = [];

  constructor(kvs: readonly Uint8Array[], more: boolean, count: number) {
    this.more = more;
    this.count = count;
    this.#kvs = kvs;
    let size = numberFieldSizeUnlessZero(more ? 1 : 0) + numberFieldSizeUnlessZero(count);
    for (const kv of kvs) size += sizedFieldSize(kv.length);
    this.size = size;
    this.isKept = size <= keptBytesMax;
  }

  /**
   * Every caller gets all of them, and changes none. Pieces of a large range are made when they are asked for and live
   * while somebody holds them, so however many clients stop in the middle of it, it is there twice at most.
   */
  pieces(): Pieces {
    if (!this.isKept) return new PiecesOf(this.size, this.#encoded());
    if (this.#pieces === undefined) {
      this.#pieces = [...this.#encoded()];
      this.#kvs = [];
    }
    return new PiecesOf(this.size, this.#pieces.values());
  }

  *#encoded(): IterableIterator<Uint8Array> {
    const kvs = this.#kvs;
    let start = 0;
    for (let position = 0; start < kvs.length; position++) {
      let end = start;
      let bytes = 0;
      for (; end < kvs.length && bytes < pieceBytes; end++) {
        bytes += sizedFieldSize((kvs[end] as Uint8Array).length);
      }
      yield this.#made[position]?.deref() ?? this.#make(position, bytes, kvs.slice(start, end));
      start = end;
    }
    yield this.#tail();
  }

  #make(position: number, bytes: number, kvs: readonly Uint8Array[]): Uint8Array {
    const piece = new Uint8Array(bytes);
    let at = 0;
    for (const kv of kvs) at = writeBytesField(piece, at, 2, kv);
    if (!this.isKept) this.#made[position] = new WeakRef(piece);
    return piece;
  }

  #tail(): Uint8Array {
    const more = this.more ? 1 : 0;
    const tail = newMessage(numberFieldSizeUnlessZero(more) + numberFieldSizeUnlessZero(this.count));
    writeNumberFieldUnlessZero(tail, writeNumberFieldUnlessZero(tail, 0, 3, more), 4, this.count);
    return tail;
  }
}

class PiecesOf implements Pieces {
  readonly size: number;
  readonly #pieces: Iterator<Uint8Array>;

  constructor(size: number, pieces: Iterator<Uint8Array>) {
    this.size = size;
    this.#pieces = pieces;
  }

  next(): Uint8Array | undefined {
    const { value, done } = this.#pieces.next();
    return done === true ? undefined : value;
  }
}
