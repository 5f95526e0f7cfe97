// Messages, entries and Ready as text, for logs and transcripts. The texts are a format: transcripts compare them.

import { hexId, type NodeId, noNode } from "../lib/ids.ts";
import type {
  ConfChangeSingle,
  ConfChangeV2,
  ConfState,
  Entry,
  HardState,
  Message,
  Snapshot,
} from "../wire/raft.ts";
import { confChangeOf } from "./conf-change.ts";
import { appendThread, applyThread } from "./message.ts";
import type { Ready } from "./ready.ts";

export function describeReady(ready: Ready): string {
  let text = "";
  if (ready.softState !== undefined) {
    text += `Lead:${ready.softState.lead} State:${ready.softState.state}\n`;
  }
  if (ready.hardState !== undefined) text += `HardState ${describeHardState(ready.hardState)}\n`;
  if (ready.readStates.length > 0) {
    const states = ready.readStates.map((state) => `{${state.index} [${state.context.join(" ")}]}`);
    text += `ReadStates [${states.join(" ")}]\n`;
  }
  if (ready.entries.length > 0) text += `Entries:\n${describeEntries(ready.entries)}`;
  if (ready.snapshot !== undefined) text += `Snapshot ${describeSnapshot(ready.snapshot)}\n`;
  if (ready.committedEntries.length > 0) {
    text += `CommittedEntries:\n${describeEntries(ready.committedEntries)}`;
  }
  const messages = [...ready.messages, ...ready.messagesAfterAppend, ...ready.storageMessages];
  if (messages.length > 0) {
    text += "Messages:\n";
    for (const message of messages) text += `${describeMessage(message)}\n`;
  }
  return text === "" ? "<empty Ready>" : `Ready MustSync=${ready.mustSync}:\n${text}`;
}

export function describeHardState(state: HardState): string {
  const vote = state.vote === noNode ? "" : ` Vote:${state.vote}`;
  return `Term:${state.term}${vote} Commit:${state.commit}`;
}

export function describeSnapshot(snapshot: Snapshot): string {
  const { index, term, confState } = snapshot.metadata;
  return `Index:${index} Term:${term} ConfState:${describeConfState(confState)}`;
}

function describeConfState(state: ConfState): string {
  const list = (ids: readonly NodeId[]): string => `[${ids.join(" ")}]`;
  return (
    `Voters:${list(state.voters)} VotersOutgoing:${list(state.votersOutgoing)} Learners:${list(state.learners)} ` +
    `LearnersNext:${list(state.learnersNext)} AutoLeave:${state.autoLeave}`
  );
}

/** The form of a ConfState inside a warning: field names of its protobuf text form. */
export function describeConfStateFields(state: ConfState): string {
  const repeated = (name: string, ids: readonly NodeId[]): string[] => ids.map((id) => `${name}:${id}`);
  return [
    ...repeated("voters", state.voters),
    ...repeated("learners", state.learners),
    ...repeated("voters_outgoing", state.votersOutgoing),
    ...repeated("learners_next", state.learnersNext),
    `auto_leave:${state.autoLeave}`,
  ].join(" ");
}

export function describeMessage(message: Message, indent = ""): string {
  let text =
    `${indent}${describeTarget(message.from)}->${describeTarget(message.to)} ${message.type} ` +
    `Term:${message.term} Log:${message.logTerm}/${message.index}`;
  if (message.reject) text += ` Rejected (Hint: ${message.rejectHint})`;
  if (message.commit !== 0) text += ` Commit:${message.commit}`;
  if (message.vote !== noNode) text += ` Vote:${message.vote}`;
  const { entries } = message;
  if (entries.length === 1) {
    text += ` Entries:[${describeEntry(entries[0] as Entry)}]`;
  } else if (entries.length > 1) {
    text += " Entries:[";
    for (const entry of entries) text += `\n${indent}  ${describeEntry(entry)}`;
    text += `\n${indent}]`;
  }
  if (message.snapshot !== undefined && message.snapshot.metadata.index !== 0) {
    text += `\n${indent}  Snapshot: ${describeSnapshot(message.snapshot)}`;
  }
  if (message.responses.length > 0) {
    text += " Responses:[";
    for (const response of message.responses) text += `\n${describeMessage(response, `${indent}  `)}`;
    text += `\n${indent}]`;
  }
  return text;
}

function describeTarget(id: NodeId): string {
  switch (id) {
    case noNode:
      return "None";
    case appendThread:
      return "AppendThread";
    case applyThread:
      return "ApplyThread";
    default:
      return hexId(id);
  }
}

/** One entry a line. */
export function describeEntries(entries: readonly Entry[]): string {
  let text = "";
  for (const entry of entries) text += `${describeEntry(entry)}\n`;
  return text;
}

export function describeEntry(entry: Entry): string {
  const what = entry.type === "EntryNormal" ? quote(entry.data) : describeEntryChange(entry);
  return `${entry.term}/${entry.index} ${entry.type}${what === "" ? "" : ` ${what}`}`;
}

function describeEntryChange(entry: Entry): string {
  const change = confChangeOf(entry);
  return change === undefined ? "malformed conf change" : describeChanges(change.changes);
}

/** "v1 l2 r3 u4": voter, learner, removed, updated. */
function describeChanges(changes: readonly ConfChangeSingle[]): string {
  return changes.map((change) => `${changeLetters[change.type]}${change.nodeId}`).join(" ");
}

const changeLetters = {
  ConfChangeAddNode: "v",
  ConfChangeAddLearnerNode: "l",
  ConfChangeRemoveNode: "r",
  ConfChangeUpdateNode: "u",
} as const;

export function describeConfChange(change: ConfChangeV2): string {
  let text = `transition:${change.transition}`;
  for (const single of change.changes) text += ` changes:{type:${single.type} node_id:${single.nodeId}}`;
  if (change.context.length > 0) text += ` context:${quote(change.context)}`;
  return text;
}

const escapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\u0007": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
};
const printable = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;

/** Bytes as a double-quoted string: text where it is printable UTF-8, escapes elsewhere. */
export function quote(bytes: Uint8Array): string {
  let text = '"';
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at);
    if (length === 0) {
      text += `\\x${hex(bytes[at] as number, 2)}`;
      at += 1;
      continue;
    }
    const character = String.fromCodePoint(codePointAt(bytes, at, length));
    text += escapes[character] ?? (printable.test(character) ? character : escapeCode(character));
    at += length;
  }
  return `${text}"`;
}

function escapeCode(character: string): string {
  const code = character.codePointAt(0) as number;
  if (code < 0x80) return `\\x${hex(code, 2)}`;
  return code < 0x1_0000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}

function codePointAt(bytes: Uint8Array, at: number, length: number): number {
  let code = length === 1 ? (bytes[at] as number) : (bytes[at] as number) & (0x7f >> length);
  for (let i = 1; i < length; i++) code = (code << 6) | ((bytes[at + i] as number) & 0x3f);
  return code;
}

/** Length of the valid UTF-8 sequence at `at`; 0 when there is none. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  const length =
    first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length < 2) return length;
  for (let i = 1; i < length; i++) if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) return 0;
  const second = bytes[at + 1] as number;
  const isOverlong = (first === 0xe0 && second < 0xa0) || (first === 0xf0 && second < 0x90);
  const isOutside = (first === 0xed && second >= 0xa0) || (first === 0xf4 && second >= 0x90);
  return isOverlong || isOutside ? 0 : length;
}
