// Whether a real etcd has a data directory open. It locks every segment of its log that it may still need, the newest
// always, with an open-file lock on the whole file. Such a lock and the record locks of SQLite exclude each other, so
// a read lock of SQLite is refused as busy exactly while etcd runs. Without one, SQLite goes on to read the file and
// finds that it is no database; nothing is ever written to it.

import { FatalError } from "../lib/fatal.ts";
import type { Disk } from "./disk.ts";
import { isBusy, sqlite } from "./sqlite.ts";
import { listSegments, segmentName } from "./wal/segments.ts";

/** Throws FatalError LOCKED while another process has the log in this folder open as etcd does. */
export function refuseWhileEtcdRuns(disk: Disk, walDirectory: string): void {
  const newest = listSegments(disk, walDirectory).at(-1);
  if (newest === undefined) return;
  const file = `${walDirectory}/${segmentName(newest)}`;
  const { DatabaseSync: Database } = sqlite();
  const database = new Database(file, { readOnly: true, timeout: 0 });
  try {
    database.exec("PRAGMA schema_version");
  } catch (error) {
    if (isBusy(error)) throw new FatalError("LOCKED", `${file} is held by a running etcd`, { file }, error);
    // Not a database: the lock was free.
  } finally {
    database.close();
  }
}
