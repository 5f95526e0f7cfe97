// The nine promises of etcd's watch, and two of ours, over what one watch has seen.

import { textOf } from "../../node/lib/bytes.ts";
import type { WatchCreateRequest } from "../../node/mvcc/watch-stream.ts";
import { isInside, type Model, type Version } from "./model.ts";
import type { Promises } from "./promises.ts";
import { keyText } from "./text.ts";

export interface SeenEvent {
  readonly type: "put" | "delete";
  readonly key: string;
  readonly revision: number;
  readonly isCreate: boolean;
  /** The key value as text. */
  readonly kv: string;
  readonly previous: string | undefined;
  /** Number of the response it came in; fragments of one count as one. */
  readonly batch: number;
}

export interface Watch {
  readonly request: WatchCreateRequest;
  /** The store's revision when it was created. */
  readonly createdAt: number;
  readonly events: SeenEvent[];
  readonly bookmarks: { readonly revision: number; readonly eventCount: number }[];
  /** "cut": its stream ended with the process, or was closed. */
  end: "open" | "cut" | "canceled" | { readonly compactRevision: number };
  batch: number;
  isInFragments: boolean;
}

/** Asks for every promise. `isDrained`: everything that happened has been delivered. */
export function checkWatch(promises: Promises, watch: Watch, model: Model, isDrained: boolean): void {
  const { request, events, bookmarks, end } = watch;
  const what = (): string =>
    `watch on ${textOf(request.key)}..${textOf(request.rangeEnd)} from ${firstRevision(watch)} ` +
    `saw ${events.map((event) => `${event.type} ${event.key}@${event.revision}`).join(", ")}`;
  const seen = events.map(nameOf).join(" ");
  const last = events.at(-1)?.revision ?? 0;

  for (const { type, key } of events) {
    promises.hold("watchFilter", wants(watch, type, key), what);
  }
  for (const [i, { revision }] of events.entries()) {
    promises.hold("watchOrdered", revision >= (events[i - 1]?.revision ?? 0), what);
  }
  promises.hold("watchUnique", isEachMadeOnce(events, model), what);
  promises.hold("watchAtomic", isAtomic(watch), what);
  promises.equal("watchReliable", seen, namesOf(expected(watch, model, last + 1)), what);
  const first = events[0];
  if (first !== undefined) {
    const isFirst =
      first.revision >= firstRevision(watch) && expected(watch, model, first.revision).length === 0;
    promises.hold("watchResumable", isFirst, what);
  }
  for (const { revision, eventCount } of bookmarks) {
    const isBehind = events.slice(0, eventCount).every((event) => event.revision <= revision);
    const isAhead = events.slice(eventCount).every((event) => event.revision > revision);
    const isTrue = isBehind && isAhead && revision >= request.startRevision && revision <= model.revision;
    promises.hold(
      "watchBookmark",
      isTrue,
      () => `progress ${revision} after ${eventCount} events: ${what()}`,
    );
  }
  for (const event of events) checkEvent(promises, watch, event, model);
  if (isDrained && end === "open") {
    promises.equal("watchCompleteOrTold", seen, namesOf(expected(watch, model, model.revision + 1)), what);
  }
  if (typeof end === "object") {
    const next = events.at(-1)?.revision ?? firstRevision(watch) - 1;
    const isOvertaken = next < end.compactRevision && end.compactRevision <= model.compactRevision;
    promises.hold("watchCanceledByCompaction", isOvertaken, () => `at ${end.compactRevision}: ${what()}`);
  }
}

function checkEvent(promises: Promises, { request }: Watch, event: SeenEvent, model: Model): void {
  const { type, key, revision, isCreate, previous } = event;
  const before = model.at(key, revision - 1);
  const made = (model.changes.get(revision) ?? []).filter((change) => change.key === key);
  const what = (): string => `${type} ${key}@${revision}`;
  if (type === "put") {
    const wasDeletedInside = made.some((change) => change.version === 0);
    promises.hold("watchIsCreate", isCreate === (before === undefined) || wasDeletedInside, what);
    promises.hold(
      "watchReliable",
      made.some((change) => keyText(change) === event.kv),
      () => `${what()} is told as ${event.kv}`,
    );
  }
  const isUntold = previous === undefined;
  let isTrue = isUntold;
  if (request.prevKv && !isCreate) {
    const isForgotten = before === undefined || revision - 1 < model.compactRevision;
    isTrue = isUntold ? isForgotten : before !== undefined && previous === keyText(before);
  }
  promises.hold("watchPrevious", isTrue, () => `${what()} with ${previous}`);
}

export function firstRevision({ request, createdAt }: Watch): number {
  return request.startRevision === 0 ? createdAt + 1 : request.startRevision;
}

function wants({ request }: Watch, type: "put" | "delete", key: string): boolean {
  return isInside(key, request) && !request.filters.includes(type === "put" ? 0 : 1);
}

/**
 * What the watch has to see in [first, end). A compaction keeps of each key only its last change at the revision,
 * so a watch that reads this revision afterwards may miss the others of a transaction, as in etcd.
 */
function expected(watch: Watch, model: Model, end: number): Version[] {
  const seen = new Set(watch.events.map(nameOf));
  const wanted: Version[] = [];
  for (let revision = Math.max(1, firstRevision(watch)); revision < end; revision++) {
    const changes = model.changes.get(revision) ?? [];
    for (const [i, change] of changes.entries()) {
      if (!wants(watch, change.version === 0 ? "delete" : "put", change.key)) continue;
      const isForgotten =
        model.compactions.has(revision) && changes.slice(i + 1).some(({ key }) => key === change.key);
      if (!isForgotten || seen.has(nameOfChange(change))) wanted.push(change);
    }
  }
  return wanted;
}

function namesOf(changes: readonly Version[]): string {
  return changes.map(nameOfChange).join(" ");
}

function nameOfChange({ key, version, modRevision }: Version): string {
  return nameOf({ key, revision: modRevision, type: version === 0 ? "delete" : "put" });
}

function nameOf({ type, key, revision }: Pick<SeenEvent, "type" | "key" | "revision">): string {
  return `${type}:${key}@${revision}`;
}

function isEachMadeOnce(events: readonly SeenEvent[], model: Model): boolean {
  const seen = new Map<string, number>();
  for (const { revision, key } of events) {
    const name = `${revision} ${key}`;
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    const made = (model.changes.get(revision) ?? []).filter((change) => change.key === key);
    if (count > made.length) return false;
  }
  return true;
}

function isAtomic({ events }: Watch): boolean {
  const batches = new Map<number, number>();
  for (const { revision, batch } of events) {
    if ((batches.get(revision) ?? batch) !== batch) return false;
    batches.set(revision, batch);
  }
  return true;
}
