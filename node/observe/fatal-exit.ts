// The end of the process. A fatal end leaves one JSON line on stderr and in the termination log, where a
// supervisor reads why, and its own exit code.

import { existsSync, writeFileSync } from "node:fs";
import { exitCodes, FatalError } from "../lib/fatal.ts";
import { timestamp } from "./logger.ts";
import { writeAll } from "./write-all.ts";

/** Where Kubernetes reads a container's last words. */
export const defaultTerminationLog = "/dev/termination-log";

/** The exit code of an end that has no reason of its own: a bug, or an error nobody expected. */
const unexpectedExitCode = 1;

export interface LastWords {
  readonly exitCode: number;
  /** JSON without a line end. */
  readonly line: string;
}

export function lastWords(error: unknown, at: Date): LastWords {
  const isFatal = error instanceof FatalError;
  const exitCode = isFatal ? exitCodes[error.reason] : unexpectedExitCode;
  const line = JSON.stringify({
    level: "fatal",
    ts: timestamp(at),
    caller: "observe/fatal-exit.ts",
    msg: error instanceof Error ? error.message : String(error),
    ...(isFatal ? { reason: error.reason } : {}),
    "exit-code": exitCode,
    ...(isFatal ? error.details : {}),
    ...(isFatal || !(error instanceof Error) ? {} : { stack: error.stack }),
  });
  return { exitCode, line };
}

export interface FatalExitOptions {
  /** Undefined: the default path where it exists. */
  readonly terminationLog: string | undefined;
}

/** Writes the last words and ends the process at once. Whoever calls has nothing left to save. */
export function exitWith(error: unknown, { terminationLog }: FatalExitOptions): never {
  const { exitCode, line } = lastWords(error, new Date());
  writeAll(2, `${line}\n`);
  const path = terminationLog ?? (existsSync(defaultTerminationLog) ? defaultTerminationLog : undefined);
  if (path !== undefined) {
    try {
      writeFileSync(path, `${line}\n`);
    } catch (writeError) {
      writeAll(2, `cannot write ${path}: ${String(writeError)}\n`);
    }
  }
  process.exit(exitCode);
}

/** Errors that reached nobody end the process the same way. */
export function installFatalExit(options: FatalExitOptions): void {
  process.on("uncaughtException", (error) => exitWith(error, options));
  process.on("unhandledRejection", (reason) => exitWith(reason, options));
}
