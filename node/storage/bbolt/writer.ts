// Writes a bbolt file from sorted records, bottom-up: a leaf goes out when it is full, and its first key and page
// number wait in the branch above, so memory is one open page a level whatever the size of the file. Pages come in
// the order of their numbers, from page 2 on; the two meta pages, which stand first, are known at the end.
//
// It knows nothing of etcd's buckets or of files. Tested by reading back, and by bbolt's own check.

import { assert, must } from "../../lib/assert.ts";
import { compareBytes, utf8 } from "../../lib/bytes.ts";
import {
  bucketFlag,
  bucketHeaderBytes,
  defaultPageBytes,
  elementBytes,
  encodeMetaPage,
  pageFlags,
  pageHeaderBytes,
} from "./format.ts";

const metaPages = 2;
export const metaPagesBytes = metaPages * defaultPageBytes;
/** bbolt's limit. */
const keyBytesMax = 32_768;

/** A page under construction: records of a leaf, or the children of a branch. */
class OpenPage {
  readonly isLeaf: boolean;
  readonly keys: Uint8Array[] = [];
  readonly values: Uint8Array[] = [];
  readonly children: number[] = [];
  bytes = pageHeaderBytes;

  constructor(isLeaf: boolean) {
    this.isLeaf = isLeaf;
  }

  hasRoomFor(bytes: number): boolean {
    return this.keys.length === 0 || this.bytes + elementBytes + bytes <= defaultPageBytes;
  }

  addRecord(key: Uint8Array, value: Uint8Array): void {
    this.keys.push(key);
    this.values.push(value);
    this.bytes += elementBytes + key.length + value.length;
  }

  addChild(key: Uint8Array, page: number): void {
    this.keys.push(key);
    this.children.push(page);
    this.bytes += elementBytes + key.length;
  }

  clear(): void {
    this.keys.length = 0;
    this.values.length = 0;
    this.children.length = 0;
    this.bytes = pageHeaderBytes;
  }
}

export class BoltWriter {
  readonly #emit: (pages: Uint8Array) => void;
  /** Roots of the finished buckets, by name. */
  readonly #buckets: { readonly name: Uint8Array; readonly root: number }[] = [];
  #nextPage = metaPages;
  #name: Uint8Array | undefined;
  /** The open pages of the bucket being written, leaves first. */
  #levels: OpenPage[] = [];
  #lastKey: Uint8Array | undefined;

  /** `emit` takes whole pages, in the order of the file, from `metaPagesBytes` on. They are its own. */
  constructor(emit: (pages: Uint8Array) => void) {
    this.#emit = emit;
  }

  /** Ends the bucket before. Buckets come in the byte order of their names. */
  beginBucket(name: string): void {
    this.#endBucket();
    this.#name = utf8(name);
    const before = this.#buckets.at(-1)?.name;
    assert(before === undefined || compareBytes(before, this.#name) < 0, "buckets are in order", { name });
    this.#levels = [new OpenPage(true)];
    this.#lastKey = undefined;
  }

  /** Adds a record to the bucket; keys ascend. Both are read until the page they are on is full. Hot. */
  add(key: Uint8Array, value: Uint8Array): void {
    assert(key.length > 0 && key.length <= keyBytesMax, "bbolt takes this key", { bytes: key.length });
    const last = this.#lastKey;
    assert(last === undefined || compareBytes(last, key) < 0, "records are in order");
    this.#lastKey = key;
    const leaf = must(this.#levels[0], "a bucket was begun");
    if (!leaf.hasRoomFor(key.length + value.length)) this.#close(0);
    leaf.addRecord(key, value);
  }

  /** Ends the last bucket and answers with the two pages that stand first. */
  finish(): Uint8Array {
    this.#endBucket();
    const rootPage = this.#writeRoot();
    const meta = { pageBytes: defaultPageBytes, rootPage, pages: this.#nextPage };
    const pages = new Uint8Array(metaPagesBytes);
    // A transaction writes the page of its own parity, so the next one leaves the newer of these alone.
    pages.set(encodeMetaPage(0, { ...meta, transactionId: 2 }));
    pages.set(encodeMetaPage(1, { ...meta, transactionId: 1 }), defaultPageBytes);
    return pages;
  }

  #endBucket(): void {
    if (this.#name === undefined) return;
    let level = 0;
    for (; level < this.#levels.length - 1; level++) this.#close(level);
    this.#buckets.push({ name: this.#name, root: this.#flush(level) });
    this.#name = undefined;
  }

  /** Writes a level's open page and notes it in the level above. */
  #close(level: number): void {
    const firstKey = must(this.#levels[level]?.keys[0], "only a root is empty");
    this.#addChild(level + 1, firstKey, this.#flush(level));
  }

  #flush(level: number): number {
    const page = must(this.#levels[level], "the level is open");
    const number = this.#write(page, 0);
    page.clear();
    return number;
  }

  #addChild(level: number, key: Uint8Array, page: number): void {
    this.#levels[level] ??= new OpenPage(false);
    const branch = must(this.#levels[level], "the level is open");
    if (!branch.hasRoomFor(key.length)) this.#close(level);
    branch.addChild(key, page);
  }

  #writeRoot(): number {
    const page = new OpenPage(true);
    for (const { name, root } of this.#buckets) {
      const value = new Uint8Array(bucketHeaderBytes);
      new DataView(value.buffer).setBigUint64(0, BigInt(root), true);
      page.addRecord(name, value);
    }
    assert(page.bytes <= defaultPageBytes, "all buckets stand on one page", { buckets: page.keys.length });
    return this.#write(page, bucketFlag);
  }

  /** Hot. */
  #write({ isLeaf, keys, values, children, bytes }: OpenPage, recordFlag: number): number {
    const number = this.#nextPage;
    const count = Math.ceil(bytes / defaultPageBytes);
    this.#nextPage += count;
    const target = new Uint8Array(count * defaultPageBytes);
    const view = new DataView(target.buffer);
    view.setBigUint64(0, BigInt(number), true);
    view.setUint16(8, isLeaf ? pageFlags.leaf : pageFlags.branch, true);
    view.setUint16(10, keys.length, true);
    view.setUint32(12, count - 1, true);
    let element = pageHeaderBytes;
    let at = pageHeaderBytes + keys.length * elementBytes;
    for (let i = 0; i < keys.length; i++, element += elementBytes) {
      const key = keys[i] as Uint8Array;
      if (isLeaf) {
        const value = values[i] as Uint8Array;
        view.setUint32(element, recordFlag, true);
        view.setUint32(element + 4, at - element, true);
        view.setUint32(element + 8, key.length, true);
        view.setUint32(element + 12, value.length, true);
        target.set(key, at);
        target.set(value, at + key.length);
        at += key.length + value.length;
      } else {
        view.setUint32(element, at - element, true);
        view.setUint32(element + 4, key.length, true);
        view.setBigUint64(element + 8, BigInt(children[i] as number), true);
        target.set(key, at);
        at += key.length;
      }
    }
    this.#emit(target);
    return number;
  }
}
