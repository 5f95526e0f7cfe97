// Answers as texts, so that the member's and the model's can be compared and traced.

import type { Outcome } from "../../node/apply/outcome.ts";
import { assert } from "../../node/lib/assert.ts";
import { textOf } from "../../node/lib/bytes.ts";
import type { RangeOutcome } from "../../node/mvcc/range.ts";
import { decodeKeyValue } from "../../node/wire/hot-kv.ts";
import type { KeyValue, OutgoingResponseOp, OutgoingTxnResponse } from "../../node/wire/rpc.ts";

/** A key value, decoded or not, as answers carry it. */
type AnyKeyValue = KeyValue | Uint8Array;

export interface KeyText {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: bigint;
}

export function keyText({ key, value, createRevision, modRevision, version, lease }: KeyText): string {
  return `${key}=${value}(${createRevision},${modRevision},${version},${lease})`;
}

export function textOfKeyValue(kv: AnyKeyValue): string {
  const decoded = kv instanceof Uint8Array ? decodeKeyValue(kv) : kv;
  return keyText({ ...decoded, key: textOf(decoded.key), value: textOf(decoded.value) });
}

export function putText(previous: string | undefined): string {
  return `put ${previous ?? "-"}`;
}

export function deleteText(deleted: number, previous: readonly string[]): string {
  return `delete ${deleted} [${previous.join(" ")}]`;
}

export function rangeText(answer: {
  readonly kvs: readonly string[];
  readonly count: number;
  readonly more: boolean;
}): string {
  return `range ${answer.count} ${answer.more} [${answer.kvs.join(" ")}]`;
}

export function txnText(succeeded: boolean, responses: readonly string[]): string {
  return `txn ${succeeded} {${responses.join("; ")}}`;
}

export function okText(revision: number, text: string): string {
  return `@${revision} ${text}`;
}

export function refusedText(refusal: string): string {
  return `refused ${refusal}`;
}

/** A range's outcome with the revision of its header. */
export function textOfRange(outcome: RangeOutcome): string {
  if (!outcome.ok) return refusedText(outcome.reason);
  const { kvs, count, more } = outcome;
  return okText(outcome.revision, rangeText({ kvs: kvs.map(textOfKeyValue), count, more }));
}

export function textOfOutcome(outcome: Outcome): string {
  if (!outcome.ok) return refusedText(outcome.refusal);
  return okText(outcome.revision, appliedText(outcome));
}

function appliedText({ applied }: Extract<Outcome, { ok: true }>): string {
  switch (applied.case) {
    case "put":
      return putText(previousText(applied.value.prevKv));
    case "deleteRange":
      return deleteText(applied.value.deleted, applied.value.prevKvs.map(textOfKeyValue));
    case "txn":
      return textOfTxn(applied.value);
    case "compaction":
      return `compaction ${applied.revision}`;
    case "leaseGrant":
      return `leaseGrant ${applied.id} ${applied.ttlSeconds}`;
    default:
      return applied.case;
  }
}

export function textOfTxn({ succeeded, responses }: OutgoingTxnResponse): string {
  return txnText(succeeded, responses.map(responseText));
}

function responseText(op: OutgoingResponseOp | Uint8Array): string {
  const { response } = notEncoded(op);
  switch (response?.case) {
    case "responsePut":
      return putText(previousText(notEncoded(response.value).prevKv));
    case "responseDeleteRange": {
      const { deleted, prevKvs } = notEncoded(response.value);
      return deleteText(deleted, prevKvs.map(textOfKeyValue));
    }
    case "responseRange": {
      const { kvs, count, more } = notEncoded(response.value);
      return rangeText({ kvs: kvs.map(textOfKeyValue), count, more });
    }
    case "responseTxn":
      return textOfTxn(notEncoded(response.value));
    default:
      return "nothing";
  }
}

/** Answers may hold encoded parts, but applying makes none. */
function notEncoded<T>(value: T | Uint8Array): T {
  assert(!(value instanceof Uint8Array), "an answer of the applier is not encoded");
  return value;
}

function previousText(previous: AnyKeyValue | undefined): string | undefined {
  return previous === undefined ? undefined : textOfKeyValue(previous);
}
