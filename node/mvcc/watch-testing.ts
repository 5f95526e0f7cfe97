// For the tests of the watch hub: a store that keeps everything in plain lists, and responses as short texts.

import { assert } from "../lib/assert.ts";
import { textOf, utf8 } from "../lib/bytes.ts";
import { SeededRandom } from "../lib/random.ts";
import { codecs } from "../wire/codecs.ts";
import type { RevisionEvents, WatchEvent, WatchHistory } from "./watch-event.ts";
import { WatchHub, type WatchHubOptions } from "./watch-hub.ts";
import type { WatchResponse } from "./watch-response.ts";
import type { WatchCreateRequest, WatchStream } from "./watch-stream.ts";

/** A put with a value, or a delete. */
export type Change = readonly [key: string, value?: string];

interface KeyState {
  readonly revision: number;
  readonly createRevision: number;
  readonly version: number;
  /** Undefined after a delete. */
  readonly kv: Uint8Array | undefined;
}

export class PlainHistory implements WatchHistory {
  #current = 1;
  #compact = -1;
  /** By revision. */
  readonly revisions = new Map<number, RevisionEvents>();
  readonly #states = new Map<string, KeyState[]>();
  reads = 0;

  currentRevision(): number {
    return this.#current;
  }

  compactRevision(): number {
    return this.#compact;
  }

  compact(revision: number): void {
    assert(revision > this.#compact && revision <= this.#current, "a compaction goes forward", { revision });
    this.#compact = revision;
  }

  /** One transaction. */
  commit(changes: readonly Change[]): RevisionEvents {
    this.#current++;
    const events = changes.map(([key, value]) => this.#apply(key, value));
    const committed = { revision: this.#current, events };
    this.revisions.set(this.#current, committed);
    return committed;
  }

  stateAt(key: string, revision: number): KeyState | undefined {
    const found = this.#states.get(key)?.findLast((state) => state.revision <= revision);
    return found?.kv === undefined ? undefined : found;
  }

  keyValueAt(key: Uint8Array, revision: number): Uint8Array | undefined {
    return revision < this.#compact ? undefined : this.stateAt(textOf(key), revision)?.kv;
  }

  readEvents(fromRevision: number, limits: { revisionsMax: number; bytesMax: number }) {
    assert(fromRevision >= this.#compact, "history is read from the compact revision on", { fromRevision });
    assert(fromRevision <= this.#current, "history is read up to now", { fromRevision });
    this.reads++;
    const revisions: RevisionEvents[] = [];
    let bytes = 0;
    let nextRevision = fromRevision;
    while (
      nextRevision <= this.#current &&
      revisions.length < limits.revisionsMax &&
      bytes < limits.bytesMax
    ) {
      const found = this.revisions.get(nextRevision++);
      if (found === undefined) continue;
      revisions.push(found);
      for (const { kv } of found.events) bytes += kv.length;
    }
    return { revisions, nextRevision };
  }

  #apply(key: string, value: string | undefined): WatchEvent {
    const states = this.#states.get(key) ?? [];
    this.#states.set(key, states);
    const last = states.at(-1);
    const revision = this.#current;
    if (value === undefined) {
      states.push({ revision, createRevision: 0, version: 0, kv: undefined });
      const kv = codecs.KeyValue.encode(codecs.KeyValue.create({ key: utf8(key), modRevision: revision }));
      return { type: "delete", key: utf8(key), modRevision: revision, kv };
    }
    const isNew = last?.kv === undefined;
    const createRevision = isNew ? revision : last.createRevision;
    const version = isNew ? 1 : last.version + 1;
    const kv = codecs.KeyValue.encode(
      codecs.KeyValue.create({
        key: utf8(key),
        createRevision,
        modRevision: revision,
        version,
        value: utf8(value),
      }),
    );
    states.push({ revision, createRevision, version, kv });
    return { type: "put", key: utf8(key), modRevision: revision, kv };
  }
}

export interface WatchBed {
  readonly history: PlainHistory;
  readonly hub: WatchHub;
  /** How often the hub asked for a round of catching up. */
  syncsWanted(): number;
  commit(...changes: Change[]): number;
  compact(revision: number): void;
  /** Rounds of catching up until none has work. */
  sync(): void;
}

export function watchBed(options: Partial<WatchHubOptions> = {}, history = new PlainHistory()): WatchBed {
  let wanted = 0;
  const hub = new WatchHub(
    { history, random: new SeededRandom(7), onSyncWanted: () => wanted++ },
    { progressIntervalMs: 1_000, ...options },
  );
  return {
    history,
    hub,
    syncsWanted: () => wanted,
    commit(...changes) {
      const committed = history.commit(changes);
      hub.notify(committed);
      return committed.revision;
    },
    compact(revision) {
      history.compact(revision);
      hub.compacted();
    },
    sync() {
      for (let rounds = 0; hub.syncStep(); rounds++) assert(rounds < 100_000, "catching up ends");
    },
  };
}

export function createRequest(
  key: string,
  fields: Partial<Omit<WatchCreateRequest, "key" | "rangeEnd">> & { readonly rangeEnd?: string } = {},
): WatchCreateRequest {
  return {
    startRevision: 0,
    progressNotify: false,
    filters: [],
    prevKv: false,
    watchId: 0n,
    fragment: false,
    ...fields,
    key: utf8(key),
    rangeEnd: utf8(fields.rangeEnd ?? ""),
  };
}

/** Everything that waits in the stream, each as a short text. */
export function drain(stream: WatchStream): string[] {
  const texts: string[] = [];
  for (let next = stream.next(); next !== undefined; next = stream.next()) texts.push(describe(next));
  return texts;
}

/** For example `0@5: PUT a=1 (was 0), DELETE b` or `-1@5 created canceled "reason"`. */
export function describe(response: WatchResponse): string {
  const { watchId, revision, created, canceled, compactRevision, cancelReason, fragment, events } = response;
  const words = [`${watchId}@${revision}`];
  if (created) words.push("created");
  if (canceled) words.push("canceled");
  if (compactRevision !== 0) words.push(`compacted ${compactRevision}`);
  if (cancelReason !== "") words.push(JSON.stringify(cancelReason));
  if (fragment) words.push("fragment");
  const head = words.join(" ");
  return events.length === 0 ? head : `${head}: ${events.map(describeEvent).join(", ")}`;
}

function describeEvent(bytes: Uint8Array): string {
  const event = codecs.Event.decode(bytes);
  assert(event.kv !== undefined, "an event has a key value");
  const kv = event.kv;
  const change = event.type === 0 ? `PUT ${textOf(kv.key)}=${textOf(kv.value)}` : `DELETE ${textOf(kv.key)}`;
  return event.prevKv === undefined ? change : `${change} (was ${textOf(event.prevKv.value)})`;
}
