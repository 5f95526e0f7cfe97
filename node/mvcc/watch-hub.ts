// The watch hub: who gets which event. The store tells it of every revision after it is applied; responses come
// out of the streams. A watcher is synced, and gets events as they happen, or lagging, and gets them from history
// in bounded rounds: because it starts in the past, because its stream's consumer is slow, or because the store
// was replaced. One that compaction overtakes is canceled with the compact revision, never left in silence.
//
// It knows nothing of sockets, permissions and clocks. Tested by a table of etcd's rules, and by random histories
// with slow consumers and compactions against the nine guarantees of etcd's watch.

import { assert, must } from "../lib/assert.ts";
import type { Random } from "../lib/random.ts";
import type { EventChain } from "./event-chain.ts";
import { type RevisionEvents, SharedEvent, type WatchHistory } from "./watch-event.ts";
import { WatchIndex, watchRange } from "./watch-index.ts";
import {
  canceledResponse,
  cancelReasons,
  createdResponse,
  noWatchId,
  overtakenResponse,
  progressResponse,
  refusedResponse,
} from "./watch-response.ts";
import {
  type CreateOutcome,
  type WatchCreateRequest,
  type Watcher,
  WatchStream,
  type WatchStreamHost,
} from "./watch-stream.ts";

export interface WatchHubOptions {
  /** Between periodic progress responses; up to a tenth is added at random for each stream. */
  readonly progressIntervalMs: number;
  /** Event bytes queued for one stream before its watchers lag. At least one revision always fits. */
  readonly streamBudgetBytes: number;
  /** A fragmenting watcher's response of this size is split: the request limit plus gRPC's allowance. */
  readonly fragmentBytesMax: number;
  readonly watchersPerStreamMax: number;
  /** Lagging watchers served by one round of catching up. */
  readonly roundWatchersMax: number;
  /** Revisions read by one round, and so in one response. */
  readonly roundRevisionsMax: number;
  readonly roundBytesMax: number;
  /** A batch of several revisions ends when it has this size, so that clients with small limits can receive it. */
  readonly batchBytesMax: number;
}

export const defaultWatchHubOptions: WatchHubOptions = {
  progressIntervalMs: 600_000,
  streamBudgetBytes: 4 * 1024 * 1024,
  fragmentBytesMax: 2 * 1024 * 1024,
  watchersPerStreamMax: 100_000,
  roundWatchersMax: 512,
  roundRevisionsMax: 1_000,
  roundBytesMax: 4 * 1024 * 1024,
  batchBytesMax: 1024 * 1024,
};

export interface WatchHubPorts {
  readonly history: WatchHistory;
  readonly random: Random;
  /** `syncStep` has work. Runs once until the next `syncStep`. It may run inside any call: defer the work. */
  readonly onSyncWanted: () => void;
}

const filterNoPut = 0;
const filterNoDelete = 1;

export class WatchHub {
  readonly #history: WatchHistory;
  readonly #random: Random;
  readonly #onSyncWanted: () => void;
  readonly #options: WatchHubOptions;
  readonly #host: WatchStreamHost;
  readonly #streams = new Set<WatchStream>();
  /** All watchers, lagging ones too. */
  readonly #index = new WatchIndex<Watcher>();
  /** In the order in which they are served; one that was served goes to the end. */
  readonly #lagging = new Set<Watcher>();
  /** The last revision that was told. Whenever control is elsewhere it is the store's current revision. */
  #revision: number;
  #watcherCount = 0;
  #eventCount = 0;
  #isSyncWanted = false;
  /** Streams whose consumers are to be told at the end of the call. */
  #readable: WatchStream[] = [];
  readonly #groups: Set<Watcher>[] = [];

  constructor(ports: WatchHubPorts, options: Partial<WatchHubOptions> = {}) {
    this.#history = ports.history;
    this.#random = ports.random;
    this.#onSyncWanted = ports.onSyncWanted;
    this.#options = { ...defaultWatchHubOptions, ...options };
    this.#revision = ports.history.currentRevision();
    this.#host = {
      create: (stream, request) => this.#create(stream, request),
      refuse: (stream, reason) => this.#refuse(stream, reason),
      cancel: (stream, watchId) => this.#cancel(stream, watchId),
      requestProgress: (stream) => this.#requestProgress(stream),
      close: (stream) => this.#close(stream),
      becameReadable: (stream) => this.#readable.push(stream),
      becameRoomy: () => this.#wantSync(),
    };
  }

  /** `onReadable` runs when responses wait in `next()`; see WatchStreamOptions. */
  openStream(onReadable: () => void, nowMs: number): WatchStream {
    const stream = new WatchStream(this.#host, {
      onReadable,
      budgetBytes: this.#options.streamBudgetBytes,
      fragmentBytesMax: this.#options.fragmentBytesMax,
      nextProgressMs: nowMs + this.#progressDelayMs(),
    });
    this.#streams.add(stream);
    return stream;
  }

  /** Tells of a revision that was just applied. Called for every one, in order, before control goes elsewhere. */
  notify({ revision, events }: RevisionEvents): void {
    assert(revision > this.#revision, "revisions are told in order", { revision, last: this.#revision });
    this.#revision = revision;
    if (this.#index.isEmpty) return;
    if (events.length === 1) this.#deliverSingle(revision, events);
    else this.#deliverSeveral(revision, events);
    this.#announce();
  }

  /** Cancels the watchers that compaction overtook. Called after every compaction. */
  compacted(): void {
    this.#cancelOvertaken();
    this.#announce();
  }

  /** The store was replaced by a snapshot: what happened in between comes from its history. */
  restored(): void {
    const previous = this.#revision;
    this.#revision = this.#history.currentRevision();
    for (const stream of this.#streams) {
      for (const watcher of stream.watchers.values()) {
        if (watcher.isSynced) watcher.nextRevision = Math.max(watcher.nextRevision, previous + 1);
        if (watcher.nextRevision <= this.#revision) this.#markLagging(watcher, watcher.nextRevision);
        else this.#markSynced(watcher, watcher.nextRevision);
      }
    }
    this.#cancelOvertaken();
    this.#announce();
  }

  /**
   * One bounded round of catching up; returns whether another one has work. Run it some time after onSyncWanted
   * and as long as it returns true.
   */
  syncStep(): boolean {
    this.#isSyncWanted = false;
    this.#cancelOvertaken();
    const first = this.#firstRoomy();
    if (first !== undefined) this.#catchUpFrom(first.nextRevision);
    this.#announce();
    return this.#firstRoomy() !== undefined;
  }

  /** Sends the periodic progress that is due. */
  tick(nowMs: number): void {
    for (const stream of this.#streams) {
      if (nowMs < stream.nextProgressMs) continue;
      stream.nextProgressMs = nowMs + this.#progressDelayMs();
      for (const watcher of stream.watchers.values()) {
        if (!watcher.wantsProgress) continue;
        if (!watcher.isIdle) watcher.isIdle = true;
        else if (watcher.isSynced && watcher.startRevision <= this.#revision && !stream.isCongested) {
          stream.push(progressResponse(this.#revision, watcher.id));
        }
      }
    }
    this.#announce();
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  get watcherCount(): number {
    return this.#watcherCount;
  }

  get laggingCount(): number {
    return this.#lagging.size;
  }

  /** Events queued so far, once for each watcher that got them. */
  get eventCount(): number {
    return this.#eventCount;
  }

  #create(stream: WatchStream, request: WatchCreateRequest): CreateOutcome {
    const outcome = this.#tryCreate(stream, request);
    if (outcome.ok) this.#announce();
    else this.#refuse(stream, outcome.reason);
    return outcome;
  }

  #refuse(stream: WatchStream, reason: string): void {
    stream.push(refusedResponse(this.#revision, reason));
    this.#announce();
  }

  #tryCreate(
    stream: WatchStream,
    request: WatchCreateRequest,
  ): { readonly ok: true; readonly watchId: bigint } | { readonly ok: false; readonly reason: string } {
    const { startRevision } = request;
    if (startRevision < 0) return { ok: false, reason: cancelReasons.compacted };
    const range = watchRange(request.key, request.rangeEnd);
    if (range === undefined) return { ok: false, reason: cancelReasons.emptyRange };
    if (stream.watchers.size + stream.overtakenIds.size >= this.#options.watchersPerStreamMax) {
      return { ok: false, reason: cancelReasons.tooManyWatches };
    }
    const id = stream.allocateId(request.watchId);
    if (id === undefined) return { ok: false, reason: cancelReasons.duplicateId };
    const watcher: Watcher = {
      stream,
      id,
      range,
      skipsPuts: request.filters.includes(filterNoPut),
      skipsDeletes: request.filters.includes(filterNoDelete),
      hasPrevKv: request.prevKv,
      isFragmenting: request.fragment,
      wantsProgress: request.progressNotify,
      startRevision,
      nextRevision: startRevision === 0 ? this.#revision + 1 : startRevision,
      isSynced: true,
      isIdle: true,
      batch: undefined,
      open: undefined,
      stoppedAt: 0,
    };
    stream.watchers.set(id, watcher);
    this.#watcherCount++;
    this.#index.add(watcher);
    stream.push(createdResponse(this.#revision, id));
    if (watcher.nextRevision < this.#history.compactRevision()) this.#overtake(watcher);
    else if (watcher.nextRevision <= this.#revision) this.#markLagging(watcher, watcher.nextRevision);
    return { ok: true, watchId: id };
  }

  #cancel(stream: WatchStream, watchId: bigint): void {
    const watcher = stream.watchers.get(watchId);
    if (watcher !== undefined) this.#remove(watcher);
    else if (!stream.overtakenIds.delete(watchId)) return;
    stream.push(canceledResponse(this.#revision, watchId));
    this.#announce();
  }

  #requestProgress(stream: WatchStream): void {
    if (stream.watchers.size === 0 || stream.isCongested || !stream.isCurrentAt(this.#revision)) return;
    stream.push(progressResponse(this.#revision, noWatchId));
    this.#announce();
  }

  #close(stream: WatchStream): void {
    for (const watcher of stream.watchers.values()) this.#remove(watcher);
    this.#streams.delete(stream);
  }

  #remove(watcher: Watcher): void {
    this.#markSynced(watcher, watcher.nextRevision);
    this.#index.delete(watcher);
    watcher.stream.watchers.delete(watcher.id);
    this.#watcherCount--;
  }

  /** The usual case, hot: every watcher without lag gets the same event, encoded once. */
  #deliverSingle(revision: number, events: RevisionEvents["events"]): void {
    for (const source of events) {
      const event = new SharedEvent(source, this.#history);
      this.#index.findGroups(source.key, this.#groups);
      for (const group of this.#groups) {
        for (const watcher of group) {
          if (!watcher.isSynced || !wants(watcher, event)) continue;
          if (watcher.stream.isFull) {
            this.#markLagging(watcher, revision);
          } else {
            this.#eventCount++;
            watcher.stream.pushEvents(watcher, revision, event.encoded(watcher.hasPrevKv));
          }
        }
      }
    }
  }

  #deliverSeveral(revision: number, events: RevisionEvents["events"]): void {
    const touched: Watcher[] = [];
    for (const source of events) {
      const event = new SharedEvent(source, this.#history);
      this.#index.findGroups(source.key, this.#groups);
      for (const group of this.#groups) {
        for (const watcher of group) {
          if (!watcher.isSynced || !wants(watcher, event)) continue;
          if (watcher.batch === undefined) touched.push(watcher);
          watcher.batch = joined(watcher.batch, event.encoded(watcher.hasPrevKv));
        }
      }
    }
    for (const watcher of touched) {
      if (watcher.stream.isFull) {
        watcher.batch = undefined;
        this.#markLagging(watcher, revision);
      } else {
        this.#pushBatch(watcher, must(watcher.batch, "a touched watcher has a batch"));
      }
    }
  }

  /** Serves the lagging watchers whose next revision is in one read of history from `fromRevision` on. */
  #catchUpFrom(fromRevision: number): void {
    const { revisions, nextRevision } = this.#history.readEvents(fromRevision, {
      revisionsMax: this.#options.roundRevisionsMax,
      bytesMax: this.#options.roundBytesMax,
    });
    assert(nextRevision > fromRevision, "a read of history advances", { fromRevision, nextRevision });
    const chosen: Watcher[] = [];
    const index = new WatchIndex<Watcher>();
    for (const watcher of this.#lagging) {
      if (chosen.length === this.#options.roundWatchersMax) break;
      const isInRead = fromRevision <= watcher.nextRevision && watcher.nextRevision < nextRevision;
      if (!isInRead || !watcher.stream.isRoomy) continue;
      chosen.push(watcher);
      index.add(watcher);
    }
    for (const { revision, events } of revisions) {
      if (this.#index.isEmpty) return;
      if (events.length === 1) this.#stageSingle(index, revision, events);
      else this.#stageSeveral(index, revision, events);
    }
    for (const watcher of chosen) this.#finishRound(watcher, nextRevision);
  }

  /** Adds a revision of one event to the batches of those who want it and have budget left. Hot. */
  #stageSingle(index: WatchIndex<Watcher>, revision: number, events: RevisionEvents["events"]): void {
    for (const source of events) {
      const event = new SharedEvent(source, this.#history);
      index.findGroups(source.key, this.#groups);
      for (const group of this.#groups) {
        for (const watcher of group) {
          if (watcher.stoppedAt !== 0 || !wants(watcher, event)) continue;
          if (watcher.stream.isStagedFull) watcher.stoppedAt = revision;
          else this.#stage(watcher, event.encoded(watcher.hasPrevKv));
        }
      }
    }
  }

  /** Adds one revision to the batches of those who want it, whole or, when the budget is used up, not at all. */
  #stageSeveral(index: WatchIndex<Watcher>, revision: number, events: RevisionEvents["events"]): void {
    const touched = new Map<Watcher, EventChain>();
    for (const source of events) {
      const event = new SharedEvent(source, this.#history);
      index.findGroups(source.key, this.#groups);
      for (const group of this.#groups) {
        for (const watcher of group) {
          if (watcher.stoppedAt !== 0 || !wants(watcher, event)) continue;
          const wanted = touched.get(watcher);
          if (wanted === undefined && watcher.stream.isStagedFull) watcher.stoppedAt = revision;
          else touched.set(watcher, joined(wanted, event.encoded(watcher.hasPrevKv)));
        }
      }
    }
    for (const [watcher, wanted] of touched) {
      // Asked again, now that watchers of the same stream have staged this revision.
      if (watcher.stream.isStagedFull) watcher.stoppedAt = revision;
      else this.#stage(watcher, wanted);
    }
  }

  #stage(watcher: Watcher, events: EventChain): void {
    const batch = joined(watcher.batch, events);
    watcher.batch = batch;
    watcher.stream.stagedBytes += events.cost;
    if (batch.cost >= this.#options.batchBytesMax) this.#pushStaged(watcher, batch);
  }

  #pushStaged(watcher: Watcher, batch: EventChain): void {
    watcher.stream.stagedBytes -= batch.cost;
    this.#pushBatch(watcher, batch);
  }

  #finishRound(watcher: Watcher, readUntil: number): void {
    if (watcher.batch !== undefined) this.#pushStaged(watcher, watcher.batch);
    const nextRevision = watcher.stoppedAt === 0 ? readUntil : watcher.stoppedAt;
    watcher.stoppedAt = 0;
    this.#markSynced(watcher, nextRevision);
    if (nextRevision <= this.#revision) this.#markLagging(watcher, nextRevision);
  }

  #pushBatch(watcher: Watcher, batch: EventChain): void {
    watcher.batch = undefined;
    this.#eventCount += batch.length;
    watcher.stream.pushEvents(watcher, this.#revision, batch);
  }

  #markLagging(watcher: Watcher, nextRevision: number): void {
    watcher.nextRevision = nextRevision;
    if (watcher.isSynced) {
      watcher.isSynced = false;
      watcher.stream.laggingCount++;
      this.#lagging.add(watcher);
    }
    if (watcher.stream.isRoomy) this.#wantSync();
  }

  #markSynced(watcher: Watcher, nextRevision: number): void {
    watcher.nextRevision = nextRevision;
    if (watcher.isSynced) return;
    watcher.isSynced = true;
    watcher.stream.laggingCount--;
    this.#lagging.delete(watcher);
  }

  #cancelOvertaken(): void {
    const compactRevision = this.#history.compactRevision();
    for (const watcher of this.#lagging) {
      if (watcher.nextRevision < compactRevision) this.#overtake(watcher);
    }
  }

  #overtake(watcher: Watcher): void {
    this.#remove(watcher);
    watcher.stream.overtakenIds.add(watcher.id);
    watcher.stream.push(overtakenResponse(watcher.id, this.#history.compactRevision()));
  }

  #firstRoomy(): Watcher | undefined {
    for (const watcher of this.#lagging) if (watcher.stream.isRoomy) return watcher;
    return undefined;
  }

  #progressDelayMs(): number {
    const interval = this.#options.progressIntervalMs;
    return interval + this.#random.below(Math.floor(interval / 10) + 1);
  }

  #wantSync(): void {
    if (this.#isSyncWanted) return;
    this.#isSyncWanted = true;
    this.#onSyncWanted();
  }

  /** Tells the consumers, last of all: they may call back. */
  #announce(): void {
    if (this.#readable.length === 0) return;
    const readable = this.#readable;
    this.#readable = [];
    for (const stream of readable) stream.onReadable();
  }
}

/** The events of `more` behind those of `batch`. */
function joined(batch: EventChain | undefined, more: EventChain): EventChain {
  if (batch === undefined) return more;
  if (more.length === 1) return batch.with(more.event);
  return more.list.reduce((chain, event) => chain.with(event), batch);
}

function wants(watcher: Watcher, event: SharedEvent): boolean {
  if (event.source.modRevision < watcher.nextRevision) return false;
  return event.source.type === "put" ? !watcher.skipsPuts : !watcher.skipsDeletes;
}
