// Elections from the candidate's side.

import { assert } from "../lib/assert.ts";
import { equalBytes, utf8 } from "../lib/bytes.ts";
import { hexId } from "../lib/ids.ts";
import type { Message, MessageType } from "../wire/raft.ts";
import { isConfChange } from "./conf-change.ts";
import { votersOf } from "./conf-state.ts";
import type { VoteResult } from "./quorum.ts";
import type { Raft } from "./raft.ts";

/** preElection asks without consequences, election raises the term, transfer also overrides the old leader's lease. */
export type CampaignType = "preElection" | "election" | "transfer";

/** The context of a vote request that comes from a leader transfer; the text is part of the protocol. */
const transferContext = utf8("CampaignTransfer");

export function isTransferRequest(message: Message): boolean {
  return equalBytes(message.context, transferContext);
}

/** Campaigns, unless this member may not or must not now. */
export function hup(raft: Raft, type: CampaignType): void {
  const { logger, name } = raft;
  if (raft.state === "StateLeader") {
    logger.debug(`${name} ignoring MsgHup because already leader`);
    return;
  }
  if (!raft.isPromotable()) {
    logger.warning(`${name} is unpromotable and can not campaign`);
    return;
  }
  if (hasUnappliedConfChange(raft)) {
    logger.warning(
      `${name} cannot campaign at term ${raft.term} since there are still pending configuration changes to apply`,
    );
    return;
  }
  logger.info(`${name} is starting a new election at term ${raft.term}`);
  campaign(raft, type);
}

/** A committed change not yet applied: this member would count the wrong voters. */
function hasUnappliedConfChange(raft: Raft): boolean {
  const { log } = raft;
  let start = log.applied + 1;
  const end = log.committed + 1;
  while (start < end) {
    const entries = log.slice(start, end, raft.config.applyingBytesMax);
    assert(entries !== undefined && entries.length > 0, "unapplied entries are gone", { start, end });
    for (const entry of entries) if (isConfChange(entry.type)) return true;
    start += entries.length;
  }
  return false;
}

export function campaign(raft: Raft, type: CampaignType): void {
  const isPreVote = type === "preElection";
  if (isPreVote) raft.becomePreCandidate();
  else raft.becomeCandidate();
  const term = isPreVote ? raft.term + 1 : raft.term;
  const request: MessageType = isPreVote ? "MsgPreVote" : "MsgVote";
  const index = raft.log.lastIndex();
  const logTerm = raft.log.lastTerm();
  for (const id of votersOf(raft.tracker.config)) {
    if (id === raft.id) {
      // The own vote counts once it is on disk, so it comes back as a message that waits for the disk.
      raft.send({ type: responseTo(request), to: id, term });
      continue;
    }
    raft.logger.info(
      `${raft.name} [logterm: ${logTerm}, index: ${index}] sent ${request} request to ${hexId(id)} at term ${raft.term}`,
    );
    const fields = { type: request, to: id, term, index, logTerm };
    raft.send(type === "transfer" ? { ...fields, context: transferContext } : fields);
  }
}

/** Counts one answer to a vote request. */
export function poll(raft: Raft, answer: Message): VoteResult {
  const { name, logger, term } = raft;
  const rejection = answer.reject ? " rejection" : "";
  logger.info(`${name} received ${answer.type}${rejection} from ${hexId(answer.from)} at term ${term}`);
  raft.tracker.recordVote(answer.from, !answer.reject);
  const { granted, rejected, result } = raft.tracker.tally();
  logger.info(`${name} has received ${granted} ${answer.type} votes and ${rejected} vote rejections`);
  return result;
}

export function responseTo(request: MessageType): "MsgVoteResp" | "MsgPreVoteResp" {
  assert(request === "MsgVote" || request === "MsgPreVote", "not a vote request", { request });
  return request === "MsgVote" ? "MsgVoteResp" : "MsgPreVoteResp";
}
