// Requests and answers on the peer port, in the forms of Go's HTTP library, which real members read.

import type { IncomingMessage, ServerResponse } from "node:http";
import { concatBytes } from "../lib/bytes.ts";

export interface TextAnswer {
  readonly status: number;
  readonly text: string;
}

/** The form of Go's `http.Error`. */
export function answerError(response: ServerResponse, { status, text }: TextAnswer): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status, {
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
  });
  response.end(`${text}\n`);
}

export function answerNotFound(response: ServerResponse): void {
  answerError(response, { status: 404, text: "404 page not found" });
}

export function answerBytes(response: ServerResponse, contentType: string, body: string | Uint8Array): void {
  response.writeHead(200, { "Content-Type": contentType });
  response.end(body);
}

/** Refuses every other method; true when it did. */
export function refusesMethod(
  request: IncomingMessage,
  response: ServerResponse,
  method: "GET" | "POST",
): boolean {
  if (request.method === method) return false;
  response.setHeader("Allow", method);
  answerError(response, { status: 405, text: "Method Not Allowed" });
  return true;
}

/**
 * Undefined when it is longer than allowed: reading has stopped, and the connection is good for an answer only. One that
 * takes longer than allowed is cut off, however many bytes still come.
 */
export async function readBody(
  request: IncomingMessage,
  { bytesMax, timeoutMs }: { readonly bytesMax: number; readonly timeoutMs: number },
): Promise<Uint8Array | undefined> {
  if (Number(request.headers["content-length"] ?? 0) > bytesMax) return undefined;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const timer = setTimeout(() => request.destroy(), timeoutMs);
  const read = new Promise<Uint8Array | undefined>((resolve, reject) => {
    request.on("data", (chunk: Uint8Array) => {
      bytes += chunk.length;
      if (bytes > bytesMax) {
        request.pause();
        resolve(undefined);
      } else chunks.push(chunk);
    });
    request.on("end", () => resolve(concatBytes(chunks)));
    request.on("error", reject);
    request.on("close", () => reject(new Error("the request was cut off")));
  });
  return read.finally(() => clearTimeout(timer));
}

/** Answers and closes: the rest of the body is not worth reading. */
export function answerTooLarge(response: ServerResponse): void {
  response.setHeader("Connection", "close");
  answerError(response, { status: 413, text: "request body too large" });
}
