import assert from "node:assert/strict";
import { test } from "node:test";
import { PowerCut, SimDisk } from "../../../test/sim/disk.ts";
import { must } from "../../lib/assert.ts";
import { equalBytes } from "../../lib/bytes.ts";
import { SeededRandom } from "../../lib/random.ts";
import type { Entry } from "../../wire/raft.ts";
import { createLog, type LogOptions, logExists, openLog, saveSnapshot, walOptions } from "./open-log.ts";
import { entry, hardState, logOptions, metadata, snapshotAt } from "./testing/log.ts";
import { Wal } from "./wal.ts";

/** What a client could have been told, and what may be there at most. */
interface Model {
  /** By index: the synced entry, and those appended at its place since. */
  readonly appended: Map<number, Entry[]>;
  syncedIndex: number;
  syncedCommit: number;
  /** Of the newest snapshot whose saving finished. */
  snapshotIndex: number;
}

/** Runs until the power goes. Returns whether it did. */
function runsToPowerCut(run: () => void): boolean {
  try {
    run();
    return false;
  } catch (error) {
    if (error instanceof PowerCut) return true;
    throw error;
  }
}

function expectKept(options: LogOptions, model: Model, what: string): ReturnType<typeof openLog> {
  const log = openLog(options);
  const { snapshot, entries, hardState: state } = log.contents;
  assert.ok(snapshot.index >= model.snapshotIndex, `${what}: snapshot ${snapshot.index}`);
  assert.ok(snapshot.index + entries.length >= model.syncedIndex, `${what}: a synced entry is lost`);
  assert.ok(state.commit >= model.syncedCommit, `${what}: commit ${state.commit}`);
  for (const [i, each] of entries.entries()) {
    assert.equal(each.index, snapshot.index + 1 + i, what);
    const versions = model.appended.get(each.index) ?? [];
    assert.ok(
      versions.some((version) => version.term === each.term && equalBytes(version.data, each.data)),
      `${what}: entry ${each.index}`,
    );
  }
  return log;
}

function noteAppended(model: Model, each: Entry): void {
  const versions = model.appended.get(each.index);
  if (versions === undefined) model.appended.set(each.index, [each]);
  else versions.push(each);
}

/** Everything appended is durable now: only the last entry at each index may ever be seen again. */
function noteSynced(model: Model, wal: Wal): void {
  model.syncedIndex = wal.lastIndex;
  model.syncedCommit = wal.hardState.commit;
  for (const [index, versions] of model.appended) {
    if (index > wal.lastIndex) model.appended.delete(index);
    else versions.splice(0, versions.length - 1);
  }
}

test("a creation interrupted at any call leaves no log or a whole one", () => {
  const random = new SeededRandom(3);
  for (let call = 0; ; call++) {
    const disk = new SimDisk();
    const options = logOptions(disk);
    disk.cutPowerAfter(call);
    const wasCut = runsToPowerCut(() => createLog(options, metadata));
    disk.crash(random);
    const log = logExists(options) ? openLog(options) : createLog(options, metadata);
    assert.equal(log.contents.nodeId, metadata.nodeId);
    assert.equal(log.contents.entries.length, 0);
    if (!wasCut) return assert.ok(call > 10);
  }
});

/** A segment cut, a snapshot and a release, with some entries around each. */
function scenario(options: LogOptions, model: Model): void {
  const wal = new Wal(walOptions(options), createLog(options, metadata).position);
  for (let index = 1; index <= 16; index++) {
    const each = entry(index, 700);
    wal.appendEntry(each);
    noteAppended(model, each);
    wal.appendHardState(hardState(index - 1));
    wal.write();
    wal.sync();
    noteSynced(model, wal);
    while (wal.prepare());
    if (index % 6 !== 0) continue;
    saveSnapshot(wal, options, snapshotAt(index - 1), index - 2);
    model.snapshotIndex = index - 1;
  }
}

test("W3, W4, W5: power cut at every call of appends, cuts, snapshots and releases keeps everything synced", () => {
  const random = new SeededRandom(17);
  for (let call = 0; ; call++) {
    let wasCut = false;
    for (let round = 0; round < 4; round++) {
      const disk = new SimDisk();
      const options = logOptions(disk, 3000);
      const model: Model = { appended: new Map(), syncedIndex: 0, syncedCommit: 0, snapshotIndex: 0 };
      disk.cutPowerAfter(call);
      wasCut = runsToPowerCut(() => scenario(options, model));
      disk.crash(random);
      if (!logExists(options)) {
        assert.equal(model.syncedIndex, 0, `call ${call}: the log is gone`);
        continue;
      }
      const log = expectKept(options, model, `call ${call} round ${round}`);
      const wal = new Wal(walOptions(options), log.position);
      const next = entry(log.position.lastIndex + 1, 100, 2);
      noteAppended(model, next);
      wal.appendEntry(next);
      wal.close();
      noteSynced(model, wal);
      expectKept(options, model, `after call ${call}`);
    }
    if (!wasCut) return assert.ok(call > 100);
  }
});

test("random appends, overwrites, syncs, snapshots, kills and power cuts lose nothing that was synced", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRandom(seed);
    const disk = new SimDisk();
    const options = logOptions(disk, 2048 + random.below(8000));
    const model: Model = { appended: new Map(), syncedIndex: 0, syncedCommit: 0, snapshotIndex: 0 };
    let { position } = createLog(options, metadata);
    let term = 1;
    for (let life = 0; life < 8; life++) {
      const wal = new Wal(walOptions(options), position);
      disk.cutPowerAfter(random.below(60));
      runsToPowerCut(() => live(wal, { random, options, model, term }));
      if (random.below(4) === 0) disk.kill();
      else disk.crash(random);
      const log = expectKept(options, model, `seed ${seed} life ${life}`);
      position = log.position;
      // What was read is durable from now on, also where no sync had been asked for.
      const { entries, snapshot, hardState: state } = log.contents;
      for (const each of entries) model.appended.set(each.index, [each]);
      model.syncedIndex = snapshot.index + entries.length;
      model.syncedCommit = state.commit;
      model.snapshotIndex = snapshot.index;
      term = Math.max(term, state.term) + 1;
    }
  }
});

interface Life {
  readonly random: SeededRandom;
  readonly options: LogOptions;
  readonly model: Model;
  readonly term: number;
}

/** One process: random steps until the power goes. */
function live(wal: Wal, { random, options, model, term }: Life): void {
  let commit = Math.max(wal.hardState.commit, model.syncedCommit);
  for (let step = 0; step < 200; step++) {
    const kind = random.below(10);
    if (kind < 5) {
      const lowest = Math.max(commit, model.snapshotIndex) + 1;
      const overwrites = random.below(10) === 0;
      let index = overwrites ? lowest + random.below(wal.lastIndex - lowest + 2) : wal.lastIndex + 1;
      // From here on the durable entry may be this one or the one it replaces.
      if (overwrites) model.syncedIndex = Math.min(model.syncedIndex, index - 1);
      for (let count = 1 + random.below(4); count > 0; count--) {
        const each = entry(index, random.below(1500), term);
        noteAppended(model, each);
        wal.appendEntry(each);
        index++;
      }
      wal.appendHardState(hardState(commit, term));
    } else if (kind < 7) {
      wal.write();
    } else if (kind < 9) {
      wal.write();
      wal.sync();
      noteSynced(model, wal);
      commit = Math.max(commit, wal.lastIndex - random.below(3));
      while (wal.prepare());
    } else if (model.syncedCommit > model.snapshotIndex) {
      wal.appendHardState(hardState(commit, term));
      const index = model.syncedCommit;
      const snapshot = snapshotAt(index, must(model.appended.get(index)?.at(-1), "it was appended").term);
      saveSnapshot(wal, options, snapshot, Math.max(0, index - random.below(10)));
      model.snapshotIndex = index;
      noteSynced(model, wal);
    }
  }
}
