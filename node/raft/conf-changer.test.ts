import assert from "node:assert/strict";
import { test } from "node:test";
import { AssertionFailure } from "../lib/assert.ts";
import { type NodeId, nodeId } from "../lib/ids.ts";
import { type Random, SeededRandom } from "../lib/random.ts";
import { type ConfChangeSingle, type ConfState, confChangeTypes } from "../wire/raft.ts";
import { changeConfig, changeSimply, enterJoint, leaveJoint } from "./conf-changer.ts";
import {
  assertSound,
  canonicalConfState,
  emptyConfState,
  isJoint,
  membersOf,
  votersOf,
} from "./conf-state.ts";

function someChanges(random: Random): ConfChangeSingle[] {
  return Array.from({ length: random.below(5) }, () => {
    const type = confChangeTypes[random.below(confChangeTypes.length)] ?? "ConfChangeAddNode";
    return { type, nodeId: nodeId(random.below(7)) };
  });
}

function haveCommonVoterInEveryMajority(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  if (a.length === 0 || b.length === 0) return true;
  const common = a.filter((id) => b.includes(id)).length;
  const needed = (voters: readonly NodeId[]): number => Math.floor(voters.length / 2) + 1;
  // Two majorities that avoid each other as far as possible must still share a voter.
  const all = new Set([...a, ...b]).size;
  return needed(a) + needed(b) > all || common >= Math.max(a.length, b.length);
}

test("any sequence of changes keeps the configuration sound, and neighbours share a voter in every majority", () => {
  const random = new SeededRandom(6);
  for (let round = 0; round < 300; round++) {
    let config: ConfState = emptyConfState;
    const first = changeSimply(config, [{ type: "ConfChangeAddNode", nodeId: nodeId(1) }]);
    assert.ok(first.ok);
    config = first.config;
    for (let i = 0; i < 30; i++) {
      const changes = someChanges(random);
      const kind = random.below(3);
      const outcome =
        kind === 0
          ? changeSimply(config, changes)
          : kind === 1
            ? enterJoint(config, { autoLeave: random.below(2) === 0, changes })
            : leaveJoint(config);
      if (!outcome.ok) continue;
      assertSound(outcome.config);
      assert.ok(outcome.config.voters.length > 0);
      assert.deepEqual(canonicalConfState(outcome.config), outcome.config);
      if (kind === 0) assert.ok(haveCommonVoterInEveryMajority(config.voters, outcome.config.voters));
      if (kind === 1) assert.deepEqual(outcome.config.votersOutgoing, config.voters);
      if (kind === 2) assert.deepEqual(outcome.config.voters, config.voters);
      for (const id of outcome.fresh) assert.ok(id !== nodeId(0));
      config = outcome.config;
    }
  }
});

test("the transition and the number of changes say what kind of change it is", () => {
  const single = [{ type: "ConfChangeAddNode", nodeId: nodeId(2) }] as const;
  const config: ConfState = { ...emptyConfState, voters: [nodeId(1)] };
  const context = new Uint8Array(0);
  const outcome = (
    transition: Parameters<typeof changeConfig>[1]["transition"],
    changes: readonly ConfChangeSingle[],
  ): string => {
    const result = changeConfig(config, { transition, changes, context });
    if (!result.ok) return result.reason;
    return `${isJoint(result.config) ? "joint" : "simple"}${result.config.autoLeave ? " autoleave" : ""}`;
  };
  const two = [...single, { type: "ConfChangeAddNode", nodeId: nodeId(3) }] as const;
  assert.equal(outcome("ConfChangeTransitionAuto", single), "simple");
  assert.equal(outcome("ConfChangeTransitionAuto", two), "joint autoleave");
  assert.equal(outcome("ConfChangeTransitionJointImplicit", single), "joint autoleave");
  assert.equal(outcome("ConfChangeTransitionJointExplicit", two), "joint");
  assert.equal(outcome("ConfChangeTransitionAuto", []), "can't leave a non-joint config");
});

test("members and voters of a joint configuration are those of both halves", () => {
  const ids = (...list: number[]): NodeId[] => list.map(nodeId);
  const config = canonicalConfState({
    voters: ids(4, 1),
    votersOutgoing: ids(3, 2, 1),
    learners: ids(5),
    learnersNext: ids(3),
    autoLeave: true,
  });
  assert.deepEqual(votersOf(config), ids(1, 2, 3, 4));
  assert.deepEqual(membersOf(config), ids(1, 2, 3, 4, 5));
});

test("a stored configuration that contradicts itself is refused", () => {
  const ids = (...list: number[]): NodeId[] => list.map(nodeId);
  const broken: Partial<ConfState>[] = [
    { learners: ids(1) },
    { voters: [], learners: ids(2) },
    { learnersNext: ids(2) },
    { autoLeave: true },
    { voters: ids(1, 1) },
  ];
  for (const part of broken) {
    assert.throws(() => canonicalConfState({ ...emptyConfState, voters: ids(1), ...part }), AssertionFailure);
  }
});
