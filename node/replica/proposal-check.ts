// Proposals that come from nobody proven. An entry that cannot be read ends every member that applies it, at every start
// again, so it must not get into the log. A member checks what it proposes itself.

import { readEntry } from "../apply/entry.ts";
import { FatalError } from "../lib/fatal.ts";
import type { Entry } from "../wire/raft.ts";

/** Why the entries are not appended at `index`; undefined when they may be. */
export function problemOfProposal(entries: readonly Entry[], index: number): string | undefined {
  for (const { type, data } of entries) {
    // Members pass changes of the membership on by a stream.
    if (type !== "EntryNormal") return "a change of the membership in a request";
    const problem = data.length === 0 ? "an empty entry" : problemOfEntry(data, index);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function problemOfEntry(data: Uint8Array, index: number): string | undefined {
  try {
    readEntry({ index, data });
    return undefined;
  } catch (error) {
    if (error instanceof FatalError) return error.message;
    throw error;
  }
}
