// The header fields of answers and errors.

import type { ApiError } from "../api/errors.ts";
import { statusNumber } from "./status.ts";

/** Longer texts are cut: a client's own bytes may be in them. */
const messageCharactersMax = 4096;

/** What ends a call that had begun to answer. */
export function trailersOf(error: ApiError): readonly string[] {
  return ["grpc-status", String(statusNumber(error.code)), "grpc-message", percentEncoded(error.message)];
}

/** A whole answer that is an error. */
export function trailersOnly(error: ApiError, contentType: string, httpStatus = 200): readonly string[] {
  return [":status", String(httpStatus), "content-type", contentType, ...trailersOf(error)];
}

const encoder = new TextEncoder();

/** UTF-8, with everything but printable ASCII, and the percent sign, as %XX. */
export function percentEncoded(text: string): string {
  const short = text.length > messageCharactersMax ? text.slice(0, messageCharactersMax) : text;
  if (/^[ -$&-~]*$/.test(short)) return short;
  let encoded = "";
  for (const byte of encoder.encode(short)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}
