// The file of a snapshot while it arrives from another member. It takes no more of the disk than leaves the log its
// reserve, whether its size was announced or not.

import { type FileHandle, open, unlink } from "node:fs/promises";
import { checkRoom, type FreeBytesOf, freeBytesOf } from "../room.ts";

/** How much is written between two looks at the disk. */
const lookEveryBytes = 16 * 1024 * 1024;
const what = "a snapshot from another member";

export class ReceivedFile {
  readonly path: string;
  readonly #folder: string;
  readonly #handle: FileHandle;
  readonly #freeOf: FreeBytesOf;
  #bytes = 0;
  #uncheckedBytes = 0;

  private constructor(folder: string, path: string, handle: FileHandle, freeOf: FreeBytesOf) {
    this.path = path;
    this.#folder = folder;
    this.#handle = handle;
    this.#freeOf = freeOf;
  }

  /** Rejects when an announced file, and the store that is made of it beside, would not fit. */
  static async create(
    folder: string,
    name: string,
    announcedBytes: number | undefined,
    freeOf: FreeBytesOf = freeBytesOf,
  ): Promise<ReceivedFile> {
    await checkRoom(folder, { what, wantedBytes: 2 * (announcedBytes ?? 0) }, freeOf);
    const path = `${folder}/${name}`;
    return new ReceivedFile(folder, path, await open(path, "wx", 0o600), freeOf);
  }

  /** Rejects with the system's error, and when the disk has no more than its reserve. */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#handle.writeFile(bytes);
    this.#bytes += bytes.length;
    this.#uncheckedBytes += bytes.length;
    if (this.#uncheckedBytes < lookEveryBytes) return;
    this.#uncheckedBytes = 0;
    await checkRoom(this.#folder, { what, wantedBytes: 0 }, this.#freeOf);
  }

  /** It is whole. Rejects when the store that is made of it would not fit beside. */
  async finish(): Promise<void> {
    await this.#handle.close();
    await checkRoom(this.#folder, { what: `the store of ${what}`, wantedBytes: this.#bytes }, this.#freeOf);
  }

  async abort(): Promise<void> {
    await this.#handle.close();
    await this.remove();
  }

  remove(): Promise<void> {
    return unlink(this.path);
  }
}
