import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { emptyBytes, utf8 } from "../lib/bytes.ts";
import { type NodeId, nodeId } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { confChangeOf, type MembershipChange } from "../membership/change.ts";
import type { DurableState } from "../replica/durable-state.ts";
import { nodeDisk } from "../storage/disk.ts";
import { createLog, type LogOptions, openLog, saveSnapshot, walOptions } from "../storage/wal/open-log.ts";
import { Wal } from "../storage/wal/wal.ts";
import type { ConfState, Entry } from "../wire/raft.ts";
import { raftCodecs } from "../wire/raft-codec.ts";
import { forceNewCluster } from "./force-new-cluster.ts";

const [self, second, third, learner] = [1n, 2n, 3n, 4n].map(nodeId) as [NodeId, NodeId, NodeId, NodeId];
const term = 5;

interface Given {
  readonly changes: readonly MembershipChange[];
  readonly commit: number;
  /** A snapshot of this index, with this configuration. */
  readonly snapshot?: { readonly index: number; readonly confState: ConfState };
}

function member(id: NodeId, isLearner = false): MembershipChange {
  const peerUrls = [`http://127.0.0.1:${id}`];
  return { kind: "add", member: { id, name: "", peerUrls, clientUrls: [], isLearner } };
}

function confStateOf(voters: readonly NodeId[], learners: readonly NodeId[] = []): ConfState {
  return { voters, learners, votersOutgoing: [], learnersNext: [], autoLeave: false };
}

/** A log that holds one entry a change, and a plain one behind them. */
function logWith(t: TestContext, { changes, commit, snapshot }: Given): LogOptions {
  const memberDir = mkdtempSync(join(tmpdir(), "etcdlike-force-"));
  t.after(() => rmSync(memberDir, { recursive: true }));
  const options: LogOptions = { disk: nodeDisk, memberDir };
  const wal = new Wal(walOptions(options), createLog(options, { nodeId: self, clusterId: 9n }).position);
  changes.forEach((change, i) => {
    const data = raftCodecs.ConfChange.encode(confChangeOf(change, 0n));
    wal.appendEntry({ type: "EntryConfChange", term, index: i + 1, data });
  });
  wal.appendEntry({ type: "EntryNormal", term, index: changes.length + 1, data: utf8("tail") });
  wal.appendHardState({ term, vote: self, commit });
  wal.write();
  wal.sync();
  if (snapshot !== undefined) saveSnapshot(wal, options, { ...snapshot, term, data: utf8('{"Root":{}}') }, 0);
  wal.close();
  return options;
}

/** What the log holds behind its commit before, as text, and its commit now. */
function forced(options: LogOptions, commit: number, stored?: DurableState): readonly string[] {
  const opened = forceNewCluster(options, openLog(options), stored, silentLogger);
  const { hardState, entries, snapshot } = opened.contents;
  assert.equal(hardState.commit, snapshot.index + entries.length, "everything in the log is committed");
  assert.equal(hardState.term, term);
  return entries.slice(commit - snapshot.index).map(textOf);
}

function textOf({ type, data }: Entry): string {
  if (type === "EntryNormal") return data.length === 0 ? "empty" : Buffer.from(data).toString();
  const { type: kind, nodeId: id } = raftCodecs.ConfChange.decode(data);
  return `${kind} ${id}`;
}

test("the others are removed in the order of their ids, learners too, and a change at the tail is dropped (R18)", (t) => {
  const changes = [member(self), member(third), member(second), member(learner, true), member(nodeId(7n))];
  const options = logWith(t, { changes, commit: 4 });
  assert.deepEqual(forced(options, 4), [
    "ConfChangeRemoveNode 2",
    "ConfChangeRemoveNode 3",
    "ConfChangeRemoveNode 4",
  ]);
});

test("a snapshot right before the end of what is committed says who is removed (R18)", (t) => {
  const changes = [member(self), member(second), member(learner, true), member(nodeId(7n))];
  const confState = confStateOf([self, second], [learner]);
  const options = logWith(t, { changes, commit: 3, snapshot: { index: 3, confState } });
  assert.deepEqual(forced(options, 3), ["ConfChangeRemoveNode 2", "ConfChangeRemoveNode 4"]);
});

test("what was removed or promoted before counts as it is now", (t) => {
  const changes: MembershipChange[] = [
    ...[member(self), member(second), member(learner, true)],
    ...([
      { kind: "remove", id: second },
      { kind: "promote", id: learner },
    ] as const),
  ];
  const options = logWith(t, { changes, commit: 5 });
  assert.deepEqual(forced(options, 5), ["ConfChangeRemoveNode 4"]);
});

test("a store ahead of the commit that was synced counts", (t) => {
  const changes = [member(self), member(second), member(third)];
  const options = logWith(t, { changes, commit: 1 });
  const stored = { index: 2, term, confState: confStateOf([self, second]) };
  assert.deepEqual(forced(options, 2, stored), ["ConfChangeRemoveNode 2"]);
});

test("a learner is promoted before the voters go", (t) => {
  const options = logWith(t, { changes: [member(second), member(self, true)], commit: 2 });
  assert.deepEqual(forced(options, 2), ["ConfChangeAddNode 1", "ConfChangeRemoveNode 2"]);
});

test("done again it changes nothing, and a cluster of one only loses what is not committed", (t) => {
  const options = logWith(t, { changes: [member(self)], commit: 1 });
  assert.deepEqual(forced(options, 1), ["empty"]);
  assert.deepEqual(forced(options, 1), ["empty"]);
  const { entries } = openLog(options).contents;
  assert.deepEqual(
    entries.map(({ data }) => data.length > 0),
    [true, false],
  );
  assert.equal(entries[1]?.data.length, emptyBytes.length);
});

test("a member that was removed is refused", (t) => {
  const changes: MembershipChange[] = [member(self), member(second), { kind: "remove", id: self }];
  const options = logWith(t, { changes, commit: 3 });
  assert.throws(() => forced(options, 3), /member 1 is not in the configuration/);
});
