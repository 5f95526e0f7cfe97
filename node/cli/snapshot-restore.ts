// `snapshot restore`: makes the data directory of a new member of a new cluster from a snapshot file, ours or
// etcd's. Keys, leases and alarms are the snapshot's; members come from the flags, with ids derived from them, and
// the log begins with their addition. The directory is built under another name and appears whole at the end.

import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import type { Bucket } from "../lib/backend.ts";
import { textOf, utf8 } from "../lib/bytes.ts";
import type { NodeId } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import { storageVersion } from "../lib/version.ts";
import { bootstrapClusterId, bootstrapMemberId } from "../membership/identity.ts";
import { encodeMember, type Member } from "../membership/member.ts";
import { Members } from "../membership/members.ts";
import { encodeV2Document } from "../membership/v2-document.ts";
import { fillStore } from "../migrate/fill-store.ts";
import type { RecordImport } from "../mvcc/record-import.ts";
import { writeDurableState } from "../replica/durable-state.ts";
import { BoltReader } from "../storage/bbolt/reader.ts";
import { StoredSnapshot } from "../storage/bbolt/snapshot-file.ts";
import { restoringPath } from "../storage/data-dir.ts";
import { makeDirectory, nodeDisk } from "../storage/disk.ts";
import { buildGeneration } from "../storage/lmdb/build-generation.ts";
import { createLog, saveSnapshot, walOptions } from "../storage/wal/open-log.ts";
import { Wal } from "../storage/wal/wal.ts";
import type { ConfState, Entry } from "../wire/raft.ts";
import { raftCodecs } from "../wire/raft-codec.ts";
import { type InitialMember, ownMemberProblem } from "./config.ts";
import { SameUrls } from "./same-urls.ts";

export interface RestoreOptions {
  readonly path: string;
  readonly name: string;
  readonly dataDir: string;
  /** Where the log goes instead of into the data directory. */
  readonly walDir: string | undefined;
  readonly initialCluster: readonly InitialMember[];
  readonly initialClusterToken: string;
  readonly initialAdvertisePeerUrls: readonly string[];
  /** For a file copied from a data directory, which has no sum. */
  readonly skipHashCheck: boolean;
  /** Zero: the revision stays. Otherwise everything up to the new one is compacted. */
  readonly bumpRevision: number;
  readonly log: Logger;
}

const firstTerm = 1;
/** These are the new cluster's own. */
const replacedBuckets: readonly Bucket[] = ["members", "members_removed"];
const replacedMetaKeys = ["consistent_index", "term", "confState"];

interface NewCluster {
  readonly id: bigint;
  /** Sorted by id. */
  readonly members: readonly Member[];
  readonly self: NodeId;
  readonly confState: ConfState;
}

/** Throws an Error or FatalError, and has left nothing behind then. */
export async function restoreSnapshot(options: RestoreOptions): Promise<void> {
  const { path, dataDir, walDir, log } = options;
  const cluster = await newCluster(options);
  checkTarget(options);
  const file = new StoredSnapshot(nodeDisk, path);
  const fields = {
    path,
    "wal-dir": walDir ?? `${dataDir}/member/wal`,
    "data-dir": dataDir,
    "snap-dir": `${dataDir}/member/snap`,
  };
  log.info("restoring snapshot", fields);
  try {
    checkDigest(file, options);
    const reader = new BoltReader(file);
    checkContent(reader);
    await build(reader, cluster, options);
  } finally {
    file.close();
  }
  log.info("restored snapshot", fields);
}

async function newCluster(options: RestoreOptions): Promise<NewCluster> {
  const { initialCluster, initialClusterToken } = options;
  const problem = await ownMemberProblem(options, new SameUrls(options.log));
  if (problem !== undefined) throw new Error(problem);
  const names = [...new Set(initialCluster.map(({ name }) => name))];
  const urls = initialCluster.map(({ url }) => url);
  if (new Set(urls).size < urls.length) throw new Error(`initial cluster has duplicate URLs: ${urls.join()}`);
  const members = names.map((name): Member => {
    const peerUrls = initialCluster
      .filter((one) => one.name === name)
      .map(({ url }) => url)
      .sort();
    const id = bootstrapMemberId(peerUrls, initialClusterToken, sha1);
    return { id, name, peerUrls, clientUrls: [], isLearner: false };
  });
  members.sort((a, b) => (a.id < b.id ? -1 : 1));
  const voters = members.map(({ id }) => id);
  const self = members.find(({ name }) => name === options.name) as Member;
  return {
    id: bootstrapClusterId(voters, sha1),
    members,
    self: self.id,
    confState: { voters, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false },
  };
}

function checkTarget({ dataDir, walDir }: RestoreOptions): void {
  const stat = nodeDisk.stat(dataDir);
  if (stat !== undefined && (!stat.isDirectory || nodeDisk.readdir(dataDir).length > 0)) {
    throw new Error(`data-dir "${dataDir}" not empty or could not be read`);
  }
  if (walDir !== undefined && nodeDisk.stat(walDir) !== undefined)
    throw new Error(`wal-dir "${walDir}" exists`);
}

function checkDigest(file: StoredSnapshot, { skipHashCheck }: RestoreOptions): void {
  if (skipHashCheck) return;
  if (!file.hasDigest) throw new Error("snapshot missing hash but --skip-hash-check=false");
  file.verifyDigest();
}

/** Refuses what is no etcd store, and what a member of this version could not serve as it is meant. */
function checkContent(reader: BoltReader): void {
  for (const bucket of ["key", "meta"]) {
    if (!reader.bucketNames.includes(bucket))
      throw new Error(`not a snapshot of etcd: no bucket "${bucket}"`);
  }
  const isAuthEnabled = recordOf(reader, "auth", "authEnabled")?.[0] === 1;
  if (isAuthEnabled) {
    throw new Error(
      "the snapshot has auth enabled, which is not implemented yet: it is never served without",
    );
  }
  const version = textOf(recordOf(reader, "meta", "storageVersion") ?? utf8(storageVersion));
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [ownMajor = 0, ownMinor = 0] = storageVersion.split(".").map(Number);
  if (major > ownMajor || (major === ownMajor && minor > ownMinor)) {
    throw new Error(
      `the snapshot has storage version ${version}, this version reads up to ${storageVersion}`,
    );
  }
}

function recordOf(reader: BoltReader, bucket: Bucket, name: string): Uint8Array | undefined {
  for (const { key, value } of reader.records(bucket)) if (textOf(key) === name) return value;
  return undefined;
}

async function build(reader: BoltReader, cluster: NewCluster, options: RestoreOptions): Promise<void> {
  const { dataDir, walDir } = options;
  const building = restoringPath(dataDir);
  makeDirectory(nodeDisk, building);
  try {
    await buildStore(reader, building, cluster, options);
    buildLog({ disk: nodeDisk, memberDir: building, walDir }, cluster);
    nodeDisk.rename(building, `${dataDir}/member`);
    nodeDisk.fsyncDir(dataDir);
  } catch (error) {
    rmSync(building, { recursive: true, force: true });
    if (walDir !== undefined) rmSync(walDir, { recursive: true, force: true });
    throw error;
  }
}

async function buildStore(
  reader: BoltReader,
  memberPath: string,
  cluster: NewCluster,
  options: RestoreOptions,
): Promise<void> {
  const isCopied = (bucket: Bucket, name: string): boolean =>
    !replacedBuckets.includes(bucket) && !(bucket === "meta" && replacedMetaKeys.includes(name));
  await buildGeneration(memberPath, (engine) =>
    fillStore(engine, reader, {
      isCopied,
      complete(backend, records) {
        if (options.bumpRevision > 0) bump(records, options);
        const members = new Members(backend);
        for (const member of cluster.members) members.add(member);
        backend.put("meta", utf8("storageVersion"), utf8(storageVersion));
        const { confState } = cluster;
        writeDurableState(backend, { index: cluster.members.length, term: firstTerm, confState });
      },
    }),
  );
}

function bump(records: RecordImport, { bumpRevision, log }: RestoreOptions): void {
  const from = records.revision;
  const to = records.bump(bumpRevision);
  log.info("bumping latest revision", {
    "latest-revision": from,
    "bump-amount": bumpRevision,
    "new-latest-revision": to,
  });
}

/** The additions of all members, committed, and a snapshot behind them: what a member of that cluster starts with. */
function buildLog(options: Parameters<typeof createLog>[0], cluster: NewCluster): void {
  const { members, confState, self, id } = cluster;
  const { position } = createLog(options, { nodeId: self, clusterId: id });
  const wal = new Wal(walOptions(options), position);
  const entries = members.map((member, i) => additionOf(member, i + 1));
  for (const entry of entries) wal.appendEntry(entry);
  const commit = entries.length;
  wal.appendHardState({ term: firstTerm, vote: (members[0] as Member).id, commit });
  const data = utf8(encodeV2Document(members, undefined));
  saveSnapshot(wal, options, { index: commit, term: firstTerm, confState, data }, 0);
  wal.close();
}

function additionOf(member: Member, index: number): Entry {
  const data = raftCodecs.ConfChange.encode({
    id: 0n,
    type: "ConfChangeAddNode",
    nodeId: member.id,
    context: utf8(encodeMember(member)),
  });
  return { type: "EntryConfChange", term: firstTerm, index, data };
}

function sha1(bytes: Uint8Array): Uint8Array {
  return createHash("sha1").update(bytes).digest();
}
