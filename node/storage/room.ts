// Room on the disk for files of snapshots: they may fill it up to a reserve, which the log goes on with.

import { statfs } from "node:fs/promises";

/** What a file of pages takes beyond its records, and what the log is left with meanwhile. */
export const spareBytes = 64 * 1024 * 1024;

export type FreeBytesOf = (folder: string) => Promise<number>;

export async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** Rejects as a full disk would when `wantedBytes` do not fit beside the reserve. `what` wants them. */
export async function checkRoom(
  folder: string,
  { what, wantedBytes }: { readonly what: string; readonly wantedBytes: number },
  freeOf: FreeBytesOf = freeBytesOf,
): Promise<void> {
  const freeBytes = await freeOf(folder);
  if (freeBytes >= wantedBytes + spareBytes) return;
  const text =
    `${what} needs ${wantedBytes} bytes, with ${spareBytes} to spare, ` +
    `and ${freeBytes} bytes are free in ${folder}`;
  throw Object.assign(new Error(text), { code: "ENOSPC", syscall: "statfs" });
}
