// How often a client may do what costs us and gains it nothing. Beyond that its connection ends.

import { TokenBucket } from "./token-bucket.ts";

/** Streams that the client reset or had reset: calls that were begun for nothing (rapid reset). */
const resets = { burst: 2000, perSecond: 200 } as const;
/** Frames without effect: settings again and again, empty bodies, priorities, unknown types, tiny continuations. */
const glitches = { burst: 1000, perSecond: 100 } as const;

export class Abuse {
  readonly #resets: TokenBucket;
  readonly #glitches: TokenBucket;

  constructor(nowMs: number) {
    this.#resets = new TokenBucket(resets, nowMs);
    this.#glitches = new TokenBucket(glitches, nowMs);
  }

  /** False: too many. */
  onReset(nowMs: number): boolean {
    return this.#resets.take(nowMs);
  }

  /** False: too many. */
  onGlitch(nowMs: number): boolean {
    return this.#glitches.take(nowMs);
  }
}
