// One request to a peer and its whole answer, within bounds.

import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from "node:http";
import { concatBytes } from "../lib/bytes.ts";
import type { Dialer, PeerRequest } from "./dialer.ts";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
}

export interface Call {
  /** Rejects when there was no whole answer. */
  readonly answer: Promise<Answer>;
  abort(): void;
}

export const answerBytesMax = 64 * 1024;

export function call(
  dialer: Dialer,
  wanted: PeerRequest,
  body?: Uint8Array,
  bytesMax = answerBytesMax,
): Call {
  let request: ClientRequest | undefined;
  let isAborted = false;
  const attempt = (isLast: boolean): Promise<Answer> => {
    if (isAborted) return Promise.reject(new Error("aborted"));
    const current = dialer.open(wanted);
    request = current;
    const answer = answerOf(current, bytesMax);
    current.end(body);
    return answer.catch((error: unknown) => {
      // The peer closed an idle connection just when it was used again: nothing was processed.
      const isStale = current.reusedSocket && (error as NodeJS.ErrnoException).code === "ECONNRESET";
      if (isLast || !isStale) throw error;
      return attempt(true);
    });
  };
  return {
    answer: new Promise((resolve) => resolve(attempt(false))),
    abort() {
      isAborted = true;
      request?.destroy();
    },
  };
}

/** The answer to a request that the caller writes and ends. */
export function answerOf(request: ClientRequest, bytesMax = answerBytesMax): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const onClose = (): void => reject(new Error("the peer closed the connection"));
    request.on("error", reject);
    request.on("close", onClose);
    request.on("response", (response) => {
      // The request may close before the last bytes are read.
      request.off("close", onClose);
      readAll(response, bytesMax).then(
        (body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        reject,
      );
    });
  });
}

/** Rejects when the answer is cut off or larger. */
export async function readAll(response: IncomingMessage, bytesMax = answerBytesMax): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new Error(`an answer of more than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return concatBytes(chunks);
}
