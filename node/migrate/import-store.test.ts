import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { concatBytes, emptyBytes, textOf, utf8 } from "../lib/bytes.ts";
import { FatalError } from "../lib/fatal.ts";
import { hexId, type NodeId, nodeId } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { decodeMember, encodeMember } from "../membership/member.ts";
import { readDurableState, writeDurableState } from "../replica/durable-state.ts";
import type { LogContents } from "../replica/log-store.ts";
import { BoltWriter } from "../storage/bbolt/writer.ts";
import { LmdbEngine } from "../storage/lmdb/engine.ts";
import { StoreFolder } from "../storage/lmdb/store-folder.ts";
import { noSnapshot } from "../storage/wal/open-log.ts";
import type { ConfState, Entry } from "../wire/raft.ts";
import { planTakeover, takeOver } from "./import-store.ts";

const [first, second, zombie] = [1n, 2n, 3n].map(nodeId) as [NodeId, NodeId, NodeId];
const confState: ConfState = {
  voters: [first, second],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};

type Records = Record<string, Uint8Array>;

function metaAt(index: number, term: number): Records {
  const meta: Records = {};
  const put = (_bucket: string, key: Uint8Array, value: Uint8Array): void => {
    meta[textOf(key)] = value;
  };
  writeDurableState({ put }, { index, term, confState });
  return meta;
}

function memberRecord(id: NodeId, isLearner = false): Records {
  const member = { id, name: `m${id}`, peerUrls: [`http://127.0.0.1:${id}`], clientUrls: [], isLearner };
  return { [hexId(id)]: utf8(encodeMember(member)) };
}

/** A directory of an etcd that has a store with these records. */
function place(t: TestContext, buckets: Readonly<Record<string, Records>>) {
  const memberPath = mkdtempSync(join(tmpdir(), "etcdlike-takeover-"));
  t.after(() => rmSync(memberPath, { recursive: true }));
  mkdirSync(`${memberPath}/snap`);
  const pages: Uint8Array[] = [];
  const writer = new BoltWriter((page) => pages.push(page));
  for (const name of Object.keys(buckets).sort()) {
    writer.beginBucket(name);
    const records = buckets[name] as Records;
    for (const key of Object.keys(records).sort()) writer.add(utf8(key), records[key] as Uint8Array);
  }
  const head = writer.finish();
  writeFileSync(`${memberPath}/snap/db`, concatBytes([head, ...pages]));
  return { memberPath, walDirectory: `${memberPath}/wal` };
}

function logOf(count: number, term: number): LogContents {
  const entries = Array.from(
    { length: count },
    (_, i): Entry => ({ type: "EntryNormal", term, index: i + 1, data: emptyBytes }),
  );
  const hardState = { term, vote: first, commit: count };
  return { clusterId: 9n, nodeId: first, hardState, snapshot: noSnapshot, entries };
}

async function takenOver(at: ReturnType<typeof place>, contents: LogContents): Promise<void> {
  const plan = await planTakeover(at, silentLogger);
  assert.ok(plan !== undefined);
  await takeOver(at, plan, contents, silentLogger);
}

async function withEngine(memberPath: string, look: (engine: LmdbEngine) => void): Promise<void> {
  const engine = new LmdbEngine({ memberPath, onFatal: (error) => assert.fail(error) });
  look(engine);
  await new Promise<void>((done) => engine.close(done));
}

test("members follow the configuration where etcd 3.5 forgot a promotion or a removal (R20)", async (t) => {
  const members = { ...memberRecord(first), ...memberRecord(second, true), ...memberRecord(zombie) };
  const at = place(t, { meta: metaAt(7, 3), members, key: {} });
  await takenOver(at, logOf(9, 3));
  await withEngine(at.memberPath, (engine) => {
    const stored = engine.get("members", utf8(hexId(second)));
    assert.equal(decodeMember(textOf(stored ?? emptyBytes)).isLearner, false);
    assert.equal(engine.get("members", utf8(hexId(zombie))), undefined);
    assert.notEqual(engine.get("members_removed", utf8(hexId(zombie))), undefined);
    assert.deepEqual(readDurableState(engine), { index: 7, term: 3, confState });
  });
});

test("a store without term and configuration gets them from the log and the members", async (t) => {
  const { consistent_index: index } = metaAt(7, 3);
  const members = { ...memberRecord(first), ...memberRecord(second) };
  const at = place(t, { meta: { consistent_index: index ?? emptyBytes }, members, key: {} });
  await takenOver(at, logOf(9, 4));
  await withEngine(at.memberPath, (engine) => {
    assert.deepEqual(readDurableState(engine), { index: 7, term: 4, confState });
  });
});

test("a store that the log does not fit to is refused and leaves nothing (W11)", async (t) => {
  for (const [meta, contents, text] of [
    [metaAt(7, 3), logOf(6, 3), /has applied index 7 of term 3, the log has no such entry/],
    [metaAt(7, 3), logOf(9, 4), /has applied index 7 of term 3, the log has term 4 there/],
  ] as const) {
    const at = place(t, { meta, members: memberRecord(first), key: {} });
    const db = readFileSync(`${at.memberPath}/snap/db`);
    await assert.rejects(takenOver(at, contents), (error) => {
      assert.ok(error instanceof FatalError && error.reason === "STORE_DAMAGED");
      assert.match(error.message, text);
      return true;
    });
    assert.equal(new StoreFolder(at.memberPath).livePath, undefined);
    assert.ok(db.equals(readFileSync(`${at.memberPath}/snap/db`)));
  }
});

test("the store that has applied more counts, whoever ran last", async (t) => {
  const at = place(t, {
    meta: metaAt(7, 3),
    members: memberRecord(first),
    key: {},
    cluster: { a: utf8("old") },
  });
  await takenOver(at, logOf(9, 3));
  const again = await planTakeover(at, silentLogger);
  assert.deepEqual(again, { ownIndex: 7, store: undefined });

  const later = place(t, {
    meta: metaAt(9, 3),
    members: memberRecord(first),
    key: {},
    cluster: { a: utf8("new") },
  });
  writeFileSync(`${at.memberPath}/snap/db`, readFileSync(`${later.memberPath}/snap/db`));
  await takenOver(at, logOf(9, 3));
  await withEngine(at.memberPath, (engine) => {
    assert.deepEqual(engine.get("cluster", utf8("a")), utf8("new"));
    assert.equal(readDurableState(engine)?.index, 9);
  });

  // One that cannot be read says nothing against ours, which the log is held against in any case.
  writeFileSync(`${at.memberPath}/snap/db`, "no database");
  assert.deepEqual(await planTakeover(at, silentLogger), { ownIndex: 9, store: undefined });
});

test("newer versions and auth are refused by name, and damage where there is nothing else", async (t) => {
  const refused = async (buckets: Readonly<Record<string, Records>>, reason: string, text: RegExp) => {
    const at = place(t, { members: memberRecord(first), key: {}, ...buckets });
    await assert.rejects(planTakeover(at, silentLogger), (error) => {
      assert.ok(error instanceof FatalError);
      assert.equal(error.reason, reason);
      assert.match(error.message, text);
      return true;
    });
  };
  const meta = metaAt(7, 3);
  const storageVersion = utf8("3.7.0");
  await refused(
    { meta: { ...meta, storageVersion } },
    "UNKNOWN_ENTRY",
    /storage version 3\.7\.0, .*downgrade enable/,
  );
  const clusterVersion = utf8("4.0.0");
  await refused({ meta, cluster: { clusterVersion } }, "UNKNOWN_ENTRY", /has cluster version 4\.0\.0/);
  await refused({ meta, auth: { authEnabled: Uint8Array.of(1) } }, "UNKNOWN_ENTRY", /has auth enabled/);
  const broken = { ...meta, consistent_index: Uint8Array.of(1) };
  await refused({ meta: broken }, "STORE_DAMAGED", /stored counter of 1 bytes, expected 8/);
});
