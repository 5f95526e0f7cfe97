// The flushes that a store takes while a copy of it is made, one behind the other in a file: 8 bytes of length,
// then the flush's arena as it was written, trailers included. The store worker appends, the copying thread reads.
// The file is for this process only, is never synced, and goes when the copy is whole.

import type { Disk, DiskFile } from "../disk.ts";
import { availableBytesAt } from "./errors.ts";

const lengthBytes = 8;

/** What a copy and its record leave free on the disk: the log and the live store have to go on writing. */
export const reserveBytes = 64 * 1024 * 1024;

export class FlushRecorder {
  readonly #disk: Disk;
  #open: { readonly path: string; readonly file: DiskFile; bytes: number } | undefined;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /**
   * Appends to the file of that path, which is created at the first flush; without a path it closes the last one.
   * Returns the file's length, or what went wrong: the flush itself is not the worse for it.
   */
  record(path: string | undefined, arena: Uint8Array | undefined = undefined): number | string | undefined {
    try {
      if (this.#open !== undefined && this.#open.path !== path) this.#close(this.#open.file);
      if (path === undefined || arena === undefined) return undefined;
      const available = availableBytesAt(path.slice(0, path.lastIndexOf("/")));
      if (available < reserveBytes + arena.byteLength) {
        return `${available} bytes are left on the disk, less than the ${reserveBytes} that stay free`;
      }
      this.#open ??= { path, file: this.#disk.create(path), bytes: 0 };
      const length = new Uint8Array(lengthBytes);
      new DataView(length.buffer).setBigUint64(0, BigInt(arena.length));
      this.#disk.pwrite(this.#open.file, length, this.#open.bytes);
      this.#disk.pwrite(this.#open.file, arena, this.#open.bytes + lengthBytes);
      this.#open.bytes += lengthBytes + arena.length;
      return this.#open.bytes;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  #close(file: DiskFile): void {
    this.#open = undefined;
    this.#disk.close(file);
  }
}

/** Reads one recorded flush after the other. */
export class RecordedFlushes {
  readonly #disk: Disk;
  readonly #path: string;
  #position = 0;

  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.#path = path;
  }

  /** Where the next flush begins. */
  get position(): number {
    return this.#position;
  }

  /** The next flush; the caller knows that there is one. */
  next(): Uint8Array {
    const file = this.#disk.open(this.#path, "readOnly");
    try {
      const length = this.#read(file, lengthBytes);
      const bytes = Number(new DataView(length.buffer, length.byteOffset).getBigUint64(0));
      return this.#read(file, bytes);
    } finally {
      this.#disk.close(file);
    }
  }

  #read(file: DiskFile, count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    const got = this.#disk.pread(file, bytes, this.#position);
    if (got !== count) {
      throw new Error(`${this.#path}: ${got} bytes at ${this.#position}, expected ${count}`);
    }
    this.#position += count;
    return bytes;
  }
}
