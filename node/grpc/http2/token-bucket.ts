// Bounds how often something may happen: so many times at once, and then so many a second.

export class TokenBucket {
  readonly #burst: number;
  readonly #perSecond: number;
  #tokens: number;
  #sinceMs: number;

  constructor({ burst, perSecond }: { readonly burst: number; readonly perSecond: number }, nowMs: number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#tokens = burst;
    this.#sinceMs = nowMs;
  }

  /** False when it happened too often. */
  take(nowMs: number): boolean {
    if (this.#tokens < 1) {
      const earned = ((nowMs - this.#sinceMs) / 1000) * this.#perSecond;
      this.#tokens = Math.min(this.#burst, this.#tokens + earned);
      this.#sinceMs = nowMs;
      if (this.#tokens < 1) return false;
    }
    this.#tokens -= 1;
    return true;
  }
}
