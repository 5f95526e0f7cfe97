// A range of a single key: two exact lookups, no cursor and no job.

import { withoutValue } from "../wire/hot-kv.ts";
import { liveVersionAt } from "./key-index.ts";
import { passes, type RangeAnswer, type RangeRequest, type RangeView } from "./range.ts";
import { recordAt } from "./records.ts";

/** Answers a request without a range end as RangeJob would. Hot. */
export function rangeOne(view: RangeView, request: RangeRequest): RangeAnswer {
  const version = liveVersionAt(view.reader, request.key, view.revision);
  const revision = view.currentRevision;
  if (version === undefined) return { ok: true, revision, kvs: [], count: 0, more: false };
  if (request.countOnly || !passes(request, version))
    return { ok: true, revision, kvs: [], count: 1, more: false };
  const record = recordAt(view.reader, version);
  return {
    ok: true,
    revision,
    kvs: [request.keysOnly ? withoutValue(record) : record],
    count: 1,
    more: false,
  };
}
