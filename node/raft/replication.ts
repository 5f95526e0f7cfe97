// What a leader sends to bring the others' logs in line with its own.

import { assert } from "../lib/assert.ts";
import { emptyBytes } from "../lib/bytes.ts";
import { hexId, type NodeId } from "../lib/ids.ts";
import { payloadBytesOf } from "./entry-size.ts";
import { noEntries } from "./message.ts";
import { describeProgress, type Progress } from "./progress.ts";
import type { Raft } from "./raft.ts";

/** Sends entries, or else the commit index, unless the member is paused. */
export function sendAppend(raft: Raft, to: Progress): void {
  maybeSendAppend(raft, to, true);
}

/**
 * Sends the next page of entries to a member that can take one, or a snapshot if the log does not reach back far
 * enough. Without entries to send, only with `sendIfEmpty`. True if something was sent. Hot: per follower and batch.
 */
export function maybeSendAppend(raft: Raft, to: Progress, sendIfEmpty: boolean): boolean {
  if (to.isPaused) return false;
  const { log } = raft;
  const previous = to.next - 1;
  const previousTerm = log.term(previous);
  if (previousTerm === undefined) return sendSnapshot(raft, to);

  const hasRoom = to.state !== "StateReplicate" || !to.windowIsFull;
  const entries = hasRoom ? log.entriesFrom(to.next, raft.config.messageBytesMax) : noEntries;
  if (entries === undefined) return sendIfEmpty ? sendSnapshot(raft, to) : false;
  if (entries.length === 0 && !sendIfEmpty) return false;
  raft.send({
    type: "MsgApp",
    to: to.id,
    index: previous,
    logTerm: previousTerm,
    entries,
    commit: log.committed,
  });
  to.sentEntries(entries.length, payloadBytesOf(entries));
  to.sentCommit(log.committed);
  return true;
}

function sendSnapshot(raft: Raft, to: Progress): boolean {
  const { log, logger } = raft;
  if (!to.recentActive) {
    logger.debug(`ignore sending snapshot to ${hexId(to.id)} since it is not recently active`);
    return false;
  }
  const snapshot = log.snapshot();
  if (snapshot === undefined) {
    logger.debug(
      `${raft.name} failed to send snapshot to ${hexId(to.id)} because snapshot is temporarily unavailable`,
    );
    return false;
  }
  const { index, term } = snapshot.metadata;
  assert(index > 0, "storage answered an empty snapshot");
  logger.debug(
    `${raft.name} [firstindex: ${log.firstIndex()}, commit: ${log.committed}] sent snapshot[index: ${index}, ` +
      `term: ${term}] to ${hexId(to.id)} [${describeProgress(to.status())}]`,
  );
  to.becomeSnapshot(index);
  logger.debug(
    `${raft.name} paused sending replication messages to ${hexId(to.id)} [${describeProgress(to.status())}]`,
  );
  raft.send({ type: "MsgSnap", to: to.id, snapshot });
  return true;
}

export function broadcastAppend(raft: Raft): void {
  for (const member of raft.tracker.members) if (member.id !== raft.id) sendAppend(raft, member);
}

/** Sends what is there to send, but no message that would carry nothing new. */
export function broadcastNewEntries(raft: Raft): void {
  for (const member of raft.tracker.members) if (member.id !== raft.id) maybeSendAppend(raft, member, false);
}

/** Also renews the claim of pending reads that this is still the leader. */
export function broadcastHeartbeat(raft: Raft): void {
  const context = raft.readOnly.heartbeatContext();
  for (const member of raft.tracker.members) if (member.id !== raft.id) sendHeartbeat(raft, member, context);
}

/** The commit index is cut to what the member is known to have: it may not have the entries up to the real one. */
function sendHeartbeat(raft: Raft, to: Progress, context = emptyBytes): void {
  const commit = Math.min(to.match, raft.log.committed);
  raft.send({ type: "MsgHeartbeat", to: to.id, commit, context });
  to.sentCommit(commit);
}

export function sendTimeoutNow(raft: Raft, to: NodeId): void {
  raft.send({ type: "MsgTimeoutNow", to });
}
