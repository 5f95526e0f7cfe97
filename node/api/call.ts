// What a service handler sees of its caller: no transport, no status numbers, no protobuf runtime.

import type { ApiError } from "./errors.ts";

/** One call in progress. */
export interface Call {
  /** Lower-case metadata (header) names to their first value. */
  readonly metadata: ReadonlyMap<string, string>;
  /** True once the client went away or the deadline passed. */
  readonly isCancelled: boolean;
  /** Runs once when the call is cancelled; at once when it already is. */
  onCancel(fn: () => void): void;
  /** Ends a stream whose client does not take what it is sent: cancels it, and tells the client why. */
  abort(error: ApiError): void;
}

/** A handler may answer at once (no promise) or later. It fails by throwing or rejecting with an ApiError. */
export type UnaryHandler<Request, Response> = (request: Request, call: Call) => Response | Promise<Response>;

/** Where the answer of a call goes that was begun without a promise. Only the first word counts. */
export interface Answer<Response> {
  /** `release` runs when what the response holds is free: it has left, or nobody waits for it. Once or more. */
  succeed(response: Response, release?: () => void): void;
  /** An ApiError goes to the client as it is; anything else is a bug. */
  fail(error: unknown): void;
}

/** A handler of a hot call: it answers by calling back, at once or later, and fails by throwing or through the answer. */
export type DirectHandler<Request, Response> = (
  request: Request,
  call: Call,
  answer: Answer<Response>,
) => void;

/** The transport pulls the next message only when the client has room for it: that is the backpressure. */
export type ServerStreamHandler<Request, Response> = (
  request: Request,
  call: Call,
) => AsyncIterable<Response>;

export type BidiHandler<Request, Response> = (
  requests: AsyncIterable<Request>,
  call: Call,
) => AsyncIterable<Response>;

/** Milliseconds of each unit that a client's timeout may have (`grpc-timeout`). */
export const timeoutUnitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};
