// The machine's clock. `nowMs` is monotonic, and goes on while the process is stopped.
import type { Clock } from "./clock.ts";

export const realClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
