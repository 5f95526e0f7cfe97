// The data directory: its layout, its permissions, and the lock that keeps a second process out.
//
//   member/       CURRENT and store-<n>/ (lmdb/store-folder.ts)
//   member/wal/   log segments
//   member/snap/  .snap files
//   member/lock   held for the life of the process
//
// LMDB does not keep a second process out, and Node has no flock. An exclusive transaction of SQLite on member/lock
// is a POSIX record lock, which the kernel frees however the process ends. The file itself stays empty and means
// nothing. One caution of such locks: closing any other descriptor of the file in this process would free it, so
// nothing else opens it.

import { chmodSync, existsSync, statSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { FatalError, fatalOfSystemError } from "../lib/fatal.ts";
import type { Logger } from "../lib/log.ts";
import { makeDirectory, nodeDisk } from "./disk.ts";
import { isBusy, sqlite } from "./sqlite.ts";

export interface DataDirPaths {
  readonly member: string;
  readonly wal: string;
  readonly snap: string;
}

export interface DataDir extends DataDirPaths {
  /** Lets another process have the directory. Everything in it is closed by then. */
  unlock(): void;
}

/** Where a restore builds what becomes `member/` in its last step. */
export function restoringPath(dataDir: string): string {
  return `${dataDir}/member.restoring`;
}

export function dataDirPaths(dataDir: string): DataDirPaths {
  const member = `${dataDir}/member`;
  return { member, wal: `${member}/wal`, snap: `${member}/snap` };
}

/** A lock that nobody refers to any more would be closed with the garbage, whoever still relies on it. */
const held = new Set<DatabaseSync>();

/** Creates what is missing and takes the lock. Throws FatalError LOCKED when another process holds it. */
export function openDataDir(dataDir: string, log: Logger): DataDir {
  const paths = dataDirPaths(dataDir);
  refuseHalfRestored(dataDir);
  try {
    if (existsSync(dataDir)) warnIfWide(dataDir, log);
    for (const path of [dataDir, paths.member, paths.snap]) makeDirectory(nodeDisk, path);
    // A start that was cut short may have left them there without their names being durable.
    for (const path of [dataDir, paths.member]) nodeDisk.fsyncDir(path);
  } catch (error) {
    throw fatalOfSystemError(error as NodeJS.ErrnoException, dataDir);
  }
  const lock = takeLock(`${paths.member}/lock`);
  held.add(lock);
  const unlock = (): void => {
    held.delete(lock);
    lock.close();
  };
  return { ...paths, unlock };
}

/** A member started there would be a new and empty one, in the place of the one that was to be restored. */
function refuseHalfRestored(dataDir: string): void {
  const path = restoringPath(dataDir);
  if (existsSync(path)) {
    throw new Error(`${path} is left of a restore that was cut short: empty ${dataDir} and restore again`);
  }
}

/** Only a warning: volumes that an orchestrator mounts for a group are wider, and refusing them would help nobody. */
function warnIfWide(dataDir: string, log: Logger): void {
  const mode = statSync(dataDir).mode & 0o777;
  if ((mode & 0o077) === 0) return;
  log.warn("check file permission", {
    error: `directory "${dataDir}" exists, but the permission is "${mode.toString(8)}"`,
  });
}

function takeLock(path: string): DatabaseSync {
  const { DatabaseSync: Database } = sqlite();
  const database = new Database(path, { timeout: 0 });
  try {
    // Nothing is ever written; in memory, the journal does not appear beside the file.
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (isBusy(error)) {
      throw new FatalError("LOCKED", `${path} is held by another process`, { file: path }, error);
    }
    throw new FatalError(
      "IO_ERROR",
      `cannot lock ${path}: ${(error as Error).message}`,
      { file: path },
      error,
    );
  }
  chmodSync(path, 0o600);
  return database;
}
