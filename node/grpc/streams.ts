// The two directions of a streaming call as handlers have them, each with a bound on what waits in memory.

/** A client's messages as an iterable. It ends when the client is done sending, and when the call is cancelled. */
export class RequestReader implements AsyncIterable<unknown>, AsyncIterator<unknown> {
  /** Takes the next message, if one is there; throws what ends the stream. */
  readonly #take: () => { readonly value: unknown } | undefined;
  readonly #onReturn: () => void;
  #isDone = false;
  #want: { resolve(result: IteratorResult<unknown>): void; reject(error: unknown): void } | undefined;

  constructor(take: () => { readonly value: unknown } | undefined, onReturn: () => void) {
    this.#take = take;
    this.#onReturn = onReturn;
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown> {
    return this;
  }

  /** True while the handler waits for a message. */
  get isWaiting(): boolean {
    return this.#want !== undefined;
  }

  /** Hot, and not `async`: that would be two more promises a message. */
  next(): Promise<IteratorResult<unknown>> {
    return new Promise((resolve, reject) => {
      const taken = this.#take();
      if (taken !== undefined) resolve({ done: false, value: taken.value });
      else if (this.#isDone) resolve({ done: true, value: undefined });
      else this.#want = { resolve, reject };
    });
  }

  async return(): Promise<IteratorResult<unknown>> {
    this.finish();
    this.#onReturn();
    return { done: true, value: undefined };
  }

  /** There may be a message. */
  onMessages(): void {
    const want = this.#want;
    if (want === undefined) return;
    try {
      const taken = this.#take();
      if (taken === undefined) return;
      this.#want = undefined;
      want.resolve({ done: false, value: taken.value });
    } catch (error) {
      this.#want = undefined;
      want.reject(error);
    }
  }

  /** No more comes; what is there is still read. */
  finish(): void {
    this.#isDone = true;
    const want = this.#want;
    this.#want = undefined;
    want?.resolve({ done: true, value: undefined });
  }
}
