// `--force-new-cluster`: out of one member's data, when the others are lost for good, comes a cluster of this member
// alone. What is not committed is dropped, whoever proposed it; then the log gets, as committed, its own promotion if
// it was a learner and the removal of every other member, learners too. Data, ids and revisions stay. Done twice it
// changes nothing.

import { emptyBytes } from "../lib/bytes.ts";
import { hexId, type NodeId, noNode } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import { confChangeOf, type MembershipChange } from "../membership/change.ts";
import type { DurableState } from "../replica/durable-state.ts";
import type { LogContents } from "../replica/log-store.ts";
import { type LogOptions, type OpenedLog, openLog, walOptions } from "../storage/wal/open-log.ts";
import { Wal } from "../storage/wal/wal.ts";
import type { Entry } from "../wire/raft.ts";
import { raftCodecs } from "../wire/raft-codec.ts";

/** `stored`: where the store stands in the log. Throws an Error for a member that the cluster has removed. */
export function forceNewCluster(
  location: LogOptions,
  opened: OpenedLog,
  stored: DurableState | undefined,
  log: Logger,
): OpenedLog {
  const { contents, position } = opened;
  const commit = Math.max(contents.hardState.commit, stored?.index ?? 0);
  const roles = rolesAt(contents, stored, commit);
  const last = contents.snapshot.index + contents.entries.length;
  const term = termOf(contents, commit);
  const entries = changesFor(contents.nodeId, roles).map((change, at): Entry => {
    const data = raftCodecs.ConfChange.encode(confChangeOf(change, 0n));
    return { type: "EntryConfChange", term, index: commit + 1 + at, data };
  });
  if (entries.length === 0 && last > commit) {
    // It takes the place of the first one that is not committed, and none of those behind it counts then.
    entries.push({ type: "EntryNormal", term, index: commit + 1, data: emptyBytes });
  }
  log.warn("forcing a cluster of this member alone", {
    "local-member-id": hexId(contents.nodeId),
    "commit-index": commit,
    "discarded-entries": last - commit,
    "removed-members": [...roles.keys()].filter((id) => id !== contents.nodeId).map(hexId),
  });
  if (entries.length === 0) return opened;
  const wal = new Wal(walOptions(location), position);
  for (const entry of entries) wal.appendEntry(entry);
  const vote = term === contents.hardState.term ? contents.hardState.vote : noNode;
  wal.appendHardState({ term, vote, commit: commit + entries.length });
  wal.write();
  wal.sync();
  wal.close();
  return openLog(location);
}

type Role = "voter" | "learner";

/** The members as of the committed index. */
function rolesAt(
  { snapshot, entries }: LogContents,
  stored: DurableState | undefined,
  commit: number,
): Map<NodeId, Role> {
  const { index, confState } = stored !== undefined && stored.index > snapshot.index ? stored : snapshot;
  const roles = new Map<NodeId, Role>();
  for (const id of confState.voters) roles.set(id, "voter");
  for (const id of confState.learners) roles.set(id, "learner");
  for (const entry of entries.slice(index - snapshot.index, commit - snapshot.index)) {
    if (entry.type !== "EntryConfChange") continue;
    const { type, nodeId } = raftCodecs.ConfChange.decode(entry.data);
    if (type === "ConfChangeAddNode") roles.set(nodeId, "voter");
    if (type === "ConfChangeAddLearnerNode") roles.set(nodeId, "learner");
    if (type === "ConfChangeRemoveNode") roles.delete(nodeId);
  }
  return roles;
}

function changesFor(self: NodeId, roles: ReadonlyMap<NodeId, Role>): MembershipChange[] {
  const own = roles.get(self);
  if (own === undefined) {
    throw new Error(
      `member ${hexId(self)} is not in the configuration: it was removed, or never got its first entries`,
    );
  }
  const changes: MembershipChange[] = own === "learner" ? [{ kind: "promote", id: self }] : [];
  const others = [...roles.keys()].filter((id) => id !== self).sort((a, b) => (a < b ? -1 : 1));
  // Behind the promotion: a configuration never is without a voter.
  return [...changes, ...others.map((id) => ({ kind: "remove", id }) as const)];
}

/** Of the member, which may not have been written yet when an entry of a newer term was. */
function termOf({ snapshot, entries, hardState }: LogContents, commit: number): number {
  const committed = entries[commit - snapshot.index - 1]?.term ?? snapshot.term;
  return Math.max(hardState.term, committed);
}
