// Clients that watch: they create, cancel, ask for progress, read slowly, and begin again where they were when the
// member they were connected to is gone. What each watch saw is held against the promises when it ends.

import { must } from "../../node/lib/assert.ts";
import { textOf } from "../../node/lib/bytes.ts";
import type { WatchResponse } from "../../node/mvcc/watch-response.ts";
import type { WatchCreateRequest, WatchStream } from "../../node/mvcc/watch-stream.ts";
import type { Replica } from "../../node/replica/replica.ts";
import { codecs } from "../../node/wire/codecs.ts";
import type { Load } from "./load.ts";
import type { Model } from "./model.ts";
import type { Promises } from "./promises.ts";
import { textOfKeyValue } from "./text.ts";
import { checkWatch, firstRevision, type SeenEvent, type Watch } from "./watch-promises.ts";

const watchesMax = 6;

export interface WatchClientPorts {
  readonly load: Load;
  readonly promises: Promises;
  /** Runs `read` some time later, unless the life ends before. */
  readonly readLater: (read: () => void) => void;
  /** A response has reached the client. */
  readonly onResponse: (response: WatchResponse) => void;
  readonly reach: (place: "watches resumed" | "watches caught up") => void;
}

export class WatchClient {
  readonly #ports: WatchClientPorts;
  #stream: WatchStream | undefined;
  /** Requests whose answer has not been read. */
  #pending: { readonly request: WatchCreateRequest; readonly createdAt: number }[] = [];
  readonly #live = new Map<bigint, Watch>();
  /** Ids of watches that compaction has ended. */
  readonly #overtaken = new Set<bigint>();
  /** Ended in this life, and not checked yet. */
  #ended: Watch[] = [];
  /** Watches to go on with, and from where. */
  #resumes: WatchCreateRequest[] = [];

  constructor(ports: WatchClientPorts) {
    this.#ports = ports;
  }

  /** Does something random. */
  act(replica: Replica, model: Model, nowMs: number): string {
    const { load } = this.#ports;
    const stream = this.#connect(replica, nowMs);
    const action = load.below(10);
    if (stream.isCongested) return "watch waits";
    if (action < 6 && this.#live.size + this.#pending.length < watchesMax) {
      const resumed = this.#resumes.pop();
      if (resumed !== undefined) this.#ports.reach("watches resumed");
      const request = resumed ?? load.watch(model);
      this.#pending.push({ request, createdAt: replica.store.currentRevision });
      stream.create(request);
      return `watch ${textOf(request.key)}..${textOf(request.rangeEnd)} from ${request.startRevision}`;
    }
    if (action < 8) {
      const ids = [...this.#live.keys()];
      const id = ids.length > 0 && load.chance(90) ? load.pick(ids) : 99n;
      stream.cancel(id);
      return `cancel ${id}`;
    }
    if (action < 9) {
      stream.requestProgress();
      return "progress";
    }
    stream.close();
    this.#cut();
    return "close";
  }

  /** The process or the connection is gone: what was seen is checked, and some of it watched further later. */
  disconnect(model: Model): void {
    this.#cut();
    this.check(model, false);
  }

  /** Reads everything there is. */
  drain(): void {
    if (this.#stream === undefined) return;
    for (let next = this.#stream.next(); next !== undefined; next = this.#stream.next()) this.#take(next);
  }

  /** Holds what was seen against the model. Ended watches are checked once. */
  check(model: Model, isDrained: boolean): void {
    for (const watch of [...this.#ended, ...this.#live.values()]) {
      checkWatch(this.#ports.promises, watch, model, isDrained);
    }
    this.#ended = [];
    if (isDrained) {
      const isAnswered = this.#pending.length === 0;
      this.#ports.promises.hold("watchCompleteOrTold", isAnswered, () => "a create request has no answer");
    }
  }

  #connect(replica: Replica, nowMs: number): WatchStream {
    this.#stream ??= replica.hub.openStream(() => this.#ports.readLater(() => this.#read()), nowMs);
    return this.#stream;
  }

  #cut(): void {
    for (const watch of this.#live.values()) {
      watch.end = "cut";
      this.#ended.push(watch);
      this.#resume(watch);
    }
    this.#live.clear();
    this.#overtaken.clear();
    this.#pending = [];
    this.#stream = undefined;
  }

  /** Goes on behind what was seen, so that the two watches together miss nothing. */
  #resume(watch: Watch): void {
    if (this.#ports.load.chance(40)) return;
    const seen = watch.events.at(-1)?.revision ?? 0;
    const told = watch.bookmarks.at(-1)?.revision ?? 0;
    const next = Math.max(firstRevision(watch), seen + 1, told + 1);
    this.#resumes.push({ ...watch.request, startRevision: next });
  }

  #read(): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    for (let left = 1 + this.#ports.load.below(8); left > 0; left--) {
      const response = stream.next();
      if (response === undefined) return;
      this.#take(response);
    }
    this.#ports.readLater(() => this.#read());
  }

  #take(response: WatchResponse): void {
    this.#ports.onResponse(response);
    const { promises } = this.#ports;
    if (response.created) {
      const created = must(this.#pending.shift(), "an answer has a request");
      if (response.canceled) return;
      const watch: Watch = {
        ...created,
        events: [],
        bookmarks: [],
        end: "open",
        batch: 0,
        isInFragments: false,
      };
      this.#live.set(response.watchId, watch);
      return;
    }
    if (response.watchId === -1n) {
      for (const watch of this.#live.values()) bookmark(watch, response);
      return;
    }
    const watch = this.#live.get(response.watchId);
    // A watch that compaction ended still answers a cancel, and that is all it does.
    if (watch === undefined && response.canceled && this.#overtaken.delete(response.watchId)) return;
    promises.hold("watchFilter", watch !== undefined, () => `events for no watch: ${response.watchId}`);
    if (watch === undefined) return;
    if (response.canceled) {
      this.#live.delete(response.watchId);
      this.#ended.push(watch);
      const { compactRevision } = response;
      if (compactRevision > 0) this.#overtaken.add(response.watchId);
      watch.end = compactRevision === 0 ? "canceled" : { compactRevision };
    } else if (response.events.length === 0) {
      bookmark(watch, response);
    } else {
      if (!watch.isInFragments) watch.batch++;
      watch.isInFragments = response.fragment;
      for (const bytes of response.events) watch.events.push(decode(bytes, watch.batch));
      if ((watch.events[0]?.revision ?? 0) <= watch.createdAt) this.#ports.reach("watches caught up");
      const last = watch.events.at(-1)?.revision ?? 0;
      promises.hold("watchBookmark", last <= response.revision, () => "a header is behind its events");
    }
  }
}

function bookmark(watch: Watch, { revision }: WatchResponse): void {
  watch.bookmarks.push({ revision, eventCount: watch.events.length });
}

function decode(bytes: Uint8Array, batch: number): SeenEvent {
  const { type, kv, prevKv } = codecs.Event.decode(bytes);
  const { key, modRevision, createRevision } = must(kv, "an event has a key value");
  return {
    type: type === 0 ? "put" : "delete",
    key: textOf(key),
    revision: modRevision,
    isCreate: type === 0 && createRevision === modRevision,
    kv: textOfKeyValue(must(kv, "an event has a key value")),
    previous: prevKv === undefined ? undefined : textOfKeyValue(prevKv),
    batch,
  };
}
