// Who may use the writer: shared memory between the main thread and the store worker. A process that exits ends its
// workers wherever they are, and one that is stopped inside a transaction keeps LMDB's locks, on which the exit
// itself then hangs. So the exit takes the turn first: it waits for the transaction under way, and no other begins.

const busy = 0;
const idle = 1;
const ended = 2;

export type TurnMemory = SharedArrayBuffer;

export class Turn {
  readonly memory: TurnMemory;
  readonly #state: Int32Array;

  /** The worker has the turn from the start: it opens the environment. */
  constructor(memory: TurnMemory = new SharedArrayBuffer(4)) {
    this.memory = memory;
    this.#state = new Int32Array(memory);
  }

  /** For the worker; false when the process is ending. */
  take(): boolean {
    return Atomics.compareExchange(this.#state, 0, idle, busy) === idle;
  }

  /** For the worker, after `take` or at its start. */
  giveBack(): void {
    Atomics.store(this.#state, 0, idle);
    Atomics.notify(this.#state, 0);
  }

  /** For the main thread, at its end: returns once the worker has finished what it does, or after the time. */
  end(timeoutMs: number): void {
    while (Atomics.compareExchange(this.#state, 0, idle, ended) === busy) {
      if (Atomics.wait(this.#state, 0, busy, timeoutMs) === "timed-out") return;
    }
  }
}
