import assert from "node:assert/strict";
import { test } from "node:test";
import { type NodeId, nodeId } from "../lib/ids.ts";
import { type Random, SeededRandom } from "../lib/random.ts";
import {
  everything,
  jointCommitted,
  jointVote,
  majorityCommitted,
  majorityVote,
  sortedIds,
} from "./quorum.ts";

/** The dumb version: the highest index for which more than half of the voters can be counted. */
function committedByCounting(voters: readonly NodeId[], indexes: ReadonlyMap<NodeId, number>): number {
  if (voters.length === 0) return everything;
  let best = 0;
  for (const candidate of indexes.values()) {
    const count = voters.filter((id) => (indexes.get(id) ?? 0) >= candidate).length;
    if (count > voters.length / 2 && candidate > best) best = candidate;
  }
  return best;
}

function someVoters(random: Random): NodeId[] {
  return sortedIds(Array.from({ length: random.below(8) }, () => nodeId(1 + random.below(10))));
}

function someIndexes(random: Random): Map<NodeId, number> {
  return new Map(
    Array.from({ length: random.below(12) }, () => [nodeId(1 + random.below(10)), random.below(9)]),
  );
}

test("the committed index by sorting equals the one by counting", () => {
  const random = new SeededRandom(1);
  for (let i = 0; i < 20_000; i++) {
    const voters = someVoters(random);
    const others = someVoters(random);
    const indexes = someIndexes(random);
    const acked = { ackedIndex: (id: NodeId) => indexes.get(id) };
    const one = committedByCounting(voters, indexes);
    assert.equal(majorityCommitted(voters, acked), one);
    const other = committedByCounting(others, indexes);
    assert.equal(jointCommitted(voters, others, acked), Math.min(one, other));
  }
});

test("a vote is won with a majority, lost when none is possible, and joint only with both halves", () => {
  const random = new SeededRandom(2);
  for (let i = 0; i < 20_000; i++) {
    const halves = [someVoters(random), someVoters(random)] as const;
    const votes = new Map<NodeId, boolean>();
    for (let id = 1; id <= 10; id++) if (random.below(3) > 0) votes.set(nodeId(id), random.below(2) === 0);
    const wins = halves.map(
      (half) => half.length === 0 || half.filter((id) => votes.get(id)).length * 2 > half.length,
    );
    const canWin = halves.map(
      (half) => half.length === 0 || half.filter((id) => votes.get(id) !== false).length * 2 > half.length,
    );
    const expected = (won: boolean, possible: boolean): string =>
      won ? "VoteWon" : possible ? "VotePending" : "VoteLost";
    assert.equal(majorityVote(halves[0], votes), expected(wins[0] === true, canWin[0] === true));
    assert.equal(
      jointVote(halves[0], halves[1], votes),
      expected(wins.every(Boolean), canWin.every(Boolean)),
    );
  }
});

test("the empty majority commits everything and wins", () => {
  assert.equal(majorityCommitted([], { ackedIndex: () => undefined }), everything);
  assert.equal(majorityVote([], new Map()), "VoteWon");
});
