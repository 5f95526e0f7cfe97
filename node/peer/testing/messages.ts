// Messages for tests.

import { emptyBytes, utf8 } from "../../lib/bytes.ts";
import { type NodeId, noNode } from "../../lib/ids.ts";
import type { Entry, Message, MessageType } from "../../wire/raft.ts";

export function message(type: MessageType, fields: Partial<Message> = {}): Message {
  return {
    type,
    to: noNode,
    from: noNode,
    term: 0,
    logTerm: 0,
    index: 0,
    entries: [],
    commit: 0,
    vote: noNode,
    snapshot: undefined,
    reject: false,
    rejectHint: 0,
    context: emptyBytes,
    responses: [],
    ...fields,
  };
}

export function entry(term: number, index: number, data = ""): Entry {
  return { type: "EntryNormal", term, index, data: utf8(data) };
}

export interface AppendFields {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly term: number;
  readonly logTerm: number;
  readonly index: number;
  readonly commit: number;
}

export function append(fields: AppendFields, ...entries: readonly Entry[]): Message {
  return message("MsgApp", { ...fields, entries });
}
