// What has to be the same on all members at any moment, and in all parts of one.

import { hexId, type NodeId } from "../../../node/lib/ids.ts";
import type { Replica } from "../../../node/replica/replica.ts";
import { type RuleBook, RuleBroken } from "./rules.ts";

export class Agreement {
  readonly #rules: RuleBook;

  constructor(rules: RuleBook) {
    this.#rules = rules;
  }

  /** Members that have applied the same hold the same. */
  equalHashes(replicas: readonly Replica[]): void {
    const byIndex = new Map<number, { readonly id: NodeId; readonly digest: string }>();
    for (const replica of replicas) {
      if (replica.isInstalling) continue;
      const digest = digestOf(replica);
      const known = byIndex.get(replica.appliedIndex);
      if (known === undefined) byIndex.set(replica.appliedIndex, { id: replica.nodeId, digest });
      else {
        this.#rules.ask("equalHashes");
        if (known.digest !== digest) {
          throw new RuleBroken(
            "equalHashes",
            `at index ${replica.appliedIndex} ${hexId(replica.nodeId)} holds ${digest}, ${hexId(known.id)} ${known.digest}`,
          );
        }
      }
    }
  }

  /** Raft's configuration and the stored members are the same members. */
  membershipAgreement(replica: Replica): void {
    // Raft has taken the snapshot's configuration on; the store with the members is on its way.
    if (replica.isInstalling) return;
    this.#rules.ask("membershipAgreement");
    const { config } = replica.raftStatus;
    const members = replica.members.list();
    const stored = [
      members.filter(({ isLearner }) => !isLearner).map(({ id }) => hexId(id)),
      members.filter(({ isLearner }) => isLearner).map(({ id }) => hexId(id)),
    ].map((ids) => ids.sort().join());
    const raft = [config.voters.map(hexId), config.learners.map(hexId)].map((ids) => ids.sort().join());
    if (stored.join(";") === raft.join(";")) return;
    throw new RuleBroken(
      "membershipAgreement",
      `${hexId(replica.nodeId)} stores ${stored.join(";")}, its Raft has ${raft.join(";")}`,
    );
  }
}

const everything = { recordsMax: Number.POSITIVE_INFINITY, bytesMax: Number.POSITIVE_INFINITY };

function digestOf(replica: Replica): string {
  const started = replica.store.startHashKv(0);
  if (!started.ok) throw new RuleBroken("equalHashes", `HashKV answers ${started.reason}`);
  let hash: number;
  if ("known" in started) ({ hash } = started.known);
  else {
    while (!started.job.step(everything));
    ({ hash } = started.job.result());
    started.job.close();
  }
  const members = replica.members
    .list()
    .map(({ id, isLearner, peerUrls }) => `${hexId(id)}${isLearner}${peerUrls}`);
  const leases = replica.lessor.leases().map(String).sort();
  return `${replica.store.currentRevision}/${replica.store.compactRevision} ${hash} ${leases} ${members}`;
}
