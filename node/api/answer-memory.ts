// The memory that the answers to long ranges take together, from the first record that is read until the last byte has
// left or nobody waits for it any more. Many large ranges at once would otherwise take the member down: N times what one
// answer takes. Beyond the bound a range is refused, and a range that is alone is never refused, whatever its size.

import { assert } from "../lib/assert.ts";

/** What an answer holds. Whoever opened it releases it, once or more. */
export interface AnswerShare {
  /** Says how many bytes it holds now. False: there is no room, and it has to be given up. */
  hold(bytes: number): boolean;
  release(): void;
}

export class AnswerMemory {
  readonly #bytesMax: number;
  readonly #shares = new Set<AnswerShare>();
  #bytes = 0;

  constructor(bytesMax: number) {
    assert(bytesMax > 0, "answers have some room", { bytesMax });
    this.#bytesMax = bytesMax;
  }

  /** Of all answers together. */
  get bytes(): number {
    return this.#bytes;
  }

  open(): AnswerShare {
    let held = 0;
    const share: AnswerShare = {
      hold: (bytes) => {
        const grown = this.#bytes + bytes - held;
        if (grown > this.#bytesMax && this.#shares.size > 1) return false;
        this.#bytes = grown;
        held = bytes;
        return true;
      },
      release: () => {
        if (!this.#shares.delete(share)) return;
        this.#bytes -= held;
      },
    };
    this.#shares.add(share);
    return share;
  }
}
