// One write transaction: puts and deletes under one new revision, visible to the store's reads only as a whole,
// since nothing else runs between begin and end. Deterministic: the same requests on the same state make the same
// bytes on every member.

import { assert, must } from "../lib/assert.ts";
import type { Backend } from "../lib/backend.ts";
import { emptyBytes } from "../lib/bytes.ts";
import { type LeaseId, noLease } from "../lib/ids.ts";
import { decodeKeyValue, keyValueSize, writeKeyValue } from "../wire/hot-kv.ts";
import type { KeyValue } from "../wire/rpc.ts";
import type { KeyPlace } from "./index-key.ts";
import { findPlace, headOf, type KeyIndex, liveVersionAt } from "./key-index.ts";
import { endOf, type RangeOutcome, type RangeRequest } from "./range.ts";
import { deleteEventKv, keyOfRecord, recordAt } from "./records.ts";
import { type Revision, recordKey, revisionMax, scratchRecordKey } from "./revision.ts";
import type { Version } from "./version.ts";
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
    const head = headOf(this.#host.backend, place);
    const before = head === undefined || head.isTombstone ? undefined : head;
    const previous =
      before !== undefined && (request.prevKv || request.ignoreValue)
        ? recordAt(this.#host.backend, before)
        : undefined;
    const value =
      request.ignoreValue && previous !== undefined ? decodeKeyValue(previous).value : request.value;
    this.#write(place, head, {
      key,
      createRevision: before?.createRevision ?? this.#main,
      modRevision: this.#main,
      version: (before?.version ?? 0) + 1,
      value,
      lease: request.ignoreLease && before !== undefined ? before.lease : request.lease,
    });
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
    const head = headOf(this.#host.backend, place);
    if (head === undefined || head.isTombstone) return false;
    if (request.prevKv) previous.push(recordAt(this.#host.backend, head));
    this.#write(place, head, tombstoneOf(key));
    return true;
  }

  /** Writes record and index, moves the lease's attachment, and notes the event. `head` is the version replaced. */
  #write(place: KeyPlace, head: Version | undefined, kv: KeyValue): void {
    const main = this.#main;
    const sub = this.#events.length;
    const isTombstone = kv.version === 0;
    const revision = scratchRecordKey(main, sub, isTombstone);
    const record = this.#host.backend.reserve("key", revision, keyValueSize(kv));
    writeKeyValue(record, 0, kv);
    this.#host.index.push(place, head, {
      main,
      sub,
      isTombstone,
      createRevision: kv.createRevision,
      version: kv.version,
      lease: kv.lease,
    });
    const key = keyOfRecord(record);
    const { leases } = this.#host;
    if (leases !== undefined) {
      if (head !== undefined && head.lease !== noLease) {
        leases.detach(head.lease, key, recordKey(head.main, head.sub, false));
      }
      if (kv.lease !== noLease) leases.attach(kv.lease, key, recordKey(main, sub, false));
    }
    this.#events.push(
      isTombstone
        ? { type: "delete", key, modRevision: main, kv: deleteEventKv(key, main) }
        : { type: "put", key, modRevision: main, kv: record },
    );
  }
}

/** What a tombstone's record holds. */
function tombstoneOf(key: Uint8Array): KeyValue {
  return { key, createRevision: 0, modRevision: 0, version: 0, value: emptyBytes, lease: noLease };
}
