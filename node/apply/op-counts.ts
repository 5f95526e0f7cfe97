// How requests are counted, as etcd counts them: by operation, so that a delete of a range is one delete however
// many keys go, and a request of several operations is a transaction.

import type { Metrics } from "../lib/metrics.ts";
import type { PutRequest, RequestOp } from "../wire/rpc.ts";

export type OpMetrics = Pick<Metrics, "puts" | "putBytes" | "deletes" | "ranges" | "txns">;

export function countPut({ puts, putBytes }: OpMetrics, { key, value }: PutRequest): void {
  puts.increment();
  putBytes.increment(key.length + value.length);
}

/** Several deletes at once, as a revoked lease makes them. */
export function countDeletes({ deletes, txns }: OpMetrics, count: number): void {
  deletes.increment(count);
  if (count > 1) txns.increment();
}

/** The operations that a transaction ran. */
export function countOps(metrics: OpMetrics, ops: Iterable<RequestOp>): void {
  let count = 0;
  for (const { request } of ops) {
    count++;
    if (request?.case === "requestPut") countPut(metrics, request.value);
    else if (request?.case === "requestDeleteRange") metrics.deletes.increment();
    else if (request?.case === "requestRange") metrics.ranges.increment();
  }
  if (count > 1) metrics.txns.increment();
}
