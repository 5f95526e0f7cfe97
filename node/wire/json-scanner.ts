// Finds where a JSON text ends in bytes that may come in pieces, and refuses what is none. Its words are those of Go's
// encoding/json, whose decoder is the first to see a body in etcd's gateway.

import { never } from "../lib/assert.ts";
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
  space,
} from "./json-bytes.ts";

/** A text that is not the JSON it should be. The message goes to the client. */
export class JsonError extends Error {
  override readonly name = "JsonError";
}

/** Objects and arrays within each other, as in Go. */
const levelsMax = 10_000;

/** Within a number: behind its minus, its leading zero, and so on. */
type NumberState =
  | "minus"
  | "zero"
  | "digits"
  | "point"
  | "fraction"
  | "exponent"
  | "exponentSign"
  | "exponentDigits";

/** What the next byte may be, or belongs to. */
type State =
  | "value"
  | "firstElement"
  | "firstKey"
  | "key"
  | "colon"
  | "next"
  | "string"
  | "escape"
  | "hex"
  | "literal"
  | NumberState;

/** A number may be over in these. */
const numberEnds: ReadonlySet<State> = new Set(["zero", "digits", "fraction", "exponentDigits"]);

/** Whether a byte ended the whole value. A number is only known to be over at the byte behind it. */
type Step = "goesOn" | "endsWith" | "endsBefore";

export class JsonScanner {
  #state: State = "value";
  /** The objects and arrays that are open, outermost first. */
  #open: ("object" | "array")[] = [];
  #isKey = false;
  #literal = "";
  #literalAt = 0;
  #hexDigits = 0;
  #isBegun = false;

  /** More than white space was read of the value. */
  get isBegun(): boolean {
    return this.#isBegun;
  }

  /** Reads on in `bytes` from `start`. Returns the offset behind the value, or undefined while more is needed. */
  scan(bytes: Uint8Array, start: number): number | undefined {
    for (let at = start; at < bytes.length; at++) {
      const byte = bytes[at] as number;
      if (this.#state === "string" && isPlain(byte)) continue;
      const step = this.#step(byte);
      if (step !== "goesOn") return step === "endsWith" ? at + 1 : at;
    }
    return undefined;
  }

  /** No more bytes come. False when there was nothing but white space; throws when the value is cut. */
  end(): boolean {
    if (!this.#isBegun) return false;
    if (this.#open.length === 0 && numberEnds.has(this.#state)) return true;
    throw new JsonError("unexpected EOF");
  }

  /** For the next value. */
  reset(): void {
    this.#state = "value";
    this.#open = [];
    this.#isKey = false;
    this.#isBegun = false;
  }

  #step(byte: number): Step {
    switch (this.#state) {
      case "value":
        return this.#begin(byte);
      case "firstElement":
        return byte === closeBracket ? this.#close() : this.#begin(byte);
      case "firstKey":
        return byte === closeBrace ? this.#close() : this.#beginKey(byte);
      case "key":
        return this.#beginKey(byte);
      case "colon":
        if (isSpace(byte)) return "goesOn";
        return byte === colon ? this.#to("value") : refuse(byte, "after object key");
      case "next":
        return this.#next(byte);
      case "string":
        if (byte === quote) return this.#isKey ? this.#endKey() : this.#endValue();
        return byte === backslash ? this.#to("escape") : refuse(byte, "in string literal");
      case "escape":
        this.#hexDigits = 0;
        if (byte === letterU) return this.#to("hex");
        return escapes.has(byte) ? this.#to("string") : refuse(byte, "in string escape code");
      case "hex":
        if (!isHex(byte)) refuse(byte, "in \\u hexadecimal character escape");
        return ++this.#hexDigits === 4 ? this.#to("string") : "goesOn";
      case "literal":
        return this.#stepLiteral(byte);
      default:
        return this.#stepNumber(this.#state, byte);
    }
  }

  #begin(byte: number): Step {
    if (isSpace(byte)) return "goesOn";
    this.#isBegun = true;
    switch (byte) {
      case openBrace:
        return this.#enter("object", "firstKey");
      case openBracket:
        return this.#enter("array", "firstElement");
      case quote:
        return this.#to("string");
      case minus:
        return this.#to("minus");
      case digit0:
        return this.#to("zero");
    }
    if (isDigit(byte)) return this.#to("digits");
    const literal = literals.get(byte);
    if (literal === undefined) return refuse(byte, "looking for beginning of value");
    this.#literal = literal;
    this.#literalAt = 1;
    return this.#to("literal");
  }

  #beginKey(byte: number): Step {
    if (isSpace(byte)) return "goesOn";
    if (byte !== quote) refuse(byte, "looking for beginning of object key string");
    this.#isKey = true;
    return this.#to("string");
  }

  #endKey(): Step {
    this.#isKey = false;
    return this.#to("colon");
  }

  #enter(kind: "object" | "array", state: State): Step {
    if (this.#open.length === levelsMax) {
      refuse(kind === "object" ? openBrace : openBracket, "exceeded max depth");
    }
    this.#open.push(kind);
    return this.#to(state);
  }

  #close(): Step {
    this.#open.pop();
    return this.#endValue();
  }

  #endValue(): Step {
    if (this.#open.length === 0) return "endsWith";
    return this.#to("next");
  }

  #next(byte: number): Step {
    if (isSpace(byte)) return "goesOn";
    const isObject = this.#open.at(-1) === "object";
    if (byte === comma) return this.#to(isObject ? "key" : "value");
    if (byte === (isObject ? closeBrace : closeBracket)) return this.#close();
    return refuse(byte, isObject ? "after object key:value pair" : "after array element");
  }

  #stepLiteral(byte: number): Step {
    const expected = this.#literal[this.#literalAt] as string;
    if (byte !== expected.charCodeAt(0)) {
      refuse(byte, `in literal ${this.#literal} (expecting '${expected}')`);
    }
    return ++this.#literalAt === this.#literal.length ? this.#endValue() : "goesOn";
  }

  #stepNumber(state: NumberState, byte: number): Step {
    switch (state) {
      case "minus":
        if (byte === digit0) return this.#to("zero");
        return isDigit(byte) ? this.#to("digits") : refuse(byte, "in numeric literal");
      case "zero":
      case "digits":
        if (state === "digits" && isDigit(byte)) return "goesOn";
        if (byte === point) return this.#to("point");
        return isExponent(byte) ? this.#to("exponent") : this.#endNumber(byte);
      case "point":
        return isDigit(byte) ? this.#to("fraction") : refuse(byte, "after decimal point in numeric literal");
      case "fraction":
        if (isDigit(byte)) return "goesOn";
        return isExponent(byte) ? this.#to("exponent") : this.#endNumber(byte);
      case "exponent":
        if (byte === plus || byte === minus) return this.#to("exponentSign");
        return isDigit(byte) ? this.#to("exponentDigits") : refuse(byte, "in exponent of numeric literal");
      case "exponentSign":
        return isDigit(byte) ? this.#to("exponentDigits") : refuse(byte, "in exponent of numeric literal");
      case "exponentDigits":
        return isDigit(byte) ? "goesOn" : this.#endNumber(byte);
      default:
        return never(state);
    }
  }

  #endNumber(byte: number): Step {
    if (this.#open.length === 0) return "endsBefore";
    this.#state = "next";
    return this.#next(byte);
  }

  #to(state: State): Step {
    this.#state = state;
    return "goesOn";
  }
}

const plus = 0x2b;
const minus = 0x2d;
const point = 0x2e;
const digit0 = 0x30;
const letterU = 0x75;

/** What may follow a backslash, but for `u`. */
const escapes: ReadonlySet<number> = new Set([...'"\\/bfnrt'].map((one) => one.charCodeAt(0)));

const literals: ReadonlyMap<number, string> = new Map(
  ["true", "false", "null"].map((text) => [text.charCodeAt(0), text]),
);

/** Within a string: neither its end nor an escape. */
function isPlain(byte: number): boolean {
  return byte >= space && byte !== quote && byte !== backslash;
}

function isDigit(byte: number): boolean {
  return byte >= digit0 && byte <= 0x39;
}

function isHex(byte: number): boolean {
  const lower = byte | 0x20;
  return isDigit(byte) || (lower >= 0x61 && lower <= 0x66);
}

function isExponent(byte: number): boolean {
  return byte === 0x65 || byte === 0x45;
}

function refuse(byte: number, where: string): never {
  throw new JsonError(`invalid character ${quoted(byte)} ${where}`);
}

const namedEscapes: ReadonlyMap<number, string> = new Map([
  [0x07, "\\a"],
  [0x08, "\\b"],
  [0x09, "\\t"],
  [0x0a, "\\n"],
  [0x0b, "\\v"],
  [0x0c, "\\f"],
  [0x0d, "\\r"],
  [0x27, "\\'"],
  [backslash, "\\\\"],
]);

/** A byte as Go quotes it, who takes it for a character of Latin-1. */
function quoted(byte: number): string {
  const named = namedEscapes.get(byte);
  if (named !== undefined) return `'${named}'`;
  if (byte < space || byte === 0x7f) return `'\\x${hex(byte, 2)}'`;
  const isHidden = (byte >= 0x80 && byte <= 0xa0) || byte === 0xad;
  return isHidden ? `'\\u${hex(byte, 4)}'` : `'${String.fromCharCode(byte)}'`;
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}
