// Snapshot files on their way to a client: written to the folder `member/snap` under a name that is removed at
// once, so that nothing is left behind however the process ends.

import { constants } from "node:fs";
import { type FileHandle, open, unlink } from "node:fs/promises";
import type { SnapshotFile, SnapshotSpool, SnapshotWriter } from "../../api/snapshot-port.ts";
import { checkRoom } from "../room.ts";
import { BoltWriter, metaPagesBytes } from "./writer.ts";

export class FolderSpool implements SnapshotSpool {
  readonly #folder: string;
  #count = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async create(expectedBytes: number): Promise<SnapshotWriter> {
    await checkRoom(this.#folder, { what: "a snapshot", wantedBytes: expectedBytes });
    // The ending is one that the next start takes for a leftover.
    const path = `${this.#folder}/spool-${process.pid}-${this.#count++}.snap.tmp`;
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
    await unlink(path);
    return new SpoolWriter(handle);
  }
}

class SpoolWriter implements SnapshotWriter {
  readonly #handle: FileHandle;
  readonly #writer: BoltWriter;
  #pages: Uint8Array[] = [];
  #position = metaPagesBytes;
  #bucket: string | undefined;

  constructor(handle: FileHandle) {
    this.#handle = handle;
    this.#writer = new BoltWriter((pages) => this.#pages.push(pages));
  }

  async write({ bucket, records }: Parameters<SnapshotWriter["write"]>[0]): Promise<void> {
    if (bucket !== this.#bucket) this.#writer.beginBucket(bucket);
    this.#bucket = bucket;
    for (const { key, value } of records) this.#writer.add(key, value);
    await this.#drain();
  }

  async finish(): Promise<SnapshotFile> {
    const head = this.#writer.finish();
    await this.#drain();
    await writeAll(this.#handle, [head], 0);
    return new SpooledFile(this.#handle, this.#position);
  }

  discard(): Promise<void> {
    return this.#handle.close();
  }

  async #drain(): Promise<void> {
    const pages = this.#pages;
    if (pages.length === 0) return;
    this.#pages = [];
    this.#position += await writeAll(this.#handle, pages, this.#position);
  }
}

class SpooledFile implements SnapshotFile {
  readonly #handle: FileHandle;
  readonly bytes: number;

  constructor(handle: FileHandle, bytes: number) {
    this.#handle = handle;
    this.bytes = bytes;
  }

  async read(position: number, bytesMax: number): Promise<Uint8Array> {
    const target = new Uint8Array(Math.min(bytesMax, this.bytes - position));
    let done = 0;
    while (done < target.length) {
      const { bytesRead } = await this.#handle.read(target, done, target.length - done, position + done);
      if (bytesRead === 0) {
        const text = `a spooled snapshot ends at ${position + done} of ${this.bytes} bytes`;
        throw Object.assign(new Error(text), { code: "EIO", syscall: "read" });
      }
      done += bytesRead;
    }
    return target;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Writes the parts one after the other and returns how many bytes they are. */
async function writeAll(handle: FileHandle, parts: Uint8Array[], position: number): Promise<number> {
  let rest = Buffer.concat(parts);
  const total = rest.length;
  while (rest.length > 0) {
    const { bytesWritten } = await handle.write(rest, 0, rest.length, position + total - rest.length);
    rest = rest.subarray(bytesWritten);
  }
  return total;
}
