// Gathers what a turn of the event loop wants to send: each connection writes once, when the turn's code has run, or
// earlier: answers come in the order of the requests, so once those of another connection begin, the one before mostly
// has its share, and its client can get to work on it.

export interface Flushable {
  /** What a flush would send. */
  readonly waitingBytes: number;
  flush(): void;
}

/** Less than this is not worth a write of its own before the turn ends. */
const earlyBytesMin = 512;

export class FlushQueue {
  #due: Flushable[] = [];
  #isPlanned = false;

  /** Once a turn for each connection; the connection remembers that it was added. */
  add(connection: Flushable): void {
    const before = this.#due.at(-1);
    if (before !== undefined && before.waitingBytes >= earlyBytesMin) {
      this.#due.pop();
      before.flush();
    }
    this.#due.push(connection);
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    process.nextTick(() => this.#run());
  }

  #run(): void {
    this.#isPlanned = false;
    const due = this.#due;
    this.#due = [];
    for (const connection of due) connection.flush();
  }
}
