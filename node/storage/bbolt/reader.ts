// Reads a bbolt file of any page size: buckets and their records in order, with a page at a time in memory.
//
// Nothing in the file is trusted: every number is checked against the file before it is used, keys must ascend,
// and no page is read twice in one walk, so a damaged file ends in a BoltError, never in a loop.

import { compareBytes, textOf } from "../../lib/bytes.ts";
import {
  BoltError,
  bucketFlag,
  bucketHeaderBytes,
  decodeMeta,
  elementBytes,
  type Meta,
  metaBytes,
  pageFlags,
  pageHeaderBytes,
} from "./format.ts";

/** Where the file's bytes come from. */
export interface ByteSource {
  readonly bytes: number;
  /** Fills `target` from `position` on and returns how many bytes there were. */
  read(target: Uint8Array, position: number): number;
}

export interface BoltRecord {
  /** Both are views of memory of their own, which nothing changes. */
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

interface Bucket {
  readonly name: string;
  /** Zero: the value's rest is the bucket's only leaf. */
  readonly root: number;
  readonly inline: Uint8Array;
}

interface Page {
  readonly number: number;
  readonly isLeaf: boolean;
  readonly count: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

interface Element {
  readonly flags: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export class BoltReader {
  readonly #source: ByteSource;
  readonly #meta: Meta;
  readonly #buckets: readonly Bucket[];

  /** Throws BoltError. */
  constructor(source: ByteSource) {
    this.#source = source;
    this.#meta = readMeta(source);
    const { pages, pageBytes } = this.#meta;
    if (pages * pageBytes > source.bytes) {
      throw new BoltError(`the file has ${source.bytes} bytes, its ${pages} pages take ${pages * pageBytes}`);
    }
    this.#buckets = [...this.#readBuckets(new PageSet(pages))];
  }

  /** What the pages take; a file may be longer. */
  get bytes(): number {
    return this.#meta.pages * this.#meta.pageBytes;
  }

  /** In byte order. */
  get bucketNames(): readonly string[] {
    return this.#buckets.map(({ name }) => name);
  }

  /** The records of a bucket, none for one that is not there. Throws BoltError on the way. */
  *records(name: string): Generator<BoltRecord, void, undefined> {
    const bucket = this.#buckets.find((one) => one.name === name);
    if (bucket === undefined) return;
    for (const { flags, key, value } of this.#elementsOf(bucket, new PageSet(this.#meta.pages))) {
      if (flags !== 0) throw new BoltError(`bucket "${name}" holds a bucket of its own`);
      yield { key, value };
    }
  }

  /** The greatest key of a bucket, read without the others; undefined in an empty one. Throws BoltError. */
  lastKey(name: string): Uint8Array | undefined {
    const bucket = this.#buckets.find((one) => one.name === name);
    if (bucket === undefined) return undefined;
    const seen = new PageSet(this.#meta.pages);
    if (bucket.root === 0) return [...this.#elementsOf(bucket, seen)].at(-1)?.key;
    let page = this.#readPage(bucket.root, seen);
    // No page is met twice, so this ends.
    while (!page.isLeaf) {
      if (page.count === 0) throw new BoltError(`page ${page.number} is a branch without children`);
      page = this.#readPage(childOf(page, page.count - 1), seen);
    }
    return [...leafElements(page, undefined)].at(-1)?.key;
  }

  *#readBuckets(seen: PageSet): Generator<Bucket, void, undefined> {
    for (const { flags, key, value } of this.#walk(
      { number: this.#meta.rootPage, depth: 0 },
      seen,
      undefined,
    )) {
      const name = textOf(key);
      if ((flags & bucketFlag) === 0 || value.length < bucketHeaderBytes) {
        throw new BoltError(`"${name}" among the buckets is none`);
      }
      const root = pageNumber(new DataView(value.buffer, value.byteOffset, value.length), 0);
      yield { name, root, inline: value.subarray(bucketHeaderBytes) };
    }
  }

  *#elementsOf({ name, root, inline }: Bucket, seen: PageSet): Generator<Element, void, undefined> {
    if (root !== 0) {
      yield* this.#walk({ number: root, depth: 0 }, seen, undefined);
      return;
    }
    if (inline.length < pageHeaderBytes) throw new BoltError(`bucket "${name}" has no page`);
    const page = parsePage(inline, 0);
    if (!page.isLeaf) throw new BoltError(`bucket "${name}" has an inline page that is no leaf`);
    yield* leafElements(page, undefined);
  }

  /** The records below a page. `after`: the last key before them. Answers with the last key met. */
  *#walk(
    { number, depth }: { readonly number: number; readonly depth: number },
    seen: PageSet,
    after: Uint8Array | undefined,
  ): Generator<Element, Uint8Array | undefined, undefined> {
    const page = this.#readPage(number, seen);
    if (page.isLeaf) return yield* leafElements(page, after);
    if (depth === depthMax) throw new BoltError(`page ${number} is a branch ${depth} levels below the root`);
    let last = after;
    for (let i = 0; i < page.count; i++) {
      last = yield* this.#walk({ number: childOf(page, i), depth: depth + 1 }, seen, last);
    }
    return last;
  }

  #readPage(number: number, seen: PageSet): Page {
    const { pages, pageBytes } = this.#meta;
    const first = this.#readPages(number, 1);
    const overflow = new DataView(first.buffer).getUint32(12, true);
    if (number + overflow >= pages || overflow * pageBytes >= runBytesMax) {
      throw new BoltError(`page ${number} is said to have ${overflow} more behind it, of ${pages} in all`);
    }
    for (let one = number; one <= number + overflow; one++) {
      if (!seen.add(one)) throw new BoltError(`page ${one} is used twice`);
    }
    const page = parsePage(overflow === 0 ? first : this.#readPages(number, 1 + overflow), number);
    if (page.bytes.length !== (1 + overflow) * pageBytes) throw new BoltError(`page ${number} is cut short`);
    return page;
  }

  #readPages(number: number, count: number): Uint8Array<ArrayBuffer> {
    const { pages, pageBytes } = this.#meta;
    if (number < 2 || number >= pages) throw new BoltError(`page ${number} is outside of ${pages} pages`);
    const bytes = new Uint8Array(count * pageBytes);
    const read = this.#source.read(bytes, number * pageBytes);
    if (read < bytes.length) throw new BoltError(`page ${number} is cut short`);
    return bytes;
  }
}

/** Far above what any file needs: a branch has dozens of children. */
const depthMax = 64;
/** bbolt's limit of a value, and of what one page can therefore take. */
const runBytesMax = 2 ** 31;

/** Which pages a walk has met. */
class PageSet {
  readonly #bits: Uint8Array;

  constructor(pages: number) {
    this.#bits = new Uint8Array(Math.ceil(pages / 8));
  }

  /** False when the page was there already. */
  add(page: number): boolean {
    const at = Math.floor(page / 8);
    const bit = 1 << (page % 8);
    const before = this.#bits[at] as number;
    this.#bits[at] = before | bit;
    return (before & bit) === 0;
  }
}

/** The newer of the two meta records that are sound. The second stands one page on, whatever a page is. */
function readMeta(source: ByteSource): Meta {
  const found: Meta[] = [];
  const bytes = new Uint8Array(metaBytes);
  for (let position = 0; position <= 65_536; position = position === 0 ? 1024 : position * 2) {
    const read = source.read(bytes, position + pageHeaderBytes);
    const meta = decodeMeta(bytes.subarray(0, read));
    if (meta !== undefined && (position === 0 || position === meta.pageBytes)) found.push(meta);
  }
  const [newest] = found.sort((a, b) => b.transactionId - a.transactionId);
  if (newest === undefined) throw new BoltError("invalid database: neither of its meta pages is sound");
  return newest;
}

function parsePage(bytes: Uint8Array, number: number): Page {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const flags = view.getUint16(8, true);
  const count = view.getUint16(10, true);
  if (flags !== pageFlags.leaf && flags !== pageFlags.branch) {
    throw new BoltError(`page ${number} is neither branch nor leaf: flags ${flags}`);
  }
  if (number !== 0 && pageNumber(view, 0) !== number) {
    throw new BoltError(`page ${number} says that it is page ${pageNumber(view, 0)}`);
  }
  if (pageHeaderBytes + count * elementBytes > bytes.length) {
    throw new BoltError(`page ${number} has no room for its ${count} elements`);
  }
  return { number, isLeaf: flags === pageFlags.leaf, count, bytes, view };
}

function* leafElements(
  page: Page,
  after: Uint8Array | undefined,
): Generator<Element, Uint8Array | undefined, undefined> {
  const { number, count, bytes, view } = page;
  let last = after;
  for (let i = 0; i < count; i++) {
    const at = pageHeaderBytes + i * elementBytes;
    const start = at + view.getUint32(at + 4, true);
    const keyEnd = start + view.getUint32(at + 8, true);
    const end = keyEnd + view.getUint32(at + 12, true);
    if (end > bytes.length) throw new BoltError(`record ${i} of page ${number} ends outside of it`);
    const key = bytes.subarray(start, keyEnd);
    if (last !== undefined && compareBytes(last, key) >= 0) {
      throw new BoltError(`record ${i} of page ${number} is out of order`);
    }
    last = key;
    yield { flags: view.getUint32(at, true), key, value: bytes.subarray(keyEnd, end) };
  }
  return last;
}

function childOf({ view }: Page, i: number): number {
  return pageNumber(view, pageHeaderBytes + i * elementBytes + 8);
}

/** One that no file can have stays too large as a number. */
function pageNumber(view: DataView, offset: number): number {
  return Number(view.getBigUint64(offset, true));
}
