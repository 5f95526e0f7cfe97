// LMDB's list of free pages is a tree of its own, which nothing reads until a write needs a page. In a truncated file
// it may be gone while every record is still there; LMDB would find out in the middle of a flush. So its pages are
// visited before LMDB opens a file that ends before its last page.
//
// A page begins with its number (8 bytes), a transaction id (8), padding (2), flags (2), and twice the number of its
// nodes (2); after these 24 bytes come two bytes a node with the node's place behind the header. A node is the lower
// 32 bits of a size or page number, 16 bits of flags or of the page number's top, the key's size (2), the key, the
// data. A value too large for a page is the number of the first page of its own.

import type { Disk, DiskFile } from "../disk.ts";
import type { DataFile } from "./data-file.ts";
import { pageBytes } from "./environment.ts";

const headerBytes = 24;
const nodeHeadBytes = 8;
const branchPage = 0x01;
const leafPage = 0x02;
const bigValue = 0x01;
/** More levels than any tree of page numbers can have. */
const depthMax = 32;

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
    return faultBelow({ disk, file, fileBytes }, freeListRoot, depthMax);
  } finally {
    disk.close(file);
  }
}

interface Place {
  readonly disk: Disk;
  readonly file: DiskFile;
  readonly fileBytes: number;
}

function faultBelow(place: Place, page: number, depthLeft: number): string | undefined {
  if (depthLeft === 0) return `the list of free pages has more than ${depthMax} levels`;
  const bytes = readPage(place, page);
  if (bytes === undefined) return `page ${page} of the list of free pages is behind the end`;
  const view = new DataView(bytes.buffer);
  const flags = view.getUint16(18, true) & (branchPage | leafPage);
  const nodeCount = view.getUint16(20, true) >>> 1;
  const isSound = view.getBigUint64(0, true) === BigInt(page) && (flags === branchPage || flags === leafPage);
  if (!isSound || headerBytes + nodeCount * 2 > pageBytes)
    return `page ${page} is none of the list of free pages`;
  for (let i = 0; i < nodeCount; i++) {
    const at = headerBytes + view.getUint16(headerBytes + i * 2, true);
    if (at + nodeHeadBytes > pageBytes) return `page ${page} of the list of free pages has a node at ${at}`;
    const fault =
      flags === branchPage
        ? faultBelow(place, childOf(view, at), depthLeft - 1)
        : faultOfValue(place, view, at);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function childOf(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint16(at + 4, true) * 2 ** 32;
}

function faultOfValue({ fileBytes }: Place, view: DataView, at: number): string | undefined {
  if ((view.getUint16(at + 4, true) & bigValue) === 0) return undefined;
  const valueBytes = view.getUint32(at, true);
  const first = at + nodeHeadBytes + view.getUint16(at + 6, true);
  if (first + 8 > pageBytes) return `a node at ${at} of the list of free pages runs over its page`;
  const end =
    (Number(view.getBigUint64(first, true)) + Math.ceil((headerBytes + valueBytes) / pageBytes)) * pageBytes;
  return end <= fileBytes ? undefined : `the list of free pages reaches to ${end}`;
}

/** Undefined when the file ends before the page does. */
function readPage({ disk, file, fileBytes }: Place, page: number): Uint8Array | undefined {
  if ((page + 1) * pageBytes > fileBytes) return undefined;
  const bytes = new Uint8Array(pageBytes);
  return disk.pread(file, bytes, page * pageBytes) === pageBytes ? bytes : undefined;
}
