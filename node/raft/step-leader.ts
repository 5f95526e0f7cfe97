// What messages do on a leader.

import { assert } from "../lib/assert.ts";
import { emptyBytes } from "../lib/bytes.ts";
import { hexId, noNode } from "../lib/ids.ts";
import type { Entry, Message } from "../wire/raft.ts";
import { confChangeOf, isConfChange } from "./conf-change.ts";
import { describeConfig, isJoint } from "./conf-state.ts";
import { describeConfChange } from "./describe.ts";
import { describeProgress, type Progress } from "./progress.ts";
import type { Raft } from "./raft.ts";
import { answerRead, releasePendingReads, requestRead } from "./reads.ts";
import {
  broadcastAppend,
  broadcastHeartbeat,
  maybeSendAppend,
  sendAppend,
  sendTimeoutNow,
} from "./replication.ts";
import type { StepOutcome } from "./step-outcome.ts";

export function stepLeader(raft: Raft, message: Message): StepOutcome {
  switch (message.type) {
    case "MsgBeat":
      broadcastHeartbeat(raft);
      return "accepted";
    case "MsgCheckQuorum":
      checkQuorum(raft);
      return "accepted";
    case "MsgProp":
      return propose(raft, message.entries);
    case "MsgReadIndex":
      requestRead(raft, message);
      return "accepted";
    case "MsgForgetLeader":
      return "accepted";
    case "MsgAppResp":
    case "MsgHeartbeatResp":
    case "MsgSnapStatus":
    case "MsgUnreachable":
    case "MsgTransferLeader": {
      const from = raft.tracker.progress(message.from);
      if (from === undefined)
        raft.logger.debug(`${raft.name} no progress available for ${hexId(message.from)}`);
      else stepFromMember(raft, message, from);
      return "accepted";
    }
    default:
      // Nothing else means anything to a leader, but a sender that is not a member is worth a line.
      if (raft.tracker.progress(message.from) === undefined) {
        raft.logger.debug(`${raft.name} no progress available for ${hexId(message.from)}`);
      }
      return "accepted";
  }
}

function stepFromMember(raft: Raft, message: Message, from: Progress): void {
  switch (message.type) {
    case "MsgAppResp":
      from.recentActive = true;
      if (message.reject) onAppendRejected(raft, message, from);
      else onAppendAccepted(raft, message, from);
      break;
    case "MsgHeartbeatResp":
      onHeartbeatResponse(raft, message, from);
      break;
    case "MsgSnapStatus":
      onSnapshotStatus(raft, message, from);
      break;
    case "MsgUnreachable":
      // Messages under way are likely lost, and streaming on would only pile up refusals.
      if (from.state === "StateReplicate") from.becomeProbe();
      raft.logger.debug(
        `${raft.name} failed to send message to ${hexId(from.id)} because it is unreachable [${describeProgress(from.status())}]`,
      );
      break;
    default:
      transferLeader(raft, from);
  }
}

function checkQuorum(raft: Raft): void {
  if (!raft.tracker.quorumIsActive()) {
    raft.logger.warning(`${raft.name} stepped down to follower since quorum is not active`);
    raft.becomeFollower(raft.term, noNode);
  }
  for (const member of raft.tracker.members) if (member.id !== raft.id) member.recentActive = false;
}

function propose(raft: Raft, proposals: readonly Entry[]): StepOutcome {
  assert(proposals.length > 0, "a proposal without entries");
  // Removed from the configuration while leading: it may lead until it commits that, but not take on more.
  if (raft.tracker.progress(raft.id) === undefined) return "proposalDropped";
  if (raft.leadTransferee !== noNode) {
    raft.logger.debug(
      `${raft.name} [term ${raft.term}] transfer leadership to ${hexId(raft.leadTransferee)} is in progress; dropping proposal`,
    );
    return "proposalDropped";
  }
  const checked = checkConfChanges(raft, proposals);
  if (checked === undefined) return "proposalDropped";
  if (!raft.appendOwn(checked)) return "proposalDropped";
  broadcastAppend(raft);
  return "accepted";
}

/** The proposals, with conf changes that must not be made now turned into empty entries. Undefined for a broken one. */
function checkConfChanges(raft: Raft, proposals: readonly Entry[]): readonly Entry[] | undefined {
  let checked = proposals;
  for (let i = 0; i < proposals.length; i++) {
    const entry = proposals[i] as Entry;
    if (!isConfChange(entry.type)) continue;
    const change = confChangeOf(entry);
    if (change === undefined) {
      raft.logger.warning(`${raft.name} dropping a proposal with a malformed conf change`);
      return undefined;
    }
    const objection = objectionTo(raft, change.changes.length === 0);
    if (objection !== undefined && !raft.config.disableConfChangeValidation) {
      raft.logger.info(
        `${raft.name} ignoring conf change ${describeConfChange(change)} at config ${describeConfig(raft.tracker.config)}: ${objection}`,
      );
      checked = checked.with(i, { type: "EntryNormal", term: 0, index: 0, data: emptyBytes });
    } else {
      raft.pendingConfIndex = raft.log.lastIndex() + i + 1;
    }
  }
  return checked;
}

function objectionTo(raft: Raft, wantsLeaveJoint: boolean): string | undefined {
  const { pendingConfIndex, log, tracker } = raft;
  if (pendingConfIndex > log.applied) {
    return `possible unapplied conf change at index ${pendingConfIndex} (applied to ${log.applied})`;
  }
  if (isJoint(tracker.config) && !wantsLeaveJoint) return "must transition out of joint config first";
  if (!isJoint(tracker.config) && wantsLeaveJoint) return "not in joint state; refusing empty conf change";
  return undefined;
}

function onAppendRejected(raft: Raft, message: Message, from: Progress): void {
  const { logger, name } = raft;
  const sender = hexId(message.from);
  logger.debug(
    `${name} received MsgAppResp(rejected, hint: (index ${message.rejectHint}, term ${message.logTerm})) ` +
      `from ${sender} for index ${message.index}`,
  );
  // The follower has nothing newer than logTerm up to its hint, so the logs can only meet where ours is as old.
  const hint =
    message.logTerm > 0
      ? raft.log.findConflictByTerm(message.rejectHint, message.logTerm).index
      : message.rejectHint;
  if (!from.refused(message.index, hint)) return;
  logger.debug(`${name} decreased progress of ${sender} to [${describeProgress(from.status())}]`);
  if (from.state === "StateReplicate") from.becomeProbe();
  sendAppend(raft, from);
}

/** Hot: every acknowledgement, the leader's own ones included. */
function onAppendAccepted(raft: Raft, message: Message, from: Progress): void {
  const isNews = from.acknowledge(message.index);
  // An old index is still news of a probed member: it tells where the logs meet.
  if (!isNews && !(from.match === message.index && from.state === "StateProbe")) return;
  switch (from.state) {
    case "StateProbe":
      from.becomeReplicate();
      break;
    case "StateSnapshot":
      // Whatever became of the snapshot: the member's log reaches into ours again.
      if (from.match + 1 >= raft.log.firstIndex()) {
        raft.logger.debug(
          `${raft.name} recovered from needing snapshot, resumed sending replication messages to ` +
            `${hexId(from.id)} [${describeProgress(from.status())}]`,
        );
        from.becomeProbe();
        from.becomeReplicate();
      }
      break;
    case "StateReplicate":
      from.freeInflights(message.index);
      break;
  }

  const isOther = from.id !== raft.id;
  if (raft.maybeCommit()) {
    releasePendingReads(raft);
    broadcastAppend(raft);
  } else if (isOther && from.canBumpCommit(raft.log.committed)) {
    sendAppend(raft, from);
  }
  if (!isOther) return;
  // An acknowledgement can free the window for several messages.
  while (maybeSendAppend(raft, from, false));
  if (from.id === raft.leadTransferee && from.match === raft.log.lastIndex()) {
    raft.logger.info(`${raft.name} sent MsgTimeoutNow to ${hexId(from.id)} after received MsgAppResp`);
    sendTimeoutNow(raft, from.id);
  }
}

function onHeartbeatResponse(raft: Raft, message: Message, from: Progress): void {
  from.recentActive = true;
  // It answers, so what was lost before can be sent again: this revives a member whose full window was lost.
  from.resumeAppends();
  if (from.match < raft.log.lastIndex() || from.state === "StateProbe") sendAppend(raft, from);
  if (raft.config.readOnlyOption !== "ReadOnlySafe" || message.context.length === 0) return;
  raft.readOnly.acknowledge(message.from, message.context);
  for (const read of raft.readOnly.takeConfirmed(raft.tracker.config))
    answerRead(raft, read.message, read.index);
}

function onSnapshotStatus(raft: Raft, message: Message, from: Progress): void {
  if (from.state !== "StateSnapshot") return;
  if (message.reject) from.forgetSnapshot();
  from.becomeProbe();
  raft.logger.debug(
    `${raft.name} snapshot ${message.reject ? "failed" : "succeeded"}, resumed sending replication messages to ` +
      `${hexId(from.id)} [${describeProgress(from.status())}]`,
  );
  // After success its acknowledgement is about to arrive; after failure, trying again at once would fail again.
  from.pauseAppends();
}

function transferLeader(raft: Raft, to: Progress): void {
  const { logger, name, term } = raft;
  if (to.isLearner) {
    logger.debug(`${name} is learner. Ignored transferring leadership`);
    return;
  }
  const target = hexId(to.id);
  if (raft.leadTransferee !== noNode) {
    if (raft.leadTransferee === to.id) {
      logger.info(
        `${name} [term ${term}] transfer leadership to ${target} is in progress, ignores request to same node ${target}`,
      );
      return;
    }
    const previous = hexId(raft.leadTransferee);
    raft.leadTransferee = noNode;
    logger.info(`${name} [term ${term}] abort previous transferring leadership to ${previous}`);
  }
  if (to.id === raft.id) {
    logger.debug(`${name} is already leader. Ignored transferring leadership to self`);
    return;
  }
  logger.info(`${name} [term ${term}] starts to transfer leadership to ${target}`);
  // The transfer must be done within an election timeout; the clock starts now.
  raft.electionElapsed = 0;
  raft.leadTransferee = to.id;
  if (to.match === raft.log.lastIndex()) {
    sendTimeoutNow(raft, to.id);
    logger.info(
      `${name} sends MsgTimeoutNow to ${target} immediately as ${target} already has up-to-date log`,
    );
  } else {
    sendAppend(raft, to);
  }
}
