// Transactions: first the compares along the branches taken, against the state before; then a look whether every
// operation of those branches can run; then the operations in order. A transaction runs as a whole or not at all.

import { must, never } from "../lib/assert.ts";
import { compareBytes, emptyBytes, equalBytes } from "../lib/bytes.ts";
import { type LeaseId, noLease } from "../lib/ids.ts";
import { endOf, type RangeAnswer, type RangeOutcome, type RangeRequest } from "../mvcc/range.ts";
import type { WriteTxn } from "../mvcc/write-txn.ts";
import { codecs } from "../wire/codecs.ts";
import { decodeKeyValue } from "../wire/hot-kv.ts";
import {
  type Compare,
  CompareResult,
  CompareTarget,
  type DeleteRangeRequest,
  type KeyValue,
  type OutgoingDeleteRangeResponse,
  type OutgoingPutResponse,
  type OutgoingRangeResponse,
  type OutgoingResponseOp,
  type OutgoingTxnResponse,
  type PutRequest,
  type RequestOp,
  type ResponseHeader,
  type TxnRequest,
} from "../wire/rpc.ts";

/** What a transaction looks at before it runs. */
export interface TxnView {
  readonly currentRevision: number;
  readonly compactRevision: number;
  range(request: RangeRequest): RangeOutcome;
  hasLease(id: LeaseId): boolean;
}

/** Which branch was taken, for the transaction and then for every nested one on the way, depth first. */
export type TxnPath = readonly boolean[];

export type TxnRefusal = "compacted" | "futureRevision" | "keyNotFound" | "leaseNotFound";

/** Nothing but ranges in both branches: such a transaction does not go through the log. */
export function isReadOnly(request: TxnRequest): boolean {
  return isEveryOp(request, ({ request: op }) => op?.case === "requestRange");
}

/** Read-only, and every range may be answered from this member's state. */
export function isSerializable(request: TxnRequest): boolean {
  return isEveryOp(request, ({ request: op }) => op?.case === "requestRange" && op.value.serializable);
}

function isEveryOp({ success, failure }: TxnRequest, test: (op: RequestOp) => boolean): boolean {
  return success.every(test) && failure.every(test);
}

export function pathOf(request: TxnRequest, view: TxnView): TxnPath {
  const path: boolean[] = [];
  const walk = (txn: TxnRequest): void => {
    const isSuccess = txn.compare.every((compare) => holds(compare, view));
    path.push(isSuccess);
    for (const { request: op } of isSuccess ? txn.success : txn.failure) {
      if (op?.case === "requestTxn") walk(op.value);
    }
  };
  walk(request);
  return path;
}

/** Why the branches taken cannot run; undefined when they can, and then nothing in them fails. */
export function refusalOf(request: TxnRequest, path: TxnPath, view: TxnView): TxnRefusal | undefined {
  const deletes: DeleteRangeRequest[] = [];
  for (const { request: op } of opsTaken(request, path)) {
    let refusal: TxnRefusal | undefined;
    if (op?.case === "requestRange") refusal = refusalOfRange(op.value, view);
    else if (op?.case === "requestPut") refusal = refusalOfPut(op.value, deletes, view);
    else if (op?.case === "requestDeleteRange") deletes.push(op.value);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

/** Runs the branches taken. The transaction was not refused. */
export function runTxn(request: TxnRequest, path: TxnPath, target: WriteTxn): OutgoingTxnResponse {
  return run(request, { path, position: 0 }, (op) => writeOrRead(op, target));
}

/** Runs a read-only transaction. It was not refused. */
export function runReadOnlyTxn(request: TxnRequest, path: TxnPath, view: TxnView): OutgoingTxnResponse {
  return run(request, { path, position: 0 }, (op) => {
    if (op.request?.case !== "requestRange") throw new Error("a read-only transaction has ranges only");
    return rangeOp(view.range(op.request.value));
  });
}

/** A header inside a transaction's answer holds nothing but the revision. */
export function innerHeader(revision: number): ResponseHeader {
  return codecs.ResponseHeader.create({ revision });
}

export function putResponse(revision: number, previous: Uint8Array | undefined): OutgoingPutResponse {
  return { header: innerHeader(revision), prevKv: previous };
}

export function rangeResponse(header: ResponseHeader, answer: RangeAnswer): OutgoingRangeResponse {
  return { header, kvs: answer.kvs, more: answer.more, count: answer.count };
}

interface PathWalk {
  readonly path: TxnPath;
  position: number;
}

function run(
  request: TxnRequest,
  walk: PathWalk,
  runOp: (op: RequestOp) => OutgoingResponseOp,
): OutgoingTxnResponse {
  const succeeded = must(walk.path[walk.position++], "the path has a step for every transaction");
  const responses = (succeeded ? request.success : request.failure).map((op): OutgoingResponseOp => {
    if (op.request?.case !== "requestTxn") return runOp(op);
    return { response: { case: "responseTxn", value: run(op.request.value, walk, runOp) } };
  });
  return { header: codecs.ResponseHeader.create(), succeeded, responses };
}

function writeOrRead({ request: op }: RequestOp, target: WriteTxn): OutgoingResponseOp {
  switch (op?.case) {
    case "requestRange":
      return rangeOp(target.range(op.value));
    case "requestPut":
      return { response: { case: "responsePut", value: put(op.value, target) } };
    case "requestDeleteRange":
      return { response: { case: "responseDeleteRange", value: deleteRange(op.value, target) } };
    case "requestTxn":
      throw new Error("a nested transaction is walked, not run as an operation");
    case undefined:
      return { response: undefined };
    default:
      return never(op);
  }
}

/** The put was not refused. */
export function put(request: PutRequest, target: WriteTxn): OutgoingPutResponse {
  const outcome = target.put(request);
  if (!outcome.ok) throw new Error("a put that was looked at before its transaction ran was refused in it");
  return putResponse(target.revision, outcome.previous);
}

export function deleteRange(request: DeleteRangeRequest, target: WriteTxn): OutgoingDeleteRangeResponse {
  const { deleted, previous } = target.deleteRange(request);
  return { header: innerHeader(target.revision), deleted, prevKvs: previous };
}

function rangeOp(outcome: RangeOutcome): OutgoingResponseOp {
  if (!outcome.ok)
    throw new Error(`a range that was looked at before its transaction ran failed: ${outcome.reason}`);
  return {
    response: { case: "responseRange", value: rangeResponse(innerHeader(outcome.revision), outcome) },
  };
}

/** The operations that run, nested ones in their place. */
export function opsTaken(
  request: TxnRequest,
  path: TxnPath,
  walk: PathWalk = { path, position: 0 },
): readonly RequestOp[] {
  const isSuccess = must(path[walk.position++], "the path has a step for every transaction");
  const ops = isSuccess ? request.success : request.failure;
  // Hot: most transactions hold no other.
  if (!ops.some(isNested)) return ops;
  return ops.flatMap((op) =>
    op.request?.case === "requestTxn" ? opsTaken(op.request.value, path, walk) : [op],
  );
}

function isNested({ request }: RequestOp): boolean {
  return request?.case === "requestTxn";
}

function refusalOfRange({ revision }: RangeRequest, view: TxnView): TxnRefusal | undefined {
  if (revision === 0) return undefined;
  if (revision > view.currentRevision) return "futureRevision";
  return revision < view.compactRevision ? "compacted" : undefined;
}

/** Also true for a put that an earlier delete of the same transaction robs of the value it wants to keep. */
export function refusalOfPut(
  { key, lease, ignoreValue, ignoreLease }: PutRequest,
  deletesBefore: readonly DeleteRangeRequest[],
  view: TxnView,
): TxnRefusal | undefined {
  if (ignoreValue || ignoreLease) {
    const answer = view.range(currentRange(key, emptyBytes));
    const isDeleted = deletesBefore.some((request) => covers(request, key));
    if (isDeleted || !answer.ok || answer.count === 0) return "keyNotFound";
  }
  return lease !== noLease && !view.hasLease(lease) ? "leaseNotFound" : undefined;
}

function covers({ key: start, rangeEnd }: DeleteRangeRequest, key: Uint8Array): boolean {
  if (rangeEnd.length === 0) return equalBytes(start, key);
  const end = endOf(start, rangeEnd);
  return compareBytes(key, start) >= 0 && (end === undefined || compareBytes(key, end) < 0);
}

const absent: KeyValue = {
  key: emptyBytes,
  createRevision: 0,
  modRevision: 0,
  version: 0,
  value: emptyBytes,
  lease: noLease,
};

/** A key that does not exist compares as one with zero fields, except by value, which it does not have. */
function holds(compare: Compare, view: TxnView): boolean {
  const answer = view.range(currentRange(compare.key, compare.rangeEnd));
  if (!answer.ok) return false;
  if (answer.kvs.length === 0) return compare.target !== CompareTarget.VALUE && fits(compare, absent);
  return answer.kvs.every((kv) => fits(compare, decodeKeyValue(kv)));
}

function fits({ result, target, targetUnion }: Compare, kv: KeyValue): boolean {
  const order = orderOf(target, targetUnion, kv);
  switch (result) {
    case CompareResult.EQUAL:
      return order === 0;
    case CompareResult.NOT_EQUAL:
      return order !== 0;
    case CompareResult.GREATER:
      return order > 0;
    case CompareResult.LESS:
      return order < 0;
    default:
      return true;
  }
}

/** Where the operand is of another kind than the target, it counts as zero, as in etcd. */
function orderOf(target: number, operand: Compare["targetUnion"], kv: KeyValue): number {
  switch (target) {
    case CompareTarget.VALUE:
      return compareBytes(kv.value, operand?.case === "value" ? operand.value : emptyBytes);
    case CompareTarget.CREATE:
      return kv.createRevision - (operand?.case === "createRevision" ? operand.value : 0);
    case CompareTarget.MOD:
      return kv.modRevision - (operand?.case === "modRevision" ? operand.value : 0);
    case CompareTarget.VERSION:
      return kv.version - (operand?.case === "version" ? operand.value : 0);
    case CompareTarget.LEASE: {
      const lease = operand?.case === "lease" ? operand.value : noLease;
      return kv.lease < lease ? -1 : kv.lease > lease ? 1 : 0;
    }
    default:
      return 0;
  }
}

function currentRange(key: Uint8Array, rangeEnd: Uint8Array): RangeRequest {
  return { ...wholeAnswer, key, rangeEnd };
}

const wholeAnswer: RangeRequest = codecs.RangeRequest.create();
