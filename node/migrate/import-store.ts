// Takes over the data directory of a real etcd: its log stays in use, its store becomes a generation of ours, and the
// original is only read and kept. Both stores are states of one log, so the one that has applied more of it is the
// one that counts, whoever ran last: when a real etcd ran again after the takeover and its store is ahead now, it is
// taken over again. Nothing older than what was acknowledged can be served: what the store lacks is in the log, and a
// store that the log does not fit to is refused.
//
// A crash leaves no generation of the import, and the next start does it again, or the finished switch. Tested
// against directories of etcd 3.5, 3.6 and 3.7.

import { FatalError } from "../lib/fatal.ts";
import { hexId } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import { Members } from "../membership/members.ts";
import { writeDurableState } from "../replica/durable-state.ts";
import type { LogContents } from "../replica/log-store.ts";
import { BoltError } from "../storage/bbolt/format.ts";
import { BoltReader } from "../storage/bbolt/reader.ts";
import { StoredSnapshot } from "../storage/bbolt/snapshot-file.ts";
import { nodeDisk } from "../storage/disk.ts";
import { refuseWhileEtcdRuns } from "../storage/etcd-lock.ts";
import { buildGeneration } from "../storage/lmdb/build-generation.ts";
import { hex16 } from "../storage/wal/segments.ts";
import type { ConfState } from "../wire/raft.ts";
import { checkTakeover, type EtcdStore, etcdStorePath, readEtcdStore } from "./etcd-store.ts";
import { fillStore } from "./fill-store.ts";
import { storedState } from "./stored-state.ts";

export interface Takeover {
  /** What our own store has applied; 0 without one. */
  readonly ownIndex: number;
  /** The store of a real etcd that is ahead of it. */
  readonly store: EtcdStore | undefined;
}

interface Place {
  /** The folder `member`, locked by this process, with no store in it open. */
  readonly memberPath: string;
  /** In which the log lies. */
  readonly walDirectory: string;
}

/**
 * Whether there is something to take over. Undefined in a directory in which no real etcd was. Nothing that etcd
 * wrote is changed. Rejects with a FatalError: LOCKED while an etcd runs on the directory, UNKNOWN_ENTRY for what this
 * version cannot serve as it is meant, STORE_DAMAGED when etcd's store cannot be read and there is none of ours.
 */
export async function planTakeover(
  { memberPath, walDirectory }: Place,
  log: Logger,
): Promise<Takeover | undefined> {
  const path = etcdStorePath(memberPath);
  if (nodeDisk.stat(path) === undefined) return undefined;
  refuseWhileEtcdRuns(nodeDisk, walDirectory);
  const ownIndex = (await storedState(memberPath))?.index ?? 0;
  let store: EtcdStore;
  try {
    store = readEtcdStore(nodeDisk, path);
  } catch (error) {
    const damage = damaged(path, error);
    if (ownIndex === 0) throw damage;
    log.warn("the store of a real etcd cannot be read; going on with our own", {
      path,
      error: damage.message,
    });
    return { ownIndex, store: undefined };
  }
  if (store.index <= ownIndex) return { ownIndex, store: undefined };
  checkTakeover(store);
  return { ownIndex, store };
}

/**
 * Does what was planned, unless a snapshot that our own member received got its store meanwhile. `contents` is what the
 * log holds. Rejects with a FatalError, and has changed nothing then.
 */
export async function takeOver(
  { memberPath }: Place,
  plan: Takeover,
  contents: LogContents,
  log: Logger,
): Promise<void> {
  const ownIndex = (await storedState(memberPath))?.index ?? 0;
  const store = receivedStore(memberPath, { ...plan, ownIndex }, contents) ?? plan.store;
  if (store === undefined || store.index <= ownIndex) return;
  const term = termInLog(contents, store.index);
  checkPosition(store, term, contents);
  const fields = { path: store.path, "consistent-index": store.index, "applied-index": ownIndex };
  log.info("taking over the store of a real etcd", fields);
  const file = new StoredSnapshot(nodeDisk, store.path);
  try {
    const reader = new BoltReader(file);
    await buildGeneration(memberPath, (engine) =>
      fillStore(engine, reader, {
        complete(backend) {
          const members = new Members(backend);
          const confState = store.confState ?? confStateOf(members);
          alignMembers(members, confState, log);
          // The configuration is part of the hash over everything: what etcd wrote stays as it is.
          if (store.term === undefined || store.confState === undefined)
            writeDurableState(backend, { index: store.index, term, confState });
        },
      }),
    );
  } catch (error) {
    throw damaged(store.path, error);
  } finally {
    file.close();
  }
  log.info("took over the store of a real etcd", fields);
}

/**
 * etcd received a snapshot from its leader and was ended before it put the store of it into place: the log begins
 * behind the snapshot, and its store still has a name of its own.
 */
function receivedStore(
  memberPath: string,
  { ownIndex, store }: Takeover,
  { snapshot }: LogContents,
): EtcdStore | undefined {
  if (snapshot.index <= Math.max(ownIndex, store?.index ?? 0)) return undefined;
  const path = `${memberPath}/snap/${hex16(snapshot.index)}.snap.db`;
  if (nodeDisk.stat(path) === undefined) return undefined;
  let received: EtcdStore;
  try {
    received = readEtcdStore(nodeDisk, path);
  } catch (error) {
    throw damaged(path, error);
  }
  checkTakeover(received);
  return received;
}

/** 0 where the log has no such entry. */
function termInLog({ snapshot, entries }: LogContents, index: number): number {
  if (index === snapshot.index) return snapshot.term;
  return entries[index - snapshot.index - 1]?.term ?? 0;
}

function checkPosition({ path, index, term }: EtcdStore, termInLog: number, contents: LogContents): void {
  if (termInLog > 0 && (term ?? termInLog) === termInLog) return;
  const found = termInLog === 0 ? "no such entry" : `term ${termInLog} there`;
  const first = contents.snapshot.index + 1;
  throw new FatalError(
    "STORE_DAMAGED",
    `${path} has applied index ${index} of term ${term}, the log has ${found} ` +
      `(a snapshot of index ${first - 1} and entries from ${first} to ${first + contents.entries.length - 1})`,
    { file: path, index },
  );
}

function confStateOf(members: Members): ConfState {
  const ids = (isLearner: boolean) =>
    members
      .list()
      .filter((member) => member.isLearner === isLearner)
      .map(({ id }) => id);
  return {
    voters: ids(false),
    learners: ids(true),
    votersOutgoing: [],
    learnersNext: [],
    autoLeave: false,
  };
}

/**
 * etcd 3.5 kept the members in two stores, and some releases of it forgot to write a promotion or a removal to this
 * one. Raft's configuration was right all the time.
 */
function alignMembers(members: Members, { voters, learners }: ConfState, log: Logger): void {
  for (const { id, isLearner } of members.list()) {
    if (isLearner && voters.includes(id)) {
      log.warn("a stored learner is a voter in the configuration", { "member-id": hexId(id) });
      members.promote(id);
    } else if (!voters.includes(id) && !learners.includes(id)) {
      log.warn("a stored member is not in the configuration", { "member-id": hexId(id) });
      members.remove(id);
    }
  }
}

function damaged(path: string, error: unknown): FatalError {
  if (error instanceof FatalError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const what = error instanceof BoltError ? text : `it cannot be taken over: ${text}`;
  return new FatalError("STORE_DAMAGED", `${path}: ${what}`, { file: path }, error);
}
