// Requests on their way to Raft: encoded, and waiting for the turn to end or for a leader. Bounded in bytes. One whose
// time is over is never proposed: its client was told so.

export class Unproposed {
  readonly #bytesMax: number;
  // Invariant: as long as each other, in the order of arrival; those before #first were taken back.
  #requests: number[] = [];
  #entries: Uint8Array[] = [];
  #first = 0;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get isEmpty(): boolean {
    return this.#first === this.#entries.length;
  }

  get count(): number {
    return this.#entries.length - this.#first;
  }

  /** In the order in which they go to Raft. */
  get entries(): readonly Uint8Array[] {
    return this.#first === 0 ? this.#entries : this.#entries.slice(this.#first);
  }

  hasRoom(bytes: number): boolean {
    return this.#bytes + bytes <= this.#bytesMax;
  }

  // Hot.
  push(request: number, entry: Uint8Array): void {
    this.#requests.push(request);
    this.#entries.push(entry);
    this.#bytes += entry.length;
  }

  /** Raft has taken all of them. */
  clear(): void {
    this.#requests = [];
    this.#entries = [];
    this.#first = 0;
    this.#bytes = 0;
  }

  /**
   * Takes back the request that expires now. Requests expire in the order of their arrival, so one that is here is
   * the first. False: it is not here any more.
   */
  takeBack(request: number): boolean {
    if (this.#requests[this.#first] !== request) return false;
    this.#bytes -= this.#entries[this.#first]?.length ?? 0;
    this.#first++;
    if (this.isEmpty) this.clear();
    return true;
  }
}
