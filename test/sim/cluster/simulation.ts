// A run of one seed: a cluster of one, three or five members under virtual time, with everything going wrong that
// chance chooses (faults.ts), and clients that work on it (clients.ts). First only safety is asked for; then the faults
// end, and the cluster has to make progress and to be one again.

import { hexId, type NodeId, nodeId, noLease } from "../../../node/lib/ids.ts";
import { SeededRandom } from "../../../node/lib/random.ts";
import type { Replica } from "../../../node/replica/replica.ts";
import { Clients } from "./clients.ts";
import { firstEntries, newestOf, SimCluster } from "./cluster.ts";
import { Faults } from "./faults.ts";
import type { RuleName } from "./rules.ts";
import { drawSettings } from "./settings.ts";
import type { MemberDefect } from "./sim-member.ts";

export interface ClusterRunOptions {
  readonly seed: number;
  readonly events: number;
  /** Of every member. A new one for each run, as it may remember. */
  readonly defect?: MemberDefect;
  readonly print?: (line: string) => void;
}

export interface ClusterRunResult {
  readonly seed: number;
  readonly members: number;
  readonly events: number;
  readonly virtualMs: number;
  readonly asked: ReadonlyMap<RuleName, number>;
  readonly happened: ReadonlyMap<string, number>;
}

const livenessMs = 60_000;
/** One run of so many waits until every lease has expired that nobody renews: it takes time. */
const leaseRuns = 16;
/** A write may have been lost with its leader. */
const askAgainMs = 10_000;

/** Throws RuleBroken, or what an assertion of a member throws. */
export function runCluster(options: ClusterRunOptions): ClusterRunResult {
  return new ClusterSimulation(options).run();
}

class ClusterSimulation {
  readonly #options: ClusterRunOptions;
  readonly #cluster: SimCluster;
  readonly #clients: Clients;
  readonly #faults: Faults;

  constructor(options: ClusterRunOptions) {
    this.#options = options;
    // Streams of their own, so that one draw more in one place leaves the others as they are.
    const stream = (number: number): SeededRandom => new SeededRandom(options.seed * 16 + number);
    const faultRandom = stream(2);
    this.#cluster = new SimCluster({
      settings: drawSettings(stream(0)),
      defect: options.defect,
      print: options.print,
      faultRandom,
      networkRandom: stream(3),
      hooks: {
        onVoted: (id) => this.#faults.onVoted(id),
        onConfirms: (id) => this.#faults.onConfirms(id),
        onFatal: (member, error) => this.#faults.onFatal(member, error),
        onElected: (leader) => this.#clients.leases.onElected(leader),
        onLeaseRevoked: (id) => this.#clients.leases.onRevoked(id),
        onEnds: (replica, isReadable) => this.#clients.forget(replica, isReadable),
      },
    });
    this.#clients = new Clients(this.#cluster, stream(1));
    this.#faults = new Faults(this.#cluster, faultRandom);
  }

  run(): ClusterRunResult {
    const cluster = this.#cluster;
    const { voterCount } = cluster.settings;
    const ids = Array.from({ length: voterCount }, (_, i) => nodeId(BigInt(i + 1)));
    const bootstrap = firstEntries(ids);
    for (const id of ids) cluster.add(id, bootstrap);
    for (const member of cluster.members.values()) member.start();
    this.#clients.start();
    this.#faults.start();
    while (cluster.events < this.#options.events) cluster.step();
    this.#faults.heal();
    this.#askForProgress();
    return {
      seed: this.#options.seed,
      members: voterCount,
      events: cluster.events,
      virtualMs: cluster.scheduler.nowMs,
      asked: cluster.rules.asked,
      happened: cluster.happened,
    };
  }

  /** Every member that is one takes a write, leases expire, and then all of them hold the same. */
  #askForProgress(): void {
    const { scheduler, history } = this.#cluster;
    const untilMs = scheduler.nowMs + livenessMs;
    const answered = new Set<NodeId>();
    const { leases } = this.#clients;
    const awaitsLeases = this.#options.seed % leaseRuns === 0;
    leases.isAbandoned = awaitsLeases;
    for (let nextAskMs = 0; !this.#isOne(answered) || (awaitsLeases && leases.heldCount > 0); ) {
      if (!this.#hasQuorum()) {
        this.#cluster.note("quorums lost");
        return;
      }
      history.liveness(scheduler.nowMs < untilMs, () => this.#standstill());
      if (scheduler.nowMs >= nextAskMs) {
        this.#ask(answered);
        nextAskMs = scheduler.nowMs + askAgainMs;
      }
      this.#cluster.step();
    }
    this.#cluster.attempt(() => this.#cluster.check());
    for (const replica of this.#ownMembers()) this.#cluster.attempt(() => this.#clients.drain(replica));
  }

  #ask(answered: Set<NodeId>): void {
    for (const replica of this.#ownMembers()) {
      const { nodeId: id } = replica;
      if (answered.has(id)) continue;
      if (this.#clients.leases.isAbandoned) this.#clients.leases.grant(replica, () => {});
      this.#clients.put(replica, "last", noLease, () => answered.add(id));
    }
  }

  #isOne(answered: ReadonlySet<NodeId>): boolean {
    const replicas = this.#ownMembers();
    const indexes = new Set(replicas.map(({ appliedIndex }) => appliedIndex));
    return replicas.every(({ nodeId: id }) => answered.has(id)) && indexes.size === 1;
  }

  /** Whether those that can run are a quorum. */
  #hasQuorum(): boolean {
    const replicas = this.#cluster.running();
    if (replicas.length === 0) return false;
    const voters = newestOf(replicas)
      .members.list()
      .filter(({ isLearner }) => !isLearner);
    // The newest of those that run may not have heard yet that a member was removed, which never runs again.
    const { members } = this.#cluster;
    const able = voters.filter(({ id }) => {
      const member = members.get(id);
      return member?.isLost !== true && member?.isRemoved !== true;
    });
    return 2 * able.length > voters.length;
  }

  /** Those that the cluster counts as its own; one whose addition was never committed waits in vain. */
  #ownMembers(): Replica[] {
    const replicas = this.#cluster.running();
    if (replicas.length === 0) return [];
    const newest = newestOf(replicas);
    return replicas.filter(({ nodeId: id }) => newest.members.get(id) !== undefined);
  }

  #standstill(): string {
    const states = this.#cluster
      .running()
      .map(
        (one) =>
          `${hexId(one.nodeId)} ${one.isLeader ? "leads" : `follows ${hexId(one.leader)}`} term ${one.term} ` +
          `commit ${one.committedIndex} applied ${one.appliedIndex}`,
      );
    const { heldCount } = this.#clients.leases;
    return `no progress in time after the faults ended, ${heldCount} leases: ${states.join("; ")}`;
  }
}
