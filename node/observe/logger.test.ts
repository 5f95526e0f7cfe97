import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Logger } from "../lib/log.ts";
import { createLogger, type LoggerOptions } from "./logger.ts";

function linesOf(options: Omit<LoggerOptions, "outputs">, write: (log: Logger) => void): string[] {
  const folder = mkdtempSync(join(tmpdir(), "etcdlike-log-"));
  try {
    const path = join(folder, "member.log");
    write(createLogger({ ...options, outputs: [path] }));
    return readFileSync(path, "utf8").split("\n").slice(0, -1);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("a JSON line has etcd's keys in etcd's order", () => {
  const [line = ""] = linesOf({ level: "info", format: "json" }, (log) => {
    log.info("became leader", { "local-member-id": 0x628170c800dbceen, term: 2, error: new Error("text") });
  });
  assert.match(
    line,
    /^\{"level":"info","ts":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z","caller":"observe\/logger\.test\.ts:\d+","msg":"became leader","local-member-id":"628170c800dbcee","term":2,"error":"text"\}$/,
  );
});

test("a console line has zap's columns", () => {
  const [plain = "", fields = ""] = linesOf({ level: "debug", format: "console" }, (log) => {
    log.debug("plain");
    log.warn("with fields", { a: 1, b: ["x"] });
  });
  assert.match(plain, /^\S+Z\tdebug\tobserve\/logger\.test\.ts:\d+\tplain$/);
  assert.match(fields, /^\S+Z\twarn\tobserve\/logger\.test\.ts:\d+\twith fields\t\{"a": 1, "b": \["x"\]\}$/);
});

test("lines below the level are not written", () => {
  for (const format of ["json", "console"] as const) {
    const lines = linesOf({ level: "warn", format }, (log) => {
      log.debug("no");
      log.info("no");
      log.warn("yes");
      log.error("yes");
    });
    assert.equal(lines.length, 2);
  }
  const none = linesOf({ level: "panic", format: "json" }, (log) => log.error("no"));
  assert.deepEqual(none, []);
});

test("every output gets every line, in both formats", () => {
  const folder = mkdtempSync(join(tmpdir(), "etcdlike-log-"));
  try {
    const outputs = [join(folder, "one"), join(folder, "two")];
    for (const format of ["json", "console"] as const) {
      createLogger({ level: "info", format, outputs }).info("said twice");
    }
    const [one, two] = outputs.map((path) => readFileSync(path, "utf8"));
    assert.equal(one?.split("\n").filter((line) => line.includes("said twice")).length, 2);
    assert.equal(two, one);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
