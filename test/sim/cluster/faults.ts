// What goes wrong in a run, and when: all drawn from one stream of chance, until the run heals.

import { assert } from "../../../node/lib/assert.ts";
import { FatalError } from "../../../node/lib/fatal.ts";
import type { NodeId } from "../../../node/lib/ids.ts";
import type { Random } from "../../../node/lib/random.ts";
import { newestOf, type SimCluster } from "./cluster.ts";
import { clockErrorPercent } from "./lease-clients.ts";
import { MemberChanges } from "./member-changes.ts";
import type { SimMember } from "./sim-member.ts";

const pauseMsMax = 4_000;
/** A process that goes on reads what clients sent before what members sent, or the other way round. */
const peersReadLateMsMax = 3;
const stallMsMax = 6_000;
const restartMsMax = 3_000;
/** So soon comes back who died right after a vote: the election is not over. */
const quickRestartMsMax = 20;

export class Faults {
  readonly #cluster: SimCluster;
  readonly #random: Random;
  readonly #changes: MemberChanges;
  readonly #table: readonly (readonly [weight: number, strike: (member: SimMember) => void])[];

  constructor(cluster: SimCluster, random: Random) {
    this.#cluster = cluster;
    this.#random = random;
    this.#changes = new MemberChanges(cluster, random);
    this.#table = [
      [13, (member) => this.#crashIfUp(member, true)],
      [8, (member) => this.#crashIfUp(member, false)],
      [2, () => this.#blackOut()],
      [11, (member) => this.#pause(member)],
      [4, (member) => this.#stallDisk(member)],
      [9, (member) => this.#partition(member)],
      [6, (member) => this.#cutOneWay(member)],
      [6, () => this.#tear()],
      [14, () => cluster.network.mend()],
      [6, (member) => this.#setClockRate(member)],
      [3, (member) => this.#failDisk(member)],
      [5, (member) => this.#transferTo(member)],
      [4, (member) => this.#misreport(member)],
      [13, () => this.#changes.begin()],
    ];
  }

  start(): void {
    this.#cluster.after(200 + this.#random.below(1_500), "fault", () => {
      if (this.#cluster.isHealed) return;
      this.#strike();
      this.start();
    });
  }

  /** Everything that was done ends, and whoever can run does. */
  heal(): void {
    const { network, members } = this.#cluster;
    this.#cluster.isHealed = true;
    network.heal();
    for (const member of members.values()) {
      member.setClockRate(1);
      member.pausedUntilUs = 0;
      member.diskStalledUntilMs = 0;
      member.disk.failAfter(Number.POSITIVE_INFINITY, "EIO");
      this.#start(member);
    }
  }

  /** Now and then one dies right after its vote has left, and is back before the election is over. */
  onVoted(id: NodeId): void {
    const member = this.#cluster.members.get(id);
    if (member === undefined || this.#cluster.isHealed || this.#random.below(4) > 0) return;
    const run = (): void => {
      if (member.replica === undefined) return;
      this.#cluster.note("crashes after a vote");
      this.#cluster.crash(member, true);
      this.#startLater(member, quickRestartMsMax);
    };
    this.#cluster.scheduler.at(0, { life: member.life, kind: "crash after a vote", run });
  }

  /** Now and then a leader stands still when it has asked for answers, which then are old when it reads them. */
  onConfirms(id: NodeId): void {
    const member = this.#cluster.members.get(id);
    if (member === undefined || this.#cluster.isHealed || this.#random.below(100) > 0) return;
    const run = (): void => {
      if (member.replica === undefined) return;
      this.#cluster.note("pauses amid a read");
      this.#pause(member);
    };
    this.#cluster.scheduler.at(0, { life: member.life, kind: "pause amid a read", run });
  }

  /** A member whose disk has failed ends and comes back; one whose log or store is damaged says so, and does not. */
  onFatal(member: SimMember, { reason, message }: FatalError): void {
    const { flipped, disk } = member;
    const isFound =
      (reason === "WAL_DAMAGED" && flipped === "log") || (reason === "STORE_DAMAGED" && flipped === "store");
    if (isFound) {
      if (!member.isLost) this.#cluster.note(`damaged ${flipped}s refused`);
      member.isLost = true;
      return;
    }
    const isPlanted = disk.failures > member.failuresSeen;
    assert(isPlanted && (reason === "IO_ERROR" || reason === "DISK_FULL"), "a member ended without a fault", {
      member: member.id,
      reason,
      message,
    });
    member.failuresSeen = disk.failures;
    this.#cluster.note("disk errors");
    const { life } = member;
    this.#cluster.after(1, "exit", () => {
      if (member.life === life) this.#crash(member, this.#random.below(2) === 0);
    });
  }

  #strike(): void {
    const alive = [...this.#cluster.members.values()].filter(({ isRemoved }) => !isRemoved);
    const member = alive[this.#random.below(alive.length)] as SimMember;
    const sum = this.#table.reduce((total, [weight]) => total + weight, 0);
    let left = this.#random.below(sum);
    for (const [weight, strike] of this.#table) {
      if (left < weight) {
        strike(member);
        return;
      }
      left -= weight;
    }
  }

  #othersThan(member: SimMember): NodeId[] {
    return this.#ids().filter((id) => id !== member.id);
  }

  #ids(): NodeId[] {
    return [...this.#cluster.members.values()].filter(({ isRemoved }) => !isRemoved).map(({ id }) => id);
  }

  // Processes and machines.

  /** Every other member but a few believes that the process of this one has ended, whatever is true. */
  #misreport({ id }: SimMember): void {
    this.#cluster.note("false reports of an end");
    for (const other of this.#cluster.members.values()) {
      if (other.id !== id && this.#random.below(4) > 0) other.replica?.reportGone(id);
    }
  }

  #crashIfUp(member: SimMember, isPowerCut: boolean): void {
    if (member.replica !== undefined) this.#crash(member, isPowerCut);
  }

  #crash(member: SimMember, isPowerCut: boolean): void {
    this.#cluster.note(isPowerCut ? "power cuts" : "kills");
    // Before it is down: nobody else may know yet how few voters are left.
    const mayLoseIt = this.#mayLoseOne();
    this.#cluster.crash(member, isPowerCut);
    if (mayLoseIt) this.#loseDisk(member);
    this.#startLater(member, restartMsMax);
  }

  /** The power goes everywhere at once. */
  #blackOut(): void {
    this.#cluster.note("blackouts");
    for (const member of this.#cluster.members.values()) this.#crashIfUp(member, true);
  }

  #pause(member: SimMember): void {
    this.#cluster.note("pauses");
    member.peersReadLateMs = this.#random.below(1 + peersReadLateMsMax);
    member.pausedUntilUs = this.#cluster.scheduler.nowUs + this.#random.below(pauseMsMax * 1000);
  }

  #setClockRate(member: SimMember): void {
    this.#cluster.note("clock rates");
    const percent = 100 + this.#random.below(2 * clockErrorPercent + 1) - clockErrorPercent;
    member.setClockRate(percent / 100);
  }

  #transferTo(member: SimMember): void {
    this.#cluster.note("transfers");
    const leader = this.#cluster.leader();
    if (leader !== undefined && leader.nodeId !== member.id) leader.transferLeadership(member.id);
  }

  #startLater(member: SimMember, withinMs: number): void {
    this.#cluster.after(this.#random.below(withinMs), "restart", () => this.#start(member));
  }

  #start(member: SimMember): void {
    if (member.isRemoved || member.isLost || member.replica !== undefined) return;
    try {
      member.start();
    } catch (error) {
      if (!(error instanceof FatalError)) throw error;
      // Damage to its store it was told of where it was met.
      if (error.reason !== "STORE_DAMAGED" || !member.isLost) this.onFatal(member, error);
      if (member.isLost) this.#cluster.crash(member, false);
    }
  }

  // The network.

  #partition(member: SimMember): void {
    this.#cluster.note("partitions");
    this.#cluster.network.partition([member.id], this.#othersThan(member));
  }

  /** Some of the others do not hear the member, and now and then it does not hear some of them. */
  #cutOneWay(member: SimMember): void {
    this.#cluster.note("one-way cuts");
    const isDeaf = this.#random.below(2) === 0;
    for (const other of this.#othersThan(member)) {
      if (this.#random.below(2) === 0) this.#cluster.network.cut(member.id, other);
      if (isDeaf && this.#random.below(2) === 0) this.#cluster.network.cut(other, member.id);
    }
  }

  #tear(): void {
    this.#cluster.note("torn networks");
    this.#cluster.network.tear(this.#ids());
  }

  // Disks.

  /** What the log writes or syncs takes long, while the process goes on. */
  #stallDisk(member: SimMember): void {
    this.#cluster.note("disk stalls");
    member.diskStalledUntilMs = this.#cluster.scheduler.nowMs + this.#random.below(stallMsMax);
  }

  /** A call of its disk fails soon, and a little later the machine may do, too. */
  #failDisk(member: SimMember): void {
    const random = this.#random;
    member.disk.failAfter(random.below(12), random.below(3) === 0 ? "ENOSPC" : "EIO");
    const { life } = member;
    const run = (): void => {
      if (member.life === life && !this.#cluster.isHealed) this.#crashIfUp(member, true);
    };
    if (random.below(2) === 0) this.#cluster.after(random.below(1_000), "power cut", run);
  }

  /** A quorum has to be left: one at a time, of three or more. */
  #mayLoseOne(): boolean {
    const isAnyLost = [...this.#cluster.members.values()].some(
      (one) => (one.isLost || one.flipped !== "nothing") && !one.isRemoved,
    );
    if (isAnyLost || this.#cluster.isHealed || this.#changes.isChanging) return false;
    if (this.#random.below(8) > 0) return false;
    const replicas = this.#cluster.running();
    if (replicas.length === 0) return false;
    const voters = newestOf(replicas)
      .members.list()
      .filter(({ isLearner }) => !isLearner);
    return voters.length >= 3;
  }

  #loseDisk(member: SimMember): void {
    const choice = this.#random.below(3);
    if (choice === 0) {
      if (member.flipLogBit()) this.#cluster.note("bit flips in logs");
    } else if (choice === 1) {
      if (member.flipStoreBit()) this.#cluster.note("bit flips in stores");
    } else {
      // What a real member finds out from its peers before it starts: it forgot its vote, and must not come back.
      member.isLost = true;
      this.#cluster.note("wiped disks");
    }
  }
}
