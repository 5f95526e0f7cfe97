// Walks the keys that exist at one revision, in key order, through the tables of the index.

import type { BackendReader, Cursor } from "../lib/backend.ts";
import { compareBytes, concatBytes, emptyBytes, equalBytes } from "../lib/bytes.ts";
import {
  bucketOf,
  chunkBytesMax,
  endings,
  indexKey,
  rootTable,
  type Table,
  tableEnd,
  textEnd,
  textOf,
  wholeKey,
} from "./index-key.ts";
import { olderVersionAt } from "./key-index.ts";
import { type Revision, readUint64 } from "./revision.ts";
import { decodeVersion, isTombstoneVersion, mainOfVersion, type Version } from "./version.ts";

export interface WalkRange {
  readonly start: Uint8Array;
  /** Undefined: up to the last key. */
  readonly end: Uint8Array | undefined;
  readonly revision: Revision;
}

/** A walk within one table. The bounds are rests of user keys, without what the links above have eaten. */
interface Frame {
  readonly table: Table;
  /** What the link to this table stands for. The links of a frame and those below it make the keys' common prefix. */
  readonly chunk: Uint8Array;
  readonly start: Uint8Array;
  readonly end: Uint8Array | undefined;
  /** Links behind which a bound goes on. */
  readonly startLink: Uint8Array | undefined;
  readonly endLink: Uint8Array | undefined;
  readonly cursor: Cursor;
}

/**
 * Stands before the first key until `next`. Valid within one slice: after `pause` or a `next` that ran out of
 * entries it holds no cursor, writes may happen, and the following `next` seeks again. Hot.
 */
export class VersionWalk {
  readonly #reader: BackendReader;
  readonly #end: Uint8Array | undefined;
  readonly #revision: Revision;
  readonly #frames: Frame[] = [];
  /** Where the next slice starts; undefined while cursors are open. */
  #resume: Uint8Array | undefined;
  #entriesLeft = Number.POSITIVE_INFINITY;
  /** Whether this slice met a key. It always meets one, however many links lie before it: so slices get on. */
  #hasMoved = false;
  #isDone = false;
  /** The version, decoded when first asked for: counting walks do not ask. */
  #version: Version | undefined;
  #versionBytes: Uint8Array = emptyBytes;
  #entryKey: Uint8Array = emptyBytes;
  #entryTextEnd = 0;

  constructor(reader: BackendReader, range: WalkRange) {
    this.#reader = reader;
    this.#end = range.end;
    this.#revision = range.revision;
    this.#resume = range.start;
    this.#isDone = range.end !== undefined && compareBytes(range.start, range.end) >= 0;
  }

  /** True once every key was met. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** The current key's version at the revision. */
  get version(): Version {
    this.#version ??= decodeVersion(this.#versionBytes);
    return this.#version;
  }

  /** The current key. Builds it anew on each call. */
  key(): Uint8Array {
    const frame = this.#frames[this.#frames.length - 1] as Frame;
    const text = textOf(frame.table, this.#entryKey, this.#entryTextEnd);
    if (this.#frames.length === 1) return text;
    return concatBytes([...this.#frames.map(({ chunk }) => chunk), text]);
  }

  /** Lets the following calls of `next` touch about so many index entries before they stop. */
  allow(entriesMax: number): void {
    this.#entriesLeft = entriesMax;
  }

  /** Moves to the next key that exists at the revision. False at the end and when the slice's entries are spent. */
  next(): boolean {
    if (this.#isDone) return false;
    if (this.#resume !== undefined) {
      const start = this.#resume;
      this.#resume = undefined;
      this.#hasMoved = false;
      this.#push(rootTable, emptyBytes, start, this.#end);
    }
    for (;;) {
      const frame = this.#frames[this.#frames.length - 1];
      if (frame === undefined) {
        this.#isDone = true;
        return false;
      }
      if (!frame.cursor.next()) {
        frame.cursor.close();
        this.#frames.pop();
        continue;
      }
      this.#entriesLeft--;
      const key = frame.cursor.key;
      const end = textEnd(frame.table, key);
      if (key[end + 1] === endings.link) {
        this.#descend(frame, key, end);
        continue;
      }
      this.#entryKey = key;
      this.#entryTextEnd = end;
      if (this.#entriesLeft < 0 && this.#hasMoved) {
        this.#stopAt(this.key());
        return false;
      }
      this.#hasMoved = true;
      if (this.#isLive(frame, key)) return true;
    }
  }

  /** Closes the cursors. The following `next` goes on behind the current key, or where a slice ended. */
  pause(): void {
    if (this.#isDone || this.#resume !== undefined) return;
    this.#stopAt(successor(this.key()));
  }

  /** Ends the walk early. */
  finish(): void {
    this.#closeAll();
    this.#isDone = true;
  }

  /** Whether the key whose head the frame stands on exists at the revision. */
  #isLive(frame: Frame, headKey: Uint8Array): boolean {
    const head = frame.cursor.value;
    if (mainOfVersion(head) <= this.#revision) {
      this.#versionBytes = head;
      this.#version = undefined;
      return !isTombstoneVersion(head);
    }
    this.#entriesLeft--;
    const place = { bucket: bucketOf(frame.table), headKey };
    this.#version = olderVersionAt(this.#reader, place, this.#revision);
    return this.#version !== undefined && !this.#version.isTombstone;
  }

  #stopAt(resume: Uint8Array): void {
    this.#closeAll();
    this.#resume = resume;
  }

  #closeAll(): void {
    for (const frame of this.#frames) frame.cursor.close();
    this.#frames.length = 0;
  }

  #push(table: Table, chunk: Uint8Array, start: Uint8Array, end: Uint8Array | undefined): void {
    const first = { start: 0, end: chunkBytesMax };
    const startLink = start.length > chunkBytesMax ? indexKey(table, start, first, endings.link) : undefined;
    const isEndBehindLink = end !== undefined && end.length > chunkBytesMax;
    let endKey = tableEnd(table);
    if (end !== undefined) {
      endKey = isEndBehindLink
        ? indexKey(table, end, first, endings.behindLink)
        : wholeKey(table, end, endings.none);
    }
    const endLink = isEndBehindLink ? indexKey(table, end, first, endings.link) : undefined;
    const startKey = startLink ?? wholeKey(table, start, endings.none);
    const cursor = this.#open(table, startKey, endKey);
    this.#frames.push({ table, chunk, start, end, startLink, endLink, cursor });
  }

  #descend(frame: Frame, link: Uint8Array, end: number): void {
    const child = readUint64(frame.cursor.value, 0);
    const chunk = textOf(frame.table, link, end);
    const isStart = frame.startLink !== undefined && equalBytes(link, frame.startLink);
    const isEnd = frame.endLink !== undefined && equalBytes(link, frame.endLink);
    const childStart = isStart ? frame.start.subarray(chunkBytesMax) : emptyBytes;
    const childEnd = isEnd ? frame.end?.subarray(chunkBytesMax) : undefined;
    this.#push(child, chunk, childStart, childEnd);
  }

  #open(table: Table, start: Uint8Array, end: Uint8Array | undefined): Cursor {
    return this.#reader.cursor(bucketOf(table), end === undefined ? { start } : { start, end });
  }
}

/** The first key after `key`. */
export function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
