// The file format of bbolt, in which etcd keeps its store and sends its snapshots: facts and numbers only.
//
// A file is pages of one size. Pages 0 and 1 each hold a meta record; the one with the higher transaction id and
// a sound checksum counts. Every other page has a header of 16 bytes and is a branch, a leaf or a freelist; what
// does not fit into one page goes on in the following ones, which have no header. A bucket is a B+tree: leaves
// hold records, branches the first key of each child. The root bucket's records are the other buckets: 16 bytes
// with the page of their root, or zero and then the bucket's only leaf itself. All integers are little-endian.

export const magic = 0xed0cdaed;
export const formatVersion = 2;
export const defaultPageBytes = 4096;

export const pageHeaderBytes = 16;
/** Of a record in a leaf and of a child in a branch, in front of all keys and values. */
export const elementBytes = 16;
export const bucketHeaderBytes = 16;
/** A bucket's record among the records of a leaf. */
export const bucketFlag = 1;

export const pageFlags = { branch: 0x01, leaf: 0x02, meta: 0x04, freelist: 0x10 } as const;

export const metaBytes = 64;
const metaChecksumOffset = 56;
/** In place of a freelist's page: there is none, and whoever writes to the file finds the free pages itself. */
const noFreelist = 0xffff_ffff_ffff_ffffn;

export interface Meta {
  readonly pageBytes: number;
  /** The page of the root bucket. */
  readonly rootPage: number;
  /** How many pages the file has. */
  readonly pages: number;
  readonly transactionId: number;
}

/** The file is not what bbolt writes: cut short, damaged, or something else. */
export class BoltError extends Error {
  override readonly name = "BoltError";
}

/** A page that holds a meta record and no freelist. */
export function encodeMetaPage(pageId: number, meta: Meta): Uint8Array {
  const page = new Uint8Array(meta.pageBytes);
  const header = new DataView(page.buffer, 0, pageHeaderBytes);
  header.setBigUint64(0, BigInt(pageId), true);
  header.setUint16(8, pageFlags.meta, true);
  const view = new DataView(page.buffer, pageHeaderBytes, metaBytes);
  view.setUint32(0, magic, true);
  view.setUint32(4, formatVersion, true);
  view.setUint32(8, meta.pageBytes, true);
  view.setBigUint64(16, BigInt(meta.rootPage), true);
  view.setBigUint64(32, noFreelist, true);
  view.setBigUint64(40, BigInt(meta.pages), true);
  view.setBigUint64(48, BigInt(meta.transactionId), true);
  const sum = fnv1a64(page.subarray(pageHeaderBytes, pageHeaderBytes + metaChecksumOffset));
  view.setBigUint64(metaChecksumOffset, sum, true);
  return page;
}

/** Reads the record behind a meta page's header; undefined when it is not sound. */
export function decodeMeta(bytes: Uint8Array): Meta | undefined {
  if (bytes.length < metaBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, metaBytes);
  if (view.getUint32(0, true) !== magic || view.getUint32(4, true) !== formatVersion) return undefined;
  const sum = view.getBigUint64(metaChecksumOffset, true);
  if (sum !== fnv1a64(bytes.subarray(0, metaChecksumOffset))) return undefined;
  const meta = {
    pageBytes: view.getUint32(8, true),
    rootPage: Number(view.getBigUint64(16, true)),
    pages: Number(view.getBigUint64(40, true)),
    transactionId: Number(view.getBigUint64(48, true)),
  };
  const isSound =
    isPageSize(meta.pageBytes) && Number.isSafeInteger(meta.pages) && Number.isSafeInteger(meta.rootPage);
  return isSound ? meta : undefined;
}

/** bbolt takes the size of the machine's pages, which is a power of two. */
export function isPageSize(bytes: number): boolean {
  return bytes >= 1024 && bytes <= 65_536 && (bytes & (bytes - 1)) === 0;
}

const fnvOffset = 0xcbf29ce484222325n;
const fnvPrime = 0x100000001b3n;

/** FNV-1a with 64 bits, over a few dozen bytes. */
export function fnv1a64(bytes: Uint8Array): bigint {
  let hash = fnvOffset;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * fnvPrime);
  return hash;
}
