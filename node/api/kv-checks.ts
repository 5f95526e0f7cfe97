// What a KV request must satisfy before it is looked at further, in the order in which etcd checks it: when a
// request is wrong in two ways, clients see the same error.

import { compareBytes } from "../lib/bytes.ts";
import {
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  SortOrder,
  SortTarget,
  type TxnRequest,
} from "../wire/rpc.ts";
import { apiError } from "./errors.ts";

const sortOrders: ReadonlySet<number> = new Set(Object.values(SortOrder));
const sortTargets: ReadonlySet<number> = new Set(Object.values(SortTarget));

/** Throws ApiError. */
export function checkRange(request: RangeRequest): void {
  if (request.key.length === 0) throw apiError("emptyKey");
  if (!sortOrders.has(request.sortOrder) || !sortTargets.has(request.sortTarget)) {
    throw apiError("invalidSortOption");
  }
}

/** Throws ApiError. */
export function checkPut(request: PutRequest): void {
  if (request.key.length === 0) throw apiError("emptyKey");
  if (request.ignoreValue && request.value.length > 0) throw apiError("valueProvided");
  if (request.ignoreLease && request.lease !== 0n) throw apiError("leaseProvided");
}

/** Throws ApiError. */
export function checkDeleteRange(request: DeleteRangeRequest): void {
  if (request.key.length === 0) throw apiError("emptyKey");
}

/** Throws ApiError. `opsMax` bounds each list; a nested transaction has what the outer lists leave. */
export function checkTxn(request: TxnRequest, opsMax: number): void {
  checkTxnOps(request, opsMax);
  checkChanges(request.success);
  checkChanges(request.failure);
}

function checkTxnOps(request: TxnRequest, opsMax: number): void {
  const count = Math.max(request.compare.length, request.success.length, request.failure.length);
  if (count > opsMax) throw apiError("tooManyOps");
  for (const compare of request.compare) if (compare.key.length === 0) throw apiError("emptyKey");
  for (const op of request.success) checkOp(op, opsMax - count);
  for (const op of request.failure) checkOp(op, opsMax - count);
}

function checkOp({ request }: RequestOp, opsMax: number): void {
  switch (request?.case) {
    case "requestRange":
      checkRange(request.value);
      break;
    case "requestPut":
      checkPut(request.value);
      break;
    case "requestDeleteRange":
      checkDeleteRange(request.value);
      break;
    case "requestTxn":
      checkTxnOps(request.value, opsMax);
      break;
    case undefined:
      throw apiError("keyNotFound");
  }
}

interface Interval {
  readonly start: Uint8Array;
  /** Undefined for the single key `start`. Compared as it was sent: "\0" does not mean "to the end" here. */
  readonly end: Uint8Array | undefined;
}

/** What a list of operations may put and delete. Keys are latin1 text, so that they can be looked up. */
interface Changes {
  readonly puts: Set<string>;
  readonly deletes: Interval[];
}

/** Hot for the usual list, in which no two operations can meet. */
function checkChanges(ops: readonly RequestOp[]): void {
  let count = 0;
  for (const { request } of ops) {
    if (request?.case === "requestTxn") count = 2;
    else if (request?.case !== "requestRange") count++;
  }
  if (count > 1) changesOf(ops);
}

/**
 * Collects the changes of a list and refuses a key that two operations which can both run would put, or one would
 * put and another delete. The two branches of a nested transaction exclude each other; deletes may overlap.
 */
function changesOf(ops: readonly RequestOp[]): Changes {
  const puts = new Set<string>();
  const deletes: Interval[] = [];
  for (const { request } of ops) {
    if (request?.case !== "requestDeleteRange") continue;
    const { key, rangeEnd } = request.value;
    deletes.push({ start: key, end: rangeEnd.length > 0 ? rangeEnd : undefined });
  }
  for (const { request } of ops) {
    if (request?.case !== "requestTxn") continue;
    const success = changesOf(request.value.success);
    const failure = changesOf(request.value.failure);
    for (const key of success.puts) addPut(key, puts, deletes);
    for (const key of failure.puts) {
      if (success.puts.has(key)) refuseDeleted(key, deletes);
      else addPut(key, puts, deletes);
    }
    deletes.push(...success.deletes, ...failure.deletes);
  }
  for (const { request } of ops) {
    if (request?.case === "requestPut") addPut(latin1(request.value.key), puts, deletes);
  }
  return { puts, deletes };
}

function addPut(key: string, puts: Set<string>, deletes: readonly Interval[]): void {
  if (puts.has(key)) throw apiError("duplicateKey");
  refuseDeleted(key, deletes);
  puts.add(key);
}

function refuseDeleted(key: string, deletes: readonly Interval[]): void {
  if (deletes.length === 0) return;
  const bytes = Buffer.from(key, "latin1");
  for (const { start, end } of deletes) {
    const order = compareBytes(bytes, start);
    const isInside = end === undefined ? order === 0 : order >= 0 && compareBytes(bytes, end) < 0;
    if (isInside) throw apiError("duplicateKey");
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}
