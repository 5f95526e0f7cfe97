// What is refused before Raft sees it: messages that no sound member sends, whoever sent them.

import type { NodeId } from "../lib/ids.ts";
import { noNode } from "../lib/ids.ts";
import type { Message, MessageType } from "../wire/raft.ts";

/** The others never leave a member. */
const networkTypes: ReadonlySet<MessageType> = new Set<MessageType>([
  "MsgProp",
  "MsgApp",
  "MsgAppResp",
  "MsgVote",
  "MsgVoteResp",
  "MsgSnap",
  "MsgHeartbeat",
  "MsgHeartbeatResp",
  "MsgTransferLeader",
  "MsgTimeoutNow",
  "MsgReadIndex",
  "MsgReadIndexResp",
  "MsgPreVote",
  "MsgPreVoteResp",
]);

/** Raft addresses its storage threads with the two highest ids. */
const storageThreadsFrom = 0xffff_ffff_ffff_fffen;

export type MessageFault =
  /** Sent by this member, under this id: an echo, or a second process with the same identity. */
  | "fromSelf"
  /** For a member that had this address before, or will have it. */
  | "toOther"
  | "malformed";

export function faultOf(message: Message, self: NodeId): MessageFault | undefined {
  if (message.from === self) return "fromSelf";
  if (message.to !== self) return "toOther";
  if (message.from === noNode || message.from >= storageThreadsFrom) return "malformed";
  if (!networkTypes.has(message.type) || message.responses.length > 0) return "malformed";
  if ((message.type === "MsgSnap") !== (message.snapshot !== undefined)) return "malformed";
  if (message.type === "MsgApp" && !isContiguous(message)) return "malformed";
  return undefined;
}

/** Entries follow the index without gaps, in terms that never fall and never pass the leader's. */
function isContiguous({ entries, index, logTerm, term }: Message): boolean {
  let previousTerm = logTerm;
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i];
    if (entry === undefined || entry.index !== index + 1 + i || entry.term < previousTerm) return false;
    previousTerm = entry.term;
  }
  return previousTerm <= term;
}
