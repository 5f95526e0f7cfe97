// Calls that may take longer than a pass over a cluster may wait. A pass that comes back finds the one it began.

export type LongCall = { readonly isOver: false } | { readonly isOver: true; readonly error?: unknown };

/** At most this many are kept; the oldest is forgotten first, and would be begun again. */
const callsMax = 1_000;

export class LongCalls {
  readonly #waitMs: number;
  readonly #running = new Map<string, Promise<LongCall>>();

  constructor(waitMs: number) {
    this.#waitMs = waitMs;
  }

  /** Starts the call unless one of this key is under way, and waits for its end for a limited time. */
  async joinOrStart(key: string, call: () => Promise<void>): Promise<LongCall> {
    const running = this.#running.get(key) ?? this.#start(key, call);
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<LongCall>((resolve) => {
      timer = setTimeout(() => resolve({ isOver: false }), this.#waitMs);
    });
    const outcome = await Promise.race([running, patience]);
    clearTimeout(timer);
    // Its end is told once; the next call of this key is a new one.
    if (outcome.isOver && this.#running.get(key) === running) this.#running.delete(key);
    return outcome;
  }

  #start(key: string, call: () => Promise<void>): Promise<LongCall> {
    const running = call().then(
      (): LongCall => ({ isOver: true }),
      (error: unknown): LongCall => ({ isOver: true, error }),
    );
    this.#running.set(key, running);
    const [oldest] = this.#running.keys();
    if (this.#running.size > callsMax && oldest !== undefined) this.#running.delete(oldest);
    return running;
  }
}
