// From a protobuf message to JSON, by protobuf's JSON mapping as etcd's gateway has it: names as in the .proto file,
// 64-bit integers as strings, bytes as base64, enums by name, and no field that is absent. The text comes in pieces, and
// nothing of the message is copied but for the piece that is made.

import { assert } from "../lib/assert.ts";
import { emptyBytes } from "../lib/bytes.ts";
import type { Pieces } from "./codec.ts";
import type { JsonField, JsonMessage } from "./json-fields.ts";
import { Reader, wireBytes } from "./reader.ts";

/** A piece is made when the text has this many characters; one value may be more. */
const pieceCharacters = 64 * 1024;

interface Frame {
  readonly message: JsonMessage;
  /** Where the message that holds this one ends. */
  readonly outerEnd: number;
  /** The field before. */
  field: JsonField | undefined;
}

/** The messages our encoders make: fields in number order, which is the order they are declared in, each once. */
export class JsonText {
  readonly #pieces: Pieces;
  /** Of the piece at hand. */
  #reader = new Reader(emptyBytes);
  readonly #quoted: (text: string) => string;
  readonly #frames: Frame[] = [];
  #text: string;
  readonly #suffix: string;

  /** `prefix` and `suffix` surround the message. Within a Go map texts are safe in HTML as well. */
  constructor(message: JsonMessage, pieces: Pieces, { prefix = "", suffix = "", isHtmlSafe = false } = {}) {
    this.#pieces = pieces;
    this.#quoted = isHtmlSafe ? htmlSafe : JSON.stringify;
    this.#text = prefix;
    this.#suffix = suffix;
    this.#begin(message, 0);
  }

  /** The next piece, undefined behind the last. */
  next(): Uint8Array | undefined {
    while (this.#frames.length > 0 && this.#text.length < pieceCharacters) this.#step();
    if (this.#text === "") return undefined;
    const piece = Buffer.from(this.#text);
    this.#text = "";
    return piece;
  }

  #begin(message: JsonMessage, outerEnd: number): void {
    this.#frames.push({ message, outerEnd, field: undefined });
    this.#text += "{";
  }

  #step(): void {
    const frame = this.#frames.at(-1) as Frame;
    const reader = this.#reader;
    if (reader.position === reader.end) {
      const piece = this.#frames.length > 1 ? undefined : this.#pieces.next();
      if (piece === undefined) this.#end(frame);
      else this.#reader = new Reader(piece);
      return;
    }
    const tag = reader.tag();
    const field = frame.message.byNumber.get(tag >>> 3);
    if (field === undefined) {
      // A stored record goes into an answer as it is, also one that a newer etcd wrote.
      reader.skip(tag);
      return;
    }
    if (field.message !== undefined) {
      this.#name(frame, field);
      const length = reader.length();
      const outerEnd = reader.end;
      reader.end = reader.position + length;
      this.#begin(field.message, outerEnd);
    } else if ((tag & 7) === wireBytes && field.kind !== "string" && field.kind !== "bytes") {
      const length = reader.length();
      for (const end = reader.position + length; reader.position < end; ) this.#scalar(frame, field);
    } else this.#scalar(frame, field);
  }

  /** What stands before a value. */
  #name(frame: Frame, field: JsonField): void {
    const before = frame.field;
    frame.field = field;
    if (before !== field) {
      this.#text += `${before?.isList === true ? "]" : ""}${before === undefined ? "" : ","}"${field.name}":`;
      if (field.isList) this.#text += "[";
      return;
    }
    assert(field.isList, "a field that is no list comes once", { field: field.name });
    this.#text += ",";
  }

  #end(frame: Frame): void {
    this.#text += frame.field?.isList === true ? "]}" : "}";
    this.#reader.end = frame.outerEnd;
    this.#frames.pop();
    if (this.#frames.length === 0) this.#text += this.#suffix;
  }

  #scalar(frame: Frame, field: JsonField): void {
    this.#name(frame, field);
    this.#text += this.#valueOf(field);
  }

  #valueOf(field: JsonField): string {
    const reader = this.#reader;
    switch (field.kind) {
      case "int32":
        return String(reader.int32());
      case "uint32":
        return String(reader.uint32());
      case "int64":
        return `"${reader.int64Id()}"`;
      case "uint64":
        return `"${reader.uint64Id()}"`;
      case "bool":
        return String(reader.bool());
      case "string":
        return this.#quoted(reader.text());
      case "bytes":
        return `"${base64(reader.view())}"`;
      case "enum": {
        const number = reader.int32();
        const name = field.enumNames.get(number);
        return name === undefined ? String(number) : `"${name}"`;
      }
      case "message":
        assert(false, "a message is no scalar", { field: field.name });
    }
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}

/** A quoted text as Go's encoding/json writes it. */
export function htmlSafe(text: string): string {
  return JSON.stringify(text).replaceAll(
    /[<>&\u2028\u2029]/g,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
