// How requests of one turn of the event loop reach the log.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "../apply/outcome.ts";
import { emptyBytes, utf8 } from "../lib/bytes.ts";
import { nodeId, noLease, noNode } from "../lib/ids.ts";
import { confChangeOf } from "../membership/change.ts";
import { MemoryEngine } from "../storage/memory/engine.ts";
import { raftCodecs } from "../wire/raft-codec.ts";
import type { LogAppend, LogStore } from "./log-store.ts";
import { Replica } from "./replica.ts";
import { quietOptions } from "./testing/options.ts";
import { TurnClock } from "./testing/turn-clock.ts";

const self = nodeId(1n);

/** Notes what it is given, and syncs when it is told to. */
class HeldLog implements LogStore {
  readonly appended: number[] = [];
  #waiting: (() => void)[] = [];

  append({ entries }: LogAppend, done?: () => void): void {
    if (entries.length > 0) this.appended.push(entries.length);
    if (done !== undefined) this.#waiting.push(done);
  }

  sync(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const done of waiting) done();
  }

  saveSnapshot(): void {}

  installSnapshot(): void {}

  close(): void {}
}

function leaderOfItself(clock: TurnClock, log: HeldLog): Replica {
  const member = { id: self, name: "", peerUrls: ["http://m1:2380"], clientUrls: [], isLearner: false };
  const data = raftCodecs.ConfChange.encode(confChangeOf({ kind: "add", member }, 1n));
  const confState = { voters: [], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
  const replica = new Replica({
    ...quietOptions(),
    nodeId: self,
    contents: {
      nodeId: self,
      clusterId: 7n,
      hardState: { term: 1, vote: noNode, commit: 1 },
      snapshot: { index: 0, term: 0, confState, data: emptyBytes },
      entries: [{ type: "EntryConfChange", term: 1, index: 1, data }],
    },
    log,
    engine: new MemoryEngine(),
    network: {
      send() {},
      addPeer() {},
      updatePeer() {},
      removePeer() {},
      activeSinceMs: () => undefined,
    },
    onRemoved: () => assert.fail("nobody removes this member"),
    clock,
  });
  replica.start(() => {});
  for (let turn = 0; turn < 10; turn++) {
    log.sync();
    clock.endTurn();
  }
  assert.ok(replica.isLeader, "a member alone leads");
  return replica;
}

test("the log gets to work on the first of many requests of a turn while more of them come", () => {
  const clock = new TurnClock();
  const log = new HeldLog();
  const replica = leaderOfItself(clock, log);
  log.appended.length = 0;
  const outcomes: Outcome[] = [];
  const put = (number: number) => {
    const request = {
      key: utf8(`k${number}`),
      value: utf8("v"),
      lease: noLease,
      prevKv: false,
      ignoreValue: false,
      ignoreLease: false,
    };
    replica.propose({ put: request }, (outcome) => outcomes.push(outcome));
  };
  for (let number = 0; number < 249; number++) put(number);
  assert.deepEqual(log.appended, []);
  for (let number = 249; number < 600; number++) put(number);
  assert.deepEqual(log.appended, [250, 250]);
  clock.endTurn();
  assert.deepEqual(log.appended, [250, 250, 100], "the rest goes together when the turn ends");
  assert.equal(outcomes.length, 0, "nothing is answered before it is synced");
  for (let turn = 0; turn < 4; turn++) {
    log.sync();
    clock.endTurn();
  }
  assert.equal(outcomes.filter(({ ok }) => ok).length, 600);
  assert.equal(replica.store.currentRevision, 601);
});
