// How a member without data begins: as one of the first members of a cluster, or as one that was added to a running
// cluster. Both ask the other members first: whoever has run before and lost its data has forgotten its vote, and
// must never come back under its id.

import { createHash } from "node:crypto";
import type { InitialMember, MemberConfig } from "./cli/config.ts";
import { ownMemberProblem } from "./cli/config.ts";
import { isSameList, SameUrls } from "./cli/same-urls.ts";
import { utf8 } from "./lib/bytes.ts";
import { FatalError } from "./lib/fatal.ts";
import { hexId, type NodeId } from "./lib/ids.ts";
import type { Logger } from "./lib/log.ts";
import { compatibleVersion } from "./lib/version.ts";
import { compareVersions, parseVersion, versionOf } from "./membership/cluster-version.ts";
import { bootstrapClusterId, bootstrapMemberId } from "./membership/identity.ts";
import { encodeMember, type Member } from "./membership/member.ts";
import { type Connect, Dialer } from "./peer/dialer.ts";
import type { PeerCalls } from "./peer/peer-calls.ts";
import type { LogContents } from "./replica/log-store.ts";
import { clusterAt, describe, strangerCalls } from "./running-cluster.ts";
import type { Entry } from "./wire/raft.ts";
import { raftCodecs } from "./wire/raft-codec.ts";

export interface Beginning {
  readonly nodeId: NodeId;
  readonly clusterId: bigint;
  /** Members of the cluster that this one joins, itself too; empty when it begins with its cluster. */
  readonly existing: readonly Member[];
}

/** Rejects with the text that etcd would log, or a FatalError DATA_LOST or CLUSTER_MISMATCH. */
export async function beginMember(config: MemberConfig, connect: Connect, log: Logger): Promise<Beginning> {
  const sameUrls = new SameUrls(log);
  const isNew = config.initialClusterState === "new";
  const problem = isNew ? await ownMemberProblem(config, sameUrls) : ownNameProblem(config);
  if (problem !== undefined) throw new Error(problem);
  checkDuplicateUrls(config.initialCluster);
  const dialer = new Dialer({ connect });
  try {
    const calls = strangerCalls(dialer, log);
    return isNew ? await beginCluster(config, calls, log) : await joinCluster(config, calls, sameUrls, log);
  } finally {
    dialer.close();
  }
}

/**
 * The first entries of a cluster that begins: the additions of its members, in the bytes that etcd writes. None for a
 * member that has begun, or that joined. A log with entries but no term was cut while they were written, before
 * anybody counted on them: they are written again, from the first.
 */
export function firstEntries(config: MemberConfig, contents: LogContents): readonly Entry[] {
  const { hardState, snapshot, nodeId, clusterId } = contents;
  if (hardState.term > 0 || snapshot.index > 0) return [];
  const initial = initialMembers(config);
  const isFirst = initial.members.some(({ id }) => id === nodeId) && initial.clusterId === clusterId;
  if (!isFirst || config.initialClusterState !== "new") return [];
  return initial.members.map((member, at) => {
    const context = utf8(encodeMember(member));
    const data = raftCodecs.ConfChange.encode({
      id: 0n,
      type: "ConfChangeAddNode",
      nodeId: member.id,
      context,
    });
    return { type: "EntryConfChange", term: 1, index: at + 1, data };
  });
}

/** The members that the flags name, by ascending id, and the id of their cluster. */
function initialMembers({ initialCluster, initialClusterToken }: MemberConfig): {
  readonly members: readonly Member[];
  readonly clusterId: bigint;
} {
  const members = [...urlsByName(initialCluster)].map(([name, peerUrls]): Member => {
    const id = bootstrapMemberId(peerUrls, initialClusterToken, sha1);
    return { id, name, peerUrls, clientUrls: [], isLearner: false };
  });
  members.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  const ids = members.map(({ id }) => id);
  return { members, clusterId: bootstrapClusterId(ids, sha1) };
}

async function beginCluster(config: MemberConfig, calls: PeerCalls, log: Logger): Promise<Beginning> {
  const { members, clusterId } = initialMembers(config);
  const own = members.find(({ name }) => name === config.name) as Member;
  const others = members.filter(({ id }) => id !== own.id).flatMap(({ peerUrls }) => peerUrls);
  const running = await clusterAt(others, calls, log);
  const known = running?.members.find(
    ({ id, peerUrls }) => id === own.id || isSameList(peerUrls, own.peerUrls),
  );
  if (known !== undefined && known.clientUrls.length > 0) throw dataLost(known, config);
  // Real members would begin, and be refused by the others for good.
  if (running !== undefined && running.clusterId !== clusterId) {
    throw new FatalError(
      "CLUSTER_MISMATCH",
      `the members of --initial-cluster with --initial-cluster-token make the cluster ${hexId(clusterId)}, ` +
        `but ${running.url} is of the cluster ${describe(running)}`,
    );
  }
  return { nodeId: own.id, clusterId, existing: [] };
}

async function joinCluster(
  config: MemberConfig,
  calls: PeerCalls,
  sameUrls: SameUrls,
  log: Logger,
): Promise<Beginning> {
  const byName = urlsByName(config.initialCluster);
  const others = [...byName].filter(([name]) => name !== config.name).flatMap(([, urls]) => urls);
  const running = await clusterAt(others, calls, log);
  if (running === undefined) {
    throw new Error(
      "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs",
    );
  }
  const { members, clusterId } = running;
  if (members.length !== byName.size) {
    throw new Error(
      `error validating peerURLs ${describe(running)}: member count is unequal ` +
        `(the cluster has ${members.length}, --initial-cluster names ${byName.size})`,
    );
  }
  let own: Member | undefined;
  for (const member of members) {
    const name = await nameAt(member.peerUrls, byName, sameUrls);
    if (name === undefined) {
      throw new Error(
        `error validating peerURLs ${describe(running)}: PeerURLs: no match found for existing member ` +
          `(${hexId(member.id)}, [${member.peerUrls.join(" ")}])`,
      );
    }
    if (name === config.name) own = member;
  }
  if (own === undefined) {
    throw new Error(
      `error validating peerURLs ${describe(running)}: no member has the URLs of ${config.name}`,
    );
  }
  if (own.name !== "" || own.clientUrls.length > 0) throw dataLost(own, config);
  await checkVersions(others, calls, log);
  return { nodeId: own.id, clusterId, existing: members };
}

/** Names are looked up only where no text is the same: those of members that are down may be unknown. */
async function nameAt(
  peerUrls: readonly string[],
  byName: ReadonlyMap<string, readonly string[]>,
  sameUrls: SameUrls,
): Promise<string | undefined> {
  for (const [name, urls] of byName) if (isSameList(urls, peerUrls)) return name;
  for (const [name, urls] of byName) {
    if ((await sameUrls.difference(urls, peerUrls)) === undefined) return name;
  }
  return undefined;
}

async function checkVersions(urls: readonly string[], calls: PeerCalls, log: Logger): Promise<void> {
  for (const url of urls) {
    let cluster: string | undefined;
    try {
      ({ cluster } = await calls.versions(new URL(url)));
    } catch (error) {
      log.warn("failed to get version from remote peer", { address: url, error });
      continue;
    }
    const version = cluster === undefined ? undefined : parseVersion(cluster);
    if (version === undefined || compareVersions(version, versionOf(compatibleVersion)) <= 0) continue;
    throw new Error(
      `incompatible with current running cluster: its version is ${cluster}, this member's ${compatibleVersion}`,
    );
  }
}

function ownNameProblem({ name, initialCluster }: MemberConfig): string | undefined {
  if (initialCluster.some((member) => member.name === name)) return undefined;
  return `couldn't find local name "${name}" in the initial cluster configuration`;
}

function checkDuplicateUrls(initialCluster: readonly InitialMember[]): void {
  const urls = initialCluster.map(({ url }) => url);
  if (new Set(urls).size === urls.length) return;
  const text = [...initialCluster].map(({ name, url }) => `${name}=${url}`).sort();
  throw new Error(`initial cluster ${text.join(",")} has duplicate url`);
}

function dataLost(member: Member, config: MemberConfig): FatalError {
  return new FatalError(
    "DATA_LOST",
    `member ${hexId(member.id)} has already been bootstrapped: the cluster lists it as ` +
      `"${member.name}" at ${member.clientUrls.join(",")}, but ${config.dataDir} is empty; ` +
      "remove it from the cluster and add it again",
    { file: config.dataDir },
  );
}

function urlsByName(initialCluster: readonly InitialMember[]): Map<string, string[]> {
  const byName = new Map<string, string[]>();
  for (const { name, url } of initialCluster) {
    const urls = byName.get(name);
    if (urls === undefined) byName.set(name, [url]);
    else urls.push(url);
  }
  // etcd keeps the URLs of a member sorted.
  for (const urls of byName.values()) urls.sort();
  return byName;
}

function sha1(bytes: Uint8Array): Uint8Array {
  return createHash("sha1").update(bytes).digest();
}
