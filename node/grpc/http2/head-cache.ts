// Clients send the same header block again and again. While the dynamic table stays as it is, the same bytes mean
// the same fields, so a block that changed no table is decoded once. Hot: every request asks here first.

import type { HpackDecoder } from "./hpack-decoder.ts";
import { type RequestHead, requestHead } from "./request-head.ts";

/** A connection's calls differ little: a few methods, with and without a token. */
const entriesMax = 8;
/** Longer blocks are decoded every time. */
const blockBytesMax = 512;

interface Entry {
  readonly block: Uint8Array;
  readonly generation: number;
  readonly head: RequestHead;
}

export class HeadCache {
  readonly #decoder: HpackDecoder;
  readonly #entries: Entry[] = [];
  #next = 0;
  #last: Entry | undefined;

  constructor(decoder: HpackDecoder) {
    this.#decoder = decoder;
  }

  /** Throws ConnectionError, or StreamError for a request that is malformed. */
  head(bytes: Uint8Array, start: number, end: number): RequestHead {
    const last = this.#last;
    if (last !== undefined && this.#isSame(last, bytes, start, end)) return last.head;
    for (const entry of this.#entries) {
      if (!this.#isSame(entry, bytes, start, end)) continue;
      this.#last = entry;
      return entry.head;
    }
    const { generation } = this.#decoder;
    const { fields, isTooLarge } = this.#decoder.decode(bytes, start, end);
    const head = requestHead(fields, isTooLarge);
    if (this.#decoder.generation === generation && end - start <= blockBytesMax && !isTooLarge) {
      this.#keep({ block: bytes.slice(start, end), generation, head });
    }
    return head;
  }

  #keep(entry: Entry): void {
    this.#entries[this.#next] = entry;
    this.#next = (this.#next + 1) % entriesMax;
    this.#last = entry;
  }

  #isSame({ block, generation }: Entry, bytes: Uint8Array, start: number, end: number): boolean {
    const { length } = block;
    if (length !== end - start || generation !== this.#decoder.generation) return false;
    for (let i = 0; i < length; i++) if (block[i] !== bytes[start + i]) return false;
    return true;
  }
}
