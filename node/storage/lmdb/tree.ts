// Reads the trees of LMDB's file page by page, beside the package: a call of the package costs about a microsecond a
// record, and reading a page costs little more for all its records.
//
// A view is the roots that one meta page names. Pages below them do not change while a read transaction is open
// that began before the meta page was read: LMDB never writes to a page that is in use, and gives a page that was freed
// out again only when no open transaction is as old as the one that freed it. LMDB writes with pwrite, so what it
// has written is what pread sees. A page that a later transaction wrote is damage, and so is every contradiction.
// Knows no envelopes. Tested against the package's own cursors, under flushes too.

import type { Bucket } from "../../lib/backend.ts";
import { utf8 } from "../../lib/bytes.ts";
import type { Disk, DiskFile } from "../disk.ts";
import { type Meta, readDataFile } from "./data-file.ts";
import { pageBytes } from "./environment.ts";
import { depthMax, headerBytes, Page, PageFault, type PageKind, roomForPages } from "./page.ts";

/** Leaves that lie one behind the other are read so many at once. A value that is kept keeps all of them in memory. */
const leavesAtOnceMax = 4;
/** Two MiB: enough for the branches above half a million leaves. */
const branchesMax = 256;
/** A leaf that answered so many reads has cost less than the package would have. */
const servedWorthwhile = 4;
const passesMax = 63;

/** Where a named database's record has its depth and its root. */
const databaseDepth = 6;
const databaseRoot = 40;
const databaseBytes = 48;

export interface Root {
  readonly page: number;
  /** Levels of the tree, leaves included. */
  readonly depth: number;
}

interface View {
  readonly meta: Meta;
  /** Undefined for a bucket without records. */
  readonly roots: Map<Bucket, Root | undefined>;
  readonly branches: Map<number, Page>;
}

export class TreeFile {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #file: DiskFile;
  #view: View;

  /** A read transaction is open. */
  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.#path = path;
    this.#view = this.#newestView();
    this.#file = disk.open(path, "readOnly");
  }

  /** Names the view: another one after `renew`. */
  get view(): object {
    return this.#view;
  }

  get transactionId(): number {
    return this.#view.meta.transactionId;
  }

  /** From here on reads see the newest transaction. A read transaction is open that began before this call. */
  renew(): void {
    this.#view = this.#newestView();
  }

  close(): void {
    this.#disk.close(this.#file);
  }

  root(bucket: Bucket): Root | undefined {
    const { roots } = this.#view;
    const known = roots.get(bucket);
    if (known !== undefined || roots.has(bucket)) return known;
    const root = this.#findRoot(bucket);
    roots.set(bucket, root);
    return root;
  }

  branch(number: number): Page {
    const { branches } = this.#view;
    const known = branches.get(number);
    if (known !== undefined) return known;
    const page = this.page(number, this.read(number, 1), 0, "branch");
    if (branches.size >= branchesMax) branches.clear();
    branches.set(number, page);
    return page;
  }

  /** As many of `count` pages as the view has. */
  read(first: number, count: number): Uint8Array {
    const { lastPage } = this.#view.meta;
    if (first < 2 || first > lastPage) throw new PageFault(first, `is not among those up to ${lastPage}`);
    const room = roomForPages(Math.min(count, lastPage + 1 - first));
    const bytesRead = this.#disk.pread(this.#file, room, first * pageBytes);
    if (bytesRead < pageBytes) throw new PageFault(first, "is behind the end of the file");
    return room.subarray(0, bytesRead);
  }

  page(number: number, block: Uint8Array, start: number, kind: PageKind): Page {
    const page = new Page(number, block, start);
    const { transactionId } = this.#view.meta;
    if (page.kind !== kind) throw new PageFault(number, `is a ${page.kind} page, expected a ${kind} page`);
    if (page.transactionId > transactionId)
      throw new PageFault(number, `is of transaction ${page.transactionId}, read at ${transactionId}`);
    if (kind !== "big" && page.count === 0) throw new PageFault(number, "has no node");
    return page;
  }

  /** A value that has pages of its own, in memory of its own. */
  bigValue(first: number, valueBytes: number): Uint8Array {
    const bytes = this.read(first, Math.ceil((headerBytes + valueBytes) / pageBytes));
    this.page(first, bytes, 0, "big");
    if (bytes.length < headerBytes + valueBytes) throw new PageFault(first, `has not ${valueBytes} bytes`);
    return bytes.subarray(headerBytes, headerBytes + valueBytes);
  }

  #newestView(): View {
    return { meta: readDataFile(this.#disk, this.#path).newest, roots: new Map(), branches: new Map() };
  }

  #findRoot(bucket: Bucket): Root | undefined {
    const { mainRoot } = this.#view.meta;
    if (mainRoot === undefined) throw new PageFault(0, "names no main database");
    // The package ends names with a zero.
    const name = utf8(`${bucket}\0`);
    let number = mainRoot;
    for (let depth = 0; depth < depthMax; depth++) {
      const block = this.read(number, 1);
      const page = new Page(number, block, 0);
      if (page.kind === "branch") {
        number = page.child(page.branchOf(name));
        continue;
      }
      const i = page.lowerBound(name);
      if (page.kind !== "leaf" || i === page.count || page.compare(i, name) !== 0)
        throw new PageFault(number, `does not name the database of bucket ${bucket}`);
      return rootIn(page, page.node(i));
    }
    throw new PageFault(number, `is below more than ${depthMax} levels`);
  }
}

function rootIn(page: Page, node: number): Root | undefined {
  const start = page.keyEnd(node);
  if (!page.isNamedDatabase(node) || page.valueEnd(node) - start !== databaseBytes)
    throw new PageFault(page.number, `has no database at ${node}`);
  const view = new DataView(page.bytes.buffer, page.bytes.byteOffset + start, databaseBytes);
  const depth = view.getUint16(databaseDepth, true);
  if (depth === 0) return undefined;
  if (depth > depthMax) throw new PageFault(page.number, `has a database of ${depth} levels`);
  return { page: Number(view.getBigUint64(databaseRoot, true)), depth };
}

/** Finds leaves of one bucket, and keeps what it read last. */
export class BucketTree {
  readonly #file: TreeFile;
  readonly #bucket: Bucket;
  /** The view that everything kept here belongs to. */
  #view: object | undefined;
  /** Pages that were read at once, the first one's number, and how many to read if the next is behind them. */
  #block: Uint8Array | undefined;
  #blockFirst = 0;
  #atOnce = 1;
  /** The leaf that answers reads of single keys, where the last one stood in it, and how many it answered. */
  #leaf: Page | undefined;
  #found = 0;
  #isFound = false;
  #served = 0;
  /** How many reads pass before a leaf is tried again, and how many did last time. */
  #passes = 0;
  #passesBefore = 0;

  constructor(file: TreeFile, bucket: Bucket) {
    this.#file = file;
    this.#bucket = bucket;
  }

  /**
   * The leaf that holds `key` if anything does. Undefined where the package is the cheaper one to ask, as it is for
   * keys that lie far apart. Hot.
   */
  leafFor(key: Uint8Array): Page | undefined {
    this.#forgetOtherViews();
    const leaf = this.#leaf;
    if (leaf !== undefined) {
      const next = this.#found + 1;
      if (next < leaf.count && leaf.compare(next, key) === 0) {
        this.#found = next;
        this.#isFound = true;
        this.#served++;
        return leaf;
      }
      if (leaf.compare(0, key) <= 0 && leaf.compare(leaf.count - 1, key) >= 0) {
        this.#find(leaf, key);
        this.#served++;
        return leaf;
      }
    }
    if (this.#passes > 0) {
      this.#passes--;
      return undefined;
    }
    if (leaf !== undefined && this.#served < servedWorthwhile) {
      this.#leaf = undefined;
      this.#passesBefore = Math.min(this.#passesBefore * 2 + 1, passesMax);
      this.#passes = this.#passesBefore;
      return undefined;
    }
    if (leaf !== undefined) this.#passesBefore = 0;
    return this.#loadLeafFor(key);
  }

  /** The node of the key that `leafFor` was asked for last, in the leaf that it gave; undefined where the key is not. */
  get node(): number | undefined {
    return this.#isFound ? this.#leaf?.node(this.#found) : undefined;
  }

  #loadLeafFor(key: Uint8Array): Page | undefined {
    const root = this.#file.root(this.#bucket);
    if (root === undefined) return undefined;
    let number = root.page;
    for (let level = 1; level < root.depth; level++) {
      const page = this.#file.branch(number);
      number = page.child(page.branchOf(key));
    }
    const leaf = this.leaf(number);
    this.#leaf = leaf;
    this.#find(leaf, key);
    this.#served = 1;
    return leaf;
  }

  #find(leaf: Page, key: Uint8Array): void {
    this.#found = leaf.lowerBound(key);
    this.#isFound = this.#found < leaf.count && leaf.compare(this.#found, key) === 0;
  }

  leaf(number: number): Page {
    this.#forgetOtherViews();
    const at = number - this.#blockFirst;
    if (this.#block === undefined || at < 0 || (at + 1) * pageBytes > this.#block.length) {
      const isNext = this.#block !== undefined && at * pageBytes === this.#block.length;
      this.#atOnce = isNext ? Math.min(this.#atOnce * 2, leavesAtOnceMax) : 1;
      this.#block = this.#file.read(number, this.#atOnce);
      this.#blockFirst = number;
    }
    return this.#file.page(number, this.#block, (number - this.#blockFirst) * pageBytes, "leaf");
  }

  /** Records of [start, end) in key order. */
  walk(start: Uint8Array, end: Uint8Array | undefined): TreeWalk {
    return new TreeWalk(this.#file, this, this.#file.root(this.#bucket), { start, end });
  }

  #forgetOtherViews(): void {
    if (this.#view === this.#file.view) return;
    this.#view = this.#file.view;
    this.#block = undefined;
    this.#leaf = undefined;
  }
}

interface WalkRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array | undefined;
}

/** Stands before the first record until `next`. Hot. */
export class TreeWalk {
  readonly #file: TreeFile;
  readonly #tree: BucketTree;
  readonly #end: Uint8Array | undefined;
  readonly #view: object;
  /** The branches above the leaf, from the root on, and the node of each that the walk went down at. */
  readonly #branches: Page[] = [];
  readonly #nodes: number[] = [];
  #leaf: Page | undefined;
  #i = 0;
  /** The first node of the leaf that is not in the range. */
  #stop = 0;

  constructor(file: TreeFile, tree: BucketTree, root: Root | undefined, { start, end }: WalkRange) {
    this.#file = file;
    this.#tree = tree;
    this.#end = end;
    this.#view = file.view;
    if (root === undefined) return;
    let number = root.page;
    for (let level = 1; level < root.depth; level++) {
      const page = file.branch(number);
      const node = page.branchOf(start);
      this.#branches.push(page);
      this.#nodes.push(node);
      number = page.child(node);
    }
    const leaf = tree.leaf(number);
    this.#enter(leaf);
    this.#i = leaf.lowerBound(start) - 1;
  }

  /** Whether the file still shows the view that the walk began in. */
  get isCurrent(): boolean {
    return this.#file.view === this.#view;
  }

  /** Moves to the next record of the range; false at its end. */
  next(): boolean {
    const leaf = this.#leaf;
    if (leaf === undefined) return false;
    this.#i++;
    if (this.#i < this.#stop) return true;
    if (this.#stop === leaf.count && this.#toNextLeaf()) return this.#stop > 0;
    this.#leaf = undefined;
    return false;
  }

  /** The page with the current record, and its node there. */
  get page(): Page {
    return this.#leaf as Page;
  }

  get node(): number {
    return this.page.node(this.#i);
  }

  #toNextLeaf(): boolean {
    const branches = this.#branches;
    let level = branches.length - 1;
    for (; level >= 0; level--) {
      const node = (this.#nodes[level] as number) + 1;
      const page = branches[level] as Page;
      if (node === page.count) continue;
      this.#nodes[level] = node;
      let number = page.child(node);
      for (let below = level + 1; below < branches.length; below++) {
        branches[below] = this.#file.branch(number);
        this.#nodes[below] = 0;
        number = (branches[below] as Page).child(0);
      }
      this.#enter(this.#tree.leaf(number));
      this.#i = 0;
      return true;
    }
    return false;
  }

  #enter(leaf: Page): void {
    this.#leaf = leaf;
    const end = this.#end;
    const isInside = end === undefined || leaf.compare(leaf.count - 1, end) < 0;
    this.#stop = isInside ? leaf.count : leaf.lowerBound(end);
  }
}
