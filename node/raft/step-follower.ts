// What messages do on a follower.

import { hexId, noNode } from "../lib/ids.ts";
import type { Message } from "../wire/raft.ts";
import { hup } from "./election.ts";
import { handleAppendEntries, handleHeartbeat, handleSnapshot } from "./follow.ts";
import type { Raft } from "./raft.ts";
import type { StepOutcome } from "./step-outcome.ts";

export function stepFollower(raft: Raft, message: Message): StepOutcome {
  const { logger, name, term } = raft;
  switch (message.type) {
    case "MsgProp":
      return forwardProposal(raft, message);
    case "MsgApp":
      followLeader(raft, message);
      handleAppendEntries(raft, message);
      return "accepted";
    case "MsgHeartbeat":
      followLeader(raft, message);
      handleHeartbeat(raft, message);
      return "accepted";
    case "MsgSnap":
      followLeader(raft, message);
      handleSnapshot(raft, message);
      return "accepted";
    case "MsgTransferLeader":
      if (raft.lead === noNode) {
        logger.info(`${name} no leader at term ${term}; dropping leader transfer msg`);
      } else {
        raft.send({ type: "MsgTransferLeader", to: raft.lead, from: message.from });
      }
      return "accepted";
    case "MsgForgetLeader":
      forgetLeader(raft);
      return "accepted";
    case "MsgTimeoutNow":
      logger.info(
        `${name} [term ${term}] received MsgTimeoutNow from ${hexId(message.from)} and starts an election to get leadership.`,
      );
      // No pre-vote: the leader itself asked for it, so this is no disruption.
      hup(raft, "transfer");
      return "accepted";
    case "MsgReadIndex":
      if (raft.lead === noNode) {
        logger.info(`${name} no leader at term ${term}; dropping index reading msg`);
      } else {
        forwardToLeader(raft, message);
      }
      return "accepted";
    case "MsgReadIndexResp":
      onReadIndexResponse(raft, message);
      return "accepted";
    default:
      return "accepted";
  }
}

function followLeader(raft: Raft, message: Message): void {
  raft.electionElapsed = 0;
  raft.lead = message.from;
}

function forwardProposal(raft: Raft, message: Message): StepOutcome {
  if (raft.lead === noNode) {
    raft.logger.info(`${raft.name} no leader at term ${raft.term}; dropping proposal`);
    return "proposalDropped";
  }
  if (raft.config.disableProposalForwarding) {
    raft.logger.info(
      `${raft.name} not forwarding to leader ${hexId(raft.lead)} at term ${raft.term}; dropping proposal`,
    );
    return "proposalDropped";
  }
  forwardToLeader(raft, message);
  return "accepted";
}

/** With the original sender, if there is one, as the answer goes there. */
function forwardToLeader(raft: Raft, message: Message): void {
  const from = message.from === noNode ? raft.id : message.from;
  raft.send({ type: message.type, to: raft.lead, from, entries: message.entries });
}

/** Makes the follower free to vote for another before its timeout, when it is told that the leader is gone. */
function forgetLeader(raft: Raft): void {
  if (raft.config.readOnlyOption === "ReadOnlyLeaseBased") {
    // Its vote within the lease would let a new leader write while the old one still answers reads.
    raft.logger.error("ignoring MsgForgetLeader due to ReadOnlyLeaseBased");
    return;
  }
  if (raft.lead === noNode) return;
  raft.logger.info(`${raft.name} forgetting leader ${hexId(raft.lead)} at term ${raft.term}`);
  raft.lead = noNode;
}

function onReadIndexResponse(raft: Raft, message: Message): void {
  const request = message.entries[0];
  if (request === undefined || message.entries.length !== 1) {
    raft.logger.error(
      `${raft.name} invalid format of MsgReadIndexResp from ${hexId(message.from)}, entries count: ${message.entries.length}`,
    );
    return;
  }
  raft.readStates.push({ index: message.index, context: request.data });
}
