// Messages: how they are made, and which of them never cross the network.

import { emptyBytes } from "../lib/bytes.ts";
import { type NodeId, nodeId, noNode } from "../lib/ids.ts";
import type { Entry, Message, MessageType } from "../wire/raft.ts";

/** Addressee of MsgStorageAppend: whoever writes the log. */
export const appendThread: NodeId = nodeId(0xffff_ffff_ffff_ffffn);

/** Addressee of MsgStorageApply: whoever applies committed entries. */
export const applyThread: NodeId = nodeId(0xffff_ffff_ffff_fffen);

export function isStorageThread(id: NodeId): boolean {
  return id === appendThread || id === applyThread;
}

export const noEntries: readonly Entry[] = [];
export const noMessages: readonly Message[] = [];

export type MessageFields = Partial<Message> & { readonly type: MessageType; readonly to: NodeId };

/** Every message has all fields, in one order, so that the engine sees a single object shape. */
export function newMessage(fields: MessageFields): Message {
  return {
    type: fields.type,
    to: fields.to,
    from: fields.from ?? noNode,
    term: fields.term ?? 0,
    logTerm: fields.logTerm ?? 0,
    index: fields.index ?? 0,
    entries: fields.entries ?? noEntries,
    commit: fields.commit ?? 0,
    vote: fields.vote ?? noNode,
    snapshot: fields.snapshot,
    reject: fields.reject ?? false,
    rejectHint: fields.rejectHint ?? 0,
    context: fields.context ?? emptyBytes,
    responses: fields.responses ?? noMessages,
  };
}

/** Types that only the member itself and its storage threads produce: from a peer they are an attack or a bug. */
export function isLocalType(type: MessageType): boolean {
  switch (type) {
    case "MsgHup":
    case "MsgBeat":
    case "MsgUnreachable":
    case "MsgSnapStatus":
    case "MsgCheckQuorum":
    case "MsgStorageAppend":
    case "MsgStorageAppendResp":
    case "MsgStorageApply":
    case "MsgStorageApplyResp":
      return true;
    default:
      return false;
  }
}

/** Types that answer something, so that they make no sense from somebody who is not a member. */
export function isResponseType(type: MessageType): boolean {
  switch (type) {
    case "MsgAppResp":
    case "MsgVoteResp":
    case "MsgHeartbeatResp":
    case "MsgUnreachable":
    case "MsgReadIndexResp":
    case "MsgPreVoteResp":
    case "MsgStorageAppendResp":
    case "MsgStorageApplyResp":
      return true;
    default:
      return false;
  }
}

/** The answers that promise durability: they may only leave once everything before them is on disk. */
export function waitsForDisk(type: MessageType): boolean {
  return type === "MsgAppResp" || type === "MsgVoteResp" || type === "MsgPreVoteResp";
}
