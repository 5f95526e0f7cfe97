// A look at LMDB's file before LMDB maps it. LMDB trusts its file: opening a truncated one is a SIGBUS, which no
// handler can turn into an exit reason. So both meta pages are read here first.
//
// Meta page i lies at page i. Its header takes 24 bytes (flags at 18), then little-endian: magic, version (4 bytes
// each), address, map size (8 each), two database records of 48 bytes (the first for free pages, the second the
// main one: page size or padding 4, flags 2, depth 2, branch, leaf and overflow pages, entries, root page, 8 each),
// last page, transaction id (8 each). Transaction t writes the meta page t mod 2.
//
// When the write of a meta page fails, LMDB puts the last page and the transaction of before back into it and leaves the
// roots of the transaction that failed. Such a page is always the older one, and nothing is ever read by it.

import { FatalError } from "../../lib/fatal.ts";
import type { Disk, DiskFile } from "../disk.ts";
import { pageBytes } from "./environment.ts";

const magic = 0xbeefc0de;
const dataVersion = 2;
const metaFlag = 0x08;
const headerBytes = 24;
const metaBytes = 136;
const noPage = 0xffff_ffff_ffff_ffffn;
/** Keeps every byte position a safe integer. */
const pagesMax = 2 ** 40;
/** Where a meta page names the roots of the free pages and of the main database. */
const rootPositions = [88, 136] as const;

export interface Meta {
  /** 0 or 1. */
  readonly page: number;
  readonly transactionId: number;
  readonly lastPage: number;
  /** Undefined when no page is free. */
  readonly freeListRoot: number | undefined;
  /** Undefined when it holds nothing. */
  readonly mainRoot: number | undefined;
}

export interface DataFile {
  /** The meta page of the newest transaction. */
  readonly newest: Meta;
  readonly fileBytes: number;
  /**
   * The file ends before its last page. LMDB does leave pages at the end unwritten when they are free again at
   * commit, so this is damage only if a page in use lies there.
   */
  readonly isShort: boolean;
}

/** Throws STORE_DAMAGED with file and offset where LMDB could not open the file safely. */
export function readDataFile(disk: Disk, path: string): DataFile {
  const file = disk.open(path, "readOnly");
  try {
    const fileBytes = disk.stat(path)?.bytes ?? 0;
    const first = readMeta(disk, file, { path, fileBytes, page: 0 });
    const second = readMeta(disk, file, { path, fileBytes, page: 1 });
    const newest = first.transactionId > second.transactionId ? first : second;
    checkRoots(path, newest, newest.lastPage);
    checkRoots(path, newest === first ? second : first, pagesMax);
    // A new file has two equal meta pages of transaction 0.
    const distance = Math.abs(first.transactionId - second.transactionId);
    if (distance > 1 || (distance === 0 && newest.transactionId !== 0)) {
      const ids = `${first.transactionId} and ${second.transactionId}`;
      throw damage(path, pageBytes, `meta pages of transactions ${ids}, expected two in a row`);
    }
    return { newest, fileBytes, isShort: fileBytes < (newest.lastPage + 1) * pageBytes };
  } finally {
    disk.close(file);
  }
}

interface MetaPlace {
  readonly path: string;
  readonly fileBytes: number;
  readonly page: number;
}

function readMeta(disk: Disk, file: DiskFile, { path, fileBytes, page }: MetaPlace): Meta {
  const bytes = new Uint8Array(headerBytes + metaBytes);
  const start = page * pageBytes;
  const count = disk.pread(file, bytes, start);
  if (count < bytes.length) throw damage(path, fileBytes, `the file ends before meta page ${page} does`);
  const view = new DataView(bytes.buffer);
  const expect = (at: number, what: string, got: number, expected: number): void => {
    if (got === expected) return;
    const text = `meta page ${page} has ${what} ${got.toString(16)}, expected ${expected.toString(16)}`;
    throw damage(path, start + at, text);
  };
  expect(18, "page flags", view.getUint16(18, true), metaFlag);
  expect(24, "magic", view.getUint32(24, true), magic);
  expect(28, "data version", view.getUint32(28, true), dataVersion);
  expect(48, "page size", view.getUint32(48, true), pageBytes);
  const lastPage = view.getBigUint64(144, true);
  const transactionId = view.getBigUint64(152, true);
  if (lastPage < 1n || lastPage > BigInt(pagesMax)) {
    throw damage(path, start + 144, `meta page ${page} has last page ${lastPage}`);
  }
  const isOther = transactionId !== 0n && transactionId % 2n !== BigInt(page);
  if (isOther || transactionId > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw damage(path, start + 152, `meta page ${page} has transaction ${transactionId}`);
  }
  const [freeListRoot, mainRoot] = rootPositions.map((at) => {
    const root = view.getBigUint64(at, true);
    return root === noPage ? undefined : Number(root);
  });
  return { page, transactionId: Number(transactionId), lastPage: Number(lastPage), freeListRoot, mainRoot };
}

function checkRoots(path: string, { page, freeListRoot, mainRoot }: Meta, lastPage: number): void {
  for (const [i, root] of [freeListRoot, mainRoot].entries()) {
    if (root === undefined || (root >= 2 && root <= lastPage)) continue;
    const offset = page * pageBytes + (rootPositions[i] as number);
    throw damage(path, offset, `meta page ${page} has root page ${root} of ${lastPage}`);
  }
}

/** Lets the file reach to its last page, so that its size alone tells a truncated one. */
export function extendDataFile(disk: Disk, path: string, dataFile: DataFile): void {
  if (!dataFile.isShort) return;
  const file = disk.open(path, "readWrite");
  try {
    disk.truncate(file, (dataFile.newest.lastPage + 1) * pageBytes);
  } finally {
    disk.close(file);
  }
}

function damage(path: string, offset: number, text: string): FatalError {
  return new FatalError("STORE_DAMAGED", `${path}: ${text} (offset ${offset})`, { file: path, offset });
}
