// Revisions that someone is still reading at. Compaction may be decided at any time, but what it removes is
// removed only when no pin lies below it.

import { assert } from "../lib/assert.ts";
import type { Revision } from "./revision.ts";

export class Pins {
  readonly #counts = new Map<Revision, number>();

  /** Keeps everything readable at `revision` and above until the returned function is called, once or more. */
  pin(revision: Revision): () => void {
    this.#counts.set(revision, (this.#counts.get(revision) ?? 0) + 1);
    let isPinned = true;
    return () => {
      if (isPinned) this.#unpin(revision);
      isPinned = false;
    };
  }

  /** The lowest pinned revision; infinite when there is none. */
  lowest(): Revision {
    let lowest = Number.POSITIVE_INFINITY;
    for (const revision of this.#counts.keys()) lowest = Math.min(lowest, revision);
    return lowest;
  }

  /** How many pins there are, for a gauge. */
  get count(): number {
    let count = 0;
    for (const pins of this.#counts.values()) count += pins;
    return count;
  }

  #unpin(revision: Revision): void {
    const count = this.#counts.get(revision);
    assert(count !== undefined && count > 0, "only what is pinned is unpinned", { revision });
    if (count === 1) this.#counts.delete(revision);
    else this.#counts.set(revision, count - 1);
  }
}
