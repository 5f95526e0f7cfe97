// Calls from within this process: what a client would send and get, with the same checks and in the same books, but
// without a connection.

import type { Pieces } from "../wire/codec.ts";

export interface LocalCall {
  /** For example `/etcdserverpb.KV/Range`. */
  readonly path: string;
  /** Lower-case names. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly timeoutMs: number | undefined;
  /** Who asks, for the log. */
  readonly peer: string;
  /** Aborted when nobody waits for an answer any more. */
  readonly signal: AbortSignal;
}

/** A response, encoded. */
export interface LocalAnswer {
  readonly pieces: Pieces;
  /** To be called when the response has left, or nobody wants it. */
  release(): void;
}

export interface LocalStream {
  /** The next response, encoded; undefined behind the last. Rejects with an ApiError. One at a time. */
  next(): Promise<Uint8Array | undefined>;
}

export interface LocalCalls {
  /** Rejects with an ApiError. */
  unary(call: LocalCall, request: Uint8Array): Promise<LocalAnswer>;
  /** The call begins with the first `next`, and goes on until its end or the signal's. */
  stream(call: LocalCall, requests: AsyncIterable<Uint8Array>): LocalStream;
}
