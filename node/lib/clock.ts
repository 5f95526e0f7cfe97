// Time as a port: main.ts gives the machine's clock, the simulator a virtual one.

export interface Timer {
  /** The function will not run after this. Harmless when it already ran. */
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds from an arbitrary start; may have a fraction. Never written to disk. */
  nowMs(): number;
  /** Runs `fn` once, `delayMs` from now at the earliest. */
  after(delayMs: number, fn: () => void): Timer;
  /** Runs `fn` once, soon, after whatever is ready now: how work that was put into slices gives way. */
  defer(fn: () => void): void;
}
