// One client's watch stream: its watchers by id, and one queue of responses, so that whatever the client gets
// (created, events, progress, canceled) comes in the order in which it became true. The queue's events have a
// byte budget; the hub stops filling a full queue and lets the watchers catch up from history later.

import type { EventChain } from "./event-chain.ts";
import type { WatchRange } from "./watch-index.ts";
import {
  eventsResponse,
  fragmentsOf,
  responseCost,
  responseOverheadBytes,
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
  batch: EventChain | undefined;
  /** Its last response with events, to which more may be added while it is queued. */
  open: QueuedEvents | undefined;
  /** The revision at which the round of catching up ran out of budget; zero if it did not. */
  stoppedAt: number;
}

/** Events in the queue, of which a response is made when it is taken. */
export interface QueuedEvents {
  readonly watcher: Watcher;
  revision: number;
  events: EventChain;
  /** Nothing but events was queued behind it while this is the stream's epoch. */
  readonly epoch: number;
}

/** What waits in the queue: events, or a response with what it costs. */
type Queued = QueuedEvents | { readonly response: WatchResponse; readonly cost: number };

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
  #queue: (Queued | undefined)[] = [];
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
    const response = "events" in next ? this.#close(next) : next.response;
    this.#queuedBytes -= "events" in next ? costOf(next.events) : next.cost;
    if (this.laggingCount > 0 && this.isRoomy) this.#host.becameRoomy(this);
    return response;
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
    this.#push({ response, cost: responseOverheadBytes }, responseOverheadBytes);
  }

  /**
   * For the hub: queues events of whole revisions, in parts if the watcher asked for that and they are large. While the
   * consumer is behind, single events join the watcher's last response, unless something else was said since: it would
   * be overtaken. Hot: once for each watcher and event.
   */
  pushEvents(watcher: Watcher, revision: number, events: EventChain): void {
    watcher.isIdle = false;
    if (watcher.isFragmenting && events.length > 1) {
      this.#pushFragments(watcher, revision, events);
    } else if (events.length > 1 || !this.#grow(watcher, revision, events)) {
      const queued = { watcher, revision, events, epoch: this.#epoch };
      watcher.open = queued;
      this.#push(queued, costOf(events));
    }
  }

  #pushFragments(watcher: Watcher, revision: number, events: EventChain): void {
    watcher.open = undefined;
    for (const response of fragmentsOf(revision, watcher.id, events.list, this.#fragmentBytesMax)) {
      const cost = responseCost(response);
      this.#push({ response, cost }, cost);
    }
  }

  /** Adds one event to the watcher's last response, where it may still grow. */
  #grow(watcher: Watcher, revision: number, { event, cost }: EventChain): boolean {
    const { open } = watcher;
    if (open === undefined || open.epoch !== this.#epoch || watcher.isFragmenting) return false;
    const { events } = open;
    if (events.length >= eventsPerResponseMax || costOf(events) + cost > this.#fragmentBytesMax / 2) {
      return false;
    }
    open.revision = revision;
    open.events = events.with(event);
    this.#queuedBytes += cost;
    return true;
  }

  /** The response of events that leave the queue. */
  #close(queued: QueuedEvents): WatchResponse {
    const { watcher, revision, events } = queued;
    if (watcher.open === queued) watcher.open = undefined;
    return eventsResponse(revision, watcher.id, events.list);
  }

  #push(queued: Queued, cost: number): void {
    this.#queue.push(queued);
    this.#queuedBytes += cost;
    if (this.#isAnnounced) return;
    this.#isAnnounced = true;
    this.#host.becameReadable(this);
  }

  /** For the hub: whether every watch has been told of everything up to `revision` and began before it. */
  isCurrentAt(revision: number): boolean {
    if (this.laggingCount > 0 || this.overtakenIds.size > 0) return false;
    for (const watcher of this.watchers.values()) if (watcher.startRevision > revision) return false;
    return true;
  }
}

/** How much events take from the budget, in a response of their own. They count for every response that holds them. */
function costOf(events: EventChain): number {
  return responseOverheadBytes + events.cost;
}
