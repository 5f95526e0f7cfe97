// Artifacts as files: what is written, verified, refused and restored. The same on a real S3 server with real members is
// in test/e2e/artifact.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { concatBytes, utf8 } from "../lib/bytes.ts";
import { silentLogger } from "../lib/log.ts";
import { recordKey } from "../mvcc/revision.ts";
import { BoltWriter } from "../storage/bbolt/writer.ts";
import { codecs } from "../wire/codecs.ts";
import { chooseMember } from "./choose-member.ts";
import { runArtifactCommand } from "./command.ts";
import { FileStore } from "./file-store.ts";
import { parseLocation } from "./location.ts";
import type { MemberStatus } from "./member-client.ts";

function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "etcdlike-artifact-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Revisions 2 to 4: a, b, and a without its key. */
function snapshotFile(): Uint8Array {
  const pages: Uint8Array[] = [];
  const writer = new BoltWriter((page) => pages.push(page));
  writer.beginBucket("key");
  for (const [key, revision] of [
    ["a", 2],
    ["b", 3],
  ] as const) {
    const message = codecs.KeyValue.create({
      ...{ key: utf8(key), value: utf8("a value"), createRevision: revision },
      ...{ modRevision: revision, version: 1 },
    });
    writer.add(recordKey(revision, 0, false), codecs.KeyValue.encode(message));
  }
  const gone = codecs.KeyValue.encode(codecs.KeyValue.create({ key: utf8("a") }));
  writer.add(recordKey(4, 0, true), gone);
  writer.beginBucket("meta");
  writer.add(utf8("storageVersion"), utf8("3.6.0"));
  const file = concatBytes([writer.finish(), ...pages]);
  return concatBytes([file, createHash("sha256").update(file).digest()]);
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

interface Outcome {
  readonly exitCode: number;
  readonly stderr: string;
  readonly result: { readonly error?: string; readonly verification?: Record<string, unknown> } & Record<
    string,
    unknown
  >;
}

async function run(...argv: readonly string[]): Promise<Outcome> {
  const { exitCode, stdout, stderr } = await runArtifactCommand(argv, silentLogger);
  return { exitCode, stderr, result: JSON.parse(stdout || "{}") };
}

test("a location is a path or s3://BUCKET/KEY", () => {
  const server = { endpoint: undefined, region: "r", isPathStyle: false };
  assert.deepEqual(parseLocation("/a/b.db", server), { kind: "file", path: "/a/b.db" });
  assert.deepEqual(parseLocation("s3://b/c/d.db", server), {
    kind: "s3",
    bucket: "b",
    key: "c/d.db",
    server,
  });
  for (const wrong of ["", "s3://bucket", "s3://bucket/", "gs://b/k"]) {
    assert.throws(() => parseLocation(wrong, server), /artifact is/);
  }
});

test("a follower that has caught up is asked, the leader only when there is no other", () => {
  const member = (endpoint: string, given: Partial<MemberStatus> = {}): MemberStatus => ({
    ...{ endpoint, memberId: "1", clusterId: "c", isLeader: false, hasLeader: true, isLearner: false },
    ...{ raftIndex: 50_000, ...given },
  });
  const leader = member("a", { isLeader: true });
  assert.equal(chooseMember([leader, member("b", { raftIndex: 49_990 }), member("c")])?.endpoint, "c");
  assert.equal(chooseMember([leader, member("b", { raftIndex: 30_000 })])?.endpoint, "a");
  assert.equal(chooseMember([leader, member("b", { isLearner: true })])?.endpoint, "a");
  assert.equal(chooseMember([member("b", { hasLeader: false })]), undefined);
});

test("a file appears whole, is never replaced, and what cut attempts left goes", async (t) => {
  const path = join(scratch(t), "below", "a.db");
  const store = new FileStore(path);
  const pieces = async function* (...texts: readonly string[]) {
    for (const one of texts) {
      yield utf8(one);
      if (one === "cut") throw new Error("the stream broke off");
    }
  };
  assert.equal(await store.exists(), false);
  await assert.rejects(store.write(pieces("one", "cut")), /broke off/);
  assert.deepEqual(readdirSync(join(path, "..")), []);
  writeFileSync(`${path}.77.part`, "left");
  assert.equal(await store.write(pieces("one", "two")), true);
  assert.equal(await store.write(pieces("three")), false);
  assert.equal(readFileSync(path, "utf8"), "onetwo");
  assert.deepEqual(readdirSync(join(path, "..")), ["a.db"]);
  await store.remove();
  await store.remove();
  assert.deepEqual(readdirSync(join(path, "..")), []);
});

test("a sound artifact is verified with what it holds", async (t) => {
  const folder = scratch(t);
  const path = join(folder, "a.db");
  const bytes = snapshotFile();
  writeFileSync(path, bytes);
  const result = join(folder, "result");
  const options = ["--scratch-dir", join(folder, "scratch"), "--result-file", result];
  const first = await run("verify", path, ...options, "--sha256", sha256(bytes));
  assert.equal(first.exitCode, 0, first.stderr);
  const { hash, ...rest } = first.result.verification ?? {};
  assert.deepEqual(rest, {
    isSound: true,
    sizeBytes: bytes.length,
    sha256: sha256(bytes),
    revision: 4,
    compactRevision: -1,
    totalKeys: 1,
    storageVersion: "3.6.0",
  });
  assert.deepEqual(JSON.parse(readFileSync(result, "utf8")), first.result);
  const known = ["--revision", "4", "--hash", String(hash)];
  assert.equal((await run("verify", path, ...options, ...known)).result.verification?.["isSound"], true);
  assert.deepEqual(readdirSync(join(folder, "scratch")), []);
});

test("other bytes, other content and what cannot be restored are told apart", async (t) => {
  const folder = scratch(t);
  const path = join(folder, "a.db");
  const bytes = snapshotFile();
  const changed = Uint8Array.from(bytes);
  const at = Buffer.from(bytes).indexOf("a value");
  changed[at] = "b".charCodeAt(0);
  const cases: [Uint8Array, readonly string[], string][] = [
    [changed, ["--sha256", sha256(bytes)], "DigestDiffers"],
    [changed, [], "NotRestorable"],
    [utf8("no snapshot at all"), [], "NotRestorable"],
    [bytes, ["--revision", "5"], "ContentDiffers"],
    [bytes, ["--hash", "5"], "ContentDiffers"],
    // Without its own sum nothing says that the file is whole.
    [bytes.subarray(0, bytes.length - 32), [], "NotRestorable"],
  ];
  for (const [content, known, reason] of cases) {
    writeFileSync(path, content);
    const { result, exitCode } = await run("verify", path, "--scratch-dir", folder, ...known);
    assert.equal(result.verification?.["reason"], reason, JSON.stringify([known, result]));
    assert.equal(exitCode, 0, "the question was answered");
  }
  const bare = bytes.subarray(0, bytes.length - 32);
  writeFileSync(path, bare);
  const { result } = await run("verify", path, "--scratch-dir", folder, "--sha256", sha256(bare));
  assert.equal(result.verification?.["isSound"], true);
  const missing = await run("verify", join(folder, "none"), "--scratch-dir", folder);
  assert.equal(missing.exitCode, 1);
  assert.match(missing.result.error ?? "", /there is no artifact at/);
});

test("a first member's data is restored once, and never over data or into a cluster that exists", async (t) => {
  const folder = scratch(t);
  const path = join(folder, "a.db");
  const bytes = snapshotFile();
  writeFileSync(path, bytes);
  const dataDir = join(folder, "volume", "data");
  const url = ["--initial-advertise-peer-urls", "http://m:2380"];
  const options = [path, "--data-dir", dataDir, "--name", "m", ...url];
  const formed = await run("bootstrap", ...options, "--initial-cluster-state", "existing");
  assert.deepEqual(formed.result, { restored: false, reason: "ClusterExists" });
  assert.equal(existsSync(dataDir), false);

  const refused = await run("bootstrap", ...options, "--sha256", "0".repeat(64));
  assert.equal(refused.exitCode, 1);
  assert.match(refused.result.error ?? "", /the artifact is refused: its bytes have the SHA-256/);
  assert.deepEqual(readdirSync(dataDir), []);

  // An attempt that was killed half-way.
  mkdirSync(join(dataDir, "member.restoring"));
  mkdirSync(join(dataDir, "..", "first-member"));
  writeFileSync(join(dataDir, "..", "first-member", "artifact.db"), "half");
  const done = await run("bootstrap", ...options, "--sha256", sha256(bytes));
  assert.deepEqual(done.result, { restored: true, sizeBytes: bytes.length, sha256: sha256(bytes) });
  assert.deepEqual(readdirSync(dataDir), ["member"]);
  assert.deepEqual(readdirSync(join(folder, "volume")), ["data"]);

  const again = await run("bootstrap", ...options);
  assert.deepEqual(again.result, { restored: false, reason: "DataExists" });
});

test("arguments that make no sense are named", async () => {
  for (const [argv, message] of [
    [["verify"], /exactly one LOCATION is needed/],
    [["verify", "/a", "--revision", "x", "--scratch-dir", "/s"], /--revision is a number, not "x"/],
    [["upload", "/nowhere/a.db"], /--endpoints is missing/],
    [["fetch", "/a", "--nothing"], /unknown flag: --nothing/],
  ] as const) {
    const { exitCode, stderr } = await run(...argv);
    assert.equal(exitCode, 2);
    assert.match(stderr, message);
  }
});
