// A disk in memory that behaves as badly as a real one may when the power goes.
//
// Writes and size changes are durable after fdatasync of the file, names after fsyncDir. At a crash every
// sector of 512 bytes that was written since shows any of its versions, the oldest to the newest, independent
// of the others; a file has any of its sizes, with zeros where nothing arrived; and of the changes of names
// any subset happened. Calls can be made to fail with a code, and the power can go in front of any call.

import { assert, must } from "../../node/lib/assert.ts";
import { equalBytes } from "../../node/lib/bytes.ts";
import type { Random } from "../../node/lib/random.ts";
import type { Disk, DiskFile, DiskStat } from "../../node/storage/disk.ts";

const sectorBytes = 512;

/** Thrown by the call in front of which the power went, and by all later ones until `crash`. */
export class PowerCut extends Error {
  override readonly name = "PowerCut";
}

type FileChange =
  | { readonly kind: "write"; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly bytes: number };

interface Inode {
  readonly isDirectory: boolean;
  live: Uint8Array;
  durable: Uint8Array;
  /** Since the last sync, in order. */
  changes: FileChange[];
}

type Names = Map<string, Inode>;

interface NameChange {
  readonly directory: string;
  apply(names: Names): void;
}

export interface DiskCall {
  readonly kind: string;
  readonly path: string;
  readonly bytes?: Uint8Array;
}

/** What a power cut may lose. */
export interface DiskLosses {
  /** What was written to a file and not synced. */
  readonly writes: boolean;
  /** Sectors of it independently of each other, not only whole writes from the newest back. */
  readonly torn: boolean;
  /** Names created, renamed and removed, whose directory was not synced. */
  readonly names: boolean;
}

/** What a power cut has lost: files with lost writes, those of them with a part kept, and changes of names. */
export interface LossCounts {
  readonly writes: number;
  readonly torn: number;
  readonly names: number;
}

const everyLoss: DiskLosses = { writes: true, torn: true, names: true };

export class SimDisk implements Disk {
  readonly #observe: (call: DiskCall) => void;
  #live: Names = new Map();
  #durable: Names = new Map();
  #nameChanges: NameChange[] = [];
  readonly #open = new Map<DiskFile, { readonly path: string; readonly inode: Inode }>();
  #nextFile = 3;
  #calls = 0;
  #failures = 0;
  #failAt: { readonly call: number; readonly code: string } | undefined;
  #powerCutAt = Number.POSITIVE_INFINITY;
  #isOff = false;

  constructor(observe: (call: DiskCall) => void = () => {}) {
    this.#observe = observe;
    for (const names of [this.#live, this.#durable]) names.set("/", emptyInode(true));
  }

  /** Calls made that change something or make it durable; the points at which power can be cut. */
  get calls(): number {
    return this.#calls;
  }

  /** Calls that were made to fail. */
  get failures(): number {
    return this.#failures;
  }

  /** The changing call that comes after `count` others fails with `code`, once. */
  failAfter(count: number, code: "EIO" | "ENOSPC"): void {
    this.#failAt = { call: this.#calls + count, code };
  }

  /** The power goes in front of the changing call that comes after `count` others. */
  cutPowerAfter(count: number): void {
    this.#powerCutAt = this.#calls + count;
  }

  /** What is there when the machine starts again. Open files are gone. Answers what was lost. */
  crash(random: Random, losses: DiskLosses = everyLoss): LossCounts {
    const counts = { writes: 0, torn: 0, names: 0 };
    for (const change of this.#nameChanges) {
      if (!losses.names || random.below(2) === 0) change.apply(this.#durable);
      else counts.names++;
    }
    this.#nameChanges = [];
    for (const inode of new Set(this.#durable.values())) {
      const { live } = inode;
      const durable = inode.durable.slice();
      if (!losses.writes) inode.durable = live;
      else inode.durable = losses.torn ? survivor(inode, random) : wholeSurvivor(inode, random);
      if (losses.writes && !equalBytes(inode.durable, live)) {
        counts.writes++;
        if (losses.torn && !equalBytes(inode.durable, durable)) counts.torn++;
      }
      inode.live = inode.durable.slice();
      inode.changes = [];
    }
    // A directory whose own name was lost takes what is in it along.
    for (const path of [...this.#durable.keys()].sort()) {
      if (this.#durable.get(parentOf(path))?.isDirectory !== true) this.#durable.delete(path);
    }
    this.#live = new Map(this.#durable);
    this.#open.clear();
    this.#isOff = false;
    this.#powerCutAt = Number.POSITIVE_INFINITY;
    this.#failAt = undefined;
    return counts;
  }

  /** The process dies and the machine stays: nothing is lost but the open files. */
  kill(): void {
    this.#open.clear();
    this.#isOff = false;
    this.#powerCutAt = Number.POSITIVE_INFINITY;
  }

  /** Copies of all files by path, as a reader sees them now. */
  files(): Map<string, Uint8Array> {
    const files = new Map<string, Uint8Array>();
    for (const [path, inode] of this.#live) if (!inode.isDirectory) files.set(path, inode.live.slice());
    return files;
  }

  /** Puts a file there, durably: how tests damage one. */
  plant(path: string, bytes: Uint8Array): void {
    const inode = { isDirectory: false, live: bytes.slice(), durable: bytes.slice(), changes: [] };
    for (const names of [this.#live, this.#durable]) names.set(path, inode);
  }

  open(path: string, mode: "readOnly" | "readWrite"): DiskFile {
    if (this.#isOff) throw new PowerCut(`no power to open ${path} ${mode}`);
    const inode = this.#live.get(path);
    if (inode === undefined) throw systemError("ENOENT", `open ${path}`);
    return this.#openInode(path, inode);
  }

  create(path: string): DiskFile {
    this.#change({ kind: "create", path });
    const known = this.#live.get(path);
    if (known !== undefined) {
      this.#resize(known, 0);
      return this.#openInode(path, known);
    }
    const inode = emptyInode(false);
    this.#rename(path, (names) => names.set(path, inode));
    return this.#openInode(path, inode);
  }

  close(file: DiskFile): void {
    this.#open.delete(file);
  }

  pread(file: DiskFile, target: Uint8Array, position: number): number {
    const { inode } = this.#file(file);
    const part = inode.live.subarray(position, position + target.length);
    target.set(part);
    return part.length;
  }

  pwrite(file: DiskFile, bytes: Uint8Array, position: number): void {
    const { path, inode } = this.#file(file);
    this.#change({ kind: "write", path, bytes });
    const change = { kind: "write", position, bytes: bytes.slice() } as const;
    inode.live = applied(inode.live, change);
    inode.changes.push(change);
  }

  fdatasync(file: DiskFile): void {
    const { path, inode } = this.#file(file);
    try {
      this.#change({ kind: "sync", path });
    } catch (error) {
      // As Linux has it: the pages count as clean now. They are read until the power goes, and no later sync
      // writes them, but one after they were written again.
      if (!(error instanceof PowerCut)) inode.changes = [];
      throw error;
    }
    for (const change of inode.changes) inode.durable = applied(inode.durable, change);
    inode.changes = [];
  }

  truncate(file: DiskFile, bytes: number): void {
    const { path, inode } = this.#file(file);
    this.#change({ kind: "truncate", path });
    this.#resize(inode, bytes);
  }

  rename(from: string, to: string): void {
    assert(parentOf(from) === parentOf(to), "renames stay within a directory", { from, to });
    this.#change({ kind: "rename", path: to });
    if (!this.#live.has(from)) throw systemError("ENOENT", `rename ${from}`);
    this.#rename(to, (names) => {
      const inode = names.get(from);
      if (inode === undefined) return;
      names.delete(from);
      names.set(to, inode);
    });
  }

  unlink(path: string): void {
    this.#change({ kind: "unlink", path });
    if (!this.#live.has(path)) throw systemError("ENOENT", `unlink ${path}`);
    this.#rename(path, (names) => names.delete(path));
  }

  mkdir(path: string): void {
    this.#change({ kind: "mkdir", path });
    if (this.#live.has(path)) throw systemError("EEXIST", `mkdir ${path}`);
    if (!this.#live.has(parentOf(path))) throw systemError("ENOENT", `mkdir ${path}`);
    const inode = emptyInode(true);
    this.#rename(path, (names) => names.set(path, inode));
  }

  readdir(path: string): string[] {
    if (this.#live.get(path)?.isDirectory !== true) throw systemError("ENOENT", `readdir ${path}`);
    const names: string[] = [];
    for (const name of this.#live.keys()) {
      if (name !== "/" && parentOf(name) === path) names.push(name.slice(name.lastIndexOf("/") + 1));
    }
    return names.sort();
  }

  stat(path: string): DiskStat | undefined {
    const inode = this.#live.get(path);
    return inode === undefined ? undefined : { bytes: inode.live.length, isDirectory: inode.isDirectory };
  }

  fsyncDir(path: string): void {
    this.#change({ kind: "syncDirectory", path });
    for (const change of this.#nameChanges) if (change.directory === path) change.apply(this.#durable);
    this.#nameChanges = this.#nameChanges.filter((change) => change.directory !== path);
  }

  #change(call: DiskCall): void {
    if (this.#calls >= this.#powerCutAt) this.#isOff = true;
    if (this.#isOff) throw new PowerCut(`power cut in front of ${call.kind} ${call.path}`);
    const number = this.#calls++;
    this.#observe(call);
    if (this.#failAt?.call !== number) return;
    const { code } = this.#failAt;
    this.#failAt = undefined;
    this.#failures++;
    throw systemError(code, `${call.kind} ${call.path}`);
  }

  #rename(path: string, apply: (names: Names) => void): void {
    apply(this.#live);
    this.#nameChanges.push({ directory: parentOf(path), apply });
  }

  #resize(inode: Inode, bytes: number): void {
    const change = { kind: "truncate", bytes } as const;
    inode.live = applied(inode.live, change);
    inode.changes.push(change);
  }

  #openInode(path: string, inode: Inode): DiskFile {
    const file = this.#nextFile++;
    this.#open.set(file, { path, inode });
    return file;
  }

  #file(file: DiskFile): { readonly path: string; readonly inode: Inode } {
    if (this.#isOff) throw new PowerCut("no power");
    return must(this.#open.get(file), "the file is open", { file });
  }
}

/** The durable content with the first so many changes since. */
function wholeSurvivor(inode: Inode, random: Random): Uint8Array {
  let content = inode.durable;
  for (const change of inode.changes.slice(0, random.below(inode.changes.length + 1))) {
    content = applied(content, change);
  }
  return content;
}

/** The durable content with a random part of what was changed since. */
function survivor(inode: Inode, random: Random): Uint8Array {
  let content = inode.durable;
  if (inode.changes.length === 0) return content;
  let size = content.length;
  // How many of its changes each sector has seen; decided when the first of them is met.
  const sizeVersion = random.below(inode.changes.length + 1);
  const touches = new Map<number, number>();
  for (const change of inode.changes) {
    for (const sector of sectorsOf(change)) touches.set(sector, (touches.get(sector) ?? 0) + 1);
  }
  const versions = new Map<number, number>();
  for (const [sector, count] of touches) versions.set(sector, random.below(count + 1));
  for (const [i, change] of inode.changes.entries()) {
    if (change.kind === "truncate") {
      if (i < sizeVersion) content = applied(content, change);
      if (i < sizeVersion) size = change.bytes;
      continue;
    }
    if (i < sizeVersion) size = Math.max(size, change.position + change.bytes.length);
    for (const sector of sectorsOf(change)) {
      const left = versions.get(sector) ?? 0;
      if (left === 0) continue;
      versions.set(sector, left - 1);
      const start = Math.max(change.position, sector * sectorBytes);
      const end = Math.min(change.position + change.bytes.length, (sector + 1) * sectorBytes);
      const bytes = change.bytes.subarray(start - change.position, end - change.position);
      content = applied(content, { kind: "write", position: start, bytes });
    }
  }
  return applied(content, { kind: "truncate", bytes: size });
}

function sectorsOf(change: FileChange): number[] {
  if (change.kind === "truncate" || change.bytes.length === 0) return [];
  const first = Math.floor(change.position / sectorBytes);
  const last = Math.floor((change.position + change.bytes.length - 1) / sectorBytes);
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** The content after a change; the array itself is changed where it is large enough. */
function applied(content: Uint8Array, change: FileChange): Uint8Array {
  const end = change.kind === "truncate" ? change.bytes : change.position + change.bytes.length;
  if (change.kind === "truncate" && end < content.length) return content.slice(0, end);
  let target = content;
  if (end > content.length) {
    target = new Uint8Array(end);
    target.set(content);
  }
  if (change.kind === "write") target.set(change.bytes, change.position);
  return target;
}

function emptyInode(isDirectory: boolean): Inode {
  return { isDirectory, live: new Uint8Array(0), durable: new Uint8Array(0), changes: [] };
}

function parentOf(path: string): string {
  if (path === "/") return "/";
  const slash = path.lastIndexOf("/");
  return slash <= 0 ? "/" : path.slice(0, slash);
}

function systemError(code: string, what: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}
