// An artifact as a file: written under another name, synced, and linked to its own, which fails when that is taken.

import { createReadStream } from "node:fs";
import { link, mkdir, open, readdir, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { ArtifactStore } from "./store.ts";

const partSuffix = ".part";
const blockBytes = 1 << 20;
const linkUnknown = ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"];

export class FileStore implements ArtifactStore {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async exists(): Promise<boolean> {
    return (await sizeOf(this.#path)) !== undefined;
  }

  async write(pieces: AsyncIterable<Uint8Array>): Promise<boolean> {
    const folder = dirname(this.#path);
    await mkdir(folder, { recursive: true });
    await this.#removeParts();
    const part = `${this.#path}.${process.pid}${partSuffix}`;
    try {
      const file = await open(part, "wx", 0o640);
      try {
        for await (const piece of pieces) await file.writeFile(piece);
        await file.sync();
      } finally {
        await file.close();
      }
      return await this.#publish(part);
    } finally {
      await unlink(part).catch(ignoreMissing);
    }
  }

  async *read(): AsyncGenerator<Uint8Array> {
    if (!(await this.exists())) throw new Error(`there is no artifact at ${this.#path}`);
    yield* createReadStream(this.#path, { highWaterMark: blockBytes });
  }

  async remove(): Promise<void> {
    await unlink(this.#path).catch(ignoreMissing);
    await this.#removeParts();
  }

  async #publish(part: string): Promise<boolean> {
    try {
      await link(part, this.#path);
    } catch (error) {
      if (isCode(error, "EEXIST")) return false;
      // File systems without links, such as those of Windows servers.
      const isUnknown = linkUnknown.some((code) => isCode(error, code));
      if (!isUnknown) throw error;
      if (await this.exists()) return false;
      await rename(part, this.#path);
    }
    const folder = await open(dirname(this.#path), "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
    return true;
  }

  /** What attempts that were killed left. The path is one artifact's own, so nobody else writes them now. */
  async #removeParts(): Promise<void> {
    const folder = dirname(this.#path);
    const names = await readdir(folder).catch((error: unknown) => {
      ignoreMissing(error);
      return [];
    });
    const own = names.filter(
      (name) => name.startsWith(`${basename(this.#path)}.`) && name.endsWith(partSuffix),
    );
    for (const name of own) await unlink(join(folder, name)).catch(ignoreMissing);
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    ignoreMissing(error);
    return undefined;
  }
}

function ignoreMissing(error: unknown): void {
  if (!isCode(error, "ENOENT")) throw error;
}

function isCode(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException).code === code;
}
