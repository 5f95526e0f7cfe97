// A map from half-open intervals [start, end) of sort keys to values, which finds all intervals that contain a key
// in O(log n + found): a treap in order of (start, end), where every node knows the largest end below it.
// Priorities are drawn from a fixed seed, so equal histories give equal trees. Tested against a plain list.

import { SeededRandom } from "./random.ts";
import type { SortKey } from "./sorted-map.ts";

/** No end means that every key from `start` on belongs to the interval. */
type End = SortKey | undefined;

interface Node<V> {
  readonly start: SortKey;
  readonly end: End;
  readonly priority: number;
  value: V;
  left: Node<V> | undefined;
  right: Node<V> | undefined;
  /** Invariant: the largest end in this subtree. */
  endMax: End;
}

export class IntervalMap<V> {
  readonly #random = new SeededRandom(1);
  #root: Node<V> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(start: SortKey, end: End): V | undefined {
    let node = this.#root;
    while (node !== undefined) {
      const order = compare(start, end, node);
      if (order === 0) return node.value;
      node = order < 0 ? node.left : node.right;
    }
    return undefined;
  }

  set(start: SortKey, end: End, value: V): void {
    this.#root = this.#insert(this.#root, start, end, value);
  }

  delete(start: SortKey, end: End): void {
    this.#root = this.#remove(this.#root, start, end);
  }

  /** Appends the values of all intervals that contain `key` to `found`, in order of (start, end). Hot. */
  appendContaining(key: SortKey, found: V[]): void {
    appendContaining(this.#root, key, found);
  }

  #insert(node: Node<V> | undefined, start: SortKey, end: End, value: V): Node<V> {
    if (node === undefined) {
      this.#size++;
      const priority = this.#random.bits32();
      return { start, end, priority, value, left: undefined, right: undefined, endMax: end };
    }
    const order = compare(start, end, node);
    if (order === 0) {
      node.value = value;
      return node;
    }
    if (order < 0) {
      const left = this.#insert(node.left, start, end, value);
      node.left = left;
      if (left.priority > node.priority) return rotateRight(node, left);
    } else {
      const right = this.#insert(node.right, start, end, value);
      node.right = right;
      if (right.priority > node.priority) return rotateLeft(node, right);
    }
    updateEndMax(node);
    return node;
  }

  #remove(node: Node<V> | undefined, start: SortKey, end: End): Node<V> | undefined {
    if (node === undefined) return undefined;
    const order = compare(start, end, node);
    if (order === 0) {
      this.#size--;
      return merge(node.left, node.right);
    }
    if (order < 0) node.left = this.#remove(node.left, start, end);
    else node.right = this.#remove(node.right, start, end);
    updateEndMax(node);
    return node;
  }
}

function appendContaining<V>(from: Node<V> | undefined, key: SortKey, found: V[]): void {
  let node = from;
  while (node !== undefined && isBefore(key, node.endMax)) {
    appendContaining(node.left, key, found);
    if (key < node.start) return;
    if (isBefore(key, node.end)) found.push(node.value);
    node = node.right;
  }
}

/** All of `left` is before all of `right`. */
function merge<V>(left: Node<V> | undefined, right: Node<V> | undefined): Node<V> | undefined {
  if (left === undefined) return right;
  if (right === undefined) return left;
  if (left.priority > right.priority) {
    left.right = merge(left.right, right);
    updateEndMax(left);
    return left;
  }
  right.left = merge(left, right.left);
  updateEndMax(right);
  return right;
}

function rotateRight<V>(node: Node<V>, left: Node<V>): Node<V> {
  node.left = left.right;
  left.right = node;
  updateEndMax(node);
  updateEndMax(left);
  return left;
}

function rotateLeft<V>(node: Node<V>, right: Node<V>): Node<V> {
  node.right = right.left;
  right.left = node;
  updateEndMax(node);
  updateEndMax(right);
  return right;
}

function updateEndMax<V>(node: Node<V>): void {
  let endMax = node.end;
  if (node.left !== undefined) endMax = laterEnd(endMax, node.left.endMax);
  if (node.right !== undefined) endMax = laterEnd(endMax, node.right.endMax);
  node.endMax = endMax;
}

function laterEnd(a: End, b: End): End {
  if (a === undefined || b === undefined) return undefined;
  return a < b ? b : a;
}

function isBefore(key: SortKey, end: End): boolean {
  return end === undefined || key < end;
}

function compare<V>(start: SortKey, end: End, node: Node<V>): number {
  if (start !== node.start) return start < node.start ? -1 : 1;
  if (end === node.end) return 0;
  if (end === undefined) return 1;
  return node.end === undefined || end < node.end ? -1 : 1;
}
