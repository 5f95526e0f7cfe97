// The membership Raft counts with. A ConfState whose lists are sorted and valid *is* the configuration: it is
// immutable, so a change makes a new one and a rejected change leaves no trace.

import { assert } from "../lib/assert.ts";
import type { NodeId } from "../lib/ids.ts";
import type { ConfState } from "../wire/raft.ts";
import { describeMajority, sortedIds } from "./quorum.ts";

export const emptyConfState: ConfState = {
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};

/** Between two configurations: decisions need a majority of both. */
export function isJoint(config: ConfState): boolean {
  return config.votersOutgoing.length > 0;
}

/** Voters of either half, sorted. */
export function votersOf(config: ConfState): readonly NodeId[] {
  return isJoint(config) ? sortedIds([...config.voters, ...config.votersOutgoing]) : config.voters;
}

/** Everybody who is replicated to, sorted. learnersNext are voters of the outgoing half, so they are in. */
export function membersOf(config: ConfState): readonly NodeId[] {
  return sortedIds([...config.voters, ...config.votersOutgoing, ...config.learners]);
}

/** The same membership in canonical order, checked. `state` comes from disk or from a leader's snapshot. */
export function canonicalConfState(state: ConfState): ConfState {
  const config: ConfState = {
    voters: sortedIds(state.voters),
    learners: sortedIds(state.learners),
    votersOutgoing: sortedIds(state.votersOutgoing),
    learnersNext: sortedIds(state.learnersNext),
    autoLeave: state.autoLeave,
  };
  assertSound(config);
  const sizes = (of: ConfState): number =>
    of.voters.length + of.learners.length + of.votersOutgoing.length + of.learnersNext.length;
  assert(sizes(config) === sizes(state), "a member is listed twice in one list of a ConfState", {
    state: describeConfig(state),
  });
  return config;
}

/** What must hold between the lists of every configuration that is in force. */
export function assertSound(config: ConfState): void {
  const details = { config: describeConfig(config) };
  assert(config.voters.length > 0 || membersOf(config).length === 0, "members but no voters", details);
  for (const id of config.learners) {
    assert(!config.voters.includes(id), "a learner is also a voter", details);
    assert(!config.votersOutgoing.includes(id), "a learner is also an outgoing voter", details);
  }
  for (const id of config.learnersNext) {
    assert(config.votersOutgoing.includes(id), "a next learner is not an outgoing voter", details);
    assert(!config.voters.includes(id), "a next learner is also a voter", details);
  }
  assert(isJoint(config) || !config.autoLeave, "auto-leave outside of a joint configuration", details);
}

/** "voters=(1 2)&&(1) learners=(3) learners_next=(4) autoleave", empty parts left out. */
export function describeConfig(config: ConfState): string {
  let text = `voters=${describeMajority(config.voters)}`;
  if (isJoint(config)) text += `&&${describeMajority(config.votersOutgoing)}`;
  if (config.learners.length > 0) text += ` learners=${describeMajority(config.learners)}`;
  if (config.learnersNext.length > 0) text += ` learners_next=${describeMajority(config.learnersNext)}`;
  if (config.autoLeave) text += " autoleave";
  return text;
}
