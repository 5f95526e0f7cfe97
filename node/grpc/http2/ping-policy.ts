// Pings of clients, judged as a Go server does: more than two that come too early, with nothing sent to the client
// in between, and the connection ends.

const strikesMax = 2;
/** How often a client without calls may ping. */
const idleIntervalMs = 2 * 60 * 60 * 1000;

export class PingPolicy {
  readonly #minIntervalMs: number;
  #strikes = 0;
  #lastMs = Number.NEGATIVE_INFINITY;
  #wasAnswered = true;

  constructor(minIntervalMs: number) {
    this.#minIntervalMs = minIntervalMs;
  }

  /** Headers or a body went to the client, which may ping for that. */
  onSent(): void {
    this.#wasAnswered = true;
  }

  /** False when the client pings too often. */
  onPing(nowMs: number, hasCalls: boolean): boolean {
    const intervalMs = nowMs - this.#lastMs;
    this.#lastMs = nowMs;
    if (this.#wasAnswered) {
      this.#wasAnswered = false;
      this.#strikes = 0;
      return true;
    }
    if (intervalMs < (hasCalls ? this.#minIntervalMs : idleIntervalMs)) this.#strikes += 1;
    return this.#strikes <= strikesMax;
  }
}
