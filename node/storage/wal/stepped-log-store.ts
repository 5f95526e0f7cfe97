// The log as the replica sees it, without a thread: the simulator says when a write happens and when a sync
// returns, so that a crash can fall between any two steps. One step is under way at a time, and what is
// appended meanwhile joins the next: the same group commit as the worker's.

import { assert, never } from "../../lib/assert.ts";
import { FatalError } from "../../lib/fatal.ts";
import type { LogAppend, LogSnapshot, LogStore } from "../../replica/log-store.ts";
import type { HardState } from "../../wire/raft.ts";
import { installSnapshot, type LogOptions, saveSnapshot, walOptions } from "./open-log.ts";
import { Wal, type WalPosition } from "./wal.ts";

export type LogStep = "write" | "sync" | "snapshot" | "close";

export interface SteppedLogOptions extends LogOptions {
  readonly position: WalPosition;
  /** Runs a step some time later. It is the disk's time, never run inside the call. */
  readonly schedule: (step: LogStep, run: () => void) => void;
  /** The log has failed: no completion runs any more. Called once. */
  readonly onFatal: (error: FatalError) => void;
}

type Command =
  | { readonly kind: "append"; readonly append: LogAppend; readonly done: (() => void) | undefined }
  | {
      readonly kind: "snapshot";
      readonly snapshot: LogSnapshot;
      readonly releaseIndex: number;
      readonly done: () => void;
    }
  | {
      readonly kind: "install";
      readonly snapshot: LogSnapshot;
      readonly hardState: HardState;
      readonly done: () => void;
    }
  | { readonly kind: "close"; readonly done: () => void };

export class SteppedLogStore implements LogStore {
  readonly #options: SteppedLogOptions;
  readonly #wal: Wal;
  #queue: Command[] = [];
  #isBusy = false;
  #hasFailed = false;

  constructor(options: SteppedLogOptions) {
    this.#options = options;
    this.#wal = new Wal(walOptions(options), options.position);
  }

  append(append: LogAppend, done?: () => void): void {
    this.#submit({ kind: "append", append, done });
  }

  saveSnapshot(snapshot: LogSnapshot, releaseIndex: number, done: () => void): void {
    this.#submit({ kind: "snapshot", snapshot, releaseIndex, done });
  }

  installSnapshot(snapshot: LogSnapshot, hardState: HardState, done: () => void): void {
    this.#submit({ kind: "install", snapshot, hardState, done });
  }

  close(done: () => void): void {
    this.#submit({ kind: "close", done });
  }

  #submit(command: Command): void {
    if (this.#hasFailed) return;
    this.#queue.push(command);
    this.#next();
  }

  #next(): void {
    const [first] = this.#queue;
    if (this.#isBusy || first === undefined) return;
    this.#isBusy = true;
    const kind = first.kind === "append" ? "write" : first.kind === "install" ? "snapshot" : first.kind;
    this.#schedule(kind, () => {
      if (first.kind === "append") this.#writeAppends();
      else this.#carryOut(first);
    });
  }

  /** Writes every append at the head of the queue. */
  #writeAppends(): void {
    const completions: (() => void)[] = [];
    let count = 0;
    for (const command of this.#queue) {
      if (command.kind !== "append") break;
      for (const entry of command.append.entries) this.#wal.appendEntry(entry);
      if (command.append.hardState !== undefined) this.#wal.appendHardState(command.append.hardState);
      if (command.done !== undefined) completions.push(command.done);
      count++;
    }
    this.#queue = this.#queue.slice(count);
    this.#wal.write();
    if (completions.length === 0) {
      this.#finish([]);
      return;
    }
    this.#schedule("sync", () => {
      this.#wal.sync();
      this.#finish(completions);
    });
  }

  #carryOut(command: Exclude<Command, { kind: "append" }>): void {
    assert(this.#queue.shift() === command, "commands are carried out in order");
    switch (command.kind) {
      case "close":
        this.#wal.close();
        break;
      case "snapshot":
        saveSnapshot(this.#wal, this.#options, command.snapshot, command.releaseIndex);
        break;
      case "install":
        installSnapshot(this.#wal, this.#options, command.snapshot, command.hardState);
        break;
      default:
        never(command);
    }
    this.#finish([command.done]);
  }

  #finish(completions: readonly (() => void)[]): void {
    this.#isBusy = false;
    for (const done of completions) done();
    this.#wal.prepare();
    this.#next();
  }

  #schedule(step: LogStep, run: () => void): void {
    this.#options.schedule(step, () => {
      if (this.#hasFailed) return;
      try {
        run();
      } catch (error) {
        if (!(error instanceof FatalError)) throw error;
        this.#hasFailed = true;
        this.#options.onFatal(error);
      }
    });
  }
}
