// Time as a port. `nowMs` only ever goes forward and measures durations; `wallMs` is what goes into objects that
// others read.

export interface Clock {
  nowMs(): number;
  wallMs(): number;
  /** Calls back once, unless cancelled before. */
  after(delayMs: number, callback: () => void): () => void;
}

/** Resolves after the delay, or at once when the signal is or gets aborted. */
export function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const cancel = clock.after(delayMs, finish);
    signal.addEventListener("abort", finish, { once: true });
    function finish() {
      cancel();
      signal.removeEventListener("abort", finish);
      resolve();
    }
  });
}

/** Numbers in [0, 1). */
export type Random = () => number;
