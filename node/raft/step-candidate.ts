// What messages do on a candidate or pre-candidate.

import { hexId, noNode } from "../lib/ids.ts";
import type { Message } from "../wire/raft.ts";
import { campaign, poll } from "./election.ts";
import { handleAppendEntries, handleHeartbeat, handleSnapshot } from "./follow.ts";
import type { Raft } from "./raft.ts";
import { broadcastAppend } from "./replication.ts";
import type { StepOutcome } from "./step-outcome.ts";

export function stepCandidate(raft: Raft, message: Message): StepOutcome {
  switch (message.type) {
    case "MsgProp":
      raft.logger.info(`${raft.name} no leader at term ${raft.term}; dropping proposal`);
      return "proposalDropped";
    // These three come from a leader of this very term: somebody else was elected.
    case "MsgApp":
      raft.becomeFollower(message.term, message.from);
      handleAppendEntries(raft, message);
      return "accepted";
    case "MsgHeartbeat":
      raft.becomeFollower(message.term, message.from);
      handleHeartbeat(raft, message);
      return "accepted";
    case "MsgSnap":
      raft.becomeFollower(message.term, message.from);
      handleSnapshot(raft, message);
      return "accepted";
    case "MsgVoteResp":
      // A late answer to another phase of the campaign does not count for this one.
      if (raft.state === "StateCandidate") onVote(raft, message);
      return "accepted";
    case "MsgPreVoteResp":
      if (raft.state === "StatePreCandidate") onVote(raft, message);
      return "accepted";
    case "MsgTimeoutNow":
      raft.logger.debug(
        `${raft.name} [term ${raft.term} state ${raft.state}] ignored MsgTimeoutNow from ${hexId(message.from)}`,
      );
      return "accepted";
    default:
      return "accepted";
  }
}

function onVote(raft: Raft, answer: Message): void {
  switch (poll(raft, answer)) {
    case "VoteWon":
      if (raft.state === "StatePreCandidate") {
        campaign(raft, "election");
      } else {
        raft.becomeLeader();
        broadcastAppend(raft);
      }
      break;
    case "VoteLost":
      // The term stays: a lost pre-vote names a term that nobody has entered.
      raft.becomeFollower(raft.term, noNode);
      break;
    case "VotePending":
      break;
  }
}
