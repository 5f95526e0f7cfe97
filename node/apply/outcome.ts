// What applying an entry answers to whoever proposed it. Every member computes the same outcome; only the one
// that took the request from a client tells it.

import type { LeaseId } from "../lib/ids.ts";
import type { ChangeRefusal } from "../membership/change.ts";
import type { Member } from "../membership/member.ts";
import type {
  AlarmMember,
  OutgoingDeleteRangeResponse,
  OutgoingPutResponse,
  OutgoingTxnResponse,
} from "../wire/rpc.ts";

/** Why a request changed nothing, named as the error that a client gets for it. */
export type Refusal =
  | ChangeRefusal
  | "compacted"
  | "corrupt"
  | "futureRevision"
  | "keyNotFound"
  | "leaseExists"
  | "leaseNotFound"
  | "leaseTtlTooLarge"
  | "noSpace"
  /** Its time was over before there was a leader that took it. */
  | "notProposed"
  | "requestTooLarge"
  | "stopped"
  | "timeout"
  | "timeoutConnectionLost"
  | "timeoutLeaderFailure"
  | "tooManyRequests";

/** The answer of one kind of request, without the header's cluster, member and term. */
export type Applied =
  | { readonly case: "put"; readonly value: OutgoingPutResponse }
  | { readonly case: "deleteRange"; readonly value: OutgoingDeleteRangeResponse }
  | { readonly case: "txn"; readonly value: OutgoingTxnResponse }
  | { readonly case: "compaction"; readonly revision: number }
  | { readonly case: "leaseGrant"; readonly id: LeaseId; readonly ttlSeconds: number }
  | { readonly case: "leaseRevoke" }
  | { readonly case: "leaseCheckpoint" }
  | { readonly case: "alarm"; readonly alarms: readonly AlarmMember[] }
  | { readonly case: "membership" }
  /** The members after the change, sorted by id. */
  | { readonly case: "confChange"; readonly members: readonly Member[] }
  /** The request changes nothing, and nobody on this member waits for what it reads. */
  | { readonly case: "nothing" };

export type Outcome =
  | {
      readonly ok: true /** The store's revision after the request. */;
      readonly revision: number;
      readonly applied: Applied;
    }
  | { readonly ok: false; readonly refusal: Refusal };

export function refused(refusal: Refusal): Outcome {
  return { ok: false, refusal };
}
