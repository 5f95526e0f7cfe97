import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

test("the command runs through a symlink, from any folder, with etcd's exit codes", () => {
  const folder = mkdtempSync(join(tmpdir(), "etcdlike-bin-"));
  try {
    const link = join(folder, "etcdlike");
    symlinkSync(fileURLToPath(new URL("./bin.mjs", import.meta.url)), link);
    const run = (argument: string) =>
      spawnSync(process.execPath, [link, argument], { cwd: folder, encoding: "utf8" });
    const version = run("--version");
    assert.deepEqual([version.status, version.stderr], [0, ""]);
    assert.match(version.stdout, /^etcd Version: \d+\.\d+\.\d+\n/);
    const unknown = run("--bogus");
    assert.deepEqual([unknown.status, unknown.stdout], [2, ""]);
    assert.match(unknown.stderr, /^flag provided but not defined: -bogus\nUsage:\n/);
    const refused = run("--enable-pprof");
    assert.equal(refused.status, 1);
    const last: unknown = JSON.parse(refused.stderr.trimEnd().split("\n").at(-1) ?? "");
    const { level, msg, error } = last as Record<string, string>;
    assert.deepEqual([level, msg], ["warn", "failed to verify flags"]);
    assert.match(error ?? "", /^--enable-pprof is not implemented yet/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
