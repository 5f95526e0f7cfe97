// The quota: before a request that adds data is proposed, its size is held against what the store may take. The
// check is an estimate, as etcd's is; the first request that does not fit raises the NOSPACE alarm, and from then on
// every member refuses new data until somebody lowers it.

import { AlarmAction, AlarmType, type PutRequest, type RequestOp, type TxnRequest } from "../wire/rpc.ts";
import { apiError } from "./errors.ts";
import type { MemberApi } from "./member-api.ts";

/** What a key takes besides its bytes, and a lease in all, by etcd's estimate. */
const putOverheadBytes = 256;
export const leaseBytes = 64;

/** Throws ApiError noSpace, and raises the alarm, when `bytes` more would not fit. */
export function checkQuota(api: MemberApi, bytes: number): void {
  const { quotaBytes } = api.options;
  if (quotaBytes <= 0 || bytes === 0 || api.replica.sizes.sizeBytes + bytes < quotaBytes) return;
  const alarm = { action: AlarmAction.ACTIVATE, memberID: api.replica.nodeId, alarm: AlarmType.NOSPACE };
  // The answer does not wait for the alarm: a later request that does not fit raises it again.
  api.replica.propose({ alarm }, () => {});
  throw apiError("noSpace");
}

export function putBytes({ key, value }: PutRequest): number {
  return putOverheadBytes + key.length + value.length;
}

/** The larger of the two branches; what a nested transaction puts is not counted, as in etcd. */
export function txnBytes({ success, failure }: TxnRequest): number {
  return Math.max(opsBytes(success), opsBytes(failure));
}

function opsBytes(ops: readonly RequestOp[]): number {
  let bytes = 0;
  for (const { request } of ops) if (request?.case === "requestPut") bytes += putBytes(request.value);
  return bytes;
}
