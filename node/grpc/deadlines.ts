// Deadlines of calls. Most calls end long before theirs, so there is no timer for each: those that wait are looked
// through every few milliseconds.

export interface Mortal {
  readonly deadlineMs: number;
  onDeadline(): void;
}

const intervalMs = 5;

export class Deadlines {
  readonly #waiting = new Set<Mortal>();
  #timer: NodeJS.Timeout | undefined;

  add(call: Mortal): void {
    this.#waiting.add(call);
    this.#timer ??= setInterval(() => this.#look(), intervalMs);
  }

  delete(call: Mortal): void {
    this.#waiting.delete(call);
  }

  #look(): void {
    const nowMs = performance.now();
    for (const call of this.#waiting) {
      if (call.deadlineMs > nowMs) continue;
      this.#waiting.delete(call);
      call.onDeadline();
    }
    if (this.#waiting.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
