// What the calls of all kinds have in common: what they need of the server, who listens for their cancellation, and
// how messages become requests and responses become messages.

import { ApiError } from "../api/errors.ts";
import type { Pieces } from "../wire/codec.ts";
import { deflate, inflate, isKnownEncoding, unknownEncoding } from "./compression.ts";
import type { Deadlines } from "./deadlines.ts";
import { framed } from "./frames.ts";
import type { GrpcHead, Target } from "./head.ts";
import type { HpackEncoder } from "./http2/hpack-encoder.ts";
import { writeUint32 } from "./http2/protocol.ts";
import type { Source } from "./http2/stream.ts";
import { type Message, messageHeadBytes } from "./message-queue.ts";
import type { Route } from "./routes.ts";
import { malformedMessage } from "./status.ts";

/** The server that calls are on. */
export interface CallHost {
  readonly messageBytesMax: number;
  readonly deadlines: Deadlines;
  /** Checks that hold for every call. True when the client wants to hear of a lost leader. Throws ApiError. */
  admit(head: Pick<GrpcHead, "metadata">, type: "unary" | "stream"): boolean;
  /** An error that is no ApiError is a bug, and is reported as one. */
  asApiError(error: unknown): ApiError;
  onAnswered(target: Target, client: { readonly peer: string }, tookMs: number, responseBytes: number): void;
}

/** Those who want to know that a call was cancelled. Most calls have none. */
export class CancelListeners {
  #fns: (() => void)[] | undefined;

  add(fn: () => void): void {
    this.#fns ??= [];
    this.#fns.push(fn);
  }

  notify(): void {
    const fns = this.#fns;
    this.#fns = undefined;
    if (fns !== undefined) for (const fn of fns) fn();
  }

  clear(): void {
    this.#fns = undefined;
  }
}

/** Throws ApiError. */
export function decodeRequest(
  host: CallHost,
  head: GrpcHead,
  { route, metrics }: Target,
  message: Message,
): unknown {
  let { bytes } = message;
  if (message.format > 1) {
    throw new ApiError("Internal", `grpc: received unexpected payload format ${message.format}`);
  }
  if (message.format === 1) {
    if (!isKnownEncoding(head.encoding)) throw unknownEncoding(head.encoding);
    bytes = inflate(bytes, head.encoding, host.messageBytesMax);
  }
  metrics.received(bytes.length);
  return decodedBy(route, bytes);
}

/** Throws ApiError. */
export function decodedBy(route: Route, bytes: Uint8Array): unknown {
  try {
    return route.decode(bytes);
  } catch (error) {
    throw malformedMessage(route.kind === "bidi" || route.kind === "serverStream", error);
  }
}

/** An encoded response with its head, as it goes into the stream. Clients that compress are answered so. */
export function frameOf(head: GrpcHead, response: Uint8Array): Uint8Array {
  if (head.encoding !== "gzip") return framed(response);
  const { isCompressed, bytes } = deflate(response);
  const frame = framed(bytes);
  frame[0] = isCompressed ? 1 : 0;
  return frame;
}

/** An encoded response in pieces, with its head before the first. */
export function framedPieces(pieces: Pieces, onGone: (() => void) | undefined): Source {
  let isBegun = false;
  return {
    size: messageHeadBytes + pieces.size,
    onGone,
    next() {
      if (isBegun) return pieces.next();
      isBegun = true;
      const head = new Uint8Array(messageHeadBytes);
      writeUint32(head, 1, pieces.size);
      return head;
    },
  };
}

/** What the answer begins with. */
export function headBlock(encoder: HpackEncoder, { answerFields }: GrpcHead): Uint8Array {
  return answerFields === undefined ? encoder.grpcHead() : encoder.plain(answerFields);
}

export function deadlineExceeded(): ApiError {
  return new ApiError("DeadlineExceeded", "context deadline exceeded");
}

export function secondsSince(startMs: number): number {
  return (performance.now() - startMs) / 1000;
}
