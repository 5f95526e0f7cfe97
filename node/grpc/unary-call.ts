// A call with one request and one response. Hot: where the handler answers at once, and the windows have room, the
// call is this object and nothing else; a stream is opened only for those that wait.

import type { Answer, Call } from "../api/call.ts";
import { ApiError } from "../api/errors.ts";
import { trailersOnly } from "./answers.ts";
import {
  type CallHost,
  CancelListeners,
  deadlineExceeded,
  decodeRequest,
  framedPieces,
  frameOf,
  headBlock,
} from "./call.ts";
import { isKnownEncoding, unknownEncoding } from "./compression.ts";
import type { Mortal } from "./deadlines.ts";
import type { GrpcHead, Target } from "./head.ts";
import type { Connection } from "./http2/connection.ts";
import { okTrailers } from "./http2/sender.ts";
import type { Stream, StreamOwner } from "./http2/stream.ts";
import { isWholeMessage, type Message, MessageQueue, messageIn } from "./message-queue.ts";

export class UnaryCall implements Call, Answer<unknown>, StreamOwner, Mortal {
  readonly #host: CallHost;
  readonly #connection: Connection;
  readonly #streamId: number;
  readonly #head: GrpcHead;
  readonly #target: Target;
  readonly #startMs: number;
  readonly deadlineMs: number;
  #stream: Stream | undefined;
  /** The request, where it comes in pieces. */
  #incoming: MessageQueue | undefined;
  #hasRequest = false;
  #isCancelled = false;
  /** The last word was said, by us or by the transport. */
  #isEnded = false;
  #listeners: CancelListeners | undefined;

  constructor(host: CallHost, connection: Connection, streamId: number, head: GrpcHead, target: Target) {
    this.#host = host;
    this.#connection = connection;
    this.#streamId = streamId;
    this.#head = head;
    this.#target = target;
    this.#startMs = connection.receivedMs;
    this.deadlineMs =
      head.timeoutMs === undefined ? Number.POSITIVE_INFINITY : this.#startMs + head.timeoutMs;
    target.metrics.started();
  }

  /** The request is still on its way. */
  wait(isRemoteOpen: boolean, bodyBytes: number | undefined): void {
    this.#open(isRemoteOpen, bodyBytes);
  }

  /** The whole request is here. Its bytes stay as they are. */
  run(message: Message): void {
    try {
      if (!isKnownEncoding(this.#head.encoding)) throw unknownEncoding(this.#head.encoding);
      if (this.deadlineMs <= this.#startMs) throw deadlineExceeded();
      const request = decodeRequest(this.#host, this.#head, this.#target, message);
      this.#host.admit(this.#head, "unary");
      this.#handle(request);
    } catch (error) {
      this.fail(error);
    }
    if (!this.#isEnded && this.#stream === undefined) this.#open(false, undefined);
  }

  get metadata(): ReadonlyMap<string, string> {
    return this.#head.metadata;
  }

  get isCancelled(): boolean {
    return this.#isCancelled;
  }

  onCancel(fn: () => void): void {
    if (this.#isCancelled) fn();
    else if (!this.#isEnded) {
      this.#listeners ??= new CancelListeners();
      this.#listeners.add(fn);
    }
  }

  abort(error: ApiError): void {
    this.#cancel();
    this.fail(error);
  }

  succeed(response: unknown, release?: () => void): void {
    if (this.#isEnded) {
      release?.();
      return;
    }
    const { route } = this.#target;
    const connection = this.#connection;
    const isPlain = this.#head.encoding !== "gzip";
    const isUsual = this.#head.answerFields === undefined;
    let length: number;
    try {
      const pieces = isPlain ? route.encodePieces(response) : undefined;
      if (isUsual && pieces === undefined && route.encoding !== undefined) {
        length = route.encoding.size(response);
        if (connection.answerEncoded(this.#streamId, this.#stream, route.encoding, response, length)) {
          release?.();
          this.#answered(length);
          return;
        }
      }
      const bytes = pieces === undefined ? route.encode(response) : noBytes;
      length = pieces?.size ?? bytes.length;
      if (pieces !== undefined || !isUsual || !connection.answer(this.#streamId, this.#stream, bytes)) {
        if (connection.isOverloaded) {
          release?.();
          this.onOverload();
          return;
        }
        if (pieces === undefined)
          this.#queue((stream) => connection.sendBody(stream, frameOf(this.#head, bytes)));
        else this.#queue((stream) => connection.sendBodyFrom(stream, framedPieces(pieces, release)));
      }
      if (pieces === undefined) release?.();
    } catch (error) {
      release?.();
      this.fail(error);
      return;
    }
    this.#answered(length);
  }

  #answered(length: number): void {
    this.#target.metrics.sent(length);
    const tookMs = performance.now() - this.#startMs;
    this.#end("OK", tookMs);
    this.#host.onAnswered(this.#target, this.#connection, tookMs, length);
  }

  fail(error: unknown): void {
    if (this.#isEnded) return;
    const known = this.#host.asApiError(error);
    this.#end(known.code);
    const fields = trailersOnly(known, this.#head.contentType);
    if (this.#stream === undefined) this.#connection.answerFields(this.#streamId, fields, false);
    else this.#connection.endWithFields(this.#stream, fields);
  }

  onDeadline(): void {
    this.#cancel();
    this.fail(deadlineExceeded());
  }

  onData(bytes: Uint8Array, start: number, end: number, isLast: boolean): void {
    const stream = this.#stream;
    if (this.#hasRequest || this.#isEnded || stream === undefined) return;
    // Hot: clients with many calls send their heads first and then their bodies, each in one piece.
    if (isLast && this.#incoming === undefined && isWholeMessage(bytes, start, end)) {
      this.#hasRequest = true;
      this.run(messageIn(bytes, start, end));
      return;
    }
    this.#incoming ??= new MessageQueue(this.#host.messageBytesMax);
    const incoming = this.#incoming;
    const { windows } = this.#connection;
    incoming.push(bytes, start, end);
    if (!windows.hold(stream, end - start)) {
      this.onOverload();
      return;
    }
    if (!incoming.hasNext) windows.grant(stream);
    else if (incoming.isOversized) this.#runIncoming(incoming);
  }

  onEnd(): void {
    if (this.#hasRequest || this.#isEnded) return;
    const incoming = this.#incoming;
    if (incoming?.hasNext === true) this.#runIncoming(incoming);
    else {
      this.fail(new ApiError("Unknown", incoming?.isBegun === true ? "unexpected EOF" : "EOF"));
    }
  }

  onReset(): void {
    const isLate = this.deadlineMs <= performance.now();
    this.#cancel();
    if (!this.#isEnded) this.#end(isLate ? "DeadlineExceeded" : "Canceled");
  }

  onRoom(): void {}

  onOverload(): void {
    this.fail(new ApiError("ResourceExhausted", "etcdserver: too many requests"));
  }

  #handle(request: unknown): void {
    const { route } = this.#target;
    if (route.kind === "direct") route.handler(request, this, this);
    else if (route.kind === "unary") {
      const response = route.handler(request, this);
      if (response instanceof Promise) {
        response.then(
          (value) => this.succeed(value),
          (error) => this.fail(error),
        );
      } else this.succeed(response);
    }
  }

  #runIncoming(incoming: MessageQueue): void {
    this.#hasRequest = true;
    this.#incoming = undefined;
    const message = incoming.shift();
    if (this.#stream !== undefined) this.#connection.windows.release(this.#stream, this.#stream.heldBytes);
    if (message instanceof ApiError) this.fail(message);
    else this.run(message);
  }

  /** An answer that has to wait, or is compressed. */
  #queue(sendBody: (stream: Stream) => void): void {
    const connection = this.#connection;
    this.#stream ??= connection.open(this.#streamId, this, false);
    connection.sendHead(this.#stream, headBlock(connection.sender.encoder, this.#head));
    sendBody(this.#stream);
    connection.end(this.#stream, okTrailers);
  }

  #open(isRemoteOpen: boolean, bodyBytes: number | undefined): void {
    this.#stream = this.#connection.open(this.#streamId, this, isRemoteOpen, bodyBytes);
    if (this.deadlineMs !== Number.POSITIVE_INFINITY) this.#host.deadlines.add(this);
  }

  #cancel(): void {
    if (this.#isEnded || this.#isCancelled) return;
    this.#isCancelled = true;
    this.#listeners?.notify();
  }

  #end(
    code: Parameters<Target["metrics"]["handled"]>[0],
    tookMs: number = performance.now() - this.#startMs,
  ): void {
    this.#isEnded = true;
    this.#listeners = undefined;
    this.#incoming = undefined;
    if (this.#stream !== undefined && this.deadlineMs !== Number.POSITIVE_INFINITY) {
      this.#host.deadlines.delete(this);
    }
    this.#target.metrics.handled(code, tookMs / 1000);
  }
}

const noBytes = new Uint8Array(0);
