// Remembers how many keys lie behind a page, so that reading a range page by page counts it once and not once a
// page. A count at a finished revision never changes while the store is the same; the oldest goes first.

import { sortKeyOf } from "../lib/sorted-map.ts";
import type { Revision } from "./revision.ts";

const entriesMax = 1024;
/** Longer keys are not worth the memory. */
const keyBytesMax = 1024;

export interface CountedRange {
  readonly revision: Revision;
  readonly start: Uint8Array;
  /** As in a request. */
  readonly end: Uint8Array;
}

export class CountMemo {
  readonly #counts = new Map<string, number>();

  get(range: CountedRange): number | undefined {
    return this.#counts.size === 0 ? undefined : this.#counts.get(nameOf(range));
  }

  clear(): void {
    this.#counts.clear();
  }

  set(range: CountedRange, count: number): void {
    if (range.start.length + range.end.length > keyBytesMax) return;
    const name = nameOf(range);
    this.#counts.delete(name);
    this.#counts.set(name, count);
    if (this.#counts.size <= entriesMax) return;
    for (const oldest of this.#counts.keys()) {
      this.#counts.delete(oldest);
      return;
    }
  }
}

/** The length keeps start and end apart. */
function nameOf({ revision, start, end }: CountedRange): string {
  return `${revision} ${start.length} ${sortKeyOf(start)}${sortKeyOf(end)}`;
}
