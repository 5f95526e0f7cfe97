// What a watch stream sends: responses as plain data, without cluster id, member id and term, which the API adds.

import { bigintSize, numberSize } from "../wire/int64.ts";
import { eventCost } from "./event-chain.ts";
import type { EventBytes } from "./watch-event.ts";

export interface WatchResponse {
  /** The header's revision. Zero only in the cancel of a watch that compaction overtook. */
  readonly revision: number;
  readonly watchId: bigint;
  readonly created: boolean;
  readonly canceled: boolean;
  /** Not zero only in the cancel of a watch that compaction overtook. */
  readonly compactRevision: number;
  readonly cancelReason: string;
  /** More events of the same batch follow in the next response. */
  readonly fragment: boolean;
  /** Encoded mvccpb.Event messages, shared with other responses: not to be changed. */
  readonly events: readonly EventBytes[];
}

/** In the answer to a create that was refused, and to a progress request for the whole stream. */
export const noWatchId = -1n;

/** Texts that clients compare, in etcd's words. */
export const cancelReasons = {
  compacted: "etcdserver: mvcc: required revision has been compacted",
  emptyRange: "mvcc: watcher range is empty",
  duplicateId: "mvcc: duplicate watch ID provided on the WatchStream",
  /** Ours: etcd has no such bound. */
  tooManyWatches: "etcdlike: too many watches on one stream",
} as const;

const noEvents: readonly EventBytes[] = Object.freeze([]);

export function createdResponse(revision: number, watchId: bigint): WatchResponse {
  return response(revision, watchId, { created: true });
}

export function refusedResponse(revision: number, cancelReason: string): WatchResponse {
  return response(revision, noWatchId, { created: true, canceled: true, cancelReason });
}

export function canceledResponse(revision: number, watchId: bigint): WatchResponse {
  return response(revision, watchId, { canceled: true });
}

export function overtakenResponse(watchId: bigint, compactRevision: number): WatchResponse {
  return response(0, watchId, { canceled: true, compactRevision });
}

export function progressResponse(revision: number, watchId: bigint): WatchResponse {
  return response(revision, watchId, {});
}

function response(
  revision: number,
  watchId: bigint,
  fields: {
    readonly created?: boolean;
    readonly canceled?: boolean;
    readonly compactRevision?: number;
    readonly cancelReason?: string;
  },
): WatchResponse {
  return {
    revision,
    watchId,
    created: fields.created ?? false,
    canceled: fields.canceled ?? false,
    compactRevision: fields.compactRevision ?? 0,
    cancelReason: fields.cancelReason ?? "",
    fragment: false,
    events: noEvents,
  };
}

export function eventsResponse(
  revision: number,
  watchId: bigint,
  events: readonly EventBytes[],
  fragment = false,
): WatchResponse {
  return {
    revision,
    watchId,
    created: false,
    canceled: false,
    compactRevision: 0,
    cancelReason: "",
    fragment,
    events,
  };
}

/** A header with two ids and a term of usual size, revision not counted. */
const headerBytes = 26;
const fragmentFieldBytes = 2;

/** Splits a batch into parts whose size on the wire stays below `bytesMax` where more than one event is in them. */
export function fragmentsOf(
  revision: number,
  watchId: bigint,
  events: readonly EventBytes[],
  bytesMax: number,
): readonly WatchResponse[] {
  const baseBytes = headerBytes + numberSize(revision) + 1 + bigintSize(watchId) + 1;
  let bytes = baseBytes;
  for (const event of events) bytes += eventFieldSize(event);
  if (bytes < bytesMax || events.length < 2) return [eventsResponse(revision, watchId, events)];
  const parts: WatchResponse[] = [];
  let part: EventBytes[] = [];
  bytes = baseBytes + fragmentFieldBytes;
  for (const event of events) {
    const eventBytes = eventFieldSize(event);
    if (part.length > 0 && bytes + eventBytes >= bytesMax) {
      parts.push(eventsResponse(revision, watchId, part, true));
      part = [];
      bytes = baseBytes + fragmentFieldBytes;
    }
    part.push(event);
    bytes += eventBytes;
  }
  parts.push(eventsResponse(revision, watchId, part));
  return parts;
}

function eventFieldSize(event: EventBytes): number {
  return 1 + numberSize(event.length) + event.length;
}

/** What a queued response without its events takes, in memory and on the wire, roughly. */
export const responseOverheadBytes = 64;

/** How much a response takes from its stream's budget. Event bytes count for every response that holds them. */
export function responseCost({ events }: WatchResponse): number {
  return events.reduce((cost, event) => cost + eventCost(event), responseOverheadBytes);
}
