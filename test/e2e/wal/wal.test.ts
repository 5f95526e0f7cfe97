// Our log and etcd's are the same files: etcd's tool reads ours, and we read and continue etcd's.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { utf8 } from "../../../node/lib/bytes.ts";
import { hexId, nodeId } from "../../../node/lib/ids.ts";
import { nodeDisk } from "../../../node/storage/disk.ts";
import {
  createLog,
  type LogOptions,
  openLog,
  saveSnapshot,
  walOptions,
} from "../../../node/storage/wal/open-log.ts";
import { Wal } from "../../../node/storage/wal/wal.ts";
import { codecs } from "../../../node/wire/codecs.ts";
import type { Entry } from "../../../node/wire/raft.ts";
import { start } from "../../tools/member.ts";
import { toolPath } from "../../tools/toolchain.ts";

const run = promisify(execFile);
const self = nodeId(0xcc4ac920d46ff089n);
const clusterId = 0xa511a62ef3d4eb6an;

function putEntry(index: number, term: number, valueBytes = 300): Entry {
  const put = codecs.PutRequest.create({ key: utf8(`key${index}`), value: utf8("v".repeat(valueBytes)) });
  const request = { header: codecs.RequestHeader.create({ ID: BigInt(index) }), put };
  const data = codecs.InternalRaftRequest.encode(codecs.InternalRaftRequest.create(request));
  return { type: "EntryNormal", term, index, data };
}

async function dump(
  dataDir: string,
): Promise<{ readonly text: string; readonly indexes: readonly number[] }> {
  const { stdout } = await run(await toolPath("etcd-dump-logs"), [dataDir], { maxBuffer: 1 << 26 });
  const indexes = [...stdout.matchAll(/^\s+\d+\s+(\d+)\s+(?:norm|conf)/gm)].map(([, index]) => Number(index));
  return { text: stdout, indexes };
}

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, i) => start + i);
}

test("etcd-dump-logs reads our log, also after segments were released", async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), "etcdlike-wal-"));
  t.after(() => rm(dataDir, { recursive: true }));
  const options: LogOptions = { disk: nodeDisk, memberDir: join(dataDir, "member"), segmentBytes: 16_384 };
  const wal = new Wal(walOptions(options), createLog(options, { nodeId: self, clusterId }).position);
  const append = (index: number, term: number) => {
    wal.appendEntry(putEntry(index, term));
    wal.appendHardState({ term, vote: self, commit: index - 1 });
    wal.write();
    wal.sync();
    wal.prepare();
  };
  for (let index = 1; index <= 200; index++) append(index, 2);
  append(150, 3);
  for (let index = 151; index <= 180; index++) append(index, 3);
  const before = await dump(dataDir);
  assert.deepEqual(before.indexes, range(1, 181));
  assert.match(before.text, /nodeID=cc4ac920d46ff089 clusterID=a511a62ef3d4eb6a term=3 commitIndex=179/);
  assert.match(before.text, /put:<key:"key180" value:"v/);

  const segments = wal.segments.length;
  const confState = { voters: [self], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
  saveSnapshot(wal, options, { index: 120, term: 2, confState, data: utf8('{"Root":{}}') }, 120);
  for (let index = 181; index <= 200; index++) append(index, 3);
  wal.close();
  assert.ok(wal.segments.length < segments);
  const after = await dump(dataDir);
  assert.deepEqual(after.indexes, range(121, 201));
  assert.match(after.text, /Snapshot:\s+term=2 index=120 nodes=\[cc4ac920d46ff089\]/);
});

for (const ending of ["stop", "kill"] as const) {
  test(`we read the log of a real etcd after ${ending}, and etcd goes on with what we append to it`, async (t) => {
    const dataDir = await mkdtemp(join(tmpdir(), "etcd-wal-"));
    t.after(() => rm(dataDir, { recursive: true, force: true }));
    const member = await start({ kind: "etcd", dataDir, flags: ["--snapshot-count", "20"] });
    const etcdctl = await toolPath("etcdctl");
    for (let i = 0; i < 50; i++) {
      await run(etcdctl, ["--endpoints", member.endpoint, "put", `key${i}`, `value${i}`]);
    }
    await (ending === "stop" ? member.stop() : member.kill());
    const before = await dump(dataDir);
    const options: LogOptions = { disk: nodeDisk, memberDir: join(dataDir, "member") };
    const { contents, position, repaired } = openLog(options);
    assert.equal(repaired, undefined);
    assert.deepEqual(
      contents.entries.map(({ index }) => index),
      before.indexes,
    );
    assert.ok(contents.snapshot.index > 0 && contents.snapshot.data.length > 0);
    assert.deepEqual(contents.snapshot.confState.voters, [contents.nodeId]);
    const head = `nodeID=${hexId(contents.nodeId)} clusterID=${hexId(contents.clusterId)} term=${contents.hardState.term}`;
    assert.ok(before.text.includes(head), before.text);
    const puts = contents.entries.map(({ data }) => codecs.InternalRaftRequest.decode(data).put?.value);
    assert.ok(puts.some((value) => value !== undefined && Buffer.from(value).toString() === "value49"));

    const wal = new Wal(walOptions(options), position);
    const next = position.lastIndex + 1;
    for (let index = next; index < next + 5; index++) {
      wal.appendEntry(putEntry(index, contents.hardState.term));
      wal.write();
      wal.sync();
    }
    wal.close();
    const after = await dump(dataDir);
    assert.deepEqual(after.indexes, [...before.indexes, ...range(next, next + 5)]);

    const again = await start({ kind: "etcd", dataDir, ports: member.ports });
    const get = ["--endpoints", again.endpoint, "get", "--print-value-only", `key${next + 4}`];
    const { stdout } = await run(etcdctl, get);
    await again.stop();
    assert.equal(stdout.trim(), "v".repeat(300));
  });
}
