// The two directions of a streaming call, each with a bound on what waits in memory.

import type { Duplex, Writable } from "node:stream";
import type { GrpcCall } from "./call.ts";

/**
 * Bytes handed to the transport that it has not sent yet. More are not pulled from the handler, so a slow
 * client costs this much and the one message that went over it.
 */
export const unsentBytesMax = 64 * 1024;

/** Sends what a handler yields, pulling the next message only when there is room. */
export class ResponseWriter {
  readonly #stream: Writable;
  readonly #call: GrpcCall;
  #unsentBytes = 0;
  #resume: (() => void) | undefined;

  constructor(stream: Writable, call: GrpcCall) {
    this.#stream = stream;
    this.#call = call;
    call.onCancel(() => this.#wake());
  }

  /** Ends when the handler did, or when the call was cancelled. `encode` runs just before a message is sent. */
  async sendAll(iterator: AsyncIterator<unknown>, encode: (response: unknown) => Buffer): Promise<void> {
    for (;;) {
      const next = await iterator.next();
      if (next.done === true || this.#call.isCancelled) return;
      this.#send(encode(next.value));
      while (this.#unsentBytes > unsentBytesMax && !this.#call.isCancelled) {
        await new Promise<void>((resolve) => {
          this.#resume = resolve;
        });
      }
    }
  }

  #send(message: Buffer): void {
    this.#unsentBytes += message.length;
    this.#stream.write(message, () => {
      this.#unsentBytes -= message.length;
      if (this.#unsentBytes <= unsentBytesMax) this.#wake();
    });
  }

  #wake(): void {
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  }
}

/** Messages read ahead of the handler; the transport is paused when there are as many. */
const requestsAheadMax = 32;

/** A client's messages as an iterable. It ends when the client is done sending, and when the call is cancelled. */
export class RequestReader implements AsyncIterable<unknown>, AsyncIterator<unknown> {
  readonly #stream: Duplex;
  readonly #waiting: unknown[] = [];
  readonly #read: (incoming: unknown) => unknown;
  #isDone = false;
  #failure: unknown;
  #want: { resolve(result: IteratorResult<unknown>): void; reject(error: unknown): void } | undefined;

  /** `read` turns what the transport delivers into a message, or throws what ends the stream. */
  constructor(stream: Duplex, call: GrpcCall, read: (incoming: unknown) => unknown) {
    this.#stream = stream;
    this.#read = read;
    stream.on("data", (incoming: unknown) => this.#receive(incoming));
    // A reset looks like an end first; waiting a turn lets the cancellation behind it be seen as one.
    stream.on("end", () => setImmediate(() => this.#finish(undefined)));
    call.onCancel(() => this.#finish(undefined));
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown> {
    return this;
  }

  next(): Promise<IteratorResult<unknown>> {
    if (this.#waiting.length > 0) {
      const value = this.#waiting.shift();
      if (this.#waiting.length < requestsAheadMax / 2 && this.#stream.isPaused()) this.#stream.resume();
      return Promise.resolve({ done: false, value });
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#isDone) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#want = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<unknown>> {
    this.#waiting.length = 0;
    this.#finish(undefined);
    // What still comes is read and dropped, so that the transport can see the end.
    this.#stream.resume();
    return Promise.resolve({ done: true, value: undefined });
  }

  #receive(incoming: unknown): void {
    if (this.#isDone) return;
    let value: unknown;
    try {
      value = this.#read(incoming);
    } catch (error) {
      this.#finish(error);
      return;
    }
    const want = this.#want;
    if (want !== undefined) {
      this.#want = undefined;
      want.resolve({ done: false, value });
      return;
    }
    this.#waiting.push(value);
    if (this.#waiting.length >= requestsAheadMax) this.#stream.pause();
  }

  #finish(failure: unknown): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#failure = failure;
    const want = this.#want;
    this.#want = undefined;
    if (failure === undefined) want?.resolve({ done: true, value: undefined });
    else want?.reject(failure);
  }
}
