// A crash between any two changes that a disk makes, for tests of what is made of several of them.

import { nodeStoreDisk, type StoreDisk } from "../store-folder.ts";

export class Crash extends Error {}

/** A disk that stops for good before its change number `changesMax`. */
export function crashingDisk(changesMax: number): StoreDisk {
  let changes = 0;
  const change = <A extends unknown[], R>(work: (...args: A) => R) => {
    return (...args: A): R => {
      if (changes++ >= changesMax) throw new Crash();
      return work(...args);
    };
  };
  return {
    ...nodeStoreDisk,
    create: change(nodeStoreDisk.create),
    pwrite: change(nodeStoreDisk.pwrite),
    fdatasync: change(nodeStoreDisk.fdatasync),
    truncate: change(nodeStoreDisk.truncate),
    rename: change(nodeStoreDisk.rename),
    unlink: change(nodeStoreDisk.unlink),
    mkdir: change(nodeStoreDisk.mkdir),
    fsyncDir: change(nodeStoreDisk.fsyncDir),
    rmdir: change(nodeStoreDisk.rmdir),
  };
}
