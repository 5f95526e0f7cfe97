// One change of one key, encoded as an mvccpb.Event at most once in each form and shared by every watcher that
// gets it. The stored KeyValue goes into the event as it is.

import { numberSize, writeNumber } from "../wire/int64.ts";
import { Reader } from "../wire/reader.ts";
import { EventChain } from "./event-chain.ts";

export interface WatchEvent {
  readonly type: "put" | "delete";
  readonly key: Uint8Array;
  readonly modRevision: number;
  /** The event's encoded mvccpb.KeyValue: the stored record; of a delete only key and mod revision. Kept. */
  readonly kv: Uint8Array;
}

/** All events of one revision, in the order in which the transaction made them. */
export interface RevisionEvents {
  readonly revision: number;
  readonly events: readonly WatchEvent[];
}

/** What the hub reads from the store. */
export interface WatchHistory {
  currentRevision(): number;
  /** The last compaction's revision; -1 when there was none. History from that revision on is readable. */
  compactRevision(): number;
  /**
   * Whole revisions from `fromRevision` on, ascending, up to `revisionsMax` of them or until `bytesMax` is
   * reached, at least one if there is any. Every event from `fromRevision` up to, but without, `nextRevision` is
   * among them. `fromRevision` is neither below the compact revision nor above the current one.
   */
  readEvents(
    fromRevision: number,
    limits: { readonly revisionsMax: number; readonly bytesMax: number },
  ): { readonly revisions: readonly RevisionEvents[]; readonly nextRevision: number };
  /** The stored KeyValue of `key` at `revision`; undefined if it did not exist or the revision is compacted. */
  keyValueAt(key: Uint8Array, revision: number): Uint8Array | undefined;
}

const tagType = 0x08;
const tagKv = 0x12;
const tagPreviousKv = 0x1a;
const wireDelete = 1;
const tagCreateRevision = 0x10;

/** Bytes of an event; several watchers and responses hold the same one. */
export type EventBytes = Uint8Array;

export class SharedEvent {
  readonly source: WatchEvent;
  readonly #history: WatchHistory;
  #plain: EventChain | undefined;
  #withPrevious: EventChain | undefined;

  constructor(source: WatchEvent, history: WatchHistory) {
    this.source = source;
    this.#history = history;
  }

  /** The encoded event alone, with what the key was before this revision or without. */
  encoded(hasPrevKv: boolean): EventChain {
    this.#plain ??= new EventChain(encodeEvent(this.source, undefined));
    if (!hasPrevKv) return this.#plain;
    this.#withPrevious ??= this.#encodeWithPrevious(this.#plain);
    return this.#withPrevious;
  }

  #encodeWithPrevious(plain: EventChain): EventChain {
    const { type, key, kv, modRevision } = this.source;
    if (type === "put" && createRevisionOf(kv) === modRevision) return plain;
    // Not the state one step before, but that of the revision before: a transaction may change a key twice.
    const previous = this.#history.keyValueAt(key, modRevision - 1);
    return previous === undefined ? plain : new EventChain(encodeEvent(this.source, previous));
  }
}

function createRevisionOf(kv: Uint8Array): number {
  const reader = new Reader(kv);
  while (reader.position < reader.end) {
    const tag = reader.tag();
    if (tag === tagCreateRevision) return reader.int64();
    reader.skip(tag);
  }
  return 0;
}

function encodeEvent({ type, kv }: WatchEvent, previous: Uint8Array | undefined): EventBytes {
  let length = (type === "delete" ? 2 : 0) + fieldSize(kv);
  if (previous !== undefined) length += fieldSize(previous);
  const bytes = new Uint8Array(length);
  let at = 0;
  if (type === "delete") {
    bytes[at++] = tagType;
    bytes[at++] = wireDelete;
  }
  at = writeField(bytes, at, tagKv, kv);
  if (previous !== undefined) writeField(bytes, at, tagPreviousKv, previous);
  return bytes;
}

function fieldSize(value: Uint8Array): number {
  return 1 + numberSize(value.length) + value.length;
}

function writeField(target: Uint8Array, offset: number, tag: number, value: Uint8Array): number {
  target[offset] = tag;
  const at = writeNumber(target, offset + 1, value.length);
  target.set(value, at);
  return at + value.length;
}
