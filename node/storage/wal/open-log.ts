// A member's log on disk: the write-ahead log in `wal/` and the `.snap` files in `snap/`, taken together.
// Opening finds the newest snapshot that both agree on, and the entries behind it.

import { assert } from "../../lib/assert.ts";
import { emptyBytes } from "../../lib/bytes.ts";
import { FatalError } from "../../lib/fatal.ts";
import type { LogContents, LogSnapshot } from "../../replica/log-store.ts";
import type { HardState } from "../../wire/raft.ts";
import { type Disk, fatalOfDisk, makeDirectory } from "../disk.ts";
import {
  purgeSnapFiles,
  readSnapFile,
  removeTemporarySnapFiles,
  type SnapTimes,
  snapName,
  writeSnapFile,
} from "../snap/snap-file.ts";
import { readWal, type WalMetadata, type WalReading, walExists } from "./read.ts";
import { repairWal } from "./repair.ts";
import { createWal, type Wal, type WalOptions, type WalPosition } from "./wal.ts";

export interface LogOptions {
  readonly disk: Disk;
  /** The `member` folder, in which `wal` and `snap` lie. */
  readonly memberDir: string;
  /** Where the segments lie instead of `member/wal`: etcd's `--wal-dir`. */
  readonly walDir?: string | undefined;
  readonly segmentBytes?: number;
}

export interface OpenedLog {
  readonly contents: LogContents;
  readonly position: WalPosition;
  /** What was cut off behind the last durable record, for the log line; undefined when nothing was. */
  readonly repaired: { readonly file: string; readonly offset: number; readonly what: string } | undefined;
}

export const noSnapshot: LogSnapshot = {
  index: 0,
  term: 0,
  confState: { voters: [], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false },
  data: emptyBytes,
};

export function logExists(options: LogOptions): boolean {
  return walExists(options.disk, walDirectory(options));
}

/** Creates the log of a new member. Throws FatalError. */
export function createLog(options: LogOptions, metadata: WalMetadata): OpenedLog {
  makeSnapDirectory(options);
  createWal(walOptions(options), metadata);
  return openLog(options);
}

/** Reads, checks and makes writable. Throws FatalError, and has changed nothing then. */
export function openLog(options: LogOptions): OpenedLog {
  const { disk, memberDir } = options;
  const directory = walDirectory(options);
  const reading = readWal(disk, directory);
  const contents = contentsOf(disk, memberDir, reading);
  makeSnapDirectory(options);
  removeTemporarySnapFiles(disk, snapDirectory(memberDir));
  const position = repairWal(disk, directory, reading);
  const { torn, offset, file } = reading.end;
  return {
    contents,
    position,
    repaired: torn === undefined ? undefined : { file, offset, what: torn },
  };
}

function makeSnapDirectory({ disk, memberDir }: LogOptions): void {
  const directory = snapDirectory(memberDir);
  try {
    makeDirectory(disk, directory);
  } catch (error) {
    throw fatalOfDisk(error, directory);
  }
}

/** What a log holds, read without changing anything. Throws FatalError. */
export function contentsOf(disk: Disk, memberDir: string, reading: WalReading): LogContents {
  const { hardState, metadata, lastIndex } = reading;
  const snapshot = newestSnapshot(disk, memberDir, reading);
  if (hardState.commit > Math.max(lastIndex, snapshot.index)) {
    throw new FatalError(
      "WAL_DAMAGED",
      `${reading.end.file}: the log ends at index ${lastIndex}, below the committed index ${hardState.commit}`,
      { file: reading.end.file, offset: reading.end.offset, index: lastIndex },
    );
  }
  return {
    clusterId: metadata.clusterId,
    nodeId: metadata.nodeId,
    hardState,
    snapshot,
    entries: reading.entriesFrom(snapshot.index + 1),
  };
}

/**
 * The newest snapshot with a record at or below the committed index and a sound file. An older one serves when
 * the log still holds every entry behind it.
 */
function newestSnapshot(disk: Disk, memberDir: string, reading: WalReading): LogSnapshot {
  const { firstIndex, lastIndex, hardState } = reading;
  const directory = snapDirectory(memberDir);
  let problem: FatalError | undefined;
  for (const record of reading.snapshots.toReversed()) {
    if (record.index > hardState.commit || record.index + 1 < firstIndex) continue;
    if (record.index === 0) return noSnapshot;
    if (record.index > lastIndex) continue;
    const snap = readSnapFile(disk, directory, record);
    if (snap.ok) return snap.snapshot;
    const file = `${directory}/${snapName(record)}`;
    problem ??= new FatalError("WAL_DAMAGED", `${file}: ${snap.what}`, { file, index: record.index });
  }
  // A log that reaches back to its first entry needs no snapshot, also when its first record was released.
  if (firstIndex === 1) return noSnapshot;
  const file = reading.end.file;
  const message = `${file}: no snapshot goes with the log, which starts at index ${firstIndex}`;
  throw problem ?? new FatalError("WAL_DAMAGED", message, { file, index: firstIndex });
}

/**
 * Makes a snapshot durable in the one order that is safe at every crash: the file, then the record with the
 * newest HardState, then the release of what lies below. Everything appended before is durable, too.
 */
export function saveSnapshot(
  wal: Wal,
  { disk, memberDir }: LogOptions,
  snapshot: LogSnapshot,
  releaseIndex: number,
): SnapTimes {
  const { index, term, confState } = snapshot;
  assert(wal.hardState.commit >= index, "a snapshot is of committed entries", {
    index,
    commit: wal.hardState.commit,
  });
  const times = writeSnapFile(disk, snapDirectory(memberDir), snapshot);
  wal.appendSnapshot({ index, term, confState });
  wal.appendHardState(wal.hardState);
  wal.write();
  wal.sync();
  wal.release(Math.min(releaseIndex, index));
  purgeSnapFiles(disk, snapDirectory(memberDir));
  return times;
}

/**
 * Makes a snapshot durable that was received from a leader and takes the place of the whole log. The HardState
 * commits it, and comes behind its record, which counts for nothing before.
 */
export function installSnapshot(
  wal: Wal,
  { disk, memberDir }: LogOptions,
  snapshot: LogSnapshot,
  hardState: HardState,
): SnapTimes {
  const { index, term, confState } = snapshot;
  assert(hardState.commit >= index, "a snapshot that is installed is committed", { index });
  const times = writeSnapFile(disk, snapDirectory(memberDir), snapshot);
  wal.appendSnapshot({ index, term, confState });
  wal.appendHardState(hardState);
  wal.write();
  wal.sync();
  wal.release(index);
  purgeSnapFiles(disk, snapDirectory(memberDir));
  return times;
}

export function walOptions(options: LogOptions): WalOptions {
  const { disk, segmentBytes } = options;
  const directory = walDirectory(options);
  return segmentBytes === undefined ? { disk, directory } : { disk, directory, segmentBytes };
}

export function walDirectory({ memberDir, walDir }: Pick<LogOptions, "memberDir" | "walDir">): string {
  return walDir ?? `${memberDir}/wal`;
}

export function snapDirectory(memberDir: string): string {
  return `${memberDir}/snap`;
}
