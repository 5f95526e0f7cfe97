// The first steps of the process, before there is a member: settings, log, and what ends it early.

import { readFileSync } from "node:fs";
import { decide } from "./cli/command-line.ts";
import type { MemberConfig } from "./cli/config.ts";
import type { Environment, Notice } from "./cli/sources.ts";
import type { Logger } from "./lib/log.ts";
import { type FatalExitOptions, installFatalExit } from "./observe/fatal-exit.ts";
import { createLogger } from "./observe/logger.ts";
import { writeAll } from "./observe/write-all.ts";

export interface Started {
  readonly config: MemberConfig;
  readonly log: Logger;
  /** For `exitWith`. */
  readonly fatalExit: FatalExitOptions;
}

/** Returns only when there is a member to run; every other outcome ends the process with its exit code. */
export function start(argv: readonly string[], environment: Environment): Started {
  const decision = decide({ argv, environment, readFile: (path) => readFileSync(path, "utf8") });
  switch (decision.kind) {
    case "print":
      return printAndExit(1, decision.text, 0);
    case "usage":
      return printAndExit(2, decision.text, 2);
    case "invalid": {
      const log = createLogger(decision.log);
      logStart(log, argv, decision.notices);
      log.warn("failed to verify flags", { error: decision.error });
      return process.exit(1);
    }
    case "run": {
      const { config, notices } = decision;
      const fatalExit: FatalExitOptions = { terminationLog: config.terminationLog };
      installFatalExit(fatalExit);
      const log = createLogger(config.log);
      logStart(log, argv, notices);
      return { config, log, fatalExit };
    }
  }
}

function logStart(log: Logger, argv: readonly string[], notices: readonly Notice[]): void {
  for (const { level, message, fields } of notices) log[level](message, fields);
  log.info("Running: ", { args: ["etcdlike", ...argv] });
}

/** Synchronous, so that nothing is lost in a pipe when the process ends. */
function printAndExit(descriptor: 1 | 2, text: string, exitCode: number): never {
  writeAll(descriptor, text);
  process.exit(exitCode);
}
