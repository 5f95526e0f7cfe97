// The machine's clock behind the clock port.

import type { Clock } from "../lib/clock.ts";

export const realClock: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, fn) {
    const timer = setTimeout(fn, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  defer(fn) {
    setImmediate(fn);
  },
};
