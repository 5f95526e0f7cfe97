// One page of a tree in LMDB's file, as bytes that nobody trusts: every place that a page names is checked to lie in
// it before it is read, and one that does not is damage.
//
// A page begins with its number (8 bytes), the transaction that wrote it (8), padding (2), flags (2), and twice the
// number of its nodes (2); after these 24 bytes come two bytes a node with the node's place behind the header. A node
// is the lower 32 bits of a size or page number, 16 bits of flags or of the page number's top, the key's size (2),
// the key, the data. It begins at an even place. A value too large for a page is the number of the first page of its
// own, and begins behind that page's header. The first key of a branch page stands for everything below the second.
// All little-endian.

import { pageBytes } from "./environment.ts";

export const headerBytes = 24;
const nodeHeadBytes = 8;
const branchFlag = 0x01;
const leafFlag = 0x02;
const bigFlag = 0x04;
const kindFlags = branchFlag | leafFlag | bigFlag;
const bigValue = 0x01;
const namedDatabase = 0x02;
const two16 = 0x1_0000;
const two32 = 0x1_0000_0000;
/** More levels than any tree of page numbers can have. */
export const depthMax = 32;

export type PageKind = "branch" | "leaf" | "big";
const kinds: Readonly<Record<number, PageKind>> = {
  [branchFlag]: "branch",
  [leafFlag]: "leaf",
  [bigFlag]: "big",
};

/** The file contradicts itself. */
export class PageFault extends Error {
  readonly page: number;

  constructor(page: number, text: string) {
    super(`page ${page} ${text}`);
    this.page = page;
  }
}

/** Page numbers from `first` on, in memory of their own. */
export function roomForPages(count: number): Uint8Array<ArrayBuffer> {
  // Not zeroed: it is filled before anyone looks.
  return new Uint8Array(Buffer.allocUnsafeSlow(count * pageBytes).buffer);
}

export class Page {
  readonly number: number;
  /** The whole page. */
  readonly bytes: Uint8Array;
  readonly kind: PageKind;
  /** Of its nodes; zero in a page of a big value. */
  readonly count: number;
  readonly transactionId: number;
  readonly #words: Uint16Array;

  /** `start` is where the page lies in `block`, at an even place. Throws a PageFault when it is not page `number`. */
  constructor(number: number, block: Uint8Array, start: number) {
    this.number = number;
    this.bytes = new Uint8Array(block.buffer, block.byteOffset + start, pageBytes);
    this.#words = new Uint16Array(block.buffer, block.byteOffset + start, pageBytes / 2);
    const ownNumber = this.#uint64(0);
    if (ownNumber !== number) throw new PageFault(number, `has the number ${ownNumber}`);
    this.transactionId = this.#uint64(8);
    const flags = this.#word(18);
    const kind = kinds[flags & kindFlags];
    if (kind === undefined) throw new PageFault(number, `has flags ${flags.toString(16)}`);
    this.kind = kind;
    this.count = kind === "big" ? 0 : this.#word(20) >>> 1;
    if (headerBytes + this.count * 2 > pageBytes) throw new PageFault(number, `has ${this.count} nodes`);
  }

  /** Where node `i` begins. It has its head and its key inside the page. */
  node(i: number): number {
    const at = headerBytes + (this.#words[headerBytes / 2 + i] as number);
    if ((at & 1) !== 0 || at + nodeHeadBytes > pageBytes || this.keyEnd(at) > pageBytes) {
      throw new PageFault(this.number, `has node ${i} of ${this.count} at ${at}`);
    }
    return at;
  }

  keyStart(node: number): number {
    return node + nodeHeadBytes;
  }

  keyEnd(node: number): number {
    return node + nodeHeadBytes + this.#word(node + 6);
  }

  /** The page below node `i` of a branch page. */
  child(i: number): number {
    const at = this.node(i);
    return this.#uint32(at) + this.#word(at + 4) * two32;
  }

  valueBytes(node: number): number {
    return this.#uint32(node);
  }

  /** Where the value ends that lies behind its key in this page. */
  valueEnd(node: number): number {
    const end = this.keyEnd(node) + this.valueBytes(node);
    if (end > pageBytes) throw new PageFault(this.number, `has a value up to ${end}`);
    return end;
  }

  /** The first page of a value that has pages of its own. */
  bigValueOf(node: number): number | undefined {
    if ((this.#word(node + 4) & bigValue) === 0) return undefined;
    const at = this.keyEnd(node);
    if (at + 8 > pageBytes) throw new PageFault(this.number, `has a page number at ${at}`);
    // The key may end at an odd place.
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset + at, 8);
    return view.getUint32(0, true) + view.getUint32(4, true) * two32;
  }

  /** The value is the record of a named database. */
  isNamedDatabase(node: number): boolean {
    return (this.#word(node + 4) & namedDatabase) !== 0;
  }

  /** Bytewise order of node `i`'s key and `key`. Hot. */
  compare(i: number, key: Uint8Array): number {
    const { bytes } = this;
    const at = this.node(i);
    const start = at + nodeHeadBytes;
    const length = this.#word(at + 6);
    const common = Math.min(length, key.length);
    for (let k = 0; k < common; k++) {
      const difference = (bytes[start + k] as number) - (key[k] as number);
      if (difference !== 0) return difference;
    }
    return length - key.length;
  }

  /** The first node from `from` on whose key is not below `key`; the count when there is none. */
  lowerBound(key: Uint8Array, from = 0): number {
    let low = from;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.compare(middle, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The node of a branch page below which `key` belongs. */
  branchOf(key: Uint8Array): number {
    const i = this.lowerBound(key, 1);
    return i < this.count && this.compare(i, key) === 0 ? i : i - 1;
  }

  #word(at: number): number {
    return this.#words[at >>> 1] as number;
  }

  #uint32(at: number): number {
    return this.#word(at) + this.#word(at + 2) * two16;
  }

  #uint64(at: number): number {
    return this.#uint32(at) + this.#uint32(at + 4) * two32;
  }
}
