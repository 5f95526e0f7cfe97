// What a message does before the role matters: terms, votes, and answers of the storage threads.

import { emptyBytes } from "../lib/bytes.ts";
import { hexId, noNode } from "../lib/ids.ts";
import type { Message, Snapshot } from "../wire/raft.ts";
import { describeConfig } from "./conf-state.ts";
import { hup, isTransferRequest, responseTo } from "./election.ts";
import { encodedBytesOf, payloadBytesOf } from "./entry-size.ts";
import { newMessage } from "./message.ts";
import type { Raft } from "./raft.ts";
import { stepCandidate } from "./step-candidate.ts";
import { stepFollower } from "./step-follower.ts";
import { stepLeader } from "./step-leader.ts";
import { type StepOutcome, stepOutcomeTexts } from "./step-outcome.ts";

/** Term zero marks a message that is valid in any term: local ones, proposals and reads. */
export function step(raft: Raft, message: Message): StepOutcome {
  if (isBeyondLog(raft, message)) return "beyondLog";
  if (message.term > raft.term) {
    if (!enterTerm(raft, message)) return "accepted";
  } else if (message.term < raft.term && message.term !== 0) {
    stepOldTerm(raft, message);
    return "accepted";
  }

  switch (message.type) {
    case "MsgHup":
      hup(raft, raft.config.preVote ? "preElection" : "election");
      return "accepted";
    case "MsgStorageAppendResp":
      if (message.index !== 0) raft.log.stableTo(message.index, message.logTerm);
      if (message.snapshot !== undefined) appliedSnapshot(raft, message.snapshot);
      return "accepted";
    case "MsgStorageApplyResp":
      appliedEntries(raft, message);
      return "accepted";
    case "MsgVote":
    case "MsgPreVote":
      answerVoteRequest(raft, message);
      return "accepted";
    default:
      return stepRole(raft, message);
  }
}

/**
 * A leader tells no follower of a commit beyond what that follower acknowledged to it, and is acknowledged nothing that
 * it did not send. Where it is otherwise, a log has lost entries, or the sender lies: what to make of that is for the
 * caller to say, as long as nothing has changed.
 */
function isBeyondLog(raft: Raft, { type, term, commit, index, reject }: Message): boolean {
  switch (type) {
    case "MsgHeartbeat":
      return term >= raft.term && commit > raft.log.lastIndex();
    case "MsgAppResp":
      return raft.state === "StateLeader" && term === raft.term && !reject && index > raft.log.lastIndex();
    default:
      return false;
  }
}

function stepRole(raft: Raft, message: Message): StepOutcome {
  switch (raft.state) {
    case "StateLeader":
      return stepLeader(raft, message);
    case "StateFollower":
      return stepFollower(raft, message);
    case "StateCandidate":
    case "StatePreCandidate":
      return stepCandidate(raft, message);
  }
}

/** A higher term makes a follower of everybody. False when the message is ignored instead. */
function enterTerm(raft: Raft, message: Message): boolean {
  const { type, from, term } = message;
  if (type === "MsgVote" || type === "MsgPreVote") {
    const { checkQuorum, electionTicks } = raft.config;
    const isInLease = checkQuorum && raft.lead !== noNode && raft.electionElapsed < electionTicks;
    if (isInLease && !isTransferRequest(message)) {
      // It hears of a leader, so a candidate that does not has a problem of its own and would only disrupt.
      raft.logger.info(
        `${describeVoter(raft)} ignored ${describeRequest(message)} at term ${raft.term}: ` +
          `lease is not expired (remaining ticks: ${electionTicks - raft.electionElapsed})`,
      );
      return false;
    }
  }
  // Pre-votes name a future term that nobody has entered, and so do their grants; a refusal names the voter's own.
  if (type === "MsgPreVote" || (type === "MsgPreVoteResp" && !message.reject)) return true;
  raft.logger.info(
    `${raft.name} [term: ${raft.term}] received a ${type} message with higher term from ${hexId(from)} [term: ${term}]`,
  );
  const isFromLeader = type === "MsgApp" || type === "MsgHeartbeat" || type === "MsgSnap";
  raft.becomeFollower(term, isFromLeader ? from : noNode);
  return true;
}

function stepOldTerm(raft: Raft, message: Message): void {
  const { type, from, term } = message;
  const { checkQuorum, preVote } = raft.config;
  if ((checkQuorum || preVote) && (type === "MsgHeartbeat" || type === "MsgApp")) {
    // A leader that missed an election. With these options its followers do not raise its term by campaigning, so
    // this answer, which carries ours, has to: else a member with a higher term could stay stuck for good.
    raft.send({ type: "MsgAppResp", to: from });
  } else if (type === "MsgPreVote" || type === "MsgVote") {
    // Answered for the same reason: a silent drop could deadlock members whose terms differ. Without pre-votes a voter
    // that campaigns among members long gone may be ahead for good of the one that needs its vote.
    raft.logger.info(`${describeVoter(raft)} rejected ${describeRequest(message)} at term ${raft.term}`);
    raft.send({ type: responseTo(type), to: from, term: raft.term, reject: true });
  } else if (type === "MsgStorageAppendResp") {
    // Entries written in an older term may have been overwritten since, in the log or on disk, by equal indexes: the
    // answer to a write of this term will tell. A snapshot cannot be overwritten; it counts.
    if (message.index !== 0) {
      raft.logger.info(
        `${raft.name} [term: ${raft.term}] ignored entry appends from a ${type} message with lower term [term: ${term}]`,
      );
    }
    if (message.snapshot !== undefined) appliedSnapshot(raft, message.snapshot);
  } else {
    raft.logger.info(
      `${raft.name} [term: ${raft.term}] ignored a ${type} message with lower term from ${hexId(from)} [term: ${term}]`,
    );
  }
}

function answerVoteRequest(raft: Raft, message: Message): void {
  const { type, from } = message;
  const canVote =
    raft.vote === from ||
    (raft.vote === noNode && raft.lead === noNode) ||
    (type === "MsgPreVote" && message.term > raft.term);
  if (!canVote || !raft.log.isUpToDate(message.index, message.logTerm)) {
    raft.logger.info(`${describeVoter(raft)} rejected ${describeRequest(message)} at term ${raft.term}`);
    raft.send({ type: responseTo(type), to: from, term: raft.term, reject: true });
    return;
  }
  raft.logger.info(
    `${describeVoter(raft)} cast ${type} for ${hexId(from)} ` +
      `[logterm: ${message.logTerm}, index: ${message.index}] at term ${raft.term}`,
  );
  // With the term of the request: a pre-candidate drops grants that name its own.
  raft.send({ type: responseTo(type), to: from, term: message.term });
  if (type === "MsgVote") {
    raft.electionElapsed = 0;
    raft.vote = from;
  }
}

function describeVoter(raft: Raft): string {
  const { log } = raft;
  return `${raft.name} [logterm: ${log.lastTerm()}, index: ${log.lastIndex()}, vote: ${hexId(raft.vote)}]`;
}

function describeRequest(message: Message): string {
  return `${message.type} from ${hexId(message.from)} [logterm: ${message.logTerm}, index: ${message.index}]`;
}

function appliedEntries(raft: Raft, message: Message): void {
  const last = message.entries.at(-1);
  if (last === undefined) return;
  appliedTo(raft, last.index, encodedBytesOf(message.entries));
  raft.reduceUncommitted(payloadBytesOf(message.entries));
}

function appliedSnapshot(raft: Raft, snapshot: Snapshot): void {
  raft.log.stableSnapshotTo(snapshot.metadata.index);
  appliedTo(raft, snapshot.metadata.index, 0);
}

/** Also proposes to leave a joint configuration that has to be left by itself, once it is in force. */
function appliedTo(raft: Raft, index: number, bytes: number): void {
  const applied = Math.max(index, raft.log.applied);
  raft.log.appliedTo(applied, bytes);
  const { config } = raft.tracker;
  if (!config.autoLeave || applied < raft.pendingConfIndex || raft.state !== "StateLeader") return;
  const outcome = step(raft, leaveJointProposal);
  if (outcome === "accepted") {
    raft.logger.info(`initiating automatic transition out of joint configuration ${describeConfig(config)}`);
  } else {
    raft.logger.debug(
      `not initiating automatic transition out of joint configuration ${describeConfig(config)}: ${stepOutcomeTexts[outcome]}`,
    );
  }
}

/** An entry without data is the empty change, which leaves the joint configuration. Never refused for its size. */
const leaveJointProposal = newMessage({
  type: "MsgProp",
  to: noNode,
  entries: [{ type: "EntryConfChangeV2", term: 0, index: 0, data: emptyBytes }],
});
