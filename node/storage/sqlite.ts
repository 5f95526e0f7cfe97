// node:sqlite, which is here for its file locks only: Node itself has none.

import { createRequire } from "node:module";

const sqliteBusy = 5;

/** Whether another process holds the lock that was asked for. */
export function isBusy(error: unknown): boolean {
  return (error as { errcode?: number }).errcode === sqliteBusy;
}

/** Loads node:sqlite without the warning that it is experimental, and without hiding any other warning. */
export function sqlite(): typeof import("node:sqlite") {
  const emit = process.emitWarning;
  process.emitWarning = (warning: string | Error, ...rest: unknown[]): void => {
    if (String(warning).startsWith("SQLite is an experimental feature")) return;
    Reflect.apply(emit, process, [warning, ...rest]);
  };
  try {
    return createRequire(import.meta.url)("node:sqlite");
  } finally {
    process.emitWarning = emit;
  }
}
