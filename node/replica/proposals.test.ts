import assert from "node:assert/strict";
import { test } from "node:test";
import { type Outcome, refused } from "../apply/outcome.ts";
import { nodeId } from "../lib/ids.ts";
import { SeededRandom } from "../lib/random.ts";
import { Proposals } from "./proposals.ts";
import { RequestIds } from "./request-ids.ts";

const applied: Outcome = { ok: true, revision: 2, applied: { case: "leaseRevoke" } };

test("a proposal is answered once, by its own entry", () => {
  const proposals = new Proposals(10);
  const answers: string[] = [];
  proposals.add(1, 100, (outcome) => answers.push(`1 ${outcome.ok}`));
  proposals.add(2, 100, (outcome) => answers.push(`2 ${outcome.ok}`));
  proposals.complete(2, applied);
  proposals.complete(2, applied);
  proposals.complete(3, applied);
  assert.deepEqual(answers, ["2 true"]);
  assert.equal(proposals.count, 1);
});

test("only proposals whose time is over expire", () => {
  const proposals = new Proposals(10);
  const answers: string[] = [];
  for (const [id, deadlineMs] of [
    [1, 100],
    [2, 200],
  ] as const) {
    proposals.add(id, deadlineMs, (outcome) => answers.push(`${id} ${outcome.ok ? "ok" : outcome.refusal}`));
  }
  proposals.expire(150, (id, deadlineMs) => refused(id === 1 && deadlineMs === 100 ? "timeout" : "stopped"));
  assert.deepEqual(answers, ["1 timeout"]);
  proposals.failAll(refused("stopped"));
  assert.deepEqual(answers, ["1 timeout", "2 stopped"]);
});

test("the bound is reported before anything is added", () => {
  const proposals = new Proposals(1);
  assert.equal(proposals.isFull, false);
  proposals.add(1, 0, () => {});
  assert.equal(proposals.isFull, true);
  assert.throws(() => proposals.add(2, 0, () => {}), /only while there is room/);
});

test("whatever the order of adding, answering and expiring, every request is answered once", () => {
  const random = new SeededRandom(1);
  const proposals = new Proposals(20_000);
  const waiting = new Map<number, number>();
  const answered: number[] = [];
  let request = 0;
  for (let nowMs = 0; nowMs < 2_000; nowMs++) {
    for (let i = random.below(12); i > 0 && !proposals.isFull; i--) {
      request += 1 + random.below(3);
      const id = request;
      waiting.set(id, nowMs + 500);
      proposals.add(id, nowMs + 500, () => answered.push(id));
    }
    for (let i = random.below(12); i > 0 && waiting.size > 0; i--) {
      const ids = [...waiting.keys()];
      const id = ids[random.below(4) > 0 ? 0 : random.below(ids.length)] as number;
      assert.equal(proposals.has(id), true);
      proposals.complete(id, applied);
      assert.equal(answered.at(-1), id);
      waiting.delete(id);
      assert.equal(proposals.has(id), false);
      proposals.complete(id, applied);
    }
    const due = [...waiting].filter(([, deadlineMs]) => deadlineMs <= nowMs).map(([id]) => id);
    const before = answered.length;
    assert.equal(
      proposals.expire(nowMs, () => refused("timeout")),
      due.length,
    );
    assert.deepEqual(answered.slice(before), due);
    for (const id of due) waiting.delete(id);
    assert.equal(proposals.count, waiting.size);
  }
  proposals.failAll(refused("stopped"));
  assert.equal(proposals.count, 0);
  assert.equal(new Set(answered).size, answered.length);
});

test("a request added by an answer is not failed with the others", () => {
  const proposals = new Proposals(10);
  const answers: string[] = [];
  proposals.add(1, 100, () => proposals.add(2, 100, () => answers.push("second")));
  proposals.failAll(refused("stopped"));
  assert.equal(proposals.count, 1);
  assert.deepEqual(answers, []);
});

test("request ids of two members, and of one member after a restart, never meet", () => {
  const member = nodeId(0x1234_5678_9abc_def0n);
  const first = new RequestIds(member, 1_700_000_000_000);
  const ids = new Set<bigint>();
  for (let i = 0; i < 1000; i++) ids.add(first.wide(first.next()));
  // A process that restarts a second later starts 256,000 ids further on.
  const second = new RequestIds(member, 1_700_000_001_000);
  const other = new RequestIds(nodeId(1n), 1_700_000_000_000);
  for (let i = 0; i < 1000; i++) {
    ids.add(second.wide(second.next()));
    ids.add(other.wide(other.next()));
  }
  assert.equal(ids.size, 3000);
  assert.equal(first.wide(first.next()) >> 48n, 0xdef0n);
});

test("an id leads back to its request, on the member that made it", () => {
  const member = nodeId(0x1234_5678_9abc_def0n);
  // The second one runs over the end of its 48 bits.
  for (const startMs of [1_700_000_000_000, 2 ** 40 - 1]) {
    const ids = new RequestIds(member, startMs);
    for (let i = 1; i <= 300; i++) {
      const request = ids.next();
      assert.equal(request, i);
      assert.equal(ids.request(ids.low(request), ids.high(request)), request);
      assert.equal(BigInt.asUintN(32, ids.wide(request)), BigInt(ids.low(request)));
      assert.equal(
        new RequestIds(nodeId(1n), startMs).request(ids.low(request), ids.high(request)),
        undefined,
      );
    }
  }
});
