// The folder member/: generations of the store, and which one is live.
//
//   CURRENT        "store-3\n": the live generation
//   store-3/FORMAT "etcdlike-store 1.0\n": written last, so a folder that has it is complete
//   store-3/       LMDB's files
//   INSTALL        "store-4 1200\n": store-4 becomes live when the log holds the snapshot of index 1200
//
// A generation is built beside the live one, completed with FORMAT, and made live by replacing CURRENT: one rename.
// What a crash leaves at any point is one of: an incomplete folder or one that CURRENT does not name (removed), a
// complete folder and no CURRENT (the very first one, made live), or the finished switch. Numbers only grow: a path
// is never used again while an environment on an older folder may be open, since LMDB finds its locks by path.

import { rmdirSync } from "node:fs";
import { dirname } from "node:path";
import { assert } from "../../lib/assert.ts";
import { textOf, utf8 } from "../../lib/bytes.ts";
import { FatalError } from "../../lib/fatal.ts";
import { type Disk, nodeDisk, readWhole, writeWhole } from "../disk.ts";

const currentName = "CURRENT";
const installName = "INSTALL";
const formatName = "FORMAT";
const formatMajor = 1;
const formatText = `etcdlike-store ${formatMajor}.0\n`;

export interface StoreDisk extends Disk {
  /** Removes an empty directory, now or soon. */
  rmdir(path: string): void;
}

export const nodeStoreDisk: StoreDisk = { ...nodeDisk, rmdir: (path) => rmdirSync(path) };

/**
 * Ends an installation that a crash cut short: the announced generation becomes live when the log holds its snapshot,
 * and is removed with the other dead ones otherwise. Called before the store is opened; the folder is locked.
 */
export function finishInstall(
  path: string,
  loggedSnapshotIndex: number,
  disk: StoreDisk = nodeStoreDisk,
): void {
  const announced = announcedIn(path, disk);
  if (announced === undefined) return;
  // Once the log holds the snapshot, the store before it can never be caught up again.
  const isLogged = loggedSnapshotIndex >= announced.index;
  if (isLogged) writeWhole(disk, path, currentName, utf8(`${announced.generation}\n`));
  disk.unlink(`${path}/${installName}`);
  disk.fsyncDir(path);
}

function announcedIn(
  path: string,
  disk: StoreDisk,
): { readonly generation: string; readonly index: number } | undefined {
  const file = `${path}/${installName}`;
  const bytes = readWhole(disk, file);
  if (bytes === undefined) return undefined;
  const match = /^(store-[1-9][0-9]{0,14}) ([0-9]{1,16})\n$/.exec(textOf(bytes));
  if (match !== null) return { generation: match[1] as string, index: Number(match[2]) };
  const text = `${file} names no generation and index: ${JSON.stringify(textOf(bytes))}`;
  throw new FatalError("STORE_DAMAGED", text, { file, offset: 0 });
}

/** Marks a generation as whole. Its files are, and synced. */
export function sealGeneration(disk: Disk, path: string): void {
  // Names may become durable in any order: those of LMDB's files have to be before the one that vouches for them.
  disk.fsyncDir(path);
  writeWhole(disk, path, formatName, utf8(formatText));
  disk.fsyncDir(dirname(path));
}

export class StoreFolder {
  readonly #disk: StoreDisk;
  readonly #path: string;
  #live: number | undefined;
  #last: number;

  /** Finds the live generation and removes dead ones. The folder exists and is locked, and no environment in it is open. */
  constructor(path: string, disk: StoreDisk = nodeStoreDisk) {
    this.#disk = disk;
    this.#path = path;
    const found = this.#generations();
    this.#last = Math.max(0, ...found);
    this.#live = this.#readCurrent();
    if (this.#live === undefined) this.#adopt(found);
    if (this.#live !== undefined) this.#checkFormat(this.#live);
    const announced = announcedIn(path, disk)?.generation;
    for (const generation of found) {
      if (generation !== this.#live && this.#pathOf(generation) !== `${path}/${announced}`)
        this.#remove(generation);
    }
    const temporary = `${path}/${currentName}.tmp`;
    if (disk.stat(temporary) !== undefined) disk.unlink(temporary);
  }

  /** The folder of the live generation; undefined when there has never been one. */
  get livePath(): string | undefined {
    return this.#live === undefined ? undefined : this.#pathOf(this.#live);
  }

  /** Makes the folder of a further generation, empty and not live, and returns its path. */
  begin(): string {
    this.#last++;
    const path = this.#pathOf(this.#last);
    this.#disk.mkdir(path);
    return path;
  }

  /** Makes a generation that was begun the live one. Its files are whole and synced. */
  publish(path: string): void {
    this.seal(path);
    this.#makeLive(this.#numberOf(path));
    this.#removeIntent();
  }

  /** Marks a generation as whole. Its files are, and synced. */
  seal(path: string): void {
    sealGeneration(this.#disk, path);
  }

  /** Makes a sealed generation with the same records the live one; an announced one stays announced. */
  replaceLive(path: string): void {
    this.#makeLive(this.#numberOf(path));
  }

  /** Notes that a sealed generation becomes live once the log holds the snapshot of this index. */
  announce(path: string, index: number): void {
    writeWhole(this.#disk, this.#path, installName, utf8(`store-${this.#numberOf(path)} ${index}\n`));
  }

  /** Removes a generation that never became live, after its environment was closed. */
  discard(path: string): void {
    this.#removeIntent();
    this.#remove(this.#numberOf(path));
  }

  #numberOf(path: string): number {
    const generation = this.#generations().find((number) => this.#pathOf(number) === path);
    assert(generation !== undefined, "the generation exists", { path });
    return generation;
  }

  #removeIntent(): void {
    const path = `${this.#path}/${installName}`;
    if (this.#disk.stat(path) === undefined) return;
    this.#disk.unlink(path);
    this.#disk.fsyncDir(this.#path);
  }

  /** Removes a generation that is no longer live, after its environment was closed. */
  removeDead(path: string): void {
    const generation = this.#numberOf(path);
    assert(generation !== this.#live, "the generation is not live", { path });
    this.#remove(generation);
  }

  #generations(): number[] {
    return this.#disk
      .readdir(this.#path)
      .map((name) => /^store-([1-9][0-9]{0,14})$/.exec(name)?.[1])
      .filter((digits) => digits !== undefined)
      .map(Number);
  }

  #pathOf(generation: number): string {
    return `${this.#path}/store-${generation}`;
  }

  #isComplete(generation: number): boolean {
    return this.#disk.stat(`${this.#pathOf(generation)}/${formatName}`) !== undefined;
  }

  #readCurrent(): number | undefined {
    const file = `${this.#path}/${currentName}`;
    const bytes = readWhole(this.#disk, file);
    if (bytes === undefined) return undefined;
    const text = textOf(bytes);
    const digits = /^store-([1-9][0-9]{0,14})\n$/.exec(text)?.[1];
    if (digits === undefined) {
      throw new FatalError("STORE_DAMAGED", `${file} names no store: ${JSON.stringify(text)}`, {
        file,
        offset: 0,
      });
    }
    const generation = Number(digits);
    if (!this.#isComplete(generation)) {
      throw new FatalError("STORE_DAMAGED", `${file} names store-${generation}, which is not there whole`, {
        file: `${this.#pathOf(generation)}/${formatName}`,
      });
    }
    return generation;
  }

  /** Without CURRENT, one complete generation is a first start that was cut short before its last step. */
  #adopt(found: readonly number[]): void {
    const complete = found.filter((generation) => this.#isComplete(generation));
    const [only] = complete;
    if (only === undefined) return;
    if (complete.length > 1) {
      const file = `${this.#path}/${currentName}`;
      const names = complete.map((generation) => `store-${generation}`).join(", ");
      throw new FatalError("STORE_DAMAGED", `${file} is missing, and it could name any of ${names}`, {
        file,
      });
    }
    this.#checkFormat(only);
    this.#makeLive(only);
  }

  #checkFormat(generation: number): void {
    const file = `${this.#pathOf(generation)}/${formatName}`;
    const text = textOf(readWhole(this.#disk, file) ?? new Uint8Array(0));
    const major = /^etcdlike-store ([0-9]{1,9})\.[0-9]{1,9}\n$/.exec(text)?.[1];
    if (major === undefined) {
      throw new FatalError("STORE_DAMAGED", `${file} is no store format: ${JSON.stringify(text)}`, {
        file,
        offset: 0,
      });
    }
    if (Number(major) !== formatMajor) {
      // Not damage: another version of this program wrote it, and replacing the member would lose good data.
      const message = `${file} says store format ${major}, this version knows ${formatMajor}`;
      throw new FatalError("UNKNOWN_ENTRY", message, { file });
    }
  }

  #makeLive(generation: number): void {
    writeWhole(this.#disk, this.#path, currentName, utf8(`store-${generation}\n`));
    this.#live = generation;
  }

  /** FORMAT goes first: what is left of a half-removed generation must not look complete. */
  #remove(generation: number): void {
    const path = this.#pathOf(generation);
    const names = this.#disk.readdir(path);
    const order = [formatName, ...names.filter((name) => name !== formatName)];
    for (const name of order) {
      if (!names.includes(name)) continue;
      this.#disk.unlink(`${path}/${name}`);
      if (name === formatName) this.#disk.fsyncDir(path);
    }
    this.#disk.rmdir(path);
  }
}
