// Watches: one bidirectional stream carries many. Requests and responses run independently: the client's requests
// are read while its queue of responses has room, responses go out as the transport takes them.

import type { WatchResponse } from "../mvcc/watch-response.ts";
import type { WatchStream } from "../mvcc/watch-stream.ts";
import type { OutgoingWatchResponse, WatchRequest } from "../wire/rpc.ts";
import type { Call } from "./call.ts";
import type { MemberApi } from "./member-api.ts";

export class WatchService {
  readonly #api: MemberApi;

  constructor(api: MemberApi) {
    this.#api = api;
  }

  async *watch(requests: AsyncIterable<WatchRequest>, call: Call): AsyncGenerator<OutgoingWatchResponse> {
    const signal = new Signal();
    const stream = this.#api.replica.hub.openStream(() => signal.raise(), this.#api.options.clock.nowMs());
    let failure: { readonly error: unknown } | undefined;
    let isDone = false;
    const end = (): void => {
      isDone = true;
      signal.raise();
    };
    call.onCancel(end);
    // A client that has no more requests goes on receiving, so only a failure or a cancel ends the stream.
    this.#readRequests(requests, stream, signal).catch((error: unknown) => {
      failure = { error };
      end();
    });
    try {
      while (true) {
        const response = stream.next();
        if (response !== undefined) {
          yield this.#outgoing(response);
          signal.lower();
        } else if (failure !== undefined) throw failure.error;
        else if (isDone) return;
        else await signal.wait();
      }
    } finally {
      stream.close();
      signal.raise();
    }
  }

  async #readRequests(
    requests: AsyncIterable<WatchRequest>,
    stream: WatchStream,
    signal: Signal,
  ): Promise<void> {
    for await (const { requestUnion } of requests) {
      switch (requestUnion?.case) {
        case "createRequest":
          stream.create(requestUnion.value);
          break;
        case "cancelRequest":
          stream.cancel(requestUnion.value.watchId);
          break;
        case "progressRequest":
          stream.requestProgress();
          break;
        case undefined:
          break;
      }
      // Answers to requests are not dropped for want of room, so requests wait for the client to read instead.
      while (stream.isCongested) await signal.waitForLower();
    }
  }

  #outgoing(response: WatchResponse): OutgoingWatchResponse {
    const { watchId, created, canceled, cancelReason, fragment, events } = response;
    return {
      header: this.#api.header(response.revision),
      watchId,
      created,
      canceled,
      compactRevision: response.compactRevision,
      cancelReason,
      fragment,
      events,
    };
  }
}

/** Wakes whoever waits for something to read, or for something to have been read. */
class Signal {
  #isRaised = false;
  #onRaise: (() => void) | undefined;
  #onLower: (() => void)[] = [];

  raise(): void {
    this.#isRaised = true;
    this.#onRaise?.();
    this.#onRaise = undefined;
    this.lower();
  }

  lower(): void {
    const waiting = this.#onLower;
    this.#onLower = [];
    for (const wake of waiting) wake();
  }

  async wait(): Promise<void> {
    if (!this.#isRaised) await new Promise<void>((resolve) => (this.#onRaise = resolve));
    this.#isRaised = false;
  }

  waitForLower(): Promise<void> {
    return new Promise((resolve) => this.#onLower.push(resolve));
  }
}
