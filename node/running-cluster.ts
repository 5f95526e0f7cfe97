// What others answer to a member that begins: which cluster they are, and who is in it.

import { FatalError } from "./lib/fatal.ts";
import { hexId, noNode } from "./lib/ids.ts";
import { type Logger, silentLogger } from "./lib/log.ts";
import { decodeMembers, type Member } from "./membership/member.ts";
import { realClock } from "./observe/real-clock.ts";
import { type Connect, Dialer } from "./peer/dialer.ts";
import { PeerCalls } from "./peer/peer-calls.ts";
import { silentPeerMetrics } from "./peer/port.ts";
import { defaultLimits } from "./peer/settings.ts";

export interface RunningCluster {
  /** Who answered. */
  readonly url: string;
  readonly clusterId: bigint;
  readonly members: readonly Member[];
}

/** etcd waits so long for the members it asks. */
const askTimeoutMs = 5000;
/** A member with data does not depend on the answer, so a peer that is out of reach should not hold it up. */
const checkTimeoutMs = 1000;

/** Calls of a member that is nobody yet: what it asks needs no name. */
export function strangerCalls(dialer: Dialer, logger: Logger, timeoutMs = askTimeoutMs): PeerCalls {
  const { dialTimeoutMs } = defaultLimits;
  return new PeerCalls({
    local: { nodeId: noNode, clusterId: 0n, peerUrls: () => [] },
    raft: {
      receive() {},
      receiveUnproven() {},
      isRemoved: () => false,
      reportUnreachable() {},
      reportGone() {},
      reportSnapshot() {},
      onRemoved() {},
    },
    snapshots: undefined,
    clock: realClock,
    logger,
    metrics: silentPeerMetrics,
    limits: {
      ...defaultLimits,
      dialTimeoutMs: Math.min(dialTimeoutMs, timeoutMs),
      requestAnswerMs: timeoutMs,
    },
    dialer,
  });
}

/** The cluster as the first member knows it that answers; undefined when none does. */
export async function clusterAt(
  urls: readonly string[],
  calls: PeerCalls,
  log: Logger,
): Promise<RunningCluster | undefined> {
  for (const url of [...urls].sort()) {
    try {
      return await askedOf(url, calls);
    } catch (error) {
      log.warn("failed to get cluster response", { address: `${url}/members`, error });
    }
  }
  return undefined;
}

export interface OwnCluster {
  readonly clusterId: bigint;
  /** Where this member says it is. */
  readonly peerUrls: readonly string[];
  readonly dataDir: string;
}

/**
 * Holds the data that a member found against those who answer at `urls`. A cluster that has this member's place for
 * another than the one its data is of gets nothing from it: the data is some other member's, or from before the
 * cluster was made anew. Rejects with a FatalError CLUSTER_MISMATCH. Who does not answer at once is not waited for.
 */
export async function checkOwnCluster(
  { clusterId, peerUrls, dataDir }: OwnCluster,
  urls: readonly string[],
  connect: Connect,
): Promise<void> {
  const dialer = new Dialer({ connect });
  try {
    const calls = strangerCalls(dialer, silentLogger, checkTimeoutMs);
    const answers = await Promise.allSettled(urls.map((url) => askedOf(url, calls)));
    for (const answer of answers) {
      if (answer.status === "rejected" || answer.value.clusterId === clusterId) continue;
      const { url, members } = answer.value;
      const place = members.find((member) => member.peerUrls.some((one) => peerUrls.includes(one)));
      if (place === undefined) continue;
      throw new FatalError(
        "CLUSTER_MISMATCH",
        `the data in ${dataDir} is of the cluster ${hexId(clusterId)}, but ${url} has member ${hexId(place.id)} ` +
          `at ${place.peerUrls.join(",")} in the cluster ${hexId(answer.value.clusterId)}`,
        { file: dataDir },
      );
    }
  } finally {
    dialer.close();
  }
}

export function describe({ clusterId, members }: RunningCluster): string {
  const texts = members.map(({ id, peerUrls }) => `${hexId(id)}=[${peerUrls.join(" ")}]`);
  return `{ClusterID:${hexId(clusterId)} Members:[${texts.join(" ")}]}`;
}

async function askedOf(url: string, calls: PeerCalls): Promise<RunningCluster> {
  const { clusterId, membersJson } = await calls.members(new URL(url));
  return { url, clusterId, members: decodeMembers(membersJson) };
}
