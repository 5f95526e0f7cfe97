// What a disk may hold after a power cut, derived from a trace. Every sector of 512 bytes that was written since
// its file's last sync has any of its versions, each by itself; a file has any of its sizes since then; of the
// changes of names since the directory's last sync any subset happened.

import { dirname } from "node:path";
import { must } from "../../node/lib/assert.ts";
import type { Random } from "../../node/lib/random.ts";
import type { TraceEvent } from "./trace.ts";

const sectorBytes = 512;

interface FileState {
  readonly isDirectory: boolean;
  /** At least `liveBytes` long, zeros behind. */
  live: Uint8Array;
  liveBytes: number;
  durable: Uint8Array;
  /** Since the last sync, that one's first. */
  sizes: number[];
  /** Contents of dirty sectors, the oldest first; the durable one is not among them. */
  readonly dirty: Map<number, Uint8Array[]>;
}

type Names = Map<string, FileState>;

interface NameChange {
  readonly directory: string;
  apply(names: Names): void;
}

/** How a cut treats what was not synced. */
export type CutMode = "loseAll" | "keepAll" | "random";

export interface Image {
  readonly directories: readonly string[];
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly sectorsLost: number;
  readonly namesLost: number;
}

export class DiskModel {
  readonly #byInode = new Map<bigint, FileState>();
  readonly #live: Names = new Map();
  readonly #durable: Names = new Map();
  #nameChanges: NameChange[] = [];

  /** `root` is the directory in which the data directory is created; it is there already. */
  constructor(root: string) {
    const directory = emptyFile(true);
    for (const names of [this.#live, this.#durable]) names.set(root, directory);
  }

  apply(event: TraceEvent): void {
    switch (event.kind) {
      case "create": {
        const file = emptyFile(false);
        this.#byInode.set(event.inode, file);
        this.#change(event.path, (names) => names.set(event.path, file));
        return;
      }
      case "mkdir": {
        const directory = emptyFile(true);
        this.#change(event.path, (names) => names.set(event.path, directory));
        return;
      }
      case "rename":
        this.#change(event.to, (names) => {
          const file = names.get(event.path);
          if (file === undefined) return;
          names.delete(event.path);
          names.set(event.to, file);
        });
        return;
      case "unlink":
        this.#change(event.path, (names) => names.delete(event.path));
        return;
      case "syncDirectory":
        this.#syncDirectory(event.path);
        return;
      case "write":
        write(this.#file(event.inode), event.offset, event.bytes, event.isSynchronous);
        return;
      case "truncate":
        truncate(this.#file(event.inode), event.bytes);
        return;
      case "sync":
        sync(this.#file(event.inode));
        return;
      case "map":
      case "acknowledged":
        return;
    }
  }

  /** Files as the running system sees them. */
  liveFiles(): Map<string, Uint8Array> {
    const files = new Map<string, Uint8Array>();
    for (const [path, file] of this.#live) {
      if (!file.isDirectory) files.set(path, file.live.subarray(0, file.liveBytes));
    }
    return files;
  }

  /** What is found after a power cut now. The model itself goes on. */
  image(random: Random, mode: CutMode): Image {
    const names = new Map(this.#durable);
    let namesLost = 0;
    for (const change of this.#nameChanges) {
      if (mode === "keepAll" || (mode === "random" && random.below(2) === 0)) change.apply(names);
      else namesLost++;
    }
    const directories: string[] = [];
    const files = new Map<string, Uint8Array>();
    let sectorsLost = 0;
    // Sorted, so that a directory comes before what is in it.
    for (const [path, file] of [...names].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (directories.length > 0 && !directories.includes(dirname(path))) continue;
      if (file.isDirectory) directories.push(path);
      else {
        const survivor = survivorOf(file, random, mode);
        files.set(path, survivor.bytes);
        sectorsLost += survivor.sectorsLost;
      }
    }
    return { directories, files, sectorsLost, namesLost };
  }

  #file(inode: bigint): FileState {
    return must(this.#byInode.get(inode), "the trace has the file's creation", { inode });
  }

  #change(path: string, apply: (names: Names) => void): void {
    apply(this.#live);
    this.#nameChanges.push({ directory: dirname(path), apply });
  }

  #syncDirectory(path: string): void {
    for (const change of this.#nameChanges) if (change.directory === path) change.apply(this.#durable);
    this.#nameChanges = this.#nameChanges.filter((change) => change.directory !== path);
  }
}

function emptyFile(isDirectory: boolean): FileState {
  return {
    isDirectory,
    live: new Uint8Array(0),
    liveBytes: 0,
    durable: new Uint8Array(0),
    sizes: [0],
    dirty: new Map(),
  };
}

function write(file: FileState, offset: number, bytes: Uint8Array, isSynchronous: boolean): void {
  const end = offset + bytes.length;
  resize(file, Math.max(file.liveBytes, end));
  file.live.set(bytes, offset);
  noteDirty(file, offset, end);
  if (!isSynchronous) return;
  // The sectors written are durable now, and the size that it takes to read them.
  file.durable = grown(file.durable, file.liveBytes);
  file.sizes = [file.liveBytes];
  for (let sector = Math.floor(offset / sectorBytes); sector * sectorBytes < end; sector++) {
    const content = must(file.dirty.get(sector)?.at(-1), "the sector was just written");
    file.durable.set(content.subarray(0, file.liveBytes - sector * sectorBytes), sector * sectorBytes);
    file.dirty.delete(sector);
  }
}

function truncate(file: FileState, bytes: number): void {
  const before = file.liveBytes;
  resize(file, bytes);
  if (bytes < before) noteDirty(file, bytes, before);
}

function sync(file: FileState): void {
  file.durable = file.live.slice(0, file.liveBytes);
  file.sizes = [file.liveBytes];
  file.dirty.clear();
}

function resize(file: FileState, bytes: number): void {
  if (bytes === file.liveBytes) return;
  if (bytes < file.liveBytes) file.live.fill(0, bytes, file.liveBytes);
  if (bytes > file.live.length) {
    file.live = grown(file.live, Math.max(bytes, Math.min(file.live.length * 2, bytes + (1 << 22))));
  }
  file.liveBytes = bytes;
  file.sizes.push(bytes);
}

function noteDirty(file: FileState, start: number, end: number): void {
  for (let sector = Math.floor(start / sectorBytes); sector * sectorBytes < end; sector++) {
    const content = new Uint8Array(sectorBytes);
    content.set(file.live.subarray(sector * sectorBytes, (sector + 1) * sectorBytes));
    const versions = file.dirty.get(sector);
    if (versions === undefined) file.dirty.set(sector, [content]);
    else versions.push(content);
  }
}

function survivorOf(
  file: FileState,
  random: Random,
  mode: CutMode,
): { readonly bytes: Uint8Array; readonly sectorsLost: number } {
  if (mode === "keepAll") return { bytes: file.live.slice(0, file.liveBytes), sectorsLost: 0 };
  const sizeVersion = mode === "loseAll" ? 0 : random.below(file.sizes.length);
  const size = must(file.sizes[sizeVersion], "the size is one of the versions");
  const bytes = grown(file.durable.slice(0, size), size);
  let sectorsLost = 0;
  for (const [sector, versions] of file.dirty) {
    const kept = mode === "loseAll" ? 0 : random.below(versions.length + 1);
    if (kept < versions.length) sectorsLost++;
    const content = versions[kept - 1];
    const start = sector * sectorBytes;
    if (content !== undefined && start < size) bytes.set(content.subarray(0, size - start), start);
  }
  return { bytes, sectorsLost };
}

function grown(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length >= length) return bytes;
  const larger = new Uint8Array(length);
  larger.set(bytes);
  return larger;
}
