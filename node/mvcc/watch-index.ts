// Which watchers want an event of a key: a hash map for watchers of one key, an interval map for ranges.
// Watchers of equal ranges share one node, so a thousand of them on one prefix cost one search.

import { IntervalMap } from "../lib/interval-map.ts";
import { type SortKey, sortKeyOf } from "../lib/sorted-map.ts";

export interface WatchRange {
  readonly start: SortKey;
  /** Undefined: every key from `start` on. Without meaning when `isSingleKey`. */
  readonly end: SortKey | undefined;
  readonly isSingleKey: boolean;
}

const zeroKey: Uint8Array = new Uint8Array(1);

/** The key a create request means: an empty one is the smallest key. Permissions are checked on this form. */
export function watchKey(key: Uint8Array): Uint8Array {
  return key.length === 0 ? zeroKey : key;
}

/** The range of a create request in etcd's conventions; undefined if no key can be in it. */
export function watchRange(key: Uint8Array, rangeEnd: Uint8Array): WatchRange | undefined {
  const start = sortKeyOf(watchKey(key));
  if (rangeEnd.length === 0) return { start, end: undefined, isSingleKey: true };
  if (rangeEnd.length === 1 && rangeEnd[0] === 0) return { start, end: undefined, isSingleKey: false };
  const end = sortKeyOf(rangeEnd);
  return start < end ? { start, end, isSingleKey: false } : undefined;
}

export class WatchIndex<W extends { readonly range: WatchRange }> {
  readonly #keys = new Map<SortKey, Set<W>>();
  readonly #ranges = new IntervalMap<Set<W>>();

  add(watcher: W): void {
    const { start, end, isSingleKey } = watcher.range;
    const group = isSingleKey ? this.#keys.get(start) : this.#ranges.get(start, end);
    if (group !== undefined) group.add(watcher);
    else if (isSingleKey) this.#keys.set(start, new Set([watcher]));
    else this.#ranges.set(start, end, new Set([watcher]));
  }

  delete(watcher: W): void {
    const { start, end, isSingleKey } = watcher.range;
    const group = isSingleKey ? this.#keys.get(start) : this.#ranges.get(start, end);
    if (group === undefined) return;
    group.delete(watcher);
    if (group.size > 0) return;
    if (isSingleKey) this.#keys.delete(start);
    else this.#ranges.delete(start, end);
  }

  get isEmpty(): boolean {
    return this.#keys.size === 0 && this.#ranges.size === 0;
  }

  /** The groups of watchers whose range contains `key`, into `found`, which is emptied first. Hot. */
  findGroups(key: Uint8Array, found: Set<W>[]): void {
    found.length = 0;
    if (this.isEmpty) return;
    const sortKey = sortKeyOf(key);
    const group = this.#keys.get(sortKey);
    if (group !== undefined) found.push(group);
    if (this.#ranges.size > 0) this.#ranges.appendContaining(sortKey, found);
  }
}
