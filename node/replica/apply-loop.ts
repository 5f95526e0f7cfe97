// Applies committed entries in order, each once, in slices. It knows where the member stands: applied index, term
// and configuration, which go into every flush together with what the entries did.

import type { Applier } from "../apply/applier.ts";
import { type ReadEntry, readEntry, unknownEntry } from "../apply/entry.ts";
import type { Outcome } from "../apply/outcome.ts";
import { assert, never } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { Metrics } from "../lib/metrics.ts";
import type { ConfChange, ConfState, Entry, Message } from "../wire/raft.ts";
import { raftCodecs } from "../wire/raft-codec.ts";
import type { AppliedConfChange } from "./conf-changes.ts";
import type { DurableState } from "./durable-state.ts";

export interface ApplyLoopOptions {
  readonly applier: Applier;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly slowApplyMs: number;
  /** True while nothing may be written to the store. The end of a flush calls `run` again. */
  readonly isStoreFull: () => boolean;
  /** A request was applied; whoever waits for it on this member is answered. The id comes as its two halves. */
  readonly onApplied: (idLow: number, idHigh: number, outcome: Outcome) => void;
  /** A membership change is due. */
  readonly applyConfChange: (change: ConfChange) => AppliedConfChange;
  /** What became of it. Whoever waits for it is answered after `onMessageDone`. */
  readonly onConfChanged: (changeId: bigint, outcome: Outcome) => void;
  /** The empty entry with which a leader's term begins. */
  readonly onTermBegins: () => void;
  /** After every entry. */
  readonly afterEntry: () => void;
  /** All entries of the message were applied. */
  readonly onMessageDone: (message: Message) => void;
  /** A slice is over; everything up to the index is applied. */
  readonly onSliceDone: (index: number) => void;
}

/** Entries applied before control returns to the event loop, so that heartbeats leave on time. */
const sliceEntries = 1000;

export class ApplyLoop {
  readonly #options: ApplyLoopOptions;
  // Where the member stands.
  #index: number;
  #term: number;
  #confState: ConfState;
  #queue: Message[] = [];
  /** Entries of the first message in the queue that are applied. */
  #offset = 0;
  #isRunning = false;
  #isDeferred = false;
  #isStopped = false;
  #isHeld = false;

  constructor(options: ApplyLoopOptions, state: DurableState) {
    this.#options = options;
    this.#index = state.index;
    this.#term = state.term;
    this.#confState = state.confState;
  }

  /** Where the member stands, between two entries. */
  get state(): DurableState {
    return { index: this.#index, term: this.#term, confState: this.#confState };
  }

  /** Everything up to here is applied. */
  get index(): number {
    return this.#index;
  }

  /** Queues the committed entries of a MsgStorageApply. Raft bounds what it hands out. */
  push(message: Message): void {
    this.#queue.push(message);
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Nothing more is applied until `restart`. */
  hold(): void {
    this.#isHeld = true;
  }

  /** A snapshot took the place of everything up to `state`. Answers with what was queued and is part of it. */
  restart(state: DurableState): readonly Message[] {
    const replaced = this.#queue;
    this.#queue = [];
    this.#offset = 0;
    this.#index = state.index;
    this.#term = state.term;
    this.#confState = state.confState;
    this.#isHeld = false;
    return replaced;
  }

  /** Applies what it may now; the rest follows by itself. */
  run(): void {
    if (this.#isRunning || this.#isDeferred || this.#isStopped || this.#isHeld) return;
    this.#isRunning = true;
    this.#runSlice();
    this.#isRunning = false;
    this.#options.onSliceDone(this.#index);
  }

  #runSlice(): void {
    let left = sliceEntries;
    while (!this.#isHeld) {
      const message = this.#queue[0];
      if (message === undefined) return;
      const entry = message.entries[this.#offset];
      if (entry === undefined) {
        this.#queue.shift();
        this.#offset = 0;
        this.#options.onMessageDone(message);
        continue;
      }
      if (this.#options.isStoreFull()) return;
      if (left-- === 0) {
        this.#isDeferred = true;
        this.#options.clock.defer(() => {
          this.#isDeferred = false;
          this.run();
        });
        return;
      }
      this.#offset++;
      this.#apply(entry);
    }
  }

  #apply(entry: Entry): void {
    const { index, term } = entry;
    assert(index === this.#index + 1, "entries are applied in order, each once", {
      index,
      applied: this.#index,
    });
    let request: ReadEntry | undefined;
    let outcome: Outcome | undefined;
    switch (entry.type) {
      case "EntryNormal":
        if (entry.data.length === 0) this.#options.onTermBegins();
        else {
          request = readEntry(entry);
          outcome = this.#applyRequest(request);
        }
        break;
      case "EntryConfChange": {
        const change = raftCodecs.ConfChange.decode(entry.data);
        const applied = this.#options.applyConfChange(change);
        this.#options.onConfChanged(change.id, applied.outcome);
        this.#confState = applied.confState;
        break;
      }
      case "EntryConfChangeV2":
        throw unknownEntry(index, "is a joint membership change, which no member proposes");
      default:
        never(entry.type);
    }
    this.#index = index;
    this.#term = term;
    if (request !== undefined && outcome !== undefined) {
      this.#options.onApplied(request.idLow, request.idHigh, outcome);
    }
    this.#options.afterEntry();
  }

  #applyRequest(request: ReadEntry): Outcome {
    const { applier, clock, metrics, logger, slowApplyMs } = this.#options;
    const startedMs = clock.nowMs();
    const outcome = applier.apply(request);
    const tookMs = clock.nowMs() - startedMs;
    metrics.observeApply(operationOf(request), outcome.ok, tookMs / 1000);
    if (tookMs > slowApplyMs) {
      metrics.slowApplies.increment();
      logger.warn("apply request took too long", {
        took: `${tookMs.toFixed(3)}ms`,
        "expected-duration": `${slowApplyMs}ms`,
      });
    }
    return outcome;
  }
}

/** The name that etcd's metric has for the operation: that of its field, with a capital. Hot for the first two. */
function operationOf(request: ReadEntry): string {
  if (request.put !== undefined) return "Put";
  if (request.txn !== undefined) return "Txn";
  for (const name in request) {
    if (notOperations.has(name)) continue;
    if (request[name as keyof ReadEntry] !== undefined) {
      return name.charAt(0).toUpperCase() + name.slice(1);
    }
  }
  return "unknown";
}

const notOperations: ReadonlySet<string> = new Set(["header", "ID", "idLow", "idHigh"]);
