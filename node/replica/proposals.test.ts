import assert from "node:assert/strict";
import { test } from "node:test";
import { type Outcome, refused } from "../apply/outcome.ts";
import { nodeId } from "../lib/ids.ts";
import { Proposals } from "./proposals.ts";
import { RequestIds } from "./request-ids.ts";

const applied: Outcome = { ok: true, revision: 2, applied: { case: "leaseRevoke" } };

test("a proposal is answered once, by its own entry", () => {
  const proposals = new Proposals(10);
  const answers: string[] = [];
  proposals.add(1n, 100, (outcome) => answers.push(`1 ${outcome.ok}`));
  proposals.add(2n, 100, (outcome) => answers.push(`2 ${outcome.ok}`));
  proposals.complete(2n, applied);
  proposals.complete(2n, applied);
  proposals.complete(3n, applied);
  assert.deepEqual(answers, ["2 true"]);
  assert.equal(proposals.count, 1);
});

test("only proposals whose time is over expire", () => {
  const proposals = new Proposals(10);
  const answers: string[] = [];
  for (const [id, deadlineMs] of [
    [1n, 100],
    [2n, 200],
  ] as const) {
    proposals.add(id, deadlineMs, (outcome) => answers.push(`${id} ${outcome.ok ? "ok" : outcome.refusal}`));
  }
  proposals.expire(150, (id, deadlineMs) => refused(id === 1n && deadlineMs === 100 ? "timeout" : "stopped"));
  assert.deepEqual(answers, ["1 timeout"]);
  proposals.failAll(refused("stopped"));
  assert.deepEqual(answers, ["1 timeout", "2 stopped"]);
});

test("the bound is reported before anything is added", () => {
  const proposals = new Proposals(1);
  assert.equal(proposals.isFull, false);
  proposals.add(1n, 0, () => {});
  assert.equal(proposals.isFull, true);
  assert.throws(() => proposals.add(2n, 0, () => {}), /only while there is room/);
});

test("request ids of two members, and of one member after a restart, never meet", () => {
  const member = nodeId(0x1234_5678_9abc_def0n);
  const first = new RequestIds(member, 1_700_000_000_000);
  const ids = new Set<bigint>();
  for (let i = 0; i < 1000; i++) ids.add(first.next());
  // A process that restarts a second later starts 256,000 ids further on.
  const second = new RequestIds(member, 1_700_000_001_000);
  const other = new RequestIds(nodeId(1n), 1_700_000_000_000);
  for (let i = 0; i < 1000; i++) {
    ids.add(second.next());
    ids.add(other.next());
  }
  assert.equal(ids.size, 3000);
  assert.equal(first.next() >> 48n, 0xdef0n);
});
