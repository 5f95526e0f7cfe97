// The answers of the gateway: statuses of HTTP for our codes, and errors as JSON.

import { Readable } from "node:stream";
import { ApiError, type ErrorCode, errorCodes } from "../../api/errors.ts";
import type { HttpResponse } from "../../lib/http-exchange.ts";
import { htmlSafe } from "../../wire/json-response.ts";
import { JsonError } from "../../wire/json-scanner.ts";

const statuses: Readonly<Record<ErrorCode, number>> = {
  OK: 200,
  Canceled: 499,
  Unknown: 500,
  InvalidArgument: 400,
  DeadlineExceeded: 504,
  NotFound: 404,
  AlreadyExists: 409,
  PermissionDenied: 403,
  ResourceExhausted: 429,
  FailedPrecondition: 400,
  Aborted: 409,
  OutOfRange: 400,
  Unimplemented: 501,
  Internal: 500,
  Unavailable: 503,
  DataLoss: 500,
  Unauthenticated: 401,
};

const jsonType = ["content-type", "application/json"];

/** Of an answer with messages. The second field is what the gateway got from the service. */
export const messageFields: readonly string[] = [
  ...jsonType,
  "grpc-metadata-content-type",
  "application/grpc",
];

/** What went wrong, in the words of the client's world. Anything that is no ApiError and no JsonError is a bug. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof JsonError) return new ApiError("InvalidArgument", error.message);
  throw error;
}

export function errorResponse(error: ApiError): HttpResponse {
  const challenge = error.code === "Unauthenticated" ? ["www-authenticate", fieldValue(error.message)] : [];
  return wholeResponse(statuses[error.code], [...jsonType, ...challenge], errorText(error, JSON.stringify));
}

/** A stream that ends before its first message. */
export function streamErrorResponse(error: ApiError): HttpResponse {
  return { status: statuses[error.code], fields: jsonType, body: Readable.from([errorChunk(error)]) };
}

/** What ends a stream behind a message. */
export function errorChunk(error: ApiError): Uint8Array {
  return Buffer.from(`{"error":${errorText(error, htmlSafe)}}\n`);
}

export function redirectResponse(location: string): HttpResponse {
  return wholeResponse(307, ["location", location], "");
}

export function wholeResponse(
  status: number,
  fields: readonly string[],
  text: string | Uint8Array,
): HttpResponse {
  const bytes = typeof text === "string" ? Buffer.from(text) : text;
  return {
    status,
    fields: [...fields, "content-length", String(bytes.length)],
    body: Readable.from(bytes.length === 0 ? [] : [bytes]),
  };
}

function errorText({ code, message }: ApiError, quote: (text: string) => string): string {
  return `{"code":${errorCodes.indexOf(code)},"message":${quote(message)}}`;
}

/** A field's value may hold nothing but printable ASCII. */
function fieldValue(text: string): string {
  return text.replaceAll(/[^ -~]/g, "?");
}
