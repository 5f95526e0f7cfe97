// A call with many requests or many responses. The handler pulls requests, and the transport pulls responses while the
// client has room for them: that is the backpressure of both directions.

import type { Call } from "../api/call.ts";
import { ApiError, apiError } from "../api/errors.ts";
import { trailersOf, trailersOnly } from "./answers.ts";
import {
  type CallHost,
  CancelListeners,
  deadlineExceeded,
  decodeRequest,
  frameOf,
  headBlock,
  secondsSince,
} from "./call.ts";
import { isKnownEncoding, unknownEncoding } from "./compression.ts";
import type { Mortal } from "./deadlines.ts";
import type { GrpcHead, Target } from "./head.ts";
import type { Connection } from "./http2/connection.ts";
import { okTrailers } from "./http2/sender.ts";
import { lowWaterBytes, type Stream, type StreamOwner } from "./http2/stream.ts";
import { isWholeMessage, type Message, MessageQueue, messageIn } from "./message-queue.ts";
import { RequestReader } from "./streams.ts";

/** A streaming call under way. */
export type OpenStream = Pick<Call, "abort">;

export interface StreamHost extends CallHost {
  /** Runs `fn` once when the leader is lost. Returns how to stop waiting. */
  onLeaderLost(fn: () => void): () => void;
  /** Streams are told when the server stops. */
  readonly openStreams: Set<OpenStream>;
}

export class StreamCall implements Call, StreamOwner, Mortal {
  readonly #host: StreamHost;
  readonly #connection: Connection;
  readonly #head: GrpcHead;
  readonly #target: Target;
  readonly #stream: Stream;
  readonly #startMs = performance.now();
  readonly deadlineMs: number;
  readonly #incoming: MessageQueue;
  /** A message on its way to the handler. */
  #arrived: Message | undefined;
  readonly #listeners = new CancelListeners();
  #reader: RequestReader | undefined;
  #iterator: AsyncIterator<unknown> | undefined;
  #hasHead = false;
  #isCancelled = false;
  #isEnded = false;
  /** The client is done sending. */
  #isRemoteOver = false;
  /** What still comes is dropped. */
  #isReadOver = false;
  #resume: (() => void) | undefined;
  #stopWatchingLeader: () => void = nothing;

  constructor(
    host: StreamHost,
    connection: Connection,
    request: {
      readonly streamId: number;
      readonly isRemoteOpen: boolean;
      readonly bodyBytes: number | undefined;
    },
    head: GrpcHead,
    target: Target,
  ) {
    this.#host = host;
    this.#connection = connection;
    this.#head = head;
    this.#target = target;
    this.deadlineMs =
      head.timeoutMs === undefined ? Number.POSITIVE_INFINITY : this.#startMs + head.timeoutMs;
    this.#incoming = new MessageQueue(host.messageBytesMax);
    this.#stream = connection.open(request.streamId, this, request.isRemoteOpen, request.bodyBytes);
    target.metrics.started();
  }

  /** Begins; a server stream waits for its request. */
  start(): void {
    if (this.deadlineMs !== Number.POSITIVE_INFINITY) this.#host.deadlines.add(this);
    this.#host.openStreams.add(this);
    try {
      if (!isKnownEncoding(this.#head.encoding)) throw unknownEncoding(this.#head.encoding);
      if (this.#host.admit(this.#head, "stream")) {
        this.#stopWatchingLeader = this.#host.onLeaderLost(() => this.abort(apiError("noLeader")));
      }
      const { route } = this.#target;
      if (route.kind !== "bidi") return;
      this.#reader = new RequestReader(
        () => this.#takeRequest(),
        () => this.#dropRequests(),
      );
      this.#begin(route.handler(this.#reader, this));
    } catch (error) {
      this.#fail(error);
    }
  }

  get metadata(): ReadonlyMap<string, string> {
    return this.#head.metadata;
  }

  get isCancelled(): boolean {
    return this.#isCancelled;
  }

  onCancel(fn: () => void): void {
    if (this.#isCancelled) fn();
    else if (!this.#isEnded) this.#listeners.add(fn);
  }

  /** Stops the handler and tells the client why. */
  abort(error: ApiError): void {
    if (this.#isEnded) return;
    this.#cancel();
    this.#fail(error);
  }

  onDeadline(): void {
    this.abort(deadlineExceeded());
  }

  onData(bytes: Uint8Array, start: number, end: number): void {
    const { windows } = this.#connection;
    if (this.#isReadOver) {
      windows.grant(this.#stream);
      return;
    }
    if (this.#isNext(bytes, start, end)) {
      this.#arrived = messageIn(bytes, start, end);
      this.#reader?.onMessages();
      windows.grant(this.#stream);
      return;
    }
    this.#incoming.push(bytes, start, end);
    if (!windows.hold(this.#stream, end - start)) {
      this.onOverload();
      return;
    }
    if (this.#reader === undefined && this.#incoming.isOversized) this.#serve();
    else if (this.#reader === undefined || !this.#incoming.hasNext) windows.grant(this.#stream);
    else this.#reader.onMessages();
  }

  /** True for one whole message that the handler waits for: it is read where it lies, and nothing is held. */
  #isNext(bytes: Uint8Array, start: number, end: number): boolean {
    return (
      this.#reader?.isWaiting === true &&
      this.#incoming.length === 0 &&
      isWholeMessage(bytes, start, end) &&
      end - start <= this.#host.messageBytesMax
    );
  }

  onEnd(): void {
    this.#isRemoteOver = true;
    if (this.#reader === undefined) {
      this.#serve();
      return;
    }
    this.#reader.onMessages();
    this.#reader.finish();
  }

  onReset(): void {
    const isLate = this.deadlineMs <= performance.now();
    this.#cancel();
    if (!this.#isEnded) this.#end(isLate ? "DeadlineExceeded" : "Canceled");
  }

  onRoom(): void {
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  }

  onOverload(): void {
    this.abort(new ApiError("ResourceExhausted", "etcdserver: too many requests"));
  }

  /** Answers the one request of a server stream, which is known to be the only one once the client is done sending. */
  #serve(): void {
    const { route } = this.#target;
    if (route.kind !== "serverStream" || this.#isEnded) return;
    try {
      const request = this.#takeRequest();
      if (request === undefined) throw cardinalityViolation("no request message from");
      if (this.#incoming.hasNext) throw cardinalityViolation("multiple request messages for");
      this.#dropRequests();
      this.#begin(route.handler(request.value, this));
    } catch (error) {
      this.#fail(error);
    }
  }

  #takeRequest(): { readonly value: unknown } | undefined {
    const arrived = this.#arrived;
    if (arrived !== undefined) {
      this.#arrived = undefined;
      return { value: decodeRequest(this.#host, this.#head, this.#target, arrived) };
    }
    if (this.#isReadOver) return undefined;
    if (!this.#incoming.hasNext) {
      if (!this.#isRemoteOver || !this.#incoming.isBegun) return undefined;
      this.#dropRequests();
      throw new ApiError("Internal", "unexpected EOF");
    }
    const lengthBefore = this.#incoming.length;
    const message = this.#incoming.shift();
    this.#release(lengthBefore - this.#incoming.length);
    if (message instanceof ApiError) {
      this.#dropRequests();
      throw message;
    }
    return { value: decodeRequest(this.#host, this.#head, this.#target, message) };
  }

  #dropRequests(): void {
    this.#isReadOver = true;
    this.#incoming.clear();
    this.#release(this.#stream.heldBytes);
  }

  #release(bytes: number): void {
    if (!this.#stream.isLocalOpen) return;
    this.#connection.windows.release(this.#stream, bytes);
    this.#connection.windows.grant(this.#stream);
  }

  #begin(responses: AsyncIterable<unknown>): void {
    const iterator = responses[Symbol.asyncIterator]();
    this.#iterator = iterator;
    this.#sendAll(iterator).catch((error) => this.#fail(error));
  }

  async #sendAll(iterator: AsyncIterator<unknown>): Promise<void> {
    for (;;) {
      const next = await iterator.next();
      if (this.#isEnded || this.#isCancelled) return;
      if (next.done === true) break;
      const bytes = this.#target.route.encode(next.value);
      this.#target.metrics.sent(bytes.length);
      this.#sendHead();
      this.#connection.sendBody(this.#stream, frameOf(this.#head, bytes));
      while (this.#stream.queuedBytes > lowWaterBytes && !this.#isCancelled) {
        await new Promise<void>((resolve) => {
          this.#resume = resolve;
        });
      }
    }
    this.#end("OK");
    this.#sendHead();
    this.#connection.end(this.#stream, okTrailers);
  }

  #sendHead(): void {
    if (this.#hasHead) return;
    this.#hasHead = true;
    this.#connection.sendHead(this.#stream, headBlock(this.#connection.sender.encoder, this.#head));
  }

  #fail(error: unknown): void {
    const known = this.#host.asApiError(error);
    if (this.#isEnded) return;
    this.#end(known.code);
    if (!this.#hasHead)
      this.#connection.endWithFields(this.#stream, trailersOnly(known, this.#head.contentType));
    else this.#connection.end(this.#stream, trailersOf(known));
  }

  #cancel(): void {
    if (this.#isEnded || this.#isCancelled) return;
    this.#isCancelled = true;
    this.#listeners.notify();
    this.#reader?.finish();
    this.onRoom();
    this.#iterator?.return?.().catch((error) => this.#fail(error));
  }

  #end(code: Parameters<Target["metrics"]["handled"]>[0]): void {
    this.#isEnded = true;
    this.#listeners.clear();
    this.#stopWatchingLeader();
    this.#host.openStreams.delete(this);
    this.#host.deadlines.delete(this);
    this.#target.metrics.handled(code, secondsSince(this.#startMs));
    if (!this.#isReadOver) this.#dropRequests();
  }
}

function cardinalityViolation(what: string): ApiError {
  return new ApiError("Internal", `cardinality violation: received ${what} non-client-streaming RPC`);
}

function nothing(): void {}
