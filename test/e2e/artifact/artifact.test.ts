// Snapshots of real members on a real S3 server: taken from a follower, verified, refused when one byte changed, and
// the beginning of a new cluster. etcd's own tool reads what is stored.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Cluster } from "../../tools/cluster.ts";
import { type Minio, startMinio } from "../../tools/minio.ts";
import { allKeys, etcdctl, hashKv, makeHistory, scratch, startMember, tool } from "../snapshot/support.ts";
import { binPath, nodePath } from "../support/command.ts";

interface Result {
  readonly error?: string;
  readonly artifact?: { readonly uri: string; readonly sizeBytes: number; readonly sha256: string };
  readonly endpoint?: string;
  readonly verification?: Readonly<Record<string, unknown>>;
  readonly restored?: boolean;
}

let minio: Minio;

before(async () => {
  minio = await startMinio();
});
after(() => minio.stop());

const uri = (key: string) => `s3://${minio.bucket}/${key}`;

/** Runs `etcdlike snapshot` on MinIO, whatever its end. */
async function agent(...args: readonly string[]): Promise<Result & { readonly code: number }> {
  const s3 = ["--s3-endpoint", minio.endpoint, "--s3-path-style"];
  const env = { ...process.env, AWS_ACCESS_KEY_ID: minio.accessKey, AWS_SECRET_ACCESS_KEY: minio.secretKey };
  return new Promise((resolve, reject) => {
    execFile(
      nodePath,
      [binPath, "snapshot", ...args, ...s3],
      { env, timeout: 120_000 },
      (error, stdout, stderr) => {
        const line = stdout.trim().split("\n").at(-1) ?? "";
        if (!line.startsWith("{")) reject(new Error(`no result: ${stderr}`, { cause: error }));
        else resolve({ ...(JSON.parse(line) as Result), code: error === null ? 0 : Number(error.code) });
      },
    );
  });
}

test("a follower's snapshot is stored, verified, and read by etcd's tool", async (t) => {
  const folder = await scratch(t);
  const cluster = await Cluster.start({ kinds: ["etcdlike", "etcdlike", "etcdlike"] });
  t.after(() => cluster.stop());
  const members = cluster.members.flatMap(({ process }) => (process === undefined ? [] : [process]));
  const [first] = members;
  assert.ok(first);
  await makeHistory(first);
  const endpoints = ["--endpoints", members.map(({ clientUrl }) => clientUrl).join(",")];
  const room = ["--scratch-dir", join(folder, "scratch")];
  const taken = await agent("upload", uri("first.db"), ...endpoints, ...room);
  assert.equal(taken.code, 0, taken.error);
  const statuses = JSON.parse(
    await etcdctl(
      first,
      "endpoint",
      "status",
      "--endpoints",
      members.map(({ endpoint }) => endpoint).join(),
      "-w",
      "json",
    ),
  ) as { Endpoint: string; Status: { header: { member_id: number }; leader: number } }[];
  const source = statuses.find(({ Endpoint }) => taken.endpoint?.endsWith(Endpoint));
  assert.ok(source && source.Status.leader !== source.Status.header.member_id, "the leader is left alone");

  const file = join(folder, "first.db");
  const fetched = await agent(
    "fetch",
    uri("first.db"),
    "--out",
    file,
    "--sha256",
    taken.artifact?.sha256 ?? "",
  );
  assert.equal(fetched.code, 0, fetched.error);
  const status = JSON.parse(await tool("etcdutl", "snapshot", "status", file, "-w", "json"));
  const { revision, hash, totalKeys, isSound } = taken.verification ?? {};
  assert.deepEqual([isSound, revision, totalKeys], [true, status.revision, status.totalKey]);
  assert.equal((await hashKv(first, Number(revision))).split(",")[0], String(hash));

  // Done again it replaces nothing and reports the same.
  await etcdctl(first, "put", "later", "x");
  const again = await agent("upload", uri("first.db"), ...endpoints, ...room);
  assert.deepEqual(again.artifact, taken.artifact);
  assert.equal(again.endpoint, undefined);
});

test("one byte changed in the store is found, and no cluster begins with it", async (t) => {
  const folder = await scratch(t);
  const member = await startMember(t, { kind: "etcdlike" });
  await makeHistory(member);
  const room = ["--scratch-dir", join(folder, "scratch")];
  const taken = await agent("upload", uri("changed.db"), "--endpoints", member.clientUrl, ...room);
  const sha256 = ["--sha256", taken.artifact?.sha256 ?? ""];
  assert.equal(
    (await agent("verify", uri("changed.db"), ...room, ...sha256)).verification?.["isSound"],
    true,
  );
  const bytes = await minio.get("changed.db");
  const at = bytes.indexOf("value".charCodeAt(0), bytes.length >> 1);
  bytes[at] = (bytes[at] as number) ^ 1;
  await minio.put("changed.db", bytes);
  const found = await agent("verify", uri("changed.db"), ...room, ...sha256);
  assert.equal(found.verification?.["reason"], "DigestDiffers");
  const url = ["--initial-advertise-peer-urls", "http://m:2380"];
  const begin = ["bootstrap", uri("changed.db"), "--data-dir", join(folder, "data"), "--name", "m", ...url];
  for (const known of [sha256, []]) {
    const refused = await agent(...begin, ...known);
    assert.equal(refused.code, 1);
    assert.match(refused.error ?? "", /SHA-256|sha256/);
  }
});

test("a snapshot of many parts arrives whole", async (t) => {
  const folder = await scratch(t);
  const member = await startMember(t, { kind: "etcdlike" });
  await tool(
    "benchmark",
    ...["--endpoints", member.endpoint, "--conns", "2", "--clients", "8"],
    ...["put", "--total", "400", "--key-space-size", "400", "--sequential-keys", "--val-size", "100000"],
  );
  const room = ["--scratch-dir", join(folder, "scratch")];
  const taken = await agent("upload", uri("parts.db"), "--endpoints", member.clientUrl, ...room);
  assert.equal(taken.verification?.["isSound"], true, JSON.stringify(taken));
  assert.ok((taken.artifact?.sizeBytes ?? 0) > 33_000_000, "three parts");
});

test("a new member begins with the snapshot of a real etcd", async (t) => {
  const folder = await scratch(t);
  const etcd = await startMember(t, { kind: "etcd" });
  await makeHistory(etcd);
  const expected = [await hashKv(etcd), await allKeys(etcd)];
  const taken = await agent("upload", uri("of-etcd.db"), "--endpoints", etcd.clientUrl);
  assert.equal(taken.code, 0, taken.error);
  const dataDir = join(folder, "data");
  const args = [
    "--data-dir",
    dataDir,
    "--name",
    "default",
    "--initial-advertise-peer-urls",
    "http://127.0.0.1:2380",
  ];
  const begun = await agent("bootstrap", uri("of-etcd.db"), ...args);
  assert.equal(begun.restored, true, begun.error);
  const ours = await startMember(t, { kind: "etcdlike", dataDir });
  assert.deepEqual([await hashKv(ours), await allKeys(ours)], expected);
  assert.equal((await agent("delete", uri("of-etcd.db"))).code, 0);
  assert.match(
    (await agent("fetch", uri("of-etcd.db"), "--out", join(folder, "none"))).error ?? "",
    /no artifact/,
  );
});

test("what one of three members acknowledged is salvaged from its directory, which stays as it is", async (t) => {
  const folder = await scratch(t);
  const cluster = await Cluster.start({ kinds: ["etcdlike", "etcdlike", "etcdlike"] });
  t.after(() => cluster.stop());
  const [first, second, third] = cluster.members;
  assert.ok(first?.process && second?.process && third?.process);
  await makeHistory(first.process);
  // Every member has it in its log as committed before the cut.
  const expected = [await hashKv(first.process), await allKeys(first.process)];
  for (const member of [second, third]) {
    assert.ok(member.process);
    assert.equal(await hashKv(member.process), expected[0]);
  }
  await Promise.all([first, second, third].map((member) => member.process?.kill()));
  const before = await filesOf(second.dataDir);
  const dataDir = join(folder, "data");
  const url = [
    "--initial-advertise-peer-urls",
    "http://127.0.0.1:2380",
    "--initial-cluster-token",
    "another",
  ];
  const args = [second.dataDir, "--data-dir", dataDir, "--name", "default", ...url];
  const salvaged = await agent("salvage", ...args);
  assert.equal(salvaged.restored, true, salvaged.error);
  assert.deepEqual(await filesOf(second.dataDir), before);
  const ours = await startMember(t, { kind: "etcdlike", dataDir });
  assert.deepEqual([await hashKv(ours), await allKeys(ours)], expected);
  const members = (await etcdctl(ours, "member", "list")).trim().split("\n");
  assert.equal(members.length, 1);
  const none = await agent("salvage", join(folder, "none"), ...args.slice(1).with(1, join(folder, "other")));
  assert.equal(none.code, 1);
});

/** Paths and contents' sums. */
async function filesOf(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(
    files.sort().map(
      async (file) =>
        `${file} ${createHash("sha256")
          .update(await readFile(file))
          .digest("hex")}`,
    ),
  );
}
