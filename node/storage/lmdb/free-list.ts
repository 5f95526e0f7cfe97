// LMDB's list of free pages is a tree of its own, which nothing reads until a write needs a page. In a truncated file
// it may be gone while every record is still there; LMDB would find out in the middle of a flush. So its pages are
// visited before LMDB opens a file that ends before its last page.

import type { Disk, DiskFile } from "../disk.ts";
import type { DataFile } from "./data-file.ts";
import { pageBytes } from "./environment.ts";
import { depthMax, headerBytes, Page, PageFault, roomForPages } from "./page.ts";

/** What is wrong with the list of free pages, or undefined when all of it lies in the file. */
export function faultOfFreeList(
  disk: Disk,
  path: string,
  { newest, fileBytes }: DataFile,
): string | undefined {
  const { freeListRoot } = newest;
  if (freeListRoot === undefined) return undefined;
  const file = disk.open(path, "readOnly");
  try {
    visit({ disk, file, fileBytes }, freeListRoot, depthMax);
    return undefined;
  } catch (error) {
    if (error instanceof PageFault) return `the list of free pages: ${error.message}`;
    throw error;
  } finally {
    disk.close(file);
  }
}

interface Place {
  readonly disk: Disk;
  readonly file: DiskFile;
  readonly fileBytes: number;
}

function visit(place: Place, number: number, depthLeft: number): void {
  if (depthLeft === 0) throw new PageFault(number, `is below more than ${depthMax} levels`);
  const page = readPage(place, number);
  for (let i = 0; i < page.count; i++) {
    if (page.kind === "branch") visit(place, page.child(i), depthLeft - 1);
    else checkValue(place, page, page.node(i));
  }
}

function checkValue({ fileBytes }: Place, page: Page, node: number): void {
  const first = page.bigValueOf(node);
  if (first === undefined) return;
  const end = (first + Math.ceil((headerBytes + page.valueBytes(node)) / pageBytes)) * pageBytes;
  if (end > fileBytes) throw new PageFault(page.number, `names pages up to ${end}`);
}

function readPage({ disk, file, fileBytes }: Place, number: number): Page {
  const bytes = roomForPages(1);
  const isWhole =
    (number + 1) * pageBytes <= fileBytes && disk.pread(file, bytes, number * pageBytes) === pageBytes;
  if (!isWhole) throw new PageFault(number, "is behind the end");
  const page = new Page(number, bytes, 0);
  if (page.kind === "big") throw new PageFault(number, "is none of a tree");
  return page;
}
