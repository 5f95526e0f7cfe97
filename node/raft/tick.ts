// Time, which reaches Raft only as ticks.

import { noNode } from "../lib/ids.ts";
import type { MessageType } from "../wire/raft.ts";
import { newMessage } from "./message.ts";
import type { Raft } from "./raft.ts";
import { step } from "./step.ts";

export function tick(raft: Raft): void {
  if (raft.state === "StateLeader") tickHeartbeat(raft);
  else tickElection(raft);
}

function tickElection(raft: Raft): void {
  raft.electionElapsed++;
  if (!raft.isPromotable() || raft.electionElapsed < raft.randomizedElectionTicks) return;
  raft.electionElapsed = 0;
  stepLocally(raft, "MsgHup");
}

function tickHeartbeat(raft: Raft): void {
  raft.heartbeatElapsed++;
  raft.electionElapsed++;
  if (raft.electionElapsed >= raft.config.electionTicks) {
    raft.electionElapsed = 0;
    if (raft.config.checkQuorum) stepLocally(raft, "MsgCheckQuorum");
    // A transfer that did not happen within an election timeout will not: take proposals again.
    if (raft.state === "StateLeader") raft.leadTransferee = noNode;
  }
  if (raft.state !== "StateLeader" || raft.heartbeatElapsed < raft.config.heartbeatTicks) return;
  raft.heartbeatElapsed = 0;
  stepLocally(raft, "MsgBeat");
}

function stepLocally(raft: Raft, type: MessageType): void {
  step(raft, newMessage({ type, to: noNode, from: raft.id }));
}
