// Changes of the membership under way: members join, mostly as learners first, are promoted, get new URLs and leave, and
// one whose disk is lost is removed before all else. The cluster keeps about its size.

import { nodeId } from "../../../node/lib/ids.ts";
import type { Random } from "../../../node/lib/random.ts";
import type { MembershipChange } from "../../../node/membership/change.ts";
import type { Member } from "../../../node/membership/member.ts";
import type { Replica } from "../../../node/replica/replica.ts";
import { memberOf, type SimCluster } from "./cluster.ts";

/** A crash of the leader leaves nobody to answer. */
const patienceMs = 10_000;
/** A learner is promoted when it lacks no more entries. */
const lagMax = 10;

export class MemberChanges {
  readonly #cluster: SimCluster;
  readonly #random: Random;
  #nextId: number;
  /** One is under way, as far as anybody knows. */
  isChanging = false;

  constructor(cluster: SimCluster, random: Random) {
    this.#cluster = cluster;
    this.#random = random;
    this.#nextId = cluster.settings.voterCount + 1;
  }

  begin(): void {
    const leader = this.#cluster.leader();
    if (leader === undefined || this.isChanging) return;
    const change = this.#draw(leader);
    if (change === undefined) return;
    this.isChanging = true;
    leader.proposeChange(change, (outcome) => {
      this.isChanging = false;
      if (outcome.ok) this.#cluster.note(`members: ${change.kind}`);
    });
    // Another one at the same time has to wait, or comes to nothing.
    const peerUrls = [`http://m${leader.nodeId}:${this.#nextId}`];
    leader.proposeChange({ kind: "update", id: leader.nodeId, peerUrls }, () => {});
    this.#cluster.after(patienceMs, "patience", () => {
      this.isChanging = false;
    });
  }

  #draw(leader: Replica): MembershipChange | undefined {
    const { voterCount } = this.#cluster.settings;
    const random = this.#random;
    const members = leader.members.list();
    const lost = members.find(({ id }) => this.#cluster.members.get(id)?.isLost === true);
    if (lost !== undefined) return { kind: "remove", id: lost.id };
    const learner = members.find(({ isLearner }) => isLearner);
    if (learner !== undefined && random.below(3) > 0) return this.#forLearner(leader, learner);
    const voters = members.filter(({ isLearner }) => !isLearner);
    if (voters.length > voterCount || (voters.length >= 3 && random.below(3) === 0)) {
      return { kind: "remove", id: (voters[random.below(voters.length)] as Member).id };
    }
    if (learner === undefined) return this.#addition();
    const { id } = members[random.below(members.length)] as Member;
    return { kind: "update", id, peerUrls: [`http://m${id}:${random.below(60_000)}`] };
  }

  /** Promoted when it has caught up; now and then given up before. */
  #forLearner(leader: Replica, { id }: Member): MembershipChange | undefined {
    const progress = leader.raftStatus.progress.find((one) => one.id === id);
    const isReady = progress !== undefined && progress.match + lagMax >= leader.committedIndex;
    if (isReady) return { kind: "promote", id };
    return this.#random.below(4) > 0 ? undefined : { kind: "remove", id };
  }

  #addition(): MembershipChange {
    const id = nodeId(BigInt(this.#nextId++));
    const member = memberOf(id, this.#random.below(4) > 0);
    this.#cluster.add(id, []).start();
    return { kind: "add", member };
  }
}
