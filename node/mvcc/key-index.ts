// The index from user keys to the versions of each, on disk in the member's own buckets.
//
// A key's newest version stands at the key's head, so a put and a read of one key are exact lookups; older
// versions stand in a bucket of their own, newest first, and only compaction removes them. A read at revision R
// takes the head, or the first older version at or below R: the same at every revision, nothing kept in memory.
// Must not know records, transactions or when to compact. Tested against a sorted array of versions.

import { assert } from "../lib/assert.ts";
import type { Backend, BackendReader } from "../lib/backend.ts";
import {
  bucketOf,
  chunkBytesMax,
  endings,
  historyEnd,
  historyKey,
  indexKey,
  type KeyPlace,
  rootTable,
  scratchHistoryKey,
  type Table,
  tableEnd,
  tableStart,
  wholeKey,
} from "./index-key.ts";
import { type Revision, readUint64, writeUint64 } from "./revision.ts";
import { decodeVersion, type RecordId, scratchVersion, type Version } from "./version.ts";

/** In `index_chunks`, below all tables: the id that the next table gets. Ids are never used twice. */
const nextTableKey = new Uint8Array(8);
const tableIdBytes = 8;

/** Undefined where a long key has no table yet. */
export function findPlace(reader: BackendReader, key: Uint8Array): KeyPlace | undefined {
  if (key.length <= chunkBytesMax)
    return { bucket: "index", headKey: wholeKey(rootTable, key, endings.head) };
  let table: Table = rootTable;
  let start = 0;
  while (key.length - start > chunkBytesMax) {
    const end = start + chunkBytesMax;
    const link = reader.get(bucketOf(table), indexKey(table, key, { start, end }, endings.link));
    if (link === undefined) return undefined;
    table = readUint64(link, 0);
    start = end;
  }
  return {
    bucket: bucketOf(table),
    headKey: indexKey(table, key, { start, end: key.length }, endings.head),
  };
}

/** The newest version, a tombstone too; undefined for a key that never was or is forgotten. */
export function headOf(reader: BackendReader, place: KeyPlace): Version | undefined {
  const bytes = reader.get(place.bucket, place.headKey);
  return bytes === undefined ? undefined : decodeVersion(bytes);
}

/** The newest version at or below the revision, a tombstone too. */
export function versionAt(reader: BackendReader, place: KeyPlace, revision: Revision): Version | undefined {
  const head = headOf(reader, place);
  return head === undefined || head.main <= revision ? head : olderVersionAt(reader, place, revision);
}

/** As versionAt for a key whose newest version is above the revision. */
export function olderVersionAt(
  reader: BackendReader,
  place: KeyPlace,
  revision: Revision,
): Version | undefined {
  const cursor = reader.cursor("index_history", {
    start: historyKey(place, revision, 0xffff_ffff),
    end: historyEnd(place),
  });
  const older = cursor.next() ? decodeVersion(cursor.value) : undefined;
  cursor.close();
  return older;
}

/** As versionAt by user key, undefined for a key that does not exist at the revision. */
export function liveVersionAt(
  reader: BackendReader,
  key: Uint8Array,
  revision: Revision,
): Version | undefined {
  const place = findPlace(reader, key);
  const version = place === undefined ? undefined : versionAt(reader, place, revision);
  return version === undefined || version.isTombstone ? undefined : version;
}

/** At most `countMax` versions older than the given one, newest first. */
export function versionsBelow(
  reader: BackendReader,
  place: KeyPlace,
  version: Version,
  countMax: number,
): Version[] {
  const cursor = reader.cursor("index_history", {
    start: historyKey(place, version.main, version.sub),
    end: historyEnd(place),
  });
  const older: Version[] = [];
  while (older.length < countMax && cursor.next()) {
    const found = decodeVersion(cursor.value);
    const isBelow = found.main < version.main || (found.main === version.main && found.sub < version.sub);
    if (isBelow) older.push(found);
  }
  cursor.close();
  return older;
}

/** The writing half. */
export class KeyIndex {
  readonly #backend: Backend;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /** As findPlace, with tables made for a long key. */
  makePlace(key: Uint8Array): KeyPlace {
    if (key.length <= chunkBytesMax) {
      return { bucket: "index", headKey: wholeKey(rootTable, key, endings.head) };
    }
    let table: Table = rootTable;
    let start = 0;
    while (key.length - start > chunkBytesMax) {
      const end = start + chunkBytesMax;
      const linkKey = indexKey(table, key, { start, end }, endings.link);
      let link = this.#backend.get(bucketOf(table), linkKey);
      if (link === undefined) {
        link = this.#takeTableId();
        this.#backend.put(bucketOf(table), linkKey, link);
      }
      table = readUint64(link, 0);
      start = end;
    }
    return {
      bucket: bucketOf(table),
      headKey: indexKey(table, key, { start, end: key.length }, endings.head),
    };
  }

  /** Makes `next` the newest version. `head` is the one that was, which moves behind it. Hot. */
  push(place: KeyPlace, head: Version | undefined, next: Version): void {
    if (head !== undefined) {
      const key = scratchHistoryKey(place, head.main, head.sub);
      this.#backend.put("index_history", key, scratchVersion(head));
    }
    this.#backend.put(place.bucket, place.headKey, scratchVersion(next));
  }

  /** Forgets a version that is not the newest. */
  removeOlder(place: KeyPlace, version: RecordId): void {
    this.#backend.delete("index_history", historyKey(place, version.main, version.sub));
  }

  /** Forgets the newest version when all older ones are gone, and with it the tables only its long key needed. */
  removeLast(key: Uint8Array, place: KeyPlace, version: Version): void {
    assert(versionsBelow(this.#backend, place, version, 1).length === 0, "the newest version goes last", {
      main: version.main,
      sub: version.sub,
    });
    this.#backend.delete(place.bucket, place.headKey);
    if (key.length > chunkBytesMax) this.#pruneTables(key);
  }

  #takeTableId(): Uint8Array {
    const bytes = this.#backend.get("index_chunks", nextTableKey);
    const table = bytes === undefined ? rootTable + 1 : readUint64(bytes, 0);
    const next = new Uint8Array(tableIdBytes);
    writeUint64(next, 0, table + 1);
    this.#backend.put("index_chunks", nextTableKey, next);
    const link = new Uint8Array(tableIdBytes);
    writeUint64(link, 0, table);
    return link;
  }

  /** Removes the links along a long key, innermost first, up to the first table that still holds something. */
  #pruneTables(key: Uint8Array): void {
    const links: { readonly table: Table; readonly linkKey: Uint8Array; readonly child: Table }[] = [];
    let table: Table = rootTable;
    for (let start = 0; key.length - start > chunkBytesMax; start += chunkBytesMax) {
      const linkKey = indexKey(table, key, { start, end: start + chunkBytesMax }, endings.link);
      const link = this.#backend.get(bucketOf(table), linkKey);
      assert(link !== undefined, "the links of an indexed key are there", { table });
      const child = readUint64(link, 0);
      links.push({ table, linkKey, child });
      table = child;
    }
    for (const { table: parent, linkKey, child } of links.reverse()) {
      if (!this.#isEmpty(child)) return;
      this.#backend.delete(bucketOf(parent), linkKey);
    }
  }

  #isEmpty(table: Table): boolean {
    const end = tableEnd(table);
    const cursor = this.#backend.cursor(bucketOf(table), {
      start: tableStart(table),
      ...(end === undefined ? {} : { end }),
    });
    const isEmpty = !cursor.next();
    cursor.close();
    return isEmpty;
  }
}
