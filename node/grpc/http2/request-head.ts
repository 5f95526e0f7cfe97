// What a request begins with: its pseudo-header fields checked (RFC 9113, section 8), the others as they came.

import { ErrorCode, StreamError } from "./protocol.ts";

export interface RequestHead {
  readonly method: string;
  readonly path: string;
  readonly scheme: string;
  readonly authority: string;
  /** Regular fields, names and values in turn. */
  readonly fields: readonly string[];
  /** Undefined: not given. */
  readonly contentLength: number | undefined;
  /** The list of fields went over its limit, and what is here is only its beginning. */
  readonly isTooLarge: boolean;
  /** Room for what the server above makes of this head; heads may be shared by equal requests. */
  extension: unknown;
}

const forbidden: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/** Throws StreamError when the request is malformed. */
export function requestHead(fields: readonly string[], isTooLarge: boolean): RequestHead {
  const pseudo: Record<string, string | undefined> = {
    ":method": undefined,
    ":scheme": undefined,
    ":authority": undefined,
    ":path": undefined,
  };
  let regularFrom = 0;
  while (regularFrom < fields.length && (fields[regularFrom] as string).startsWith(":")) {
    const name = fields[regularFrom] as string;
    if (!(name in pseudo)) throw malformed(`the pseudo-header field ${name}`);
    if (pseudo[name] !== undefined) throw malformed(`${name} twice`);
    pseudo[name] = checkedValue(name, fields[regularFrom + 1] as string);
    regularFrom += 2;
  }
  const regular = fields.slice(regularFrom);
  const contentLength = checkRegular(regular);
  const { ":method": method, ":scheme": scheme, ":path": path, ":authority": authority } = pseudo;
  if (isTooLarge) {
    const known = {
      method: method ?? "",
      path: path ?? "",
      scheme: scheme ?? "",
      authority: authority ?? "",
    };
    return { ...known, fields: regular, contentLength, isTooLarge, extension: undefined };
  }
  if (method === undefined || scheme === undefined || path === undefined) {
    throw malformed("a request without one of :method, :scheme, :path");
  }
  if (path === "") throw malformed("an empty :path");
  return {
    method,
    path,
    scheme,
    authority: authority ?? "",
    fields: regular,
    contentLength,
    isTooLarge,
    extension: undefined,
  };
}

/** Throws StreamError when trailers are malformed: they have no pseudo-header fields. */
export function checkTrailers(fields: readonly string[]): void {
  checkRegular(fields);
}

function checkRegular(fields: readonly string[]): number | undefined {
  let contentLength: number | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = checkedValue(name, fields[i + 1] as string);
    if (!isToken(name)) throw malformed(`the field name ${JSON.stringify(name)}`);
    if (forbidden.has(name)) throw malformed(`the connection-specific field ${name}`);
    if (name === "te" && value !== "trailers") throw malformed(`te: ${value}`);
    if (name === "content-length") {
      const length = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
      if (Number.isNaN(length) || (contentLength ?? length) !== length)
        throw malformed(`content-length ${value}`);
      contentLength = length;
    }
  }
  return contentLength;
}

/** Lower-case letters, digits and the signs that a name may have (RFC 9110, section 5.6.2). */
function isToken(name: string): boolean {
  if (name.length === 0) return false;
  for (let i = 0; i < name.length; i++) if (tokenCharacters[name.charCodeAt(i)] !== 1) return false;
  return true;
}

const tokenCharacters = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
  tokenCharacters[character.charCodeAt(0)] = 1;
}

function checkedValue(name: string, value: string): string {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) throw malformed(`a control character in ${name}`);
  }
  return value;
}

function malformed(what: string): StreamError {
  return new StreamError(ErrorCode.protocolError, `a malformed request: ${what}`);
}
