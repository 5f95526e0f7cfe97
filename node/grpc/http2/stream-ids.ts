// What is known of streams that are not open: the last one, those that were left out, those that we reset.

/** Clients count up by two; one that leaves many gaps is told less exactly what it did wrong. */
const gapsMax = 16;
/** Streams whose late frames are ignored: as many as can be on their way when we reset them. */
const resetsMax = 1000;

export class StreamIds {
  last = 0;
  /** How many were opened. */
  count = 0;
  /** Ids that were passed over, as [start, end). */
  readonly #gaps: (readonly [start: number, end: number])[] = [];
  readonly #reset = new Set<number>();

  open(id: number): void {
    if (id > this.last + 2 && this.last > 0) {
      this.#gaps.push([this.last + 1, id]);
      if (this.#gaps.length > gapsMax) this.#gaps.shift();
    }
    this.last = id;
    this.count += 1;
  }

  /** The id is below the last one and was never used. */
  wasSkipped(id: number): boolean {
    return this.#gaps.some(([start, end]) => start <= id && id < end);
  }

  reset(id: number): void {
    this.#reset.add(id);
    if (this.#reset.size <= resetsMax) return;
    for (const oldest of this.#reset) {
      this.#reset.delete(oldest);
      return;
    }
  }

  wasReset(id: number): boolean {
    return this.#reset.has(id);
  }
}
