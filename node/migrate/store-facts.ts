// What a store says of itself, ours or etcd's, in a form for people and scripts. Run as a program it reads the store
// of ours in the folder it is given: a file damaged below the records may make LMDB kill the process that reads it,
// so whoever must not end does this in a child.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { BackendReader, Bucket } from "../lib/backend.ts";
import { emptyBytes, textOf } from "../lib/bytes.ts";
import { hexId } from "../lib/ids.ts";
import { decodeMember } from "../membership/member.ts";
import { mainOf } from "../mvcc/revision.ts";
import { counterOf, decodeConfState } from "../replica/durable-state.ts";
import type { BoltReader } from "../storage/bbolt/reader.ts";
import { Environment } from "../storage/lmdb/environment.ts";
import { StoreReader } from "../storage/lmdb/reader.ts";
import type { ConfState } from "../wire/raft.ts";
import { recordsOf } from "./etcd-store.ts";

export interface StoreFacts {
  /** Null: not stored. */
  readonly appliedIndex: number | null;
  readonly appliedTerm: number | null;
  readonly revision: number | null;
  readonly compactRevision: number | null;
  readonly storageVersion: string | null;
  readonly clusterVersion: string | null;
  readonly authEnabled: boolean;
  readonly confState: ConfStateFacts | null;
  readonly members: readonly MemberFacts[];
  readonly removedMembers: readonly string[];
}

export interface ConfStateFacts {
  readonly voters: readonly string[];
  readonly learners: readonly string[];
}

export interface MemberFacts {
  readonly id: string;
  readonly name: string;
  readonly peerURLs: readonly string[];
  readonly clientURLs: readonly string[];
  readonly isLearner: boolean;
}

/** The records of the small buckets, and the last key of the large one. */
interface Contents {
  readonly small: (bucket: Bucket) => ReadonlyMap<string, Uint8Array>;
  readonly lastRecordKey: Uint8Array | undefined;
}

/** Throws BoltError. */
export function factsOfBolt(reader: BoltReader): StoreFacts {
  return factsOf({
    small: (bucket) => recordsOf(reader, bucket),
    lastRecordKey: reader.lastKey("key"),
  });
}

/** Throws an Error that says why the store cannot be read. */
export function factsOfStore(folder: string): StoreFacts {
  const file = fileURLToPath(import.meta.url);
  const result = spawnSync(process.execPath, [file, folder], { encoding: "utf8", maxBuffer: 1 << 26 });
  if (result.error !== undefined) throw result.error;
  if (result.signal !== null) throw new Error(`reading it ends with ${result.signal}`);
  if (result.status !== 0) throw new Error(result.stderr.trim());
  return JSON.parse(result.stdout) as StoreFacts;
}

function readStore(folder: string): StoreFacts {
  const environment = new Environment(folder, { readOnly: true });
  const reader = new StoreReader({ environment, file: folder, onFatal: () => {} });
  try {
    return factsOf({
      small: (bucket) => smallBucket(reader, bucket),
      lastRecordKey: lastKey(reader, "key"),
    });
  } finally {
    reader.close();
    environment.close(() => {});
  }
}

function smallBucket(reader: Pick<BackendReader, "cursor">, bucket: Bucket): ReadonlyMap<string, Uint8Array> {
  const records = new Map<string, Uint8Array>();
  const cursor = reader.cursor(bucket, { start: emptyBytes });
  while (cursor.next()) records.set(textOf(cursor.key), cursor.value);
  cursor.close();
  return records;
}

function lastKey(reader: Pick<BackendReader, "cursor">, bucket: Bucket): Uint8Array | undefined {
  const cursor = reader.cursor(bucket, { start: emptyBytes, reverse: true });
  const key = cursor.next() ? cursor.key : undefined;
  cursor.close();
  return key;
}

function factsOf({ small, lastRecordKey }: Contents): StoreFacts {
  const meta = small("meta");
  const cluster = small("cluster");
  const confState = textIn(meta, "confState");
  // What is below it cannot be read from the moment on at which it is scheduled.
  const compacted = meta.get("scheduledCompactRev");
  return {
    appliedIndex: counterIn(meta, "consistent_index"),
    appliedTerm: counterIn(meta, "term"),
    revision: lastRecordKey === undefined ? null : mainOf(lastRecordKey),
    compactRevision: compacted === undefined ? null : mainOf(compacted),
    storageVersion: textIn(meta, "storageVersion"),
    clusterVersion: textIn(cluster, "clusterVersion"),
    authEnabled: small("auth").get("authEnabled")?.[0] === 1,
    confState: confState === null ? null : confStateFacts(decodeConfState(confState)),
    members: [...small("members").values()].map((value) => {
      const { id, name, peerUrls, clientUrls, isLearner } = decodeMember(textOf(value));
      return { id: hexId(id), name, peerURLs: peerUrls, clientURLs: clientUrls, isLearner };
    }),
    removedMembers: [...small("members_removed").keys()],
  };
}

export function confStateFacts({ voters, learners }: ConfState): ConfStateFacts {
  return { voters: voters.map(hexId), learners: learners.map(hexId) };
}

function textIn(records: ReadonlyMap<string, Uint8Array>, name: string): string | null {
  const value = records.get(name);
  return value === undefined ? null : textOf(value);
}

function counterIn(records: ReadonlyMap<string, Uint8Array>, name: string): number | null {
  const value = records.get(name);
  return value === undefined ? null : counterOf(value);
}

if (import.meta.main) {
  try {
    process.stdout.write(JSON.stringify(readStore(process.argv[2] ?? "")));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  }
}
