// Time on one connection: our pings to a silent client, and what a client may take its time for.

export interface KeepaliveOptions {
  /** A connection that was silent this long is pinged; zero: never. */
  readonly intervalMs: number;
  /** How long the answer may take. */
  readonly timeoutMs: number;
  /** Clients may ping this often while they have calls. */
  readonly minIntervalMs: number;
}

/** From accepting a connection to its settings. */
const handshakeMsMax = 10_000;
/** From the first byte of a frame, or the first frame of a header block, to its last. */
const frameMsMax = 30_000;
/** A client that takes nothing for this long is gone. */
const stallMsMax = 60_000;

export type Verdict = "fine" | "ping" | "slow" | "gone";

export class Keepalive {
  readonly #options: KeepaliveOptions;
  readonly #startedMs: number;
  #frameBeganMs = 0;
  #congestedMs = 0;
  #lastActiveMs: number;
  #hadBytes = false;
  #pingedMs: number | undefined;

  constructor(options: KeepaliveOptions, nowMs: number) {
    this.#options = options;
    this.#startedMs = nowMs;
    this.#lastActiveMs = nowMs;
  }

  /** Hot: no clock here. */
  onBytes(): void {
    this.#hadBytes = true;
  }

  onFrameBegins(nowMs: number): void {
    this.#frameBeganMs = nowMs;
  }

  onCongested(nowMs: number): void {
    this.#congestedMs = nowMs;
  }

  sweep(
    nowMs: number,
    state: { readonly isHandshakeOpen: boolean; readonly isFrameOpen: boolean; readonly isStalled: boolean },
  ): Verdict {
    if (state.isHandshakeOpen && nowMs - this.#startedMs > handshakeMsMax) return "slow";
    if (state.isFrameOpen && nowMs - this.#frameBeganMs > frameMsMax) return "slow";
    if (state.isStalled) return nowMs - this.#congestedMs > stallMsMax ? "gone" : "fine";
    if (this.#hadBytes) {
      this.#hadBytes = false;
      this.#pingedMs = undefined;
      this.#lastActiveMs = nowMs;
      return "fine";
    }
    const { intervalMs, timeoutMs } = this.#options;
    if (this.#pingedMs !== undefined) return nowMs - this.#pingedMs > timeoutMs ? "gone" : "fine";
    if (intervalMs <= 0 || nowMs - this.#lastActiveMs < intervalMs) return "fine";
    this.#pingedMs = nowMs;
    return "ping";
  }
}
