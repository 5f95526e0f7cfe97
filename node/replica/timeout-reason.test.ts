import assert from "node:assert/strict";
import { test } from "node:test";
import { type NodeId, nodeId, noNode } from "../lib/ids.ts";
import { type TimeoutView, timeoutReason } from "./timeout-reason.ts";

const [a, b, c] = [nodeId(1n), nodeId(2n), nodeId(3n)];
const connected: TimeoutView = {
  nodeId: a,
  leader: a,
  leaderElectedMs: 0,
  electionTimeoutMs: 1000,
  memberIds: [a, b, c],
  activeSinceMs: (id: NodeId) => (id === a ? undefined : 1000),
};
const startedMs = 50_000;

test("the reason of a timeout is etcd's", () => {
  const cases: readonly [string, Partial<TimeoutView>, string][] = [
    ["a leader with everybody", {}, "timeout"],
    ["a leader with one other", { activeSinceMs: (id) => (id === b ? 1 : undefined) }, "timeout"],
    ["a leader alone", { activeSinceMs: () => undefined }, "timeoutConnectionLost"],
    ["a leader whose connections are new", { activeSinceMs: () => startedMs + 1 }, "timeoutConnectionLost"],
    ["a follower of a leader within reach", { leader: b }, "timeout"],
    [
      "a follower of one out of reach",
      { leader: b, activeSinceMs: () => undefined },
      "timeoutConnectionLost",
    ],
    ["a member that has not read of any yet", { leader: noNode, memberIds: [] }, "timeout"],
    ["no leader", { leader: noNode, activeSinceMs: () => undefined }, "timeout"],
    ["an election just after the start", { leaderElectedMs: startedMs + 1999 }, "timeoutLeaderFailure"],
    ["an election long after", { leaderElectedMs: startedMs + 2001 }, "timeout"],
    ["an election just before the start", { leaderElectedMs: startedMs - 1 }, "timeout"],
  ];
  for (const [name, change, expected] of cases) {
    assert.equal(timeoutReason(startedMs, { ...connected, ...change }), expected, name);
  }
});
