// The body of an answer, whose pieces are made when the client has room for them.

import { Readable } from "node:stream";

export interface PulledBodyOptions {
  /** The next piece, undefined behind the last. */
  readonly next: () => Promise<Uint8Array | undefined>;
  /** Runs once: the body is over, or nobody takes it any more. */
  readonly onGone: () => void;
  /** A client that takes nothing for this long loses the rest. Undefined: it may take its time. */
  readonly stallMs: number | undefined;
  /** Aborted when the client is gone, which may be before anybody reads the body. */
  readonly signal: AbortSignal;
}

export class PulledBody extends Readable {
  readonly #options: PulledBodyOptions;
  readonly #onSignal = (): void => {
    this.destroy();
  };
  #stall: NodeJS.Timeout | undefined;

  constructor(options: PulledBodyOptions) {
    super();
    this.#options = options;
    if (options.signal.aborted) this.destroy();
    else options.signal.addEventListener("abort", this.#onSignal);
  }

  override _read(): void {
    clearTimeout(this.#stall);
    this.#options.next().then(
      (piece) => this.#give(piece),
      (error) => this.destroy(error),
    );
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#stall);
    this.#options.signal.removeEventListener("abort", this.#onSignal);
    this.#options.onGone();
    done(error);
  }

  #give(piece: Uint8Array | undefined): void {
    if (this.destroyed) return;
    const { stallMs } = this.#options;
    if (stallMs !== undefined) {
      this.#stall = setTimeout(() => this.destroy(new Error("the client takes nothing")), stallMs);
    }
    this.push(piece ?? null);
  }
}
