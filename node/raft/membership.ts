// A committed membership change comes into force.

import { assert } from "../lib/assert.ts";
import { noNode } from "../lib/ids.ts";
import type { ConfChangeV2, ConfState } from "../wire/raft.ts";
import { changeConfig } from "./conf-changer.ts";
import { describeConfig, votersOf } from "./conf-state.ts";
import type { Raft } from "./raft.ts";
import { broadcastAppend, broadcastNewEntries } from "./replication.ts";

/** The configuration that results, to be stored with the applied index. */
export function applyConfChange(raft: Raft, change: ConfChangeV2): ConfState {
  const { tracker } = raft;
  const outcome = changeConfig(tracker.config, change);
  assert(outcome.ok, "a committed conf change cannot be applied", {
    reason: outcome.ok ? "" : outcome.reason,
    config: describeConfig(tracker.config),
  });
  tracker.switchTo(outcome.config, { fresh: outcome.fresh, lastIndex: raft.log.lastIndex() });
  raft.logConfig();
  if (raft.state === "StateLeader") leadNewConfig(raft);
  return outcome.config;
}

function leadNewConfig(raft: Raft): void {
  const { config } = raft.tracker;
  const own = raft.tracker.progress(raft.id);
  if (own === undefined || own.isLearner) {
    // It may lead on until a voter takes over, or step down at once; in either case it sends nothing now, as
    // counting or replicating on behalf of a configuration it is not in would be an accident waiting to happen.
    if (raft.config.stepDownOnRemoval) raft.becomeFollower(raft.term, noNode);
    return;
  }
  // Fewer voters may have made more entries committed; new members want to be probed.
  if (raft.maybeCommit()) broadcastAppend(raft);
  else broadcastNewEntries(raft);
  if (raft.leadTransferee !== noNode && !votersOf(config).includes(raft.leadTransferee))
    raft.leadTransferee = noNode;
}
