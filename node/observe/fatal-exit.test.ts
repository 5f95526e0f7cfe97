import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { exitCodes, FatalError, type FatalReason } from "../lib/fatal.ts";
import { lastWords } from "./fatal-exit.ts";

test("every reason has its own exit code in its last words", () => {
  const codes = (Object.keys(exitCodes) as FatalReason[]).map((reason) => {
    const { exitCode, line } = lastWords(
      new FatalError(reason, "text", { file: "f", offset: 8 }),
      new Date(0),
    );
    const parsed: unknown = JSON.parse(line);
    assert.deepEqual(parsed, {
      level: "fatal",
      ts: "1970-01-01T00:00:00.000000Z",
      caller: "observe/fatal-exit.ts",
      msg: "text",
      reason,
      "exit-code": exitCode,
      file: "f",
      offset: 8,
    });
    return exitCode;
  });
  assert.equal(new Set(codes).size, codes.length);
});

test("a process that fails fatally leaves one line on stderr and the same in the termination log", () => {
  const folder = mkdtempSync(join(tmpdir(), "etcdlike-exit-"));
  try {
    const path = join(folder, "termination-log");
    const run = (body: string) =>
      spawnSync(
        process.execPath,
        [
          "--input-type=module-typescript",
          "-e",
          `import { exitWith, installFatalExit } from ${JSON.stringify(new URL("./fatal-exit.ts", import.meta.url).href)};
           import { FatalError } from ${JSON.stringify(new URL("../lib/fatal.ts", import.meta.url).href)};
           ${body}`,
        ],
        { encoding: "utf8", env: { ...process.env, LAST_WORDS: path } },
      );
    const fatal = run(
      `exitWith(new FatalError("WAL_DAMAGED", "crc", { file: "w", offset: 16, index: 3 }), { terminationLog: process.env.LAST_WORDS });`,
    );
    assert.equal(fatal.status, exitCodes.WAL_DAMAGED);
    assert.equal(fatal.stderr.split("\n").length, 2);
    assert.equal(readFileSync(path, "utf8"), fatal.stderr);
    const { reason, file, offset, index } = JSON.parse(fatal.stderr) as Record<string, unknown>;
    assert.deepEqual([reason, file, offset, index], ["WAL_DAMAGED", "w", 16, 3]);

    const bug = run(
      `installFatalExit({ terminationLog: process.env.LAST_WORDS }); Promise.reject(new TypeError("a bug"));`,
    );
    assert.equal(bug.status, 1);
    const words = JSON.parse(bug.stderr) as Record<string, unknown>;
    assert.equal(words["msg"], "a bug");
    assert.match(String(words["stack"]), /TypeError: a bug\n/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
