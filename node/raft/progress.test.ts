import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeId } from "../lib/ids.ts";
import { SeededRandom } from "../lib/random.ts";
import { Progress } from "./progress.ts";

function newProgress(): Progress {
  return new Progress(nodeId(2), {
    isLearner: false,
    next: 1,
    recentActive: true,
    inflightCountMax: 2,
    inflightBytesMax: 100,
  });
}

test("match stays below next through any sequence of events", () => {
  const random = new SeededRandom(4);
  for (let round = 0; round < 500; round++) {
    const progress = newProgress();
    for (let i = 0; i < 50; i++) {
      switch (random.below(8)) {
        case 0:
          progress.becomeProbe();
          break;
        case 1:
          progress.becomeReplicate();
          break;
        case 2:
          // A snapshot is sent only when the entry after match is gone, so it reaches further than match.
          progress.becomeSnapshot(progress.match + 1 + random.below(5));
          break;
        case 3:
          if (progress.isPaused) break;
          progress.sentEntries(progress.windowIsFull ? 0 : random.below(4), random.below(60));
          break;
        case 4:
          progress.acknowledge(random.below(40));
          break;
        case 5:
          progress.refused(random.below(40), random.below(40));
          break;
        case 6:
          progress.freeInflights(random.below(40));
          break;
        case 7:
          progress.forgetSnapshot();
          break;
      }
      assert.ok(progress.match < progress.next, `match ${progress.match}, next ${progress.next}`);
    }
  }
});

test("a probe pauses after one message, replication after a full window", () => {
  const progress = newProgress();
  progress.sentEntries(1, 10);
  assert.equal(progress.isPaused, true);
  assert.equal(progress.next, 1);

  progress.acknowledge(1);
  progress.becomeReplicate();
  progress.sentEntries(1, 10);
  assert.equal(progress.isPaused, false);
  progress.sentEntries(1, 10);
  assert.equal(progress.isPaused, true);
  assert.equal(progress.next, 4);
});

test("a refusal that is older than what was acknowledged changes nothing", () => {
  const progress = newProgress();
  progress.acknowledge(5);
  progress.becomeReplicate();
  assert.equal(progress.refused(5, 3), false);
  assert.equal(progress.refused(6, 3), true);
  assert.equal(progress.next, 6);
});

test("after a snapshot a probe starts behind it, and after a failed one behind the last match", () => {
  const progress = newProgress();
  progress.acknowledge(3);
  progress.becomeSnapshot(10);
  assert.equal(progress.isPaused, true);
  progress.becomeProbe();
  assert.equal(progress.next, 11);

  progress.becomeSnapshot(20);
  progress.forgetSnapshot();
  progress.becomeProbe();
  assert.equal(progress.next, 4);
});

test("a commit index is news only if it moves what the member can commit", () => {
  const progress = newProgress();
  progress.acknowledge(5);
  progress.becomeReplicate();
  progress.sentCommit(3);
  assert.equal(progress.canBumpCommit(3), false);
  assert.equal(progress.canBumpCommit(4), true);
  progress.sentCommit(5);
  assert.equal(progress.canBumpCommit(9), false);
});
