import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyBytes } from "../lib/bytes.ts";
import { FatalError } from "../lib/fatal.ts";
import { nodeId, noNode } from "../lib/ids.ts";
import type { ConfState, Entry } from "../wire/raft.ts";
import type { DurableState } from "./durable-state.ts";
import type { LogContents } from "./log-store.ts";
import { recover } from "./recover.ts";

const confState: ConfState = {
  voters: [nodeId(1)],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};

const entry = (index: number, term: number): Entry => ({
  type: "EntryNormal",
  term,
  index,
  data: emptyBytes,
});

/** A log with a snapshot at `snapshotIndex` of term 2 and entries of term 3 up to `lastIndex`. */
function contents({ snapshotIndex, lastIndex, commit }: Record<string, number>): LogContents {
  const entries: Entry[] = [];
  for (let index = (snapshotIndex ?? 0) + 1; index <= (lastIndex ?? 0); index++)
    entries.push(entry(index, 3));
  return {
    clusterId: 7n,
    nodeId: nodeId(1),
    hardState: { term: 3, vote: nodeId(1), commit: commit ?? 0 },
    snapshot: { index: snapshotIndex ?? 0, term: snapshotIndex === 0 ? 0 : 2, confState, data: emptyBytes },
    entries,
  };
}

function reasonOf(stored: DurableState | undefined, log: LogContents): string {
  try {
    recover(log, [], stored);
    return "none";
  } catch (error) {
    assert.ok(error instanceof FatalError);
    return `${error.reason}: ${error.message}`;
  }
}

test("a new member starts with its bootstrap entries committed", () => {
  const log = {
    ...contents({ snapshotIndex: 0, lastIndex: 0 }),
    hardState: { term: 0, vote: noNode, commit: 0 },
  };
  const { storage, hardState, applied } = recover(log, [entry(1, 1)], undefined);
  assert.deepEqual(hardState, { term: 1, vote: noNode, commit: 1 });
  assert.equal(storage.lastIndex(), 1);
  assert.equal(applied.index, 0);
});

test("a commit that the log lost is known from the store", () => {
  const log = contents({ snapshotIndex: 5, lastIndex: 9, commit: 6 });
  const { hardState, applied, storage } = recover(log, [], { index: 8, term: 3, confState });
  assert.equal(hardState.commit, 8);
  assert.equal(applied.index, 8);
  assert.equal(storage.initialState().confState, confState);
  assert.equal(storage.firstIndex(), 6);
});

test("a store behind the log replays the rest", () => {
  const log = contents({ snapshotIndex: 5, lastIndex: 9, commit: 9 });
  const { hardState, applied } = recover(log, [], { index: 5, term: 2, confState });
  assert.equal(applied.index, 5);
  assert.equal(hardState.commit, 9);
});

test("a store that does not belong to the log is refused with both positions", () => {
  const log = contents({ snapshotIndex: 5, lastIndex: 9, commit: 9 });
  assert.equal(
    reasonOf(undefined, log),
    "STORE_DAMAGED: the store is empty but the log begins after index 5",
  );
  assert.equal(
    reasonOf({ index: 12, term: 3, confState }, log),
    "STORE_DAMAGED: the store has applied index 12 of term 3, the log has no such entry (it holds 6 to 9)",
  );
  assert.equal(
    reasonOf({ index: 7, term: 2, confState }, log),
    "STORE_DAMAGED: the store has applied index 7 of term 2, the log has term 3 there (it holds 6 to 9)",
  );
  assert.match(reasonOf({ index: 3, term: 2, confState }, log), /no such entry/);
});
