// Writes the header blocks of answers. The two fields that every gRPC answer carries go into the peer's dynamic
// table once, and are one byte each from then on; everything else is written as it is.

import { concatBytes } from "../../lib/bytes.ts";
import { StaticIndex } from "./static-table.ts";

/** The table that a peer has before it says otherwise. */
const defaultTableBytes = 4096;

const latin1 = (text: string): Uint8Array => Buffer.from(text, "latin1");

const grpcContentType = latin1("application/grpc");
const okStatusName = latin1("grpc-status");
const okStatusValue = latin1("0");

const status200 = Uint8Array.of(0x80 | StaticIndex.status200);
/** With incremental indexing: the peer adds it to its table. */
const addContentType = concatBytes([Uint8Array.of(0x40 | StaticIndex.contentType), text(grpcContentType)]);
const addOkStatus = concatBytes([Uint8Array.of(0x40), text(okStatusName), text(okStatusValue)]);
const plainContentType = plainField("content-type", "application/grpc");
const plainOkStatus = plainField("grpc-status", "0");
const dropTable = Uint8Array.of(0x20);

/** The newest entry of the dynamic table. */
const newestIndex = 62;

export class HpackEncoder {
  /** How many entries are newer than each of ours; undefined while it is not in the table. */
  #contentTypeAge: number | undefined;
  #okStatusAge: number | undefined;
  #hasTable = true;
  #isDropDue = false;
  #grpcHead: Uint8Array | undefined;
  #okTrailers: Uint8Array | undefined;

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. Less than the default, and nothing is put there any more. */
  onTableSize(bytes: number): void {
    if (bytes >= defaultTableBytes || !this.#hasTable) return;
    this.#hasTable = false;
    this.#isDropDue = true;
    this.#grpcHead = undefined;
    this.#okTrailers = undefined;
  }

  /** What almost every gRPC answer begins with. */
  grpcHead(): Uint8Array {
    const known = this.#grpcHead;
    if (known !== undefined) return known;
    const block = concatBytes([...this.#preamble(), status200, this.#contentType()]);
    this.#settle();
    return block;
  }

  /** The trailers of an answer without an error. */
  okTrailers(): Uint8Array {
    const known = this.#okTrailers;
    if (known !== undefined) return known;
    const block = concatBytes([...this.#preamble(), this.#okStatus()]);
    this.#settle();
    return block;
  }

  /** Any fields, names and values in turn, as they are. */
  plain(fields: readonly string[]): Uint8Array {
    const parts = this.#preamble();
    for (let i = 0; i < fields.length; i += 2)
      parts.push(plainField(fields[i] as string, fields[i + 1] as string));
    return concatBytes(parts);
  }

  /** Keeps the two common blocks as soon as they are the same every time. */
  #settle(): void {
    if (!this.#hasTable) {
      this.#grpcHead = concatBytes([status200, plainContentType]);
      this.#okTrailers = plainOkStatus;
    } else if (this.#contentTypeAge !== undefined && this.#okStatusAge !== undefined) {
      this.#grpcHead = concatBytes([status200, indexed(this.#contentTypeAge)]);
      this.#okTrailers = indexed(this.#okStatusAge);
    }
  }

  #preamble(): Uint8Array[] {
    if (!this.#isDropDue) return [];
    this.#isDropDue = false;
    return [dropTable];
  }

  #contentType(): Uint8Array {
    if (!this.#hasTable) return plainContentType;
    if (this.#contentTypeAge !== undefined) return indexed(this.#contentTypeAge);
    this.#contentTypeAge = 0;
    if (this.#okStatusAge !== undefined) this.#okStatusAge += 1;
    return addContentType;
  }

  #okStatus(): Uint8Array {
    if (!this.#hasTable) return plainOkStatus;
    if (this.#okStatusAge !== undefined) return indexed(this.#okStatusAge);
    this.#okStatusAge = 0;
    if (this.#contentTypeAge !== undefined) this.#contentTypeAge += 1;
    return addOkStatus;
  }
}

function indexed(age: number): Uint8Array {
  return Uint8Array.of(0x80 | (newestIndex + age));
}

/** A literal without indexing, not Huffman-coded: these fields are short, and time is dearer than bytes. */
function plainField(name: string, value: string): Uint8Array {
  return concatBytes([Uint8Array.of(0), text(latin1(name)), text(latin1(value))]);
}

function text(bytes: Uint8Array): Uint8Array {
  return concatBytes([integer(bytes.length, 7), bytes]);
}

/** An integer behind a prefix of so many bits that are otherwise zero. */
function integer(value: number, prefixBits: number): Uint8Array {
  const limit = (1 << prefixBits) - 1;
  if (value < limit) return Uint8Array.of(value);
  const bytes = [limit];
  let rest = value - limit;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}
