// `inspect`: what a data directory holds, ours or etcd's, whole or damaged. It takes no lock, changes nothing and reads
// each part by itself, so that damage in one does not hide the others.

import { FatalError } from "../lib/fatal.ts";
import { hexId } from "../lib/ids.ts";
import { dataDirPaths } from "../storage/data-dir.ts";
import { nodeDisk, readWhole } from "../storage/disk.ts";
import { readDataFile } from "../storage/lmdb/data-file.ts";
import { dataFileName } from "../storage/lmdb/environment.ts";
import { faultOfFreeList } from "../storage/lmdb/free-list.ts";
import { readSnapFile, snapName } from "../storage/snap/snap-file.ts";
import { surveyWal, walExists } from "../storage/wal/read.ts";
import { etcdStorePath, withBolt } from "./etcd-store.ts";
import {
  type ConfStateFacts,
  confStateFacts,
  factsOfBolt,
  factsOfStore,
  type StoreFacts,
} from "./store-facts.ts";

export interface Inspection {
  readonly dataDir: string;
  /** Whose store counts here: the one that has applied more. */
  readonly kind: "etcdlike" | "etcd" | "none";
  readonly log: LogFacts | null;
  readonly snapshot: SnapshotFacts | null;
  readonly store: StoreFacts | null;
  /** That of a real etcd, kept when its directory was taken over, where it is not the one that counts. */
  readonly etcdStore: StoreFacts | null;
  /** Empty in a directory that is whole. */
  readonly problems: readonly Problem[];
}

export interface LogFacts {
  /** Ids are hexadecimal. */
  readonly memberId: string | null;
  readonly clusterId: string | null;
  readonly term: number;
  readonly vote: string;
  readonly commit: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
}

export interface SnapshotFacts {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfStateFacts;
}

export interface Problem {
  readonly part: "log" | "snapshot" | "store" | "etcd store";
  readonly message: string;
  readonly file: string;
  readonly offset?: number;
  readonly index?: number;
}

/** `walDir`: where the log lies instead of in the data directory. Throws an Error when there is no data directory. */
export function inspectDataDir(dataDir: string, walDir?: string): Inspection {
  const { member, wal, snap } = dataDirPaths(dataDir);
  if (nodeDisk.stat(member)?.isDirectory !== true)
    throw new Error(`${dataDir} is no data directory: no ${member}`);
  const problems: Problem[] = [];
  const attempt = <T>(part: Problem["part"], file: string, read: () => T | null): T | null => {
    try {
      return read();
    } catch (error) {
      problems.push(problemOf(part, file, error));
      return null;
    }
  };
  const walDirectory = walDir ?? wal;
  const survey = walExists(nodeDisk, walDirectory) ? surveyWal(nodeDisk, walDirectory) : undefined;
  if (survey?.damage !== undefined) problems.push(problemOf("log", walDirectory, survey.damage));
  const snapshot = attempt("snapshot", snap, () => newestSnapshot(snap, survey));
  const own = attempt("store", `${member}/CURRENT`, () => ownStore(member));
  const etcdPath = etcdStorePath(member);
  const theirs =
    nodeDisk.stat(etcdPath) === undefined
      ? null
      : attempt("etcd store", etcdPath, () => withBolt(nodeDisk, etcdPath, factsOfBolt));
  const isTheirs = theirs !== null && (theirs.appliedIndex ?? 0) > (own?.appliedIndex ?? 0);
  const hasOwn = nodeDisk.stat(`${member}/CURRENT`) !== undefined;
  return {
    dataDir,
    kind: isTheirs ? "etcd" : hasOwn ? "etcdlike" : nodeDisk.stat(etcdPath) === undefined ? "none" : "etcd",
    log: survey === undefined ? null : logFacts(survey),
    snapshot,
    store: isTheirs ? theirs : (own ?? theirs),
    etcdStore: isTheirs || own === null ? null : theirs,
    problems,
  };
}

function logFacts({ metadata, hardState, firstIndex, lastIndex }: ReturnType<typeof surveyWal>): LogFacts {
  const { term, vote, commit } = hardState;
  return {
    memberId: metadata === undefined ? null : hexId(metadata.nodeId),
    clusterId: metadata === undefined ? null : hexId(metadata.clusterId),
    term,
    vote: hexId(vote),
    commit,
    firstIndex,
    lastIndex,
  };
}

/** The newest one that the log counts. */
function newestSnapshot(
  folder: string,
  survey: ReturnType<typeof surveyWal> | undefined,
): SnapshotFacts | null {
  const record = survey?.snapshots.findLast(({ index }) => index <= survey.hardState.commit);
  if (record === undefined || record.index === 0) return null;
  const reading = readSnapFile(nodeDisk, folder, record);
  const file = `${folder}/${snapName(record)}`;
  if (!reading.ok) throw new FatalError("WAL_DAMAGED", reading.what, { file, index: record.index });
  const { index, term, confState } = reading.snapshot;
  return { index, term, confState: confStateFacts(confState) };
}

/** Null where there is none. */
function ownStore(member: string): StoreFacts | null {
  const current = readWhole(nodeDisk, `${member}/CURRENT`);
  if (current === undefined) return null;
  const name = /^(store-[1-9][0-9]{0,14})\n$/.exec(Buffer.from(current).toString("latin1"))?.[1];
  if (name === undefined)
    throw new Error(`it names no store: ${JSON.stringify(Buffer.from(current).toString())}`);
  const folder = `${member}/${name}`;
  const file = `${folder}/${dataFileName}`;
  if (nodeDisk.stat(file) === undefined)
    throw new FatalError("STORE_DAMAGED", "the file is missing", { file });
  const dataFile = readDataFile(nodeDisk, file);
  const fault = dataFile.isShort ? faultOfFreeList(nodeDisk, file, dataFile) : undefined;
  if (fault !== undefined) {
    throw new FatalError("STORE_DAMAGED", `it ends before its last page: ${fault}`, {
      file,
      offset: dataFile.fileBytes,
    });
  }
  try {
    return factsOfStore(folder);
  } catch (error) {
    throw new FatalError("STORE_DAMAGED", (error as Error).message, { file }, error);
  }
}

function problemOf(part: Problem["part"], file: string, error: unknown): Problem {
  const message = error instanceof Error ? error.message : String(error);
  const details = error instanceof FatalError ? error.details : {};
  return { part, message, file, ...details };
}
