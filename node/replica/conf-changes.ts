// Membership changes that the log has committed. The stored members decide whether one is made; Raft's configuration
// and the network follow them, so that the three never disagree. One that is refused changes nothing, on every
// member alike.

import { type Outcome, refused } from "../apply/outcome.ts";
import { never } from "../lib/assert.ts";
import { hexId, type NodeId, noNode } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import { changeOf, type MembershipChange, refusalOfChange } from "../membership/change.ts";
import type { Members } from "../membership/members.ts";
import type { ConfChange, ConfState } from "../wire/raft.ts";
import type { Network } from "./options.ts";

export interface ConfChangesOptions {
  readonly nodeId: NodeId;
  readonly clusterId: bigint;
  readonly members: Members;
  readonly network: Network;
  readonly logger: Logger;
  readonly learnersMax: number;
  /** Raft's configuration after the change; with no node's id it stays as it is. */
  readonly applyToRaft: (change: ConfChange) => ConfState;
  readonly currentRevision: () => number;
  /** This member is none any more. */
  readonly onRemoved: () => void;
}

export interface AppliedConfChange {
  readonly confState: ConfState;
  readonly outcome: Outcome;
}

export class ConfChanges {
  readonly #options: ConfChangesOptions;

  constructor(options: ConfChangesOptions) {
    this.#options = options;
  }

  /** Applies the change of one committed entry. */
  apply(confChange: ConfChange): AppliedConfChange {
    const { members, learnersMax, logger, applyToRaft } = this.#options;
    const change = changeOf(confChange);
    const refusal = refusalOfChange(members, change, learnersMax);
    if (refusal !== undefined) {
      logger.error("Validation on configuration change failed", {
        "conf-change-type": confChange.type,
        "member-id": hexId(confChange.nodeId),
        error: refusal,
      });
      return { confState: applyToRaft({ ...confChange, nodeId: noNode }), outcome: refused(refusal) };
    }
    const confState = applyToRaft(confChange);
    this.#carryOut(change);
    return {
      confState,
      outcome: {
        ok: true,
        revision: this.#options.currentRevision(),
        applied: { case: "confChange", members: members.list() },
      },
    };
  }

  #carryOut(change: MembershipChange): void {
    const { nodeId, members, network, onRemoved } = this.#options;
    switch (change.kind) {
      case "add": {
        const { member } = change;
        members.add(member);
        if (member.id !== nodeId) network.addPeer(member.id, member.peerUrls);
        this.#log("added member", {
          "added-peer-id": hexId(member.id),
          "added-peer-peer-urls": member.peerUrls,
          "added-peer-is-learner": member.isLearner,
        });
        return;
      }
      case "promote":
        members.promote(change.id);
        this.#log("promote member", { "promoted-member-id": hexId(change.id) });
        return;
      case "remove":
        members.remove(change.id);
        this.#log("removed member", { "removed-remote-peer-id": hexId(change.id) });
        if (change.id === nodeId) onRemoved();
        else network.removePeer(change.id);
        return;
      case "update":
        members.updatePeerUrls(change.id, change.peerUrls);
        if (change.id !== nodeId) network.updatePeer(change.id, change.peerUrls);
        this.#log("updated member", {
          "updated-remote-peer-id": hexId(change.id),
          "updated-remote-peer-urls": change.peerUrls,
        });
        return;
      default:
        never(change);
    }
  }

  #log(text: string, fields: Readonly<Record<string, unknown>>): void {
    const { clusterId, nodeId, logger } = this.#options;
    logger.info(text, { "cluster-id": hexId(clusterId), "local-member-id": hexId(nodeId), ...fields });
  }
}
