// Reads compressed header blocks (RFC 7541), with the dynamic table of one connection.

import { decodeHuffman } from "./huffman.ts";
import { ConnectionError, ErrorCode } from "./protocol.ts";
import { staticTable } from "./static-table.ts";

/** What an entry counts for besides its text (RFC 7541, section 4.1). */
export const entryOverheadBytes = 32;
const staticCount = staticTable.length - 1;

interface Entry {
  readonly name: string;
  readonly value: string;
}

export interface HeaderList {
  /** Names and values in turn, one character a byte. Cut off where the list went over its limit. */
  readonly fields: readonly string[];
  readonly isTooLarge: boolean;
}

export class HpackDecoder {
  readonly #listBytesMax: number;
  readonly #tableBytesLimit: number;
  /** Oldest first. Entries before `#first` are gone. */
  #entries: Entry[] = [];
  #first = 0;
  #tableBytes = 0;
  #tableBytesMax: number;
  /** Changes with every change of the table: what was decoded before holds for the same bytes while it stays. */
  generation = 0;
  #at = 0;

  /** `tableBytes` is what our settings allow. A list beyond `listBytesMax` is read, but not kept. */
  constructor({ tableBytes, listBytesMax }: { readonly tableBytes: number; readonly listBytesMax: number }) {
    this.#tableBytesLimit = tableBytes;
    this.#tableBytesMax = tableBytes;
    this.#listBytesMax = listBytesMax;
  }

  /** Throws ConnectionError. */
  decode(block: Uint8Array, start: number, end: number): HeaderList {
    const fields: string[] = [];
    let listBytes = 0;
    this.#at = start;
    while (this.#at < end) {
      const byte = block[this.#at] as number;
      if ((byte & 0xe0) === 0x20) {
        if (listBytes > 0) throw bad("the table size changes behind a field");
        this.#resize(this.#integer(block, end, 5));
        continue;
      }
      const entry = this.#field(block, end, byte);
      listBytes += entry.name.length + entry.value.length + entryOverheadBytes;
      if (listBytes <= this.#listBytesMax) fields.push(entry.name, entry.value);
    }
    return { fields, isTooLarge: listBytes > this.#listBytesMax };
  }

  #field(block: Uint8Array, end: number, byte: number): Entry {
    if (byte >= 0x80) return this.#entry(this.#integer(block, end, 7));
    const isIndexed = byte >= 0x40;
    const index = this.#integer(block, end, isIndexed ? 6 : 4);
    const name = index === 0 ? this.#text(block, end) : this.#entry(index).name;
    const entry = { name, value: this.#text(block, end) };
    if (isIndexed) this.#add(entry);
    return entry;
  }

  #entry(index: number): Entry {
    if (index === 0) throw bad("index 0");
    const fixed = index <= staticCount ? staticEntries[index] : undefined;
    const entry = fixed ?? this.#dynamicEntry(index - staticCount);
    if (entry === undefined) throw bad(`index ${index} is beyond the tables`);
    return entry;
  }

  /** 1 is the newest. */
  #dynamicEntry(position: number): Entry | undefined {
    const at = this.#entries.length - position;
    return at < this.#first ? undefined : this.#entries[at];
  }

  #add(entry: Entry): void {
    this.generation += 1;
    const bytes = entry.name.length + entry.value.length + entryOverheadBytes;
    this.#evictDownTo(this.#tableBytesMax - bytes);
    if (bytes > this.#tableBytesMax) return;
    this.#entries.push(entry);
    this.#tableBytes += bytes;
  }

  #resize(bytesMax: number): void {
    if (bytesMax > this.#tableBytesLimit) {
      throw bad(`a table of ${bytesMax} bytes, where ${this.#tableBytesLimit} are allowed`);
    }
    this.generation += 1;
    this.#tableBytesMax = bytesMax;
    this.#evictDownTo(bytesMax);
  }

  #evictDownTo(bytesMax: number): void {
    while (this.#tableBytes > bytesMax && this.#first < this.#entries.length) {
      const { name, value } = this.#entries[this.#first] as Entry;
      this.#tableBytes -= name.length + value.length + entryOverheadBytes;
      this.#first += 1;
    }
    if (this.#first < 64 || this.#first * 2 < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#first);
    this.#first = 0;
  }

  /** An integer behind a prefix of so many bits (RFC 7541, section 5.1). */
  #integer(block: Uint8Array, end: number, prefixBits: number): number {
    const limit = (1 << prefixBits) - 1;
    let value = (block[this.#at++] as number) & limit;
    if (value < limit) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.#at >= end) throw bad("it ends in an integer");
      const byte = block[this.#at++] as number;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw bad("an integer beyond 2^28");
  }

  #text(block: Uint8Array, end: number): string {
    if (this.#at >= end) throw bad("it ends in a field");
    const isHuffman = (block[this.#at] as number) >= 0x80;
    const length = this.#integer(block, end, 7);
    const start = this.#at;
    if (length > end - start) throw bad("a text is longer than the block");
    this.#at = start + length;
    if (isHuffman) return decodeHuffman(block, start, start + length);
    return Buffer.from(block.buffer, block.byteOffset + start, length).toString("latin1");
  }
}

const staticEntries: readonly Entry[] = staticTable.map(([name, value]) => ({ name, value }));

function bad(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.compressionError, `a header block that cannot be decoded: ${what}`);
}
