// A store that nobody would ship: every version of every key in one array, searched from front to back. The tests
// hold the real one against it.

import { compareBytes, equalBytes } from "../lib/bytes.ts";
import { updateCrc32c } from "../lib/crc32c.ts";
import { goSorted } from "../lib/go-sort.ts";
import { type LeaseId, noLease } from "../lib/ids.ts";
import { encodeKeyValue } from "../wire/hot-kv.ts";
import { type RangeRequest, sortOrders, sortTargets } from "./range.ts";
import { recordKey } from "./revision.ts";

export interface ModelVersion {
  readonly key: Uint8Array;
  readonly main: number;
  readonly sub: number;
  readonly isTombstone: boolean;
  readonly createRevision: number;
  readonly version: number;
  readonly value: Uint8Array;
  readonly lease: LeaseId;
}

export class StoreModel {
  /** In the order in which they were written, compacted ones included. */
  readonly versions: ModelVersion[] = [];
  currentRevision = 1;
  compactRevision = -1;
  #subs = 0;

  beginWrite(): void {
    this.#subs = 0;
  }

  /** What a read inside the transaction sees as newest. */
  get openRevision(): number {
    return this.currentRevision + (this.#subs > 0 ? 1 : 0);
  }

  endWrite(): void {
    this.currentRevision = this.openRevision;
    this.#subs = 0;
  }

  put(key: Uint8Array, value: Uint8Array, lease: LeaseId): void {
    const before = this.at(key, this.currentRevision + 1);
    const main = this.currentRevision + 1;
    this.versions.push({
      key,
      main,
      sub: this.#subs++,
      isTombstone: false,
      createRevision: before?.createRevision ?? main,
      version: (before?.version ?? 0) + 1,
      value,
      lease,
    });
  }

  deleteRange(key: Uint8Array, end: Uint8Array | undefined): readonly ModelVersion[] {
    const deleted = this.live(key, end, this.openRevision);
    for (const { key: deletedKey } of deleted) {
      this.versions.push({
        key: deletedKey,
        main: this.currentRevision + 1,
        sub: this.#subs++,
        isTombstone: true,
        createRevision: 0,
        version: 0,
        value: new Uint8Array(0),
        lease: noLease,
      });
    }
    return deleted;
  }

  at(key: Uint8Array, revision: number): ModelVersion | undefined {
    const newest = this.versions.findLast((v) => v.main <= revision && equalBytes(v.key, key));
    return newest?.isTombstone ? undefined : newest;
  }

  /** Keys in [start, end) that exist at the revision, in key order. */
  live(start: Uint8Array, end: Uint8Array | undefined, revision: number): ModelVersion[] {
    const newest = new Map<string, ModelVersion>();
    for (const version of this.versions) {
      const isInRange =
        compareBytes(version.key, start) >= 0 && (end === undefined || compareBytes(version.key, end) < 0);
      if (isInRange && version.main <= revision) newest.set(version.key.join(), version);
    }
    return [...newest.values()].filter((v) => !v.isTombstone).sort((a, b) => compareBytes(a.key, b.key));
  }

  /** `end` is the bound that the request's range end stands for. */
  range(request: RangeRequest, end: Uint8Array | undefined, newest: number) {
    const revision = request.revision > 0 ? request.revision : newest;
    if (revision > newest) return { ok: false, reason: "future", currentRevision: newest };
    if (revision < this.compactRevision) {
      return { ok: false, reason: "compacted", compactRevision: this.compactRevision };
    }
    const all = this.live(request.key, end, revision);
    const answer = { ok: true, revision: newest, count: all.length };
    if (request.countOnly) return { ...answer, kvs: [], more: false };
    const hasFilter = !passesAll(request);
    let items = all;
    if (request.limit > 0 && request.sortOrder === sortOrders.none && !hasFilter) {
      items = items.slice(0, request.limit + 1);
    }
    items = items.filter((v) => passes(request, v));
    if (request.sortOrder !== sortOrders.none || request.sortTarget !== sortTargets.key) {
      items = goSorted(items, (a, b) => compare(request, a, b));
    }
    const more = request.limit > 0 && items.length > request.limit;
    if (more) items = items.slice(0, request.limit);
    const kvs = items.map((v) => encoded(request.keysOnly ? { ...v, value: new Uint8Array(0) } : v));
    return { ...answer, kvs, more };
  }

  /** The records that a finished compaction leaves. */
  stored(): ModelVersion[] {
    const newest = new Map<string, ModelVersion>();
    for (const version of this.versions) {
      if (version.main <= this.compactRevision) newest.set(version.key.join(), version);
    }
    return this.versions.filter((v) => {
      if (v.main > this.compactRevision) return true;
      return newest.get(v.key.join()) === v && (!v.isTombstone || v.main === this.compactRevision);
    });
  }

  /** HashKV by etcd's rule, on what a finished compaction leaves. */
  hashKv(revision: number): number {
    const keep = new Set(this.live(new Uint8Array(0), undefined, revision));
    let crc = updateCrc32c(0, new TextEncoder().encode("key"));
    for (const version of this.stored()) {
      if (version.main > revision) continue;
      if (version.main <= this.compactRevision && keep.size > 0 && !keep.has(version)) continue;
      if (version.main === this.compactRevision && version.isTombstone) continue;
      crc = updateCrc32c(crc, recordKey(version.main, version.sub, version.isTombstone));
      crc = updateCrc32c(crc, encoded(version));
    }
    return crc;
  }
}

export function encoded(version: ModelVersion): Uint8Array {
  const { key, createRevision, main, isTombstone, version: count, value, lease } = version;
  return encodeKeyValue({
    key,
    createRevision,
    modRevision: isTombstone ? 0 : main,
    version: count,
    value,
    lease,
  });
}

function passes(request: RangeRequest, v: ModelVersion): boolean {
  if (request.minModRevision !== 0 && v.main < request.minModRevision) return false;
  if (request.maxModRevision !== 0 && v.main > request.maxModRevision) return false;
  if (request.minCreateRevision !== 0 && v.createRevision < request.minCreateRevision) return false;
  return !(request.maxCreateRevision !== 0 && v.createRevision > request.maxCreateRevision);
}

function passesAll(request: RangeRequest): boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  return [minModRevision, maxModRevision, minCreateRevision, maxCreateRevision].every((bound) => bound === 0);
}

function compare(request: RangeRequest, a: ModelVersion, b: ModelVersion): number {
  const sign = request.sortOrder === sortOrders.descend ? -1 : 1;
  switch (request.sortTarget) {
    case sortTargets.version:
      return sign * (a.version - b.version);
    case sortTargets.create:
      return sign * (a.createRevision - b.createRevision);
    case sortTargets.mod:
      return sign * (a.main - b.main);
    case sortTargets.value:
      return sign * compareBytes(a.value, b.value);
    default:
      return sign * compareBytes(a.key, b.key);
  }
}
