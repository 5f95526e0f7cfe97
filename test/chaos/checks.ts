// What has to hold of the traffic of a scenario, whatever was done to the members. Each check is named by the
// promise it holds, and throws with the operation that broke it. Every answer carries the revision it was made at,
// so that linearizability needs no search: writes and reads have a place in one order, and it must agree with time.
import type { Change, History } from "../e2e/kill/history.ts";
import type { KeyValue, Operation, Told, Watched } from "./traffic.ts";

export function checkTraffic({ operations, watched }: Told, history: History): void {
  acknowledgedWritesAreNeverLost(operations, history);
  everyChangeWasAskedForAndMadeOnce(operations, history);
  revisionsAgreeWithTime(operations);
  readsSeeTheLastWrite(operations, history);
  for (const one of watched) watchesAreOrderedUniqueAndComplete(one, history);
}

function acknowledgedWritesAreNeverLost(operations: readonly Operation[], history: History): void {
  for (const { writes, answer } of operations) {
    if (writes.length === 0 || answer === undefined) continue;
    const stored = textOf(pairsAt(history, answer.revision));
    const asked = textOf(writes);
    if (stored !== asked)
      throw new Error(`acknowledged at ${answer.revision}: ${asked}; what is there: ${stored || "nothing"}`);
  }
}

function everyChangeWasAskedForAndMadeOnce(operations: readonly Operation[], history: History): void {
  const asked = new Set(
    operations.filter(({ writes }) => writes.length > 0).map((one) => textOf(one.writes)),
  );
  const foreign = [...history].find(([revision]) => !asked.delete(textOf(pairsAt(history, revision))));
  if (foreign !== undefined)
    throw new Error(
      `revision ${foreign[0]} was never asked for, or was made twice: ${JSON.stringify(foreign[1])}`,
    );
}

/** Whatever began after an answer at revision r has a revision of at least r, and a write a greater one. */
function revisionsAgreeWithTime(operations: readonly Operation[]): void {
  const answered = operations.filter(({ answer }) => answer !== undefined);
  const byEnd = [...answered].sort((a, b) => endOf(a) - endOf(b));
  const byStart = answered.sort((a, b) => a.startMs - b.startMs);
  let ended = 0;
  let newest = 0;
  for (const operation of byStart) {
    for (; ended < byEnd.length; ended++) {
      const earlier = byEnd[ended];
      if (earlier === undefined || endOf(earlier) >= operation.startMs) break;
      newest = Math.max(newest, earlier.answer?.revision ?? 0);
    }
    const revision = operation.answer?.revision ?? 0;
    const isInOrder = operation.writes.length > 0 ? revision > newest : revision >= newest;
    if (!isInOrder)
      throw new Error(
        `${textOf(operation.writes) || `read of ${operation.reads}`} at revision ${revision} began after an answer at ${newest}`,
      );
  }
}

function readsSeeTheLastWrite(operations: readonly Operation[], history: History): void {
  const reads = operations.filter(({ reads, answer }) => reads !== undefined && answer !== undefined);
  reads.sort((a, b) => (a.answer?.revision ?? 0) - (b.answer?.revision ?? 0));
  const current = new Map<string, string>();
  const revisions = [...history.keys()].sort((a, b) => a - b);
  let next = 0;
  for (const { reads: key = "", answer } of reads) {
    const revision = answer?.revision ?? 0;
    for (; next < revisions.length && (revisions[next] ?? 0) <= revision; next++)
      for (const pair of pairsAt(history, revisions[next] ?? 0)) current.set(pair.key, pair.value);
    if (answer?.value !== current.get(key))
      throw new Error(`read of ${key} at revision ${revision}: ${answer?.value}, not ${current.get(key)}`);
  }
}

/** Up to the last event a watcher saw, it saw every one, once, in order; and every watcher saw some. */
function watchesAreOrderedUniqueAndComplete({ place, events }: Watched, history: History): void {
  const last = events.at(-1)?.revision ?? 0;
  if (last === 0) throw new Error(`the watcher of ${place} saw nothing`);
  const expected = [...history.keys()]
    .filter((revision) => revision <= last)
    .sort((a, b) => a - b)
    .flatMap((revision) => pairsAt(history, revision).map((kv) => ({ revision, kv })));
  // A stream may have broken between the two events of the last revision.
  for (const [i, { revision, kv }] of events.entries()) {
    const wanted = expected[i];
    if (wanted?.revision !== revision || wanted.kv.key !== kv.key || wanted.kv.value !== kv.value)
      throw new Error(
        `the watcher of ${place} saw ${JSON.stringify({ revision, kv })} as event ${i}, not ${JSON.stringify(wanted)}`,
      );
  }
  if (events.length < expected.length)
    throw new Error(
      `the watcher of ${place} missed ${expected.length - events.length} events before ${last}`,
    );
}

function endOf({ answer }: Operation): number {
  return answer?.endMs ?? Number.POSITIVE_INFINITY;
}

function pairsAt(history: History, revision: number): readonly KeyValue[] {
  return (history.get(revision) ?? []).map((change: Change) =>
    change.kind === "put" ? { key: change.key, value: change.value } : { key: change.key, value: "" },
  );
}

function textOf(pairs: readonly KeyValue[]): string {
  return pairs.map(({ key, value }) => `${key}=${value}`).join(", ");
}
