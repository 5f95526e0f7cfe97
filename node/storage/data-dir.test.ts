import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FatalError } from "../lib/fatal.ts";
import { type Logger, silentLogger } from "../lib/log.ts";
import { openDataDir, restoringPath } from "./data-dir.ts";

async function withFolder(body: (dataDir: string) => Promise<void>): Promise<void> {
  const parent = mkdtempSync(join(tmpdir(), "etcdlike-data-"));
  try {
    await body(`${parent}/data`);
  } finally {
    rmSync(parent, { recursive: true });
  }
}

const holderScript = `
  import { openDataDir } from ${JSON.stringify(new URL("./data-dir.ts", import.meta.url).href)};
  import { silentLogger } from ${JSON.stringify(new URL("../lib/log.ts", import.meta.url).href)};
  openDataDir(process.argv[1], silentLogger);
  process.emitWarning("another warning");
  console.log("locked");
`;

const nodeArguments = (dataDir: string, script: string): string[] => [
  "--input-type=module",
  "-e",
  script,
  "--",
  dataDir,
];

/** A process that holds the directory until it is killed. */
async function holder(dataDir: string): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    nodeArguments(dataDir, `${holderScript} setInterval(() => {}, 60_000);`),
    {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, NODE_NO_WARNINGS: "1" },
    },
  );
  const [line] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
  assert.equal(line.toString(), "locked\n");
  return child;
}

test("the layout is created for its owner only", () =>
  withFolder(async (dataDir) => {
    const opened = openDataDir(dataDir, silentLogger);
    assert.deepEqual(
      [opened.member, opened.wal, opened.snap],
      [`${dataDir}/member`, `${dataDir}/member/wal`, `${dataDir}/member/snap`],
    );
    for (const path of [dataDir, opened.member, opened.snap])
      assert.equal(statSync(path).mode & 0o777, 0o700);
    assert.deepEqual(readdirSync(opened.member).sort(), ["lock", "snap"]);
    assert.equal(statSync(`${opened.member}/lock`).mode & 0o777, 0o600);
    opened.unlock();
  }));

test("a second process is refused by name, until the first has ended, however it ends", () =>
  withFolder(async (dataDir) => {
    const child = await holder(dataDir);
    assert.throws(
      () => openDataDir(dataDir, silentLogger),
      (error) => {
        assert.ok(error instanceof FatalError);
        assert.equal(error.reason, "LOCKED");
        assert.equal(error.details.file, `${dataDir}/member/lock`);
        assert.ok(error.message.includes(`${dataDir}/member/lock`));
        return true;
      },
    );
    child.kill("SIGKILL");
    await once(child, "exit");
    openDataDir(dataDir, silentLogger).unlock();
  }));

test("the same process cannot open the directory twice, but again after unlocking", () =>
  withFolder(async (dataDir) => {
    const first = openDataDir(dataDir, silentLogger);
    assert.throws(() => openDataDir(dataDir, silentLogger), { name: "FatalError", reason: "LOCKED" });
    first.unlock();
    openDataDir(dataDir, silentLogger).unlock();
  }));

test("taking the lock hides the warning about SQLite and no other", () =>
  withFolder(async (dataDir) => {
    const { stdout, stderr } = spawnSync(process.execPath, nodeArguments(dataDir, holderScript), {
      encoding: "utf8",
    });
    assert.equal(stdout, "locked\n");
    assert.match(stderr, /another warning/);
    assert.doesNotMatch(stderr, /SQLite|[Ee]xperimental/);
  }));

test("a directory that others may enter is warned about, and used", () =>
  withFolder(async (dataDir) => {
    const warnings: unknown[] = [];
    const log: Logger = {
      ...silentLogger,
      warn: (message, fields) => warnings.push(`${message} ${fields?.["error"]}`),
    };
    openDataDir(dataDir, log).unlock();
    assert.deepEqual(warnings, []);
    chmodSync(dataDir, 0o750);
    openDataDir(dataDir, log).unlock();
    assert.equal(warnings.length, 1);
    assert.match(
      String(warnings[0]),
      /^check file permission directory ".*\/data" exists, but the permission is "750"$/,
    );
    assert.equal(statSync(dataDir).mode & 0o777, 0o750);
  }));

test("a directory in which a restore was cut short is refused, and left as it is", () =>
  withFolder(async (dataDir) => {
    mkdirSync(restoringPath(dataDir), { recursive: true });
    assert.throws(() => openDataDir(dataDir, silentLogger), /left of a restore that was cut short/);
    assert.deepEqual(readdirSync(dataDir), ["member.restoring"]);
  }));

test("a data directory that cannot be made is an I/O error", () => {
  assert.throws(() => openDataDir("/dev/null/data", silentLogger), {
    name: "FatalError",
    reason: "IO_ERROR",
  });
});
