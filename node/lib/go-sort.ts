// The order that Go's sort.Sort leaves: a pattern-defeating quicksort (Peters, arXiv:2106.05123), which is
// deterministic but not stable. Where the items of a sorted range compare equal, etcd's answer has them in the
// order that this algorithm happens to leave, so the same steps are taken here. It works in slices.

/** Up to this many items insertion sort is used. */
const insertionMax = 12;
/** From this length on a pivot is the median of medians, and a nearly sorted piece is worth repairing. */
const longLength = 50;
/** Pairs in the wrong order that a repair mends before it gives up. */
const repairsMax = 5;
/** Comparisons that a pivot's choice turns around when everything is in descending order. */
const allTurned = 12;

type Trend = "ascending" | "descending" | "unknown";

interface Pivot {
  readonly at: number;
  readonly trend: Trend;
}

export class GoSort<T> {
  readonly #items: T[];
  readonly #compare: (a: T, b: T) => number;
  readonly #run: Generator<void, void>;
  #comparisonsLeft = 0;
  #isDone = false;

  /** Sorts `items` in place as `step` is called; they belong to this object until it is done. */
  constructor(items: T[], compare: (a: T, b: T) => number) {
    this.#items = items;
    this.#compare = compare;
    const { length } = items;
    this.#run = this.#sort(0, length, bitLength(length));
  }

  /** Works for about so many comparisons; true when everything is in order. */
  step(comparisons: number): boolean {
    this.#comparisonsLeft = comparisons;
    if (!this.#isDone) this.#isDone = this.#run.next().done === true;
    return this.#isDone;
  }

  #less(i: number, j: number): boolean {
    this.#comparisonsLeft--;
    return this.#compare(this.#items[i] as T, this.#items[j] as T) < 0;
  }

  #swap(i: number, j: number): void {
    const item = this.#items[i] as T;
    this.#items[i] = this.#items[j] as T;
    this.#items[j] = item;
  }

  /** Sorts [start, end). After `badChoicesMax` unbalanced partitions heap sort takes over. */
  *#sort(start: number, end: number, badChoicesMax: number): Generator<void, void> {
    let from = start;
    let to = end;
    let badChoicesLeft = badChoicesMax;
    let wasBalanced = true;
    let wasInOrder = true;
    while (to - from > insertionMax) {
      if (this.#comparisonsLeft <= 0) yield;
      if (badChoicesLeft === 0) {
        yield* this.#heapSort(from, to);
        return;
      }
      if (!wasBalanced) {
        this.#scatter(from, to);
        badChoicesLeft--;
      }
      let pivot = this.#choosePivot(from, to);
      if (pivot.trend === "descending") {
        this.#reverse(from, to);
        pivot = { at: to - 1 - (pivot.at - from), trend: "ascending" };
      }
      if (wasBalanced && wasInOrder && pivot.trend === "ascending" && this.#repair(from, to)) return;
      // Nothing here is below the item before it: when the pivot equals that item, so do all that follow up to it.
      if (from > 0 && !this.#less(from - 1, pivot.at)) {
        from = yield* this.#partitionEqual(from, to, pivot.at);
        continue;
      }
      const { middle, isInOrder } = yield* this.#partition(from, to, pivot.at);
      wasInOrder = isInOrder;
      const lower = middle - from;
      const upper = to - middle;
      const balanced = Math.floor((to - from) / 8);
      wasBalanced = Math.min(lower, upper) >= balanced;
      if (lower < upper) {
        yield* this.#sort(from, middle, badChoicesLeft);
        from = middle + 1;
      } else {
        yield* this.#sort(middle + 1, to, badChoicesLeft);
        to = middle;
      }
    }
    this.#insertionSort(from, to);
  }

  #insertionSort(from: number, to: number): void {
    for (let i = from + 1; i < to; i++) {
      for (let j = i; j > from && this.#less(j, j - 1); j--) this.#swap(j, j - 1);
    }
  }

  *#heapSort(from: number, to: number): Generator<void, void> {
    const length = to - from;
    for (let i = Math.floor((length - 1) / 2); i >= 0; i--) {
      this.#sink(from, i, length);
      if (this.#comparisonsLeft <= 0) yield;
    }
    for (let i = length - 1; i >= 0; i--) {
      this.#swap(from, from + i);
      this.#sink(from, 0, i);
      if (this.#comparisonsLeft <= 0) yield;
    }
  }

  /** Restores the heap of `length` items at `from` below its node `at`. */
  #sink(from: number, at: number, length: number): void {
    let node = at;
    for (let child = 2 * node + 1; child < length; child = 2 * node + 1) {
      if (child + 1 < length && this.#less(from + child, from + child + 1)) child++;
      if (!this.#less(from + node, from + child)) return;
      this.#swap(from + node, from + child);
      node = child;
    }
  }

  /** Items below the pivot come before it, all others after it. */
  *#partition(
    from: number,
    to: number,
    pivot: number,
  ): Generator<void, { readonly middle: number; readonly isInOrder: boolean }> {
    this.#swap(from, pivot);
    let i = from + 1;
    let j = to - 1;
    let swaps = 0;
    while (true) {
      while (i <= j && this.#less(i, from)) {
        i++;
        if (this.#comparisonsLeft <= 0) yield;
      }
      while (i <= j && !this.#less(j, from)) {
        j--;
        if (this.#comparisonsLeft <= 0) yield;
      }
      if (i > j) break;
      this.#swap(i++, j--);
      swaps++;
    }
    this.#swap(j, from);
    return { middle: j, isInOrder: swaps === 0 };
  }

  /** Items equal to the pivot come first; answers where the greater ones begin. None is below it. */
  *#partitionEqual(from: number, to: number, pivot: number): Generator<void, number> {
    this.#swap(from, pivot);
    let i = from + 1;
    let j = to - 1;
    while (true) {
      while (i <= j && !this.#less(from, i)) {
        i++;
        if (this.#comparisonsLeft <= 0) yield;
      }
      while (i <= j && this.#less(from, j)) {
        j--;
        if (this.#comparisonsLeft <= 0) yield;
      }
      if (i > j) return i;
      this.#swap(i++, j--);
    }
  }

  /** Sorts a piece in which only a few neighbours are in the wrong order; false when it is not like that. */
  #repair(from: number, to: number): boolean {
    let i = from + 1;
    for (let repairs = 0; repairs < repairsMax; repairs++) {
      while (i < to && !this.#less(i, i - 1)) i++;
      if (i === to) return true;
      if (to - from < longLength) return false;
      this.#swap(i, i - 1);
      // The lower one of the pair goes down to its place, even past `from`, the higher one up to its.
      if (i - from >= 2) {
        for (let j = i - 1; j >= 1 && this.#less(j, j - 1); j--) this.#swap(j, j - 1);
      }
      if (to - i >= 2) {
        for (let j = i + 1; j < to && this.#less(j, j - 1); j++) this.#swap(j, j - 1);
      }
    }
    return false;
  }

  /** Moves three items to places drawn from the length alone, which breaks patterns that make bad pivots. */
  #scatter(from: number, to: number): void {
    const length = to - from;
    if (length < 8) return;
    let state = BigInt(length);
    const mask = (1n << BigInt(bitLength(length))) - 1n;
    const first = from + Math.floor(length / 4) * 2 - 1;
    for (let at = first; at <= first + 2; at++) {
      // xorshift (Marsaglia 2003) with shifts 13, 7, 17.
      state = BigInt.asUintN(64, state ^ (state << 13n));
      state ^= state >> 7n;
      state = BigInt.asUintN(64, state ^ (state << 17n));
      let other = Number(state & mask);
      if (other >= length) other -= length;
      this.#swap(at, from + other);
    }
  }

  /** A median of three, in long pieces of three medians of neighbours; how often they had to be turned is the trend. */
  #choosePivot(from: number, to: number): Pivot {
    const length = to - from;
    const quarter = Math.floor(length / 4);
    let turned = 0;
    const median = (a: number, b: number, c: number): number => {
      let low = a;
      let middle = b;
      let high = c;
      if (this.#less(middle, low)) {
        turned++;
        [low, middle] = [middle, low];
      }
      if (this.#less(high, middle)) {
        turned++;
        [middle, high] = [high, middle];
      }
      if (this.#less(middle, low)) {
        turned++;
        middle = low;
      }
      return middle;
    };
    let i = from + quarter;
    let j = from + quarter * 2;
    let k = from + quarter * 3;
    if (length >= longLength) {
      i = median(i - 1, i, i + 1);
      j = median(j - 1, j, j + 1);
      k = median(k - 1, k, k + 1);
    }
    const at = median(i, j, k);
    return { at, trend: turned === 0 ? "ascending" : turned === allTurned ? "descending" : "unknown" };
  }

  #reverse(from: number, to: number): void {
    for (let i = from, j = to - 1; i < j; i++, j--) this.#swap(i, j);
  }
}

/** A copy in Go's order, made in one go. */
export function goSorted<T>(items: readonly T[], compare: (a: T, b: T) => number): T[] {
  const sorted = [...items];
  const sort = new GoSort(sorted, compare);
  while (!sort.step(Number.MAX_SAFE_INTEGER));
  return sorted;
}

/** Bits that the number takes: 0 for 0, 3 for 4 to 7. */
function bitLength(value: number): number {
  return 32 - Math.clz32(value);
}
