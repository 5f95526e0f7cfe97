// The arithmetic of majorities. A majority config is a sorted list of voters without duplicates. The empty one
// commits everything and wins every vote, so a joint config is the minimum of its two halves with no special
// case for "not joint".

import { hexId, type NodeId } from "../lib/ids.ts";

export type VoteResult = "VotePending" | "VoteLost" | "VoteWon";

/** What is known of the voters' logs. */
export interface AckedIndexer {
  /** The highest index the voter has acknowledged, or undefined if it was never heard of. */
  ackedIndex(voter: NodeId): number | undefined;
}

/** The commit index of an empty majority: above every real one. */
export const everything = Number.MAX_SAFE_INTEGER;

/** The highest index that more than half of the voters have acknowledged. */
export function majorityCommitted(voters: readonly NodeId[], acked: AckedIndexer): number {
  const count = voters.length;
  if (count === 0) return everything;
  // Insertion sort, descending, as clusters have a handful of voters and this runs for every acknowledgement.
  const indexes = new Array<number>(count);
  for (let i = 0; i < count; i++) {
    const index = acked.ackedIndex(voters[i] as NodeId) ?? 0;
    let at = i;
    for (; at > 0 && (indexes[at - 1] as number) < index; at--) indexes[at] = indexes[at - 1] as number;
    indexes[at] = index;
  }
  return indexes[Math.floor(count / 2)] as number;
}

export function jointCommitted(
  incoming: readonly NodeId[],
  outgoing: readonly NodeId[],
  acked: AckedIndexer,
): number {
  return Math.min(majorityCommitted(incoming, acked), majorityCommitted(outgoing, acked));
}

export function majorityVote(voters: readonly NodeId[], votes: ReadonlyMap<NodeId, boolean>): VoteResult {
  if (voters.length === 0) return "VoteWon";
  let granted = 0;
  let missing = 0;
  for (const voter of voters) {
    const vote = votes.get(voter);
    if (vote === undefined) missing++;
    else if (vote) granted++;
  }
  const needed = Math.floor(voters.length / 2) + 1;
  if (granted >= needed) return "VoteWon";
  return granted + missing >= needed ? "VotePending" : "VoteLost";
}

export function jointVote(
  incoming: readonly NodeId[],
  outgoing: readonly NodeId[],
  votes: ReadonlyMap<NodeId, boolean>,
): VoteResult {
  const one = majorityVote(incoming, votes);
  const other = majorityVote(outgoing, votes);
  if (one === other) return one;
  return one === "VoteLost" || other === "VoteLost" ? "VoteLost" : "VotePending";
}

/** Sorted, without duplicates. */
export function sortedIds(ids: Iterable<NodeId>): NodeId[] {
  return [...new Set(ids)].sort(compareIds);
}

export function compareIds(a: NodeId, b: NodeId): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** "(1 2 3)", ids in hex. */
export function describeMajority(voters: readonly NodeId[]): string {
  return `(${voters.map(hexId).join(" ")})`;
}
