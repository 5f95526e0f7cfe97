// Gathers what a turn of the event loop wants to send: each connection writes once, when the turn's code has run.

export interface Flushable {
  flush(): void;
}

export class FlushQueue {
  #due: Flushable[] = [];
  #isPlanned = false;

  /** Once a turn for each connection; the connection remembers that it was added. */
  add(connection: Flushable): void {
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
