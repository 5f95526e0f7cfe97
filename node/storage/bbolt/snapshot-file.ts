// A snapshot file as `etcdctl snapshot save` leaves it: a bbolt file and behind it the SHA-256 of all its bytes. A
// file copied from a data directory is the same without the sum.

import { createHash } from "node:crypto";
import { equalBytes } from "../../lib/bytes.ts";
import type { Disk, DiskFile } from "../disk.ts";
import type { ByteSource } from "./reader.ts";

const digestBytes = 32;
/** Pages are multiples of this, so a file that has a sum behind them is told by its length. */
const pageUnitBytes = 512;
const blockBytes = 1 << 20;

export class StoredSnapshot implements ByteSource {
  readonly #disk: Disk;
  readonly #file: DiskFile;
  /** Without the sum. */
  readonly bytes: number;
  readonly hasDigest: boolean;

  /** Throws the disk's error. */
  constructor(disk: Disk, path: string) {
    const stat = disk.stat(path);
    if (stat === undefined) throw new Error(`stat ${path}: no such file or directory`);
    if (stat.isDirectory) throw new Error(`read ${path}: is a directory`);
    this.#disk = disk;
    this.#file = disk.open(path, "readOnly");
    this.hasDigest = stat.bytes % pageUnitBytes === digestBytes;
    this.bytes = this.hasDigest ? stat.bytes - digestBytes : stat.bytes;
  }

  read(target: Uint8Array, position: number): number {
    const wanted = Math.max(0, Math.min(target.length, this.bytes - position));
    return this.#disk.pread(this.#file, target.subarray(0, wanted), position);
  }

  /** Throws an Error with both sums when the bytes are not those that the sum was made of. */
  verifyDigest(): void {
    const sha = createHash("sha256");
    const block = new Uint8Array(blockBytes);
    for (let position = 0; position < this.bytes; ) {
      const read = this.read(block, position);
      if (read === 0) throw new Error(`the file ends at ${position} of ${this.bytes} bytes`);
      sha.update(block.subarray(0, read));
      position += read;
    }
    const found = sha.digest();
    const expected = new Uint8Array(digestBytes);
    this.#disk.pread(this.#file, expected, this.bytes);
    if (!equalBytes(found, expected)) {
      throw new Error(`expected sha256 [${expected.join(" ")}], got [${found.join(" ")}]`);
    }
  }

  close(): void {
    this.#disk.close(this.#file);
  }
}
