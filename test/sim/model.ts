// What etcd promises, without anything that makes it fast or durable: every version of every key since the start,
// in plain lists. It takes the entries of the log one by one and says what each must have answered. It shares no
// code with the member but the wire types.

import { must } from "../../node/lib/assert.ts";
import { textOf } from "../../node/lib/bytes.ts";
import { goSorted } from "../../node/lib/go-sort.ts";
import {
  AlarmAction,
  type AlarmRequest,
  AlarmType,
  type Compare,
  CompareResult,
  CompareTarget,
  type DeleteRangeRequest,
  type InternalRaftRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  SortOrder,
  SortTarget,
  type TxnRequest,
} from "../../node/wire/rpc.ts";
import { deleteText, keyText, okText, putText, rangeText, refusedText, txnText } from "./text.ts";

export interface Version {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  /** Zero: a delete. */
  readonly version: number;
  readonly lease: bigint;
}

const ttlSecondsMin = 2;
const ttlSecondsMax = 9_000_000_000;

class Refused extends Error {}

export class Model {
  revision = 1;
  compactRevision = -1;
  /** TTL in seconds by id. */
  readonly leases = new Map<bigint, number>();
  /** By revision, in the order of the changes; compaction removes none. */
  readonly changes = new Map<number, readonly Version[]>();
  /** Every revision that was compacted at. */
  readonly compactions = new Set<number>();
  /** Members that have raised the alarm of a full store. */
  readonly #full = new Set<bigint>();
  readonly #keys = new Map<string, Version[]>();
  #open: Version[] = [];

  /** The answer to an applied request, as text. */
  apply(request: InternalRaftRequest): string {
    try {
      const text = this.#run(request);
      if (this.#open.length > 0) this.changes.set(++this.revision, this.#open);
      return okText(this.revision, text);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return refusedText(error.message);
    } finally {
      this.#open = [];
    }
  }

  range(request: RangeRequest): string {
    const revision = request.revision > 0 ? request.revision : this.revision;
    if (revision > this.revision) return refusedText("future");
    if (revision < this.compactRevision) return refusedText("compacted");
    return okText(this.revision, this.#range(request));
  }

  /** A transaction that goes not through the log. */
  readTxn(request: TxnRequest): string {
    try {
      return okText(this.revision, this.#txn(request));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return refusedText(error.message);
    }
  }

  /** The key as it was; undefined where it did not exist. */
  at(key: string, revision: number): Version | undefined {
    const versions = this.#keys.get(key) ?? [];
    for (let i = versions.length - 1; i >= 0; i--) {
      const version = versions[i] as Version;
      if (version.modRevision <= revision) return version.version === 0 ? undefined : version;
    }
    return undefined;
  }

  /** Keys that a lease would take along, sorted. */
  keysOf(lease: bigint): string[] {
    return this.#live("", undefined, this.revision)
      .filter((version) => version.lease === lease)
      .map(({ key }) => key);
  }

  #run(request: InternalRaftRequest): string {
    if (this.#full.size > 0 && addsData(request)) throw new Refused("noSpace");
    if (request.alarm !== undefined) return this.#alarm(request.alarm);
    if (request.put !== undefined) {
      this.#checkLease(request.put);
      this.#checkPut(request.put, []);
      return this.#put(request.put);
    }
    if (request.txn !== undefined) return this.#txn(request.txn);
    if (request.deleteRange !== undefined) return this.#delete(request.deleteRange);
    if (request.leaseGrant !== undefined) return this.#grant(request.leaseGrant);
    if (request.leaseRevoke !== undefined) return this.#revoke(request.leaseRevoke.ID);
    if (request.leaseCheckpoint !== undefined) return "leaseCheckpoint";
    if (request.compaction !== undefined) return this.#compact(request.compaction.revision);
    return "membership";
  }

  #alarm({ action, memberID, alarm }: AlarmRequest): string {
    if (alarm === AlarmType.NOSPACE && action === AlarmAction.ACTIVATE) this.#full.add(memberID);
    if (alarm === AlarmType.NOSPACE && action === AlarmAction.DEACTIVATE) this.#full.delete(memberID);
    return "alarm";
  }

  #grant({ ID, TTL }: { readonly ID: bigint; readonly TTL: number }): string {
    if (ID === 0n) throw new Refused("leaseNotFound");
    if (TTL > ttlSecondsMax) throw new Refused("leaseTtlTooLarge");
    if (this.leases.has(ID)) throw new Refused("leaseExists");
    const ttl = Math.max(TTL, ttlSecondsMin);
    this.leases.set(ID, ttl);
    return `leaseGrant ${ID} ${ttl}`;
  }

  #revoke(id: bigint): string {
    if (!this.leases.has(id)) throw new Refused("leaseNotFound");
    for (const key of this.keysOf(id)) this.#change(key, undefined);
    this.leases.delete(id);
    return "leaseRevoke";
  }

  #compact(revision: number): string {
    if (revision <= this.compactRevision) throw new Refused("compacted");
    if (revision > this.revision) throw new Refused("futureRevision");
    this.compactRevision = revision;
    this.compactions.add(revision);
    return `compaction ${revision}`;
  }

  #txn(request: TxnRequest): string {
    const taken = new Map<TxnRequest, boolean>();
    this.#choose(request, taken);
    const deletes: DeleteRangeRequest[] = [];
    for (const op of opsTaken(request, taken)) this.#checkOp(op, deletes);
    return this.#runTxn(request, taken);
  }

  /** Every compare looks at the state before the transaction. */
  #choose(request: TxnRequest, taken: Map<TxnRequest, boolean>): void {
    const isSuccess = request.compare.every((compare) => this.#holds(compare));
    taken.set(request, isSuccess);
    for (const { request: op } of isSuccess ? request.success : request.failure) {
      if (op?.case === "requestTxn") this.#choose(op.value, taken);
    }
  }

  #checkOp({ request: op }: RequestOp, deletes: DeleteRangeRequest[]): void {
    if (op?.case === "requestRange" && op.value.revision > this.revision) throw new Refused("futureRevision");
    if (op?.case === "requestRange" && op.value.revision !== 0 && op.value.revision < this.compactRevision)
      throw new Refused("compacted");
    if (op?.case === "requestPut") this.#checkPut(op.value, deletes);
    if (op?.case === "requestDeleteRange") deletes.push(op.value);
  }

  #checkPut(put: PutRequest, deletes: readonly DeleteRangeRequest[]): void {
    const key = textOf(put.key);
    const isGone =
      this.at(key, this.revision) === undefined || deletes.some((request) => isInside(key, request));
    if ((put.ignoreValue || put.ignoreLease) && isGone) throw new Refused("keyNotFound");
    this.#checkLease(put);
  }

  #checkLease({ lease }: PutRequest): void {
    if (lease !== 0n && !this.leases.has(lease)) throw new Refused("leaseNotFound");
  }

  #runTxn(request: TxnRequest, taken: ReadonlyMap<TxnRequest, boolean>): string {
    const isSuccess = must(taken.get(request), "a branch was chosen");
    const responses = (isSuccess ? request.success : request.failure).map(({ request: op }) => {
      switch (op?.case) {
        case "requestPut":
          return this.#put(op.value);
        case "requestDeleteRange":
          return this.#delete(op.value);
        case "requestRange":
          return this.#range(op.value);
        case "requestTxn":
          return this.#runTxn(op.value, taken);
        default:
          return "nothing";
      }
    });
    return txnText(isSuccess, responses);
  }

  #put(put: PutRequest): string {
    const key = textOf(put.key);
    const before = this.at(key, this.revision + 1);
    this.#change(key, {
      value: put.ignoreValue && before !== undefined ? before.value : textOf(put.value),
      lease: put.ignoreLease && before !== undefined ? before.lease : put.lease,
    });
    return putText(put.prevKv && before !== undefined ? keyText(before) : undefined);
  }

  #delete(request: DeleteRangeRequest): string {
    const deleted = this.#live(textOf(request.key), endOf(request), this.revision + 1);
    for (const { key } of deleted) this.#change(key, undefined);
    return deleteText(deleted.length, request.prevKv ? deleted.map(keyText) : []);
  }

  #change(key: string, to: { readonly value: string; readonly lease: bigint } | undefined): void {
    const modRevision = this.revision + 1;
    const before = this.at(key, modRevision);
    const version: Version = {
      key,
      value: to?.value ?? "",
      lease: to?.lease ?? 0n,
      createRevision: to === undefined ? 0 : (before?.createRevision ?? modRevision),
      modRevision,
      version: to === undefined ? 0 : (before?.version ?? 0) + 1,
    };
    const versions = this.#keys.get(key);
    if (versions === undefined) this.#keys.set(key, [version]);
    else versions.push(version);
    this.#open.push(version);
  }

  #live(start: string, end: string | undefined, revision: number): Version[] {
    const found: Version[] = [];
    for (const key of this.#keys.keys()) {
      if (key < start || (end !== undefined && key >= end)) continue;
      const version = this.at(key, revision);
      if (version !== undefined) found.push(version);
    }
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  #range(request: RangeRequest): string {
    const revision = request.revision > 0 ? request.revision : this.revision + 1;
    const all = this.#live(textOf(request.key), endOf(request), revision);
    const count = all.length;
    if (request.countOnly) return rangeText({ kvs: [], count, more: false });
    const { limit, sortOrder, sortTarget } = request;
    const passing = all.filter((version) => passesFilters(request, version));
    const isFiltered =
      request.minModRevision !== 0 ||
      request.maxModRevision !== 0 ||
      request.minCreateRevision !== 0 ||
      request.maxCreateRevision !== 0;
    // Without an order the limit cuts before the sort.
    const cutsFirst = limit > 0 && sortOrder === SortOrder.NONE && !isFiltered;
    const sorted = goSorted(
      cutsFirst ? passing.slice(0, limit + 1) : passing,
      orderOf(sortTarget, sortOrder),
    );
    const more = limit > 0 && sorted.length > limit;
    const answered = more ? sorted.slice(0, limit) : sorted;
    const kvs = answered.map((version) => keyText(request.keysOnly ? { ...version, value: "" } : version));
    return rangeText({ kvs, count, more });
  }

  #holds(compare: Compare): boolean {
    const found = this.#live(textOf(compare.key), endOf(compare), this.revision);
    if (found.length > 0) return found.every((version) => fits(compare, version));
    const absent = { key: "", value: "", createRevision: 0, modRevision: 0, version: 0, lease: 0n };
    return compare.target !== CompareTarget.VALUE && fits(compare, absent);
  }
}

function addsData({ put, txn, leaseGrant }: InternalRaftRequest): boolean {
  return put !== undefined || leaseGrant !== undefined || (txn !== undefined && hasPut(txn));
}

/** In either branch, taken or not. */
function hasPut({ success, failure }: TxnRequest): boolean {
  return [...success, ...failure].some(
    ({ request: op }) => op?.case === "requestPut" || (op?.case === "requestTxn" && hasPut(op.value)),
  );
}

function* opsTaken(request: TxnRequest, taken: ReadonlyMap<TxnRequest, boolean>): Generator<RequestOp> {
  for (const op of taken.get(request) ? request.success : request.failure) {
    if (op.request?.case === "requestTxn") yield* opsTaken(op.request.value, taken);
    else yield op;
  }
}

/** Exclusive; undefined: all keys that follow. */
export function endOf(range: {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
}): string | undefined {
  if (range.rangeEnd.length === 0) return `${textOf(range.key)}\0`;
  const end = textOf(range.rangeEnd);
  return end === "\0" ? undefined : end;
}

export function isInside(
  key: string,
  range: { readonly key: Uint8Array; readonly rangeEnd: Uint8Array },
): boolean {
  const end = endOf(range);
  return key >= textOf(range.key) && (end === undefined || key < end);
}

function passesFilters(request: RangeRequest, { modRevision, createRevision }: Version): boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  return (
    (minModRevision === 0 || modRevision >= minModRevision) &&
    (maxModRevision === 0 || modRevision <= maxModRevision) &&
    (minCreateRevision === 0 || createRevision >= minCreateRevision) &&
    (maxCreateRevision === 0 || createRevision <= maxCreateRevision)
  );
}

function orderOf(target: number, order: number): (a: Version, b: Version) => number {
  const sign = order === SortOrder.DESCEND ? -1 : 1;
  switch (target) {
    case SortTarget.VERSION:
      return (a, b) => sign * (a.version - b.version);
    case SortTarget.CREATE:
      return (a, b) => sign * (a.createRevision - b.createRevision);
    case SortTarget.MOD:
      return (a, b) => sign * (a.modRevision - b.modRevision);
    case SortTarget.VALUE:
      return (a, b) => sign * (a.value < b.value ? -1 : a.value > b.value ? 1 : 0);
    default:
      return (a, b) => sign * (a.key < b.key ? -1 : 1);
  }
}

function fits({ result, target, targetUnion: operand }: Compare, version: Version): boolean {
  const difference = differenceOf(target, operand, version);
  switch (result) {
    case CompareResult.EQUAL:
      return difference === 0;
    case CompareResult.NOT_EQUAL:
      return difference !== 0;
    case CompareResult.GREATER:
      return difference > 0;
    default:
      return difference < 0;
  }
}

function differenceOf(target: number, operand: Compare["targetUnion"], version: Version): number {
  switch (target) {
    case CompareTarget.VERSION:
      return version.version - (operand?.case === "version" ? operand.value : 0);
    case CompareTarget.CREATE:
      return version.createRevision - (operand?.case === "createRevision" ? operand.value : 0);
    case CompareTarget.MOD:
      return version.modRevision - (operand?.case === "modRevision" ? operand.value : 0);
    case CompareTarget.LEASE:
      return Number(version.lease - (operand?.case === "lease" ? operand.value : 0n));
    default: {
      const value = operand?.case === "value" ? textOf(operand.value) : "";
      return version.value < value ? -1 : version.value > value ? 1 : 0;
    }
  }
}
