// Where a member stands when it starts: what the log held and what the store held have to fit together.

import { FatalError } from "../lib/fatal.ts";
import { noNode } from "../lib/ids.ts";
import { MemoryStorage } from "../raft/memory-storage.ts";
import type { Entry, HardState } from "../wire/raft.ts";
import type { DurableState } from "./durable-state.ts";
import type { LogContents } from "./log-store.ts";

export interface Recovered {
  /** Raft's log, from the newest snapshot on. */
  readonly storage: MemoryStorage;
  readonly hardState: HardState;
  /** Where the state machines stand. */
  readonly applied: DurableState;
}

/**
 * `bootstrap`: the first entries of a cluster that begins now; they replace what a log cut in its beginning holds.
 * `stored`: what the store holds, undefined for one that nothing was applied to.
 * Throws FatalError STORE_DAMAGED when store and log do not belong together.
 */
export function recover(
  contents: LogContents,
  bootstrap: readonly Entry[],
  stored: DurableState | undefined,
): Recovered {
  const storage = new MemoryStorage();
  const { index, term, confState, data } = contents.snapshot;
  if (index > 0) storage.applySnapshot({ data, metadata: { index, term, confState } });
  storage.append(contents.entries);
  storage.append(bootstrap);
  const applied = stored ?? { index: 0, term: 0, confState };
  checkApplied(storage, contents, stored);
  // Raft starts with the configuration that was in force at the applied index.
  if (applied.index > index) {
    storage.createSnapshot(applied.index, { confState: applied.confState, data });
  }
  const hardState = firstHardState(contents, bootstrap, applied.index);
  storage.setHardState(hardState);
  return { storage, hardState, applied };
}

function checkApplied(
  storage: MemoryStorage,
  { snapshot }: LogContents,
  stored: DurableState | undefined,
): void {
  if (stored === undefined) {
    const { index } = snapshot;
    if (index === 0) return;
    throw new FatalError("STORE_DAMAGED", `the store is empty but the log begins after index ${index}`, {
      index,
    });
  }
  const { index, term } = stored;
  const loggedTerm = storage.term(index);
  if (loggedTerm === term) return;
  const found = loggedTerm === undefined ? "no such entry" : `term ${loggedTerm} there`;
  throw new FatalError(
    "STORE_DAMAGED",
    `the store has applied index ${index} of term ${term}, the log has ${found} ` +
      `(it holds ${storage.firstIndex()} to ${storage.lastIndex()})`,
    { index },
  );
}

function firstHardState(
  { hardState }: LogContents,
  bootstrap: readonly Entry[],
  appliedIndex: number,
): HardState {
  if (bootstrap.length > 0) return { term: 1, vote: noNode, commit: bootstrap.length };
  // A commit that was not synced may have been lost in a power cut after the store was flushed behind it.
  return { ...hardState, commit: Math.max(hardState.commit, appliedIndex) };
}
