// A leader whose process has ended: its machine still answers, and refuses connections. Nobody has to wait an election
// timeout for it. Each follower forgets it, which lets it grant pre-votes at once (Raft thesis 9.6 and etcd-raft's
// ForgetLeader), and they campaign one after the other in the order of their ids, half a heartbeat interval and more
// after they heard of it, so that no two of them split the votes. Who heard wrongly asks for pre-votes in vain, as
// the others have a leader, and follows again with its next heartbeat.

import type { Clock } from "../lib/clock.ts";
import { type NodeId, noNode } from "../lib/ids.ts";

export interface GoneLeaderOptions {
  readonly nodeId: NodeId;
  readonly clock: Clock;
  readonly heartbeatIntervalMs: number;
  /** Without it a campaign disturbs a leader that is well after all, so nothing is done. */
  readonly preVote: boolean;
  readonly voters: () => readonly NodeId[];
  readonly leader: () => NodeId;
  readonly term: () => number;
  readonly forgetLeader: () => void;
  readonly campaign: () => void;
}

export class GoneLeader {
  readonly #options: GoneLeaderOptions;

  constructor(options: GoneLeaderOptions) {
    this.#options = options;
  }

  /** The process of this member is gone. */
  onGone(id: NodeId): void {
    const { nodeId, clock, heartbeatIntervalMs, preVote, voters, leader, term } = this.#options;
    if (!preVote || id === nodeId || leader() !== id) return;
    this.#options.forgetLeader();
    const rank = voters().filter((voter) => voter !== id && voter < nodeId).length;
    const termOfLeader = term();
    clock.after((rank + 0.5) * heartbeatIntervalMs, () => {
      if (leader() === noNode && term() === termOfLeader) this.#options.campaign();
    });
  }
}
