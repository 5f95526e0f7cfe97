import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { concatBytes, utf8 } from "../lib/bytes.ts";
import { silentLogger } from "../lib/log.ts";
import { SeededRandom } from "../lib/random.ts";
import { recordKey } from "../mvcc/revision.ts";
import { BoltWriter } from "../storage/bbolt/writer.ts";
import { nodeDisk } from "../storage/disk.ts";
import { openLog } from "../storage/wal/open-log.ts";
import { codecs } from "../wire/codecs.ts";
import { type CommandResult, runSnapshotCommand } from "./snapshot-command.ts";
import { humanBytes } from "./snapshot-status.ts";

type Content = Readonly<Record<string, readonly (readonly [Uint8Array, Uint8Array])[]>>;

function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "etcdlike-snapshot-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

function snapshotFile(content: Content): Uint8Array {
  const pages: Uint8Array[] = [];
  const writer = new BoltWriter((page) => pages.push(page));
  for (const [bucket, records] of Object.entries(content)) {
    writer.beginBucket(bucket);
    for (const [key, value] of records) writer.add(key, value);
  }
  const file = concatBytes([writer.finish(), ...pages]);
  return concatBytes([file, createHash("sha256").update(file).digest()]);
}

function kv(key: string, value: string, revision: number): readonly [Uint8Array, Uint8Array] {
  const fields = { key: utf8(key), value: utf8(value), createRevision: revision };
  const message = codecs.KeyValue.create({ ...fields, modRevision: revision, version: 1 });
  return [recordKey(revision, 0, false), codecs.KeyValue.encode(message)];
}

const small: Content = {
  key: [
    kv("a", "1", 2),
    kv("b", "2", 3),
    [recordKey(4, 0, true), codecs.KeyValue.encode(codecs.KeyValue.create({ key: utf8("a") }))],
  ],
  meta: [[utf8("storageVersion"), utf8("3.6.0")]],
};

function snapshot(...argv: readonly string[]): Promise<CommandResult> {
  return runSnapshotCommand(argv, silentLogger);
}

test("sizes print as etcd prints them", () => {
  const cases: [number, string][] = [
    [0, "0 B"],
    [9, "9 B"],
    [10, "10 B"],
    [999, "999 B"],
    [1000, "1.0 kB"],
    [20_480, "20 kB"],
    [21_500, "22 kB"],
    [1_392_640, "1.4 MB"],
    [9_950_000, "10 MB"],
    [2_147_483_648, "2.1 GB"],
  ];
  for (const [bytes, text] of cases) assert.equal(humanBytes(bytes), text);
});

test("the status counts keys that exist, and a file of 3.5 has no version", async (t) => {
  const folder = scratch(t);
  const path = join(folder, "s.db");
  writeFileSync(path, snapshotFile({ ...small, meta: [] }));
  const { exitCode, stdout } = await snapshot("status", path, "-w", "json");
  assert.equal(exitCode, 0);
  const { revision, totalKey, totalSize, version } = JSON.parse(stdout);
  assert.deepEqual(
    { revision, totalKey, totalSize, version },
    { revision: 4, totalKey: 1, totalSize: 20_480, version: "" },
  );
});

test("arguments that make no sense end with etcdutl's texts and exit codes", async (t) => {
  const folder = scratch(t);
  const file = join(folder, "s.db");
  writeFileSync(file, snapshotFile(small));
  const other = "--initial-cluster=other=http://localhost:2380";
  const cases: [readonly string[], number, RegExp][] = [
    [["status"], 128, /snapshot status requires exactly one argument/],
    [["restore", "a", "b"], 128, /snapshot restore requires exactly one argument/],
    [["restore", file, "--bump-revision", "1"], 128, /--mark-compacted required if --revision-bump > 0/],
    [["restore", file, "--mark-compacted"], 128, /--mark-compacted required if --revision-bump > 0/],
    [["restore", file, "--bump-revision", "x"], 1, /invalid argument "x" for "--bump-revision" flag/],
    [["restore", file, "--nothing"], 1, /unknown flag: --nothing/],
    [["restore", file, "--name"], 1, /flag needs an argument: --name/],
    [["restore", file, other], 1, /couldn't find local name "default" in the initial cluster/],
    [["status", file, "-w", "xml"], 1, /xml not supported as output format/],
    [["status", join(folder, "none")], 1, /stat .*none: no such file or directory/],
    [["status", folder], 1, /is a directory/],
    [["defrag"], 1, /unknown command "defrag"/],
  ];
  for (const [argv, code, text] of cases) {
    const { exitCode, stdout, stderr } = await snapshot(...argv);
    assert.equal(exitCode, code, argv.join(" "));
    assert.match(stderr, text);
    assert.equal(stdout, "");
  }
});

test("a restore writes the log of a new cluster, and refuses a directory that is not empty", async (t) => {
  const folder = scratch(t);
  const path = join(folder, "s.db");
  writeFileSync(path, snapshotFile(small));
  const dataDir = join(folder, "data");
  const walDir = join(folder, "wal");
  const cluster = "m1=http://a:2380,m2=http://b:2380,m3=http://c:2380";
  const options = ["--name", "m2", "--initial-cluster", cluster];
  const urls = ["--initial-advertise-peer-urls", "http://b:2380", "--wal-dir", walDir];
  const args = ["restore", path, "--data-dir", dataDir, ...options, ...urls];
  const done = await snapshot(...args);
  assert.equal(done.exitCode, 0, done.stderr);
  const { contents } = openLog({ disk: nodeDisk, memberDir: join(dataDir, "member"), walDir });
  assert.deepEqual(contents.hardState.commit, 3);
  assert.equal(contents.snapshot.index, 3);
  assert.equal(contents.snapshot.confState.voters.length, 3);
  assert.ok(contents.snapshot.confState.voters.includes(contents.nodeId));
  assert.ok(existsSync(join(dataDir, "member", "CURRENT")));
  assert.match((await snapshot(...args)).stderr, /data-dir ".*" not empty or could not be read/);
});

test("a restore that fails leaves nothing, so the next one may try", async (t) => {
  const folder = scratch(t);
  const path = join(folder, "s.db");
  const dataDir = join(folder, "data");
  mkdirSync(dataDir);
  const cases: [Content, RegExp][] = [
    [{ key: small["key"] ?? [] }, /not a snapshot of etcd: no bucket "meta"/],
    [{ ...small, auth: [[utf8("authEnabled"), Uint8Array.of(1)]] }, /the snapshot has auth enabled/],
    [
      { key: [], meta: [[utf8("storageVersion"), utf8("3.7.0")]] },
      /storage version 3\.7\.0, .* up to 3\.6\.0/,
    ],
    [{ ...small, key: [[utf8("no revision"), utf8("")]] }, /which is no revision/],
  ];
  for (const [content, text] of cases) {
    const sorted = Object.fromEntries(Object.entries(content).sort(([a], [b]) => (a < b ? -1 : 1)));
    writeFileSync(path, snapshotFile(sorted));
    const { exitCode, stderr } = await snapshot("restore", path, "--data-dir", dataDir);
    assert.equal(exitCode, 1);
    assert.match(stderr, text);
  }
  writeFileSync(path, snapshotFile(small));
  assert.equal((await snapshot("restore", path, "--data-dir", dataDir)).exitCode, 0);
});

test("flipped bytes are refused by the sum, and end a status in an error or a status", async (t) => {
  const folder = scratch(t);
  const path = join(folder, "s.db");
  const many = Array.from({ length: 300 }, (_, i) => kv(`key${i}`, "v".repeat(50), i + 2));
  writeFileSync(path, snapshotFile({ key: many, meta: [] }));
  const sound = readFileSync(path);
  const random = new SeededRandom(5);
  let refused = 0;
  for (let round = 0; round < 150; round++) {
    const bytes = Uint8Array.from(sound);
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
    writeFileSync(path, bytes);
    const restored = await snapshot("restore", path, "--data-dir", join(folder, "data"));
    assert.equal(restored.exitCode, 1);
    assert.match(restored.stderr, /expected sha256/);
    const { exitCode, stderr } = await snapshot("status", path);
    if (exitCode === 1) refused++;
    assert.match(stderr, exitCode === 1 ? /^Error: [^\n]+\n$/ : /^$/);
  }
  assert.ok(refused > 0);
});
