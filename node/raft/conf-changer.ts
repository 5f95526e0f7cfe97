// Membership changes as pure functions: configuration and changes in, a new configuration or the reason for
// refusing out. Simple changes touch at most one voter, so old and new majorities overlap; anything larger
// goes through a joint configuration that needs both majorities until it is left.

import { type NodeId, noNode } from "../lib/ids.ts";
import type { ConfChangeSingle, ConfChangeV2, ConfState } from "../wire/raft.ts";
import { assertSound, isJoint } from "./conf-state.ts";
import { sortedIds } from "./quorum.ts";

export type ConfChangeOutcome =
  | {
      readonly ok: true;
      readonly config: ConfState;
      /** Members whose replication progress starts anew, also when they were members before. */
      readonly fresh: ReadonlySet<NodeId>;
    }
  | { readonly ok: false; readonly reason: string };

/** Carries out whichever of the three kinds of change `change` asks for. */
export function changeConfig(config: ConfState, change: ConfChangeV2): ConfChangeOutcome {
  switch (kindOf(change)) {
    case "leaveJoint":
      return leaveJoint(config);
    case "simple":
      return changeSimply(config, change.changes);
    case "enterJointAutoLeave":
      return enterJoint(config, { autoLeave: true, changes: change.changes });
    case "enterJointExplicitLeave":
      return enterJoint(config, { autoLeave: false, changes: change.changes });
  }
}

type ConfChangeKind = "simple" | "leaveJoint" | "enterJointAutoLeave" | "enterJointExplicitLeave";

function kindOf(change: ConfChangeV2): ConfChangeKind {
  switch (change.transition) {
    case "ConfChangeTransitionAuto":
      if (change.changes.length === 0) return "leaveJoint";
      return change.changes.length === 1 ? "simple" : "enterJointAutoLeave";
    case "ConfChangeTransitionJointImplicit":
      return "enterJointAutoLeave";
    case "ConfChangeTransitionJointExplicit":
      return "enterJointExplicitLeave";
  }
}

export function changeSimply(config: ConfState, changes: readonly ConfChangeSingle[]): ConfChangeOutcome {
  if (isJoint(config)) return refused("can't apply simple config change in joint config");
  const draft = new Draft(config);
  draft.applyAll(changes);
  if (draft.incoming.size === 0) return refused("removed all voters");
  if (votersChanged(config.voters, draft.incoming) > 1) {
    return refused("more than one voter changed without entering joint config");
  }
  return draft.finish();
}

export function enterJoint(
  config: ConfState,
  options: { readonly autoLeave: boolean; readonly changes: readonly ConfChangeSingle[] },
): ConfChangeOutcome {
  if (isJoint(config)) return refused("config is already joint");
  if (config.voters.length === 0) return refused("can't make a zero-voter config joint");
  const draft = new Draft({ ...config, votersOutgoing: config.voters });
  draft.applyAll(options.changes);
  if (draft.incoming.size === 0) return refused("removed all voters");
  draft.autoLeave = options.autoLeave;
  return draft.finish();
}

export function leaveJoint(config: ConfState): ConfChangeOutcome {
  if (!isJoint(config)) return refused("can't leave a non-joint config");
  const next: ConfState = {
    voters: config.voters,
    learners: sortedIds([...config.learners, ...config.learnersNext]),
    votersOutgoing: [],
    learnersNext: [],
    autoLeave: false,
  };
  assertSound(next);
  return { ok: true, config: next, fresh: new Set() };
}

function refused(reason: string): ConfChangeOutcome {
  return { ok: false, reason };
}

function votersChanged(before: readonly NodeId[], after: ReadonlySet<NodeId>): number {
  let kept = 0;
  for (const id of before) if (after.has(id)) kept++;
  return before.length - kept + (after.size - kept);
}

/** A configuration under construction. */
class Draft {
  readonly incoming: Set<NodeId>;
  readonly outgoing: ReadonlySet<NodeId>;
  readonly learners: Set<NodeId>;
  readonly learnersNext: Set<NodeId>;
  readonly fresh = new Set<NodeId>();
  autoLeave: boolean;

  constructor(config: ConfState) {
    this.incoming = new Set(config.voters);
    this.outgoing = new Set(config.votersOutgoing);
    this.learners = new Set(config.learners);
    this.learnersNext = new Set(config.learnersNext);
    this.autoLeave = config.autoLeave;
  }

  applyAll(changes: readonly ConfChangeSingle[]): void {
    for (const change of changes) {
      // Whoever proposed a change may cancel it before it is applied by clearing the member's id.
      if (change.nodeId === noNode) continue;
      switch (change.type) {
        case "ConfChangeAddNode":
          this.#makeVoter(change.nodeId);
          break;
        case "ConfChangeAddLearnerNode":
          this.#makeLearner(change.nodeId);
          break;
        case "ConfChangeRemoveNode":
          this.#remove(change.nodeId);
          break;
        case "ConfChangeUpdateNode":
          break;
      }
    }
  }

  finish(): ConfChangeOutcome {
    const config: ConfState = {
      voters: sortedIds(this.incoming),
      learners: sortedIds(this.learners),
      votersOutgoing: sortedIds(this.outgoing),
      learnersNext: sortedIds(this.learnersNext),
      autoLeave: this.autoLeave,
    };
    assertSound(config);
    return { ok: true, config, fresh: this.fresh };
  }

  #isMember(id: NodeId): boolean {
    return this.incoming.has(id) || this.outgoing.has(id) || this.learners.has(id);
  }

  #makeVoter(id: NodeId): void {
    if (!this.#isMember(id)) this.fresh.add(id);
    this.learners.delete(id);
    this.learnersNext.delete(id);
    this.incoming.add(id);
  }

  /**
   * A voter of the outgoing half cannot be a learner at once, as the halves would then disagree on what it is:
   * it becomes a "next" learner, and a learner when the joint configuration is left.
   */
  #makeLearner(id: NodeId): void {
    if (this.learners.has(id)) return;
    if (!this.#isMember(id)) this.fresh.add(id);
    this.incoming.delete(id);
    if (this.outgoing.has(id)) this.learnersNext.add(id);
    else this.learners.add(id);
  }

  #remove(id: NodeId): void {
    this.incoming.delete(id);
    this.learners.delete(id);
    this.learnersNext.delete(id);
  }
}
