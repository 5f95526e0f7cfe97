// One client's watch stream: its watchers by id, and one queue of responses, so that whatever the client gets
// (created, events, progress, canceled) comes in the order in which it became true. The queue's events have a
// byte budget; the hub stops filling a full queue and lets the watchers catch up from history later.

import type { EventBytes } from "./watch-event.ts";
import type { WatchRange } from "./watch-index.ts";
import {
  appendedEvent,
  eventCost,
  eventsResponse,
  fragmentsOf,
  queueCost,
  type WatchResponse,
} from "./watch-response.ts";

/** As on the wire; the codec's WatchCreateRequest fits. Nothing of it is kept. */
export interface WatchCreateRequest {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
  readonly startRevision: number;
  readonly progressNotify: boolean;
  /** 0 is NOPUT, 1 is NODELETE; others are ignored. */
  readonly filters: readonly number[];
  readonly prevKv: boolean;
  /** Zero lets the stream choose. */
  readonly watchId: bigint;
  readonly fragment: boolean;
}

export type CreateOutcome = { readonly ok: true; readonly watchId: bigint } | { readonly ok: false };

export interface Watcher {
  readonly stream: WatchStream;
  readonly id: bigint;
  readonly range: WatchRange;
  readonly skipsPuts: boolean;
  readonly skipsDeletes: boolean;
  readonly hasPrevKv: boolean;
  readonly isFragmenting: boolean;
  readonly wantsProgress: boolean;
  /** What the client asked for; zero if it named none. Below it no progress is told. */
  readonly startRevision: number;
  /** No event below it is queued any more. While synced, every event from it to the hub's revision is queued. */
  nextRevision: number;
  /** Gets events as they happen; otherwise it is lagging and reads them from history. */
  isSynced: boolean;
  /** No event was queued since the last progress tick. */
  isIdle: boolean;
  /** Events of the response under construction. */
  batch: EventBytes[];
  batchCost: number;
  /** Its last response with events, to which more may be added while it is queued. */
  open: QueuedResponse | undefined;
  /** The revision at which the round of catching up ran out of budget; zero if it did not. */
  stoppedAt: number;
}

/** A response in the queue. */
export interface QueuedResponse {
  response: WatchResponse;
  cost: number;
  /** Whose events these are. */
  readonly watcher: Watcher | undefined;
  /** Nothing but events was queued behind it while this is the stream's epoch. */
  readonly epoch: number;
}

/** A response grows up to this many events, so that growing it stays cheap. */
const eventsPerResponseMax = 256;

/** What the stream needs of its hub. */
export interface WatchStreamHost {
  create(stream: WatchStream, request: WatchCreateRequest): CreateOutcome;
  refuse(stream: WatchStream, reason: string): void;
  cancel(stream: WatchStream, watchId: bigint): void;
  requestProgress(stream: WatchStream): void;
  close(stream: WatchStream): void;
  /** A response is queued and the consumer does not know of one. */
  becameReadable(stream: WatchStream): void;
  /** The queue is short enough for lagging watchers to go on. */
  becameRoomy(stream: WatchStream): void;
}

export interface WatchStreamOptions {
  /** Runs once when there is something to read, then not again before `next()` has returned undefined. */
  readonly onReadable: () => void;
  readonly budgetBytes: number;
  readonly fragmentBytesMax: number;
  readonly nextProgressMs: number;
}

export class WatchStream {
  /** For the hub: the watchers that were created and not canceled. */
  readonly watchers = new Map<bigint, Watcher>();
  /**
   * For the hub: watches that compaction ended. As in etcd, each keeps its id, and the stream from telling progress,
   * until the client cancels it.
   */
  readonly overtakenIds = new Set<bigint>();
  /** For the hub: how many watchers are not synced. */
  laggingCount = 0;
  /** For the hub: when the next periodic progress is due. */
  nextProgressMs: number;
  /** For the hub: batches under construction, by cost. */
  stagedBytes = 0;
  readonly onReadable: () => void;
  readonly #host: WatchStreamHost;
  readonly #budgetBytes: number;
  readonly #fragmentBytesMax: number;
  /** Read from #head on. */
  #queue: (QueuedResponse | undefined)[] = [];
  #epoch = 0;
  #head = 0;
  #queuedBytes = 0;
  #nextId = 0n;
  #isAnnounced = false;
  #isClosed = false;

  constructor(host: WatchStreamHost, options: WatchStreamOptions) {
    this.#host = host;
    this.onReadable = options.onReadable;
    this.#budgetBytes = options.budgetBytes;
    this.#fragmentBytesMax = options.fragmentBytesMax;
    this.nextProgressMs = options.nextProgressMs;
  }

  /** Queues the answer to a create request, and starts the watch unless it is refused. */
  create(request: WatchCreateRequest): CreateOutcome {
    if (this.#isClosed) return { ok: false };
    return this.#host.create(this, request);
  }

  /** Answers a create request that somebody else refused, as for missing permission. */
  refuse(reason: string): void {
    if (!this.#isClosed) this.#host.refuse(this, reason);
  }

  /** Ends a watch at the client's wish. An unknown id is ignored. */
  cancel(watchId: bigint): void {
    if (!this.#isClosed) this.#host.cancel(this, watchId);
  }

  requestProgress(): void {
    if (!this.#isClosed) this.#host.requestProgress(this);
  }

  /** The next response to send. */
  next(): WatchResponse | undefined {
    const next = this.#queue[this.#head];
    if (next === undefined) {
      this.#isAnnounced = false;
      return undefined;
    }
    this.#queue[this.#head++] = undefined;
    if (this.#head === this.#queue.length) {
      this.#queue.length = 0;
      this.#head = 0;
    } else if (this.#head >= 1024 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    this.#queuedBytes -= next.cost;
    if (next.watcher?.open === next) next.watcher.open = undefined;
    if (this.laggingCount > 0 && this.isRoomy) this.#host.becameRoomy(this);
    return next.response;
  }

  /** Ends all watches and forgets what is queued. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#queue = [];
    this.#head = 0;
    this.#queuedBytes = 0;
    this.#host.close(this);
  }

  /**
   * The consumer is behind by more than the budget. Whoever reads the client's requests stops while this holds:
   * answers to requests are not refused for want of budget, and so the queue stays bounded.
   */
  get isCongested(): boolean {
    return this.#queuedBytes >= this.#budgetBytes;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /**
   * For the hub: whether new events go elsewhere than into the queue. When some watchers of the stream lag, the
   * synced ones get less room, so that they cannot keep the queue filled and starve the lagging ones.
   */
  get isFull(): boolean {
    return this.#queuedBytes >= (this.laggingCount > 0 ? this.#budgetBytes / 4 : this.#budgetBytes);
  }

  /** For the hub: whether lagging watchers may go on. Half the budget, so that a round is worth its read. */
  get isRoomy(): boolean {
    return this.#queuedBytes <= this.#budgetBytes / 2;
  }

  /** For the hub: whether a round of catching up has used what was left. */
  get isStagedFull(): boolean {
    return this.#queuedBytes + this.stagedBytes >= this.#budgetBytes;
  }

  /** For the hub: counted from zero, without those in use; undefined if `wanted` is taken. */
  allocateId(wanted: bigint): bigint | undefined {
    if (wanted !== 0n) return this.#isTaken(wanted) ? undefined : wanted;
    while (this.#isTaken(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }

  #isTaken(id: bigint): boolean {
    return this.watchers.has(id) || this.overtakenIds.has(id);
  }

  /** For the hub: queues a response without events. */
  push(response: WatchResponse): void {
    this.#epoch++;
    this.#push(response, undefined);
  }

  /**
   * For the hub: queues events of whole revisions, in parts if the watcher asked for that and they are large. While the
   * consumer is behind, single events join the watcher's last response, unless something else was said since: it would
   * be overtaken.
   */
  pushEvents(watcher: Watcher, revision: number, events: readonly EventBytes[]): void {
    watcher.isIdle = false;
    if (watcher.isFragmenting && events.length > 1) {
      for (const part of fragmentsOf(revision, watcher.id, events, this.#fragmentBytesMax))
        this.#push(part, undefined);
      watcher.open = undefined;
      return;
    }
    const event = events[0];
    if (events.length === 1 && event !== undefined && this.#grow(watcher, revision, event)) return;
    watcher.open = this.#push(eventsResponse(revision, watcher.id, events), watcher);
  }

  #grow({ open }: Watcher, revision: number, event: EventBytes): boolean {
    if (open === undefined || open.epoch !== this.#epoch || open.watcher?.isFragmenting === true)
      return false;
    const { watchId, events } = open.response;
    const cost = eventCost(event);
    if (events.length >= eventsPerResponseMax || open.cost + cost > this.#fragmentBytesMax / 2) return false;
    open.response = eventsResponse(revision, watchId, appendedEvent(events, event));
    open.cost += cost;
    this.#queuedBytes += cost;
    return true;
  }

  #push(response: WatchResponse, watcher: Watcher | undefined): QueuedResponse {
    const queued = { response, cost: queueCost(response), watcher, epoch: this.#epoch };
    this.#queue.push(queued);
    this.#queuedBytes += queued.cost;
    if (!this.#isAnnounced) {
      this.#isAnnounced = true;
      this.#host.becameReadable(this);
    }
    return queued;
  }

  /** For the hub: whether every watch has been told of everything up to `revision` and began before it. */
  isCurrentAt(revision: number): boolean {
    if (this.laggingCount > 0 || this.overtakenIds.size > 0) return false;
    for (const watcher of this.watchers.values()) if (watcher.startRevision > revision) return false;
    return true;
  }
}
