// From a JSON text to the protobuf message it stands for, by protobuf's JSON mapping, in the words of Go's protojson:
// names in either spelling, 64-bit integers as numbers or strings, bytes as base64 of both alphabets, enums by name
// or number. What is unknown is ignored, and null is absent.

import { nestingLevelsMax } from "./codec.ts";
import {
  backslash,
  closeBrace,
  closeBracket,
  colon,
  comma,
  isSpace,
  openBrace,
  openBracket,
  quote,
} from "./json-bytes.ts";
import type { JsonField, JsonMessage } from "./json-fields.ts";
import { JsonError } from "./json-scanner.ts";
import { wireBytes, wireVarint } from "./reader.ts";
import { Writer } from "./writer.ts";

/** `json` is one value as JsonScanner found it, without white space before it. Throws JsonError. */
export function protobufOf(message: JsonMessage, json: Uint8Array): Uint8Array {
  return encoded(new JsonReader(json).read(message));
}

type Scalar = bigint | boolean | string | Uint8Array;

/** A field with its value, or where a message within begins or ends. */
interface Item {
  readonly field: JsonField;
  readonly what: "value" | "begin" | "end";
  readonly value: Scalar;
}

const writer = new Writer();

/** The writer goes from the end to the start, so that the length of a message is known when its turn comes. */
function encoded(items: readonly Item[]): Uint8Array {
  writer.reset();
  const ends: number[] = [];
  for (let i = items.length - 1; i >= 0; i--) {
    const { field, what, value } = items[i] as Item;
    if (what === "end") {
      ends.push(writer.size);
      continue;
    }
    if (what === "begin") writer.number(writer.size - (ends.pop() as number));
    else writeScalar(value);
    const isVarint = what === "value" && (typeof value === "bigint" || typeof value === "boolean");
    writer.number(field.number * 8 + (isVarint ? wireVarint : wireBytes));
  }
  return writer.finish();
}

function writeScalar(value: Scalar): void {
  if (typeof value === "bigint") writer.bigint(value);
  else if (typeof value === "boolean") writer.number(value ? 1 : 0);
  else if (typeof value === "string") writer.text(value);
  else writer.bytes(value);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

class JsonReader {
  readonly #bytes: Buffer;
  readonly #items: Item[] = [];
  #at = 0;

  constructor(json: Uint8Array) {
    this.#bytes = Buffer.from(json.buffer, json.byteOffset, json.length);
  }

  read(message: JsonMessage): readonly Item[] {
    this.#message(message, nestingLevelsMax);
    return this.#items;
  }

  #message(message: JsonMessage, levels: number): void {
    if (levels < 0) throw problem("exceeded max recursion depth");
    if (this.#peek() !== openBrace) throw this.#unexpectedToken();
    this.#at++;
    const numbers = new Set<number>();
    const oneofs = new Set<string>();
    for (let next = this.#peek(); next !== closeBrace; next = this.#peek()) {
      if (next === comma) this.#at++;
      else this.#field(message, levels, { numbers, oneofs });
    }
    this.#at++;
  }

  /** `seen` is what stood in the message before. */
  #field(
    message: JsonMessage,
    levels: number,
    seen: { readonly numbers: Set<number>; readonly oneofs: Set<string> },
  ): void {
    const start = this.#at;
    const field = message.byName.get(this.#string());
    const name = this.#bytes.toString("utf8", start, this.#at);
    this.#peek();
    this.#at++;
    const next = this.#peek();
    if (field === undefined) {
      this.#skip();
      return;
    }
    if (seen.numbers.has(field.number)) throw this.#problemAt(start, `duplicate field ${name}`);
    seen.numbers.add(field.number);
    if (next === letterN) {
      this.#token();
      return;
    }
    if (field.isList) {
      this.#list(field, levels);
      return;
    }
    if (field.oneof !== undefined && seen.oneofs.has(field.oneof)) {
      throw this.#problemAt(start, `error parsing ${name}, oneof ${field.oneof} is already set`);
    }
    if (field.oneof !== undefined) seen.oneofs.add(field.oneof);
    this.#value(field, levels);
  }

  #list(field: JsonField, levels: number): void {
    if (this.#peek() !== openBracket) throw this.#unexpectedToken();
    this.#at++;
    for (let next = this.#peek(); next !== closeBracket; next = this.#peek()) {
      if (next === comma) this.#at++;
      else this.#value(field, levels);
    }
    this.#at++;
  }

  #value(field: JsonField, levels: number): void {
    if (field.message !== undefined) {
      this.#items.push({ field, what: "begin", value: false });
      this.#message(field.message, levels - 1);
      this.#items.push({ field, what: "end", value: false });
      return;
    }
    const start = this.#at;
    const isString = this.#peek() === quote;
    const token = isString ? this.#string() : this.#token();
    // An enum's name that nobody knows is ignored like an unknown field.
    if (field.kind === "enum" && isString && !field.enumNumbers.has(token)) return;
    const value = scalarOf(field, token, isString);
    if (value === undefined) {
      const raw = this.#bytes.toString("utf8", start, this.#at);
      throw this.#problemAt(start, `invalid value for ${field.kind} field ${field.jsonName}: ${raw}`);
    }
    this.#items.push({ field, what: "value", value });
  }

  /** The next byte that is no white space. */
  #peek(): number {
    for (;;) {
      const byte = this.#bytes[this.#at] as number;
      if (!isSpace(byte)) return byte;
      this.#at++;
    }
  }

  /** A number, a literal, or the one byte that opens an object or array. */
  #token(): string {
    const start = this.#at;
    const first = this.#bytes[start] as number;
    if (first === openBrace || first === openBracket) this.#at++;
    else while (isOfToken(this.#bytes[this.#at])) this.#at++;
    return this.#bytes.toString("latin1", start, this.#at);
  }

  #string(): string {
    const start = this.#at;
    const bytes = this.#bytes;
    let end = start + 1;
    let isPlain = true;
    let isAscii = true;
    for (let byte = bytes[end] as number; byte !== quote; byte = bytes[end] as number) {
      if (byte === backslash) isPlain = false;
      else if (byte >= 0x80) isAscii = false;
      end += byte === backslash ? 2 : 1;
    }
    this.#at = end + 1;
    let text: string;
    try {
      text = isAscii ? bytes.toString("latin1", start + 1, end) : utf8.decode(bytes.subarray(start + 1, end));
    } catch {
      throw this.#syntaxError(start, "invalid UTF-8 in string");
    }
    if (isPlain) return text;
    const unescaped = JSON.parse(`"${text}"`) as string;
    if (/\p{Surrogate}/u.test(unescaped)) throw this.#loneSurrogate(start, text);
    return unescaped;
  }

  /** Half of a pair, escaped: what follows it should have been the other half. */
  #loneSurrogate(start: number, text: string): JsonError {
    for (const match of text.matchAll(
      /\\u(d[89ab][\da-f]{2})\\u(d[c-f][\da-f]{2})|\\u(d[89a-f][\da-f]{2})|\\./gi,
    )) {
      if (match[3] === undefined) continue;
      const behind = start + 1 + Buffer.byteLength(text.slice(0, match.index)) + match[0].length;
      if (this.#bytes.length - behind < 6) return problem("unexpected EOF");
      const rest = this.#bytes.toString("utf8", behind, behind + 6);
      const quoted = JSON.stringify(rest).replaceAll("\x7f", "\\x7f");
      return this.#syntaxError(start, `invalid escape code ${quoted} in string`);
    }
    return this.#syntaxError(start, "invalid escape code in string");
  }

  /** A value of a field that is unknown. Its strings are read, so that they are refused as others are. */
  #skip(): void {
    let open = 0;
    do {
      const next = this.#peek();
      if (next === quote) this.#string();
      else if (next === openBrace || next === openBracket) open++;
      else if (next === closeBrace || next === closeBracket) open--;
      else if (isOfToken(next)) this.#token();
      if (next !== quote && !isOfToken(next)) this.#at++;
    } while (open > 0);
  }

  #unexpectedToken(): JsonError {
    const start = this.#at;
    if (this.#bytes[start] === quote) this.#string();
    else this.#token();
    return this.#syntaxError(start, `unexpected token ${this.#bytes.toString("utf8", start, this.#at)}`);
  }

  #syntaxError(at: number, text: string): JsonError {
    return problem(`syntax error (${this.#place(at)}): ${text}`);
  }

  #problemAt(at: number, text: string): JsonError {
    return problem(`(${this.#place(at)}): ${text}`);
  }

  /** Line and column, in characters, from one on. */
  #place(at: number): string {
    const lines = this.#bytes.toString("utf8", 0, at).split("\n");
    return `line ${lines.length}:${[...(lines.at(-1) as string)].length + 1}`;
  }
}

function problem(text: string): JsonError {
  return new JsonError(`proto: ${text}`);
}

const letterN = 0x6e;

/** Of a number or a literal. */
function isOfToken(byte: number | undefined): boolean {
  if (byte === undefined || isSpace(byte)) return false;
  switch (byte) {
    case comma:
    case colon:
    case openBracket:
    case closeBracket:
    case openBrace:
    case closeBrace:
    case quote:
      return false;
    default:
      return true;
  }
}

/** Undefined when the token is no value of the field's kind. */
function scalarOf(field: JsonField, token: string, isString: boolean): Scalar | undefined {
  switch (field.kind) {
    case "bool":
      return isString || (token !== "true" && token !== "false") ? undefined : token === "true";
    case "string":
      return isString ? token : undefined;
    case "bytes":
      return isString ? bytesOf(token) : undefined;
    case "enum":
      return isString ? BigInt(field.enumNumbers.get(token) as number) : integerOf(token, "int32");
    default:
      return integerOf(isString ? leadingNumber(token) : token, field.kind);
  }
}

/** Base64 of either alphabet, padded or not; line breaks are skipped, as Go does. */
function bytesOf(text: string): Uint8Array | undefined {
  const compact = /[\r\n]/.test(text) ? text.replaceAll(/[\r\n]/g, "") : text;
  const isPadded = text.length % 4 === 0;
  const padding = /={0,2}$/.exec(compact)?.[0].length ?? 0;
  if (isPadded ? compact.length % 4 !== 0 : padding > 0 || compact.length % 4 === 1) return undefined;
  const isUrl = text.includes("-") || text.includes("_");
  const foreign = isUrl ? /[^A-Za-z0-9_-]/ : /[^A-Za-z0-9+/]/;
  if (foreign.test(padding > 0 ? compact.slice(0, -padding) : compact)) return undefined;
  return Buffer.from(compact, "base64");
}

/** A number in a string may have anything behind it that does not go on like one. */
function leadingNumber(text: string): string {
  return /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.+-])(?=.*\S$|$)/is.exec(text)?.[0] ?? "";
}

const bounds = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
} as const;

/** Enough for every integer of 64 bits. */
const digitsMax = 20;

/** The integer that a JSON number is, with a point or an exponent too if it still is one. */
function integerOf(token: string, kind: keyof typeof bounds | "message"): bigint | undefined {
  if (kind === "message") return undefined;
  const parts = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(token);
  if (parts === null) return undefined;
  const whole = parts[2] === "0" ? "" : (parts[2] as string);
  const fraction = (parts[3] ?? "").replace(/0+$/, "");
  if (whole === "" && fraction === "") return 0n;
  const shift = Number(parts[4] ?? "0");
  // Every digit left of the point, wherever the exponent moves it.
  const length = whole.length + shift;
  if (fraction.length > Math.max(shift, 0) || length < 0 || length > digitsMax) return undefined;
  const digits = `${whole}${fraction}`.padEnd(length, "0");
  if (/[^0]/.test(digits.slice(length))) return undefined;
  const value = BigInt(`${parts[1]}${digits.slice(0, length) || "0"}`);
  const [least, most] = bounds[kind];
  return value >= least && value <= most ? value : undefined;
}
