// `export-datadir`: out of the data directory of one of our members comes one on which a real etcd starts as that same
// member. The store goes into a bbolt file with all of etcd's buckets, the log's segments and `.snap` files are
// copied as they are, since they are etcd's already. The new directory appears whole at the end; the old one stays.

import { rmSync } from "node:fs";
import { type BackendReader, type Bucket, etcdBuckets } from "../lib/backend.ts";
import { compareBytes, emptyBytes, utf8 } from "../lib/bytes.ts";
import type { Logger } from "../lib/log.ts";
import { storageVersion } from "../lib/version.ts";
import { BoltWriter, metaPagesBytes } from "../storage/bbolt/writer.ts";
import { dataDirPaths, openDataDir } from "../storage/data-dir.ts";
import { type Disk, type DiskFile, makeDirectory, nodeDisk } from "../storage/disk.ts";
import { LmdbEngine } from "../storage/lmdb/engine.ts";
import { snapName } from "../storage/snap/snap-file.ts";
import { contentsOf } from "../storage/wal/open-log.ts";
import { readWal, type WalReading } from "../storage/wal/read.ts";
import { segmentName } from "../storage/wal/segments.ts";
import { storedState } from "./stored-state.ts";

export interface ExportOptions {
  readonly dataDir: string;
  /** Where the log lies instead of in the data directory. */
  readonly walDir: string | undefined;
  /** Empty, or not there yet. */
  readonly out: string;
  readonly log: Logger;
}

/** Bytes of a file on their way: neither too many calls nor too much memory. */
const blockBytes = 4 << 20;

/** Rejects with an Error or FatalError, LOCKED while a member runs on it, and has left nothing behind then. */
export async function exportDataDir({ dataDir, walDir, out, log }: ExportOptions): Promise<void> {
  const { member, wal, snap } = dataDirPaths(dataDir);
  if (nodeDisk.stat(`${member}/CURRENT`) === undefined) {
    throw new Error(`${dataDir} holds no store of etcdlike: there is no ${member}/CURRENT`);
  }
  const target = nodeDisk.stat(out);
  if (target !== undefined && (!target.isDirectory || nodeDisk.readdir(out).length > 0)) {
    throw new Error(`"${out}" is not an empty directory`);
  }
  const lock = openDataDir(dataDir, log);
  const building = `${out}/member.exporting`;
  try {
    const walDirectory = walDir ?? wal;
    const reading = readWal(nodeDisk, walDirectory);
    await checkFit(member, reading);
    for (const folder of ["wal", "snap"]) makeDirectory(nodeDisk, `${building}/${folder}`);
    copyLog(reading, walDirectory, `${building}/wal`);
    copySnapFiles(reading, snap, `${building}/snap`);
    await writeStore(member, `${building}/snap/db`);
    for (const folder of ["wal", "snap"]) nodeDisk.fsyncDir(`${building}/${folder}`);
    nodeDisk.rename(building, `${out}/member`);
    nodeDisk.fsyncDir(out);
  } catch (error) {
    rmSync(building, { recursive: true, force: true });
    throw error;
  } finally {
    lock.unlock();
  }
  log.info("exported data directory", { "data-dir": dataDir, out });
}

/** What a member of ours would not start on is not handed on. */
async function checkFit(memberDir: string, reading: WalReading): Promise<void> {
  const { snapshot } = contentsOf(nodeDisk, memberDir, reading);
  const index = (await storedState(memberDir))?.index ?? 0;
  if (index < snapshot.index || index > reading.lastIndex) {
    throw new Error(
      `the store has applied index ${index}, the log has a snapshot of index ${snapshot.index} and ends at ` +
        `${reading.lastIndex}`,
    );
  }
}

/** The zeros behind the last record are left out, and whatever a torn write left there. */
function copyLog({ segments, end }: WalReading, from: string, to: string): void {
  for (const [i, segment] of segments.entries()) {
    const name = segmentName(segment);
    const isLast = i === segments.length - 1;
    copyFile(`${from}/${name}`, `${to}/${name}`, isLast ? end.offset : undefined);
  }
}

function copySnapFiles({ snapshots }: WalReading, from: string, to: string): void {
  for (const record of snapshots) {
    const name = snapName(record);
    if (nodeDisk.stat(`${from}/${name}`) !== undefined)
      copyFile(`${from}/${name}`, `${to}/${name}`, undefined);
  }
}

function copyFile(from: string, to: string, bytesMax: number | undefined): void {
  const source = nodeDisk.open(from, "readOnly");
  try {
    writeNew(nodeDisk, to, (target) => {
      const block = new Uint8Array(blockBytes);
      let position = 0;
      for (;;) {
        const wanted = Math.min(block.length, (bytesMax ?? Number.MAX_SAFE_INTEGER) - position);
        const read = nodeDisk.pread(source, block.subarray(0, wanted), position);
        if (read === 0) return;
        nodeDisk.pwrite(target, block.subarray(0, read), position);
        position += read;
      }
    });
  } finally {
    nodeDisk.close(source);
  }
}

/** By byte order of their names, which is how bbolt keeps them. */
const bucketsByName = [...etcdBuckets].sort((a, b) => compareBytes(utf8(a), utf8(b)));

async function writeStore(memberPath: string, path: string): Promise<void> {
  let failure: Error | undefined;
  const onFatal = (error: Error): void => {
    failure = error;
  };
  const engine = new LmdbEngine({ memberPath, onFatal });
  try {
    writeNew(nodeDisk, path, (file) => writeBuckets(engine, file));
  } finally {
    if (failure === undefined) await new Promise<void>((done) => engine.close(done));
  }
}

function writeBuckets(reader: BackendReader, file: DiskFile): void {
  let position = metaPagesBytes;
  const writer = new BoltWriter((pages) => {
    nodeDisk.pwrite(file, pages, position);
    position += pages.length;
  });
  for (const bucket of bucketsByName) {
    writer.beginBucket(bucket);
    for (const [key, value] of recordsOf(reader, bucket)) writer.add(key, value);
  }
  nodeDisk.pwrite(file, writer.finish(), 0);
}

/** The version is that of this program, whichever wrote the store first. */
function* recordsOf(reader: BackendReader, bucket: Bucket): Generator<readonly [Uint8Array, Uint8Array]> {
  const versionKey = utf8("storageVersion");
  let isVersionDue = bucket === "meta";
  const cursor = reader.cursor(bucket, { start: emptyBytes });
  while (cursor.next()) {
    const order = compareBytes(cursor.key, versionKey);
    if (isVersionDue && order >= 0) {
      isVersionDue = false;
      yield [versionKey, utf8(storageVersion)];
    }
    if (bucket !== "meta" || order !== 0) yield [cursor.key, cursor.value];
  }
  cursor.close();
  if (isVersionDue) yield [versionKey, utf8(storageVersion)];
}

function writeNew(disk: Disk, path: string, write: (file: DiskFile) => void): void {
  const file = disk.create(path);
  try {
    write(file);
    disk.fdatasync(file);
  } finally {
    disk.close(file);
  }
}
