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

/**
 * Terms and indexes grow by one at a time, so no cluster comes near this. What is taken is stored, and counted on from
 * there: 2^53 - 1 itself could not be read again.
 */
export const counterMax = 2 ** 52;

export type MessageFault =
  /** Sent by this member, under this id: an echo, or a second process with the same identity. */
  | "fromSelf"
  /** For a member that had this address before, or will have it. */
  | "toOther"
  | "malformed"
  /** A term or index beyond `counterMax`. */
  | "outOfBounds";

export function faultOf(message: Message, self: NodeId): MessageFault | undefined {
  if (message.from === self) return "fromSelf";
  if (message.to !== self) return "toOther";
  if (message.from === noNode || message.from >= storageThreadsFrom) return "malformed";
  if (!networkTypes.has(message.type) || message.responses.length > 0) return "malformed";
  if (isOutOfBounds(message)) return "outOfBounds";
  // Raft takes what has no term in any term, as it does what the member tells itself.
  if ((message.term === 0) !== isOfAnyTerm(message.type)) return "malformed";
  if (message.type === "MsgProp" && message.entries.length === 0) return "malformed";
  if ((message.type === "MsgSnap") !== (message.snapshot !== undefined)) return "malformed";
  if (message.snapshot !== undefined && message.snapshot.metadata.term > message.term) return "malformed";
  if (message.type === "MsgApp" && !isContiguous(message)) return "malformed";
  return undefined;
}

/** Numbers of entries follow from those of their message, where they count at all. */
function isOutOfBounds({ term, logTerm, index, commit, rejectHint, snapshot }: Message): boolean {
  const { index: snapshotIndex, term: snapshotTerm } = snapshot?.metadata ?? { index: 0, term: 0 };
  return Math.max(term, logTerm, index, commit, rejectHint, snapshotIndex, snapshotTerm) > counterMax;
}

function isOfAnyTerm(type: MessageType): boolean {
  return type === "MsgProp" || type === "MsgReadIndex";
}

/** Of a message that is refused, for the log. */
export function numbersOf({ term, logTerm, index, commit }: Message): Readonly<Record<string, number>> {
  return { term, "log-term": logTerm, index, commit };
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
