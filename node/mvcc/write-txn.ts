// One write transaction: puts and deletes under one new revision, visible to the store's reads only as a whole,
// since nothing else runs between begin and end. Deterministic: the same requests on the same state make the same
// bytes on every member.

import { assert, must } from "../lib/assert.ts";
import type { Backend } from "../lib/backend.ts";
import { emptyBytes } from "../lib/bytes.ts";
import { type LeaseId, noLease } from "../lib/ids.ts";
import { decodeKeyValue, encodeKeyValue } from "../wire/hot-kv.ts";
import { findPlace, headBytes, type KeyIndex, type KeyPlace, liveVersionAt } from "./key-index.ts";
import { endOf, type RangeOutcome, type RangeRequest } from "./range.ts";
import { deleteEventKv, keyOfRecord, recordAt } from "./records.ts";
import { type Revision, recordKey, revisionMax } from "./revision.ts";
import { decodeVersion, encodeVersion, type Version } from "./version.ts";
import { VersionWalk } from "./version-walk.ts";
import type { WatchEvent } from "./watch-event.ts";

/**
 * Told which version of which key holds which lease. `recordKey` is the version's key in the bucket `key`.
 * The bytes may be kept and must not be changed.
 */
export interface LeaseAttachments {
  /** A put made this version with the lease. */
  attach(lease: LeaseId, key: Uint8Array, recordKey: Uint8Array): void;
  /** This version is no longer the newest one of the key. */
  detach(lease: LeaseId, key: Uint8Array, recordKey: Uint8Array): void;
}

/** A decoded PutRequest fits. Nothing of it is kept. */
export interface PutRequest {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly lease: LeaseId;
  readonly prevKv?: boolean;
  readonly ignoreValue?: boolean;
  readonly ignoreLease?: boolean;
}

export type PutOutcome =
  /** `previous` is the record before, where it was asked for and existed. */
  | { readonly ok: true; readonly previous: Uint8Array | undefined }
  /** Value or lease should stay as they are, and there are none. Nothing was written. */
  | { readonly ok: false; readonly reason: "key-not-found" };

/** A decoded DeleteRangeRequest fits; `rangeEnd` as in RangeRequest. Nothing of it is kept. */
export interface DeleteRangeRequest {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
  readonly prevKv?: boolean;
}

export interface DeleteRangeOutcome {
  readonly deleted: number;
  /** The deleted records in key order, where they were asked for. */
  readonly previous: readonly Uint8Array[];
}

export interface TxnResult {
  /** The revision the transaction made, or the current one when it changed nothing. */
  readonly revision: Revision;
  /** In the order of the changes. */
  readonly events: readonly WatchEvent[];
}

/** What a transaction needs of the store; the store's own side of it. */
export interface TxnHost {
  readonly backend: Backend;
  readonly index: KeyIndex;
  readonly leases: LeaseAttachments | undefined;
  /** A range as of `revision`, some of which may not be published yet. */
  rangeAt(request: RangeRequest, revision: Revision): RangeOutcome;
  end(result: TxnResult): void;
}

const unchanged: { readonly ok: true; readonly previous: undefined } = { ok: true, previous: undefined };

export class WriteTxn {
  readonly #host: TxnHost;
  readonly #begin: Revision;
  readonly #main: Revision;
  readonly #events: WatchEvent[] = [];
  #isEnded = false;

  constructor(host: TxnHost, begin: Revision) {
    assert(begin < revisionMax, "a further revision is a safe integer", { begin });
    this.#host = host;
    this.#begin = begin;
    this.#main = begin + 1;
  }

  /** What reads within the transaction see: the revision before it until it has changed something. */
  get revision(): Revision {
    return this.#events.length === 0 ? this.#begin : this.#main;
  }

  get changes(): number {
    return this.#events.length;
  }

  /** Hot: test/bench measures it. */
  put(request: PutRequest): PutOutcome {
    assert(!this.#isEnded, "an ended transaction writes nothing");
    const { key } = request;
    if ((request.ignoreValue || request.ignoreLease) && !this.#exists(key)) {
      return { ok: false, reason: "key-not-found" };
    }
    const place = this.#host.index.makePlace(key);
    const head = headBytes(this.#host.backend, place);
    const newest = head === undefined ? undefined : decodeVersion(head);
    const before = newest === undefined || newest.isTombstone ? undefined : newest;
    const previous =
      before !== undefined && (request.prevKv || request.ignoreValue)
        ? recordAt(this.#host.backend, before)
        : undefined;
    const value =
      request.ignoreValue && previous !== undefined ? decodeKeyValue(previous).value : request.value;
    const version: Version = {
      main: this.#main,
      sub: this.#events.length,
      isTombstone: false,
      createRevision: before?.createRevision ?? this.#main,
      version: (before?.version ?? 0) + 1,
      lease: request.ignoreLease && before !== undefined ? before.lease : request.lease,
    };
    this.#write({ place, head, before, version, key, value });
    return request.prevKv && previous !== undefined ? { ok: true, previous } : unchanged;
  }

  deleteRange(request: DeleteRangeRequest): DeleteRangeOutcome {
    assert(!this.#isEnded, "an ended transaction writes nothing");
    const previous: Uint8Array[] = [];
    if (request.rangeEnd.length === 0) {
      const place = findPlace(this.#host.backend, request.key);
      const isDeleted = place !== undefined && this.#delete(request, request.key, place, previous);
      return { deleted: isDeleted ? 1 : 0, previous };
    }
    const keys = this.#keysIn(request);
    for (const key of keys) {
      const place = must(findPlace(this.#host.backend, key), "a key that was just met has a place");
      const isDeleted = this.#delete(request, key, place, previous);
      assert(isDeleted, "a key that was just met is deleted");
    }
    return { deleted: keys.length, previous };
  }

  /** Sees what this transaction has written so far. */
  range(request: RangeRequest): RangeOutcome {
    return this.#host.rangeAt(request, this.revision);
  }

  /** Publishes the changes as one revision. Without changes there is none. */
  end(): TxnResult {
    assert(!this.#isEnded, "a transaction ends once");
    const result = { revision: this.revision, events: this.#events };
    this.#isEnded = true;
    this.#host.end(result);
    return result;
  }

  #exists(key: Uint8Array): boolean {
    return liveVersionAt(this.#host.backend, key, this.#main) !== undefined;
  }

  #keysIn({ key, rangeEnd }: DeleteRangeRequest): Uint8Array[] {
    const walk = new VersionWalk(this.#host.backend, {
      start: key,
      end: endOf(key, rangeEnd),
      revision: this.revision,
    });
    const keys: Uint8Array[] = [];
    while (walk.next()) keys.push(walk.key());
    return keys;
  }

  #delete(request: DeleteRangeRequest, key: Uint8Array, place: KeyPlace, previous: Uint8Array[]): boolean {
    const head = headBytes(this.#host.backend, place);
    if (head === undefined) return false;
    const before = decodeVersion(head);
    if (before.isTombstone) return false;
    if (request.prevKv) previous.push(recordAt(this.#host.backend, before));
    const tombstone: Version = {
      main: this.#main,
      sub: this.#events.length,
      isTombstone: true,
      createRevision: 0,
      version: 0,
      lease: noLease,
    };
    this.#write({ place, head, before, version: tombstone, key, value: emptyBytes });
    return true;
  }

  /** Writes record and index, moves the lease's attachment, and notes the event. */
  #write({ place, head, before, version, key, value }: Change): void {
    const { main, isTombstone, createRevision, lease } = version;
    const record = encodeKeyValue({
      key,
      createRevision,
      modRevision: isTombstone ? 0 : main,
      version: version.version,
      value,
      lease,
    });
    const revision = recordKey(main, version.sub, isTombstone);
    this.#host.backend.put("key", revision, record);
    this.#host.index.push(place, head, encodeVersion(version));
    const kept = keyOfRecord(record);
    const { leases } = this.#host;
    if (leases !== undefined) {
      if (before !== undefined && before.lease !== noLease) {
        leases.detach(before.lease, kept, recordKey(before.main, before.sub, false));
      }
      if (lease !== noLease) leases.attach(lease, kept, revision);
    }
    this.#events.push(
      isTombstone
        ? { type: "delete", key: kept, modRevision: main, kv: deleteEventKv(kept, main) }
        : { type: "put", key: kept, modRevision: main, kv: record },
    );
  }
}

/** One version of one key about to be written. */
interface Change {
  readonly place: KeyPlace;
  /** What stands at the key's head, encoded. */
  readonly head: Uint8Array | undefined;
  /** The version that is replaced, unless the key did not exist. */
  readonly before: Version | undefined;
  readonly version: Version;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}
