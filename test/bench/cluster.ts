// Three members on this machine: load on all of them at once, and how long a cluster is without its leader.
import { TestClient } from "../conformance/client.ts";
import type { Message } from "../conformance/messages.ts";
import { Cluster } from "../tools/cluster.ts";
import type { Member, MemberKind } from "../tools/member.ts";
import {
  benchmark,
  type GrpcCall,
  h2load,
  h2loadLatencies,
  type Latencies,
  type LoadResult,
  timedDivisor,
  warmUpDivisor,
} from "./load.ts";
import { usageOf } from "./process.ts";

const memberCount = 3;
const valueBytes = 256;
const value = "v".repeat(valueBytes);
const leaderTimeoutMs = 60_000;
const pollMs = 20;
const probeIntervalMs = 5;

export interface ClusterFigure {
  readonly workload: string;
  readonly measure: string;
  readonly value: number;
}

interface ClusterWorkload {
  readonly name: string;
  readonly calls: number;
  readonly run: (members: ClusterMembers, calls: number) => Promise<LoadResult & Partial<Latencies>>;
  /** Where `run` tells no latencies. */
  readonly timed?: (members: ClusterMembers, calls: number) => Promise<Latencies>;
}

interface ClusterMembers {
  readonly leader: Member;
  readonly follower: Member;
  readonly all: readonly Member[];
}

const many = { connections: 10, streams: 100 };
const putCall = { path: "/etcdserverpb.KV/Put", type: "PutRequest", request: { key: "bench", value } };
const rangeCall = { path: "/etcdserverpb.KV/Range", type: "RangeRequest", request: { key: "bench" } };

function loadOn(role: "leader" | "follower", call: GrpcCall): Pick<ClusterWorkload, "run" | "timed"> {
  return {
    run: (members, calls) => h2load(members[role], call, calls, many),
    timed: (members, calls) => h2loadLatencies(members[role], call, calls, many),
  };
}

const workloads: readonly ClusterWorkload[] = [
  {
    name: "3 members, put at the leader, h2load, 10 x 100",
    calls: 200_000,
    ...loadOn("leader", putCall),
  },
  {
    name: "3 members, put at a follower, h2load, 10 x 100",
    calls: 100_000,
    ...loadOn("follower", putCall),
  },
  {
    name: "3 members, put at all, benchmark, 10 x 10",
    calls: 50_000,
    run: ({ all }, calls) => {
      const keys = ["--sequential-keys", "--key-space-size", String(calls), "--key-size", "16"];
      const args = ["put", "--total", String(calls), "--val-size", String(valueBytes), ...keys];
      const endpoint = all.map((member) => member.endpoint).join(",");
      return benchmark({ endpoint }, args, calls, { connections: 10, streams: 10 });
    },
  },
  {
    name: "3 members, linearizable range at the leader, h2load, 10 x 100",
    calls: 100_000,
    ...loadOn("leader", rangeCall),
  },
  {
    name: "3 members, linearizable range at a follower, h2load, 10 x 100",
    calls: 100_000,
    ...loadOn("follower", rangeCall),
  },
];

/** One round on a new cluster of one kind. */
export async function measureCluster(
  kind: MemberKind,
  callsDivisor: number,
): Promise<readonly ClusterFigure[]> {
  const kinds = Array.from({ length: memberCount }, () => kind);
  const cluster = await Cluster.start({ kinds, isVerified: false });
  try {
    const figures: ClusterFigure[] = [];
    for (const workload of workloads) {
      const members = await rolesOf(cluster);
      const calls = Math.ceil(workload.calls / callsDivisor);
      await workload.run(members, Math.ceil(calls / warmUpDivisor));
      const before = await cpuSeconds(members.all);
      const result = await workload.run(members, calls);
      const cpu = (await cpuSeconds(members.all)) - before;
      const add = (measure: string, figure: number) =>
        figures.push({ workload: workload.name, measure, value: figure });
      add("calls/s", result.callsPerSecond);
      const latencies = await workload.timed?.(members, Math.ceil(calls / timedDivisor));
      const { p50Ms = Number.NaN, p99Ms = Number.NaN } = latencies ?? result;
      add("p50 ms", p50Ms);
      add("p99 ms", p99Ms);
      add("CPU us/call, all members", (cpu / result.calls) * 1e6);
    }
    return figures;
  } finally {
    await cluster.stop();
  }
}

/** From SIGKILL of the leader until a write sent after it is acknowledged, once a kill. */
export async function measureFailover(kind: MemberKind, kills: number): Promise<readonly number[]> {
  const cluster = await Cluster.start({
    kinds: Array.from({ length: memberCount }, () => kind),
    isVerified: false,
  });
  try {
    const tookMs: number[] = [];
    for (let kill = 0; kill < kills; kill++) {
      const { leader, all } = await rolesOf(cluster);
      const dead = cluster.members.find(({ process }) => process === leader);
      if (dead === undefined) throw new Error("the leader is a member of the cluster");
      const killedAt = performance.now();
      await cluster.kill(dead);
      const survivors = all.filter((member) => member !== leader);
      tookMs.push((await firstWriteAt(survivors)) - killedAt);
      await cluster.run(dead, "new");
    }
    return tookMs;
  } finally {
    await cluster.stop();
  }
}

async function firstWriteAt(survivors: readonly Member[]): Promise<number> {
  const clients = survivors.map(({ endpoint }) => new TestClient(endpoint));
  let acknowledgedAt: number | undefined;
  const end = performance.now() + leaderTimeoutMs;
  while (acknowledgedAt === undefined) {
    if (performance.now() > end) throw new Error(`no write acknowledged within ${leaderTimeoutMs} ms`);
    for (const client of clients)
      void client.call("Put", { key: "bench", value }).then(({ ok }) => {
        if (ok) acknowledgedAt ??= performance.now();
      });
    await sleep(probeIntervalMs);
  }
  for (const client of clients) client.close();
  return acknowledgedAt;
}

/** Once all running members agree on a leader. */
async function rolesOf(cluster: Cluster): Promise<ClusterMembers> {
  const all = cluster.members.flatMap(({ process }) => process ?? []);
  const end = performance.now() + leaderTimeoutMs;
  while (performance.now() < end) {
    const claims = await Promise.all(all.map(claimOf));
    const leader = all[claims.findIndex((claim) => claim?.isOwn === true)];
    const isAgreed = new Set(claims.map((claim) => claim?.leader)).size === 1;
    const follower = all.find((member) => member !== leader);
    if (leader !== undefined && follower !== undefined && isAgreed) return { leader, follower, all };
    await sleep(pollMs);
  }
  throw new Error(`no leader that all agree on within ${leaderTimeoutMs} ms`);
}

async function claimOf({
  endpoint,
}: Member): Promise<{ readonly leader: unknown; readonly isOwn: boolean } | undefined> {
  const client = new TestClient(endpoint);
  const outcome = await client.call("Status", {});
  client.close();
  if (!outcome.ok) return undefined;
  const leader = outcome.response["leader"];
  return { leader, isOwn: leader === (outcome.response["header"] as Message)["member_id"] };
}

async function cpuSeconds(members: readonly Member[]): Promise<number> {
  let sum = 0;
  for (const member of members) sum += (await usageOf(member)).cpuSeconds;
  return sum;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
