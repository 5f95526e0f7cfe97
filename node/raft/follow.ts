// What a leader's messages do to a follower's log.

import { hexId, noNode } from "../lib/ids.ts";
import type { Message, Snapshot } from "../wire/raft.ts";
import { canonicalConfState, membersOf } from "./conf-state.ts";
import { describeConfStateFields } from "./describe.ts";
import type { Raft } from "./raft.ts";

export function handleAppendEntries(raft: Raft, message: Message): void {
  const { log, logger, name } = raft;
  const { from, index, logTerm } = message;
  if (!isConsecutive(message)) {
    logger.error(`${name} ignored a MsgApp from ${hexId(from)} whose entries are not consecutive`);
    return;
  }
  if (index < log.committed) {
    raft.send({ type: "MsgAppResp", to: from, index: log.committed });
    return;
  }
  const lastMatching = log.appendFromLeader(message);
  if (lastMatching !== undefined) {
    raft.send({ type: "MsgAppResp", to: from, index: lastMatching });
    return;
  }
  logger.debug(
    `${name} [logterm: ${log.term(index) ?? 0}, index: ${index}] rejected MsgApp ` +
      `[logterm: ${logTerm}, index: ${index}] from ${hexId(from)}`,
  );
  // The hint is the last place where the logs could still agree: nothing of ours behind it is as old as logTerm.
  const hint = log.findConflictByTerm(Math.min(index, log.lastIndex()), logTerm);
  raft.send({
    type: "MsgAppResp",
    to: from,
    index,
    reject: true,
    rejectHint: hint.index,
    logTerm: hint.term,
  });
}

/** Entries follow `index` one by one, in terms that never fall. Anything else would corrupt the log. */
function isConsecutive(message: Message): boolean {
  let { index, logTerm } = message;
  for (const entry of message.entries) {
    if (entry.index !== index + 1 || entry.term < logTerm) return false;
    index = entry.index;
    logTerm = entry.term;
  }
  return logTerm <= message.term;
}

export function handleHeartbeat(raft: Raft, message: Message): void {
  raft.log.commitTo(message.commit);
  raft.send({ type: "MsgHeartbeatResp", to: message.from, context: message.context });
}

export function handleSnapshot(raft: Raft, message: Message): void {
  const { log, logger, name } = raft;
  const index = message.snapshot?.metadata.index ?? 0;
  const term = message.snapshot?.metadata.term ?? 0;
  if (message.snapshot !== undefined && restore(raft, message.snapshot)) {
    logger.info(`${name} [commit: ${log.committed}] restored snapshot [index: ${index}, term: ${term}]`);
    raft.send({ type: "MsgAppResp", to: message.from, index: log.lastIndex() });
  } else {
    logger.info(`${name} [commit: ${log.committed}] ignored snapshot [index: ${index}, term: ${term}]`);
    raft.send({ type: "MsgAppResp", to: message.from, index: log.committed });
  }
}

/** Replaces log and configuration by the snapshot's. False when it brings nothing, or is not for this member. */
function restore(raft: Raft, snapshot: Snapshot): boolean {
  const { log, logger, name } = raft;
  const { index, term, confState } = snapshot.metadata;
  if (index <= log.committed) return false;
  if (raft.state !== "StateFollower") {
    // Defends against a caller that steps a snapshot past the role change: a leader never restores.
    logger.warning(`${name} attempted to restore snapshot as leader; should never happen`);
    raft.becomeFollower(raft.term + 1, noNode);
    return false;
  }
  if (!membersOf(confState).includes(raft.id)) {
    logger.warning(
      `${name} attempted to restore snapshot but it is not in the ConfState ` +
        `${describeConfStateFields(confState)}; should never happen`,
    );
    return false;
  }
  const marks = (): string =>
    `${name} [commit: ${log.committed}, lastindex: ${log.lastIndex()}, lastterm: ${log.lastTerm()}]`;
  if (log.matches(index, term)) {
    // The log has that entry, so it has everything before it, and the leader says that is committed.
    logger.info(`${marks()} fast-forwarded commit to snapshot [index: ${index}, term: ${term}]`);
    log.commitTo(index);
    return false;
  }
  log.restore(snapshot);
  raft.tracker.restore(canonicalConfState(confState), log.lastIndex());
  raft.logConfig();
  logger.info(`${marks()} restored snapshot [index: ${index}, term: ${term}]`);
  return true;
}
