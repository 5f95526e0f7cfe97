// Raft's messages and persistent state on their way out, byte for byte as raft 3.6 writes them: scalars,
// snapshot metadata and conf state always, also when zero; bytes when not empty; Message.snapshot when
// present. Entries pass here by the thousand, so sizes are computed first and everything is written once.

import type { NodeId } from "../lib/ids.ts";
import {
  bytesFieldSizeUnlessEmpty,
  sizedFieldSize,
  varintTag,
  writeBytesFieldUnlessEmpty,
  writeFieldStart,
  writeNumberField,
} from "./fields.ts";
import { bigintSize, numberSize, writeBigint } from "./int64.ts";
import type {
  ConfChange,
  ConfChangeSingle,
  ConfChangeTransition,
  ConfChangeType,
  ConfChangeV2,
  ConfState,
  Entry,
  EntryType,
  HardState,
  Message,
  MessageType,
  Snapshot,
  SnapshotMetadata,
} from "./raft.ts";
import { confChangeTypes, messageTypes } from "./raft.ts";

/** The wire number of an entry type is its position here; so it is below. */
export const entryTypes = ["EntryNormal", "EntryConfChange", "EntryConfChangeV2"] as const;

export const confChangeTransitions = [
  "ConfChangeTransitionAuto",
  "ConfChangeTransitionJointImplicit",
  "ConfChangeTransitionJointExplicit",
] as const;

const entryTypeNumber = numbersOf<EntryType>(entryTypes);
const messageTypeNumber = numbersOf<MessageType>(messageTypes);
const confChangeTypeNumber = numbersOf<ConfChangeType>(confChangeTypes);
const transitionNumber = numbersOf<ConfChangeTransition>(confChangeTransitions);

function numbersOf<T extends string>(names: readonly T[]): Readonly<Record<T, number>> {
  return Object.fromEntries(names.map((name, index) => [name, index])) as Record<T, number>;
}

/** Three scalars of which the type takes two bytes. */
export function entrySize(entry: Entry): number {
  return 4 + numberSize(entry.term) + numberSize(entry.index) + bytesFieldSizeUnlessEmpty(entry.data);
}

export function writeEntry(target: Uint8Array, offset: number, entry: Entry): number {
  let at = writeNumberField(target, offset, 1, entryTypeNumber[entry.type]);
  at = writeNumberField(target, at, 2, entry.term);
  at = writeNumberField(target, at, 3, entry.index);
  return writeBytesFieldUnlessEmpty(target, at, 4, entry.data);
}

export function hardStateSize(state: HardState): number {
  return 3 + numberSize(state.term) + bigintSize(state.vote) + numberSize(state.commit);
}

export function writeHardState(target: Uint8Array, offset: number, state: HardState): number {
  let at = writeNumberField(target, offset, 1, state.term);
  at = writeIdField(target, at, 2, state.vote);
  return writeNumberField(target, at, 3, state.commit);
}

export function confStateSize(state: ConfState): number {
  return (
    2 +
    idsSize(state.voters) +
    idsSize(state.learners) +
    idsSize(state.votersOutgoing) +
    idsSize(state.learnersNext)
  );
}

export function writeConfState(target: Uint8Array, offset: number, state: ConfState): number {
  let at = writeIdFields(target, offset, 1, state.voters);
  at = writeIdFields(target, at, 2, state.learners);
  at = writeIdFields(target, at, 3, state.votersOutgoing);
  at = writeIdFields(target, at, 4, state.learnersNext);
  return writeNumberField(target, at, 5, state.autoLeave ? 1 : 0);
}

export function snapshotMetadataSize(metadata: SnapshotMetadata): number {
  return (
    sizedFieldSize(confStateSize(metadata.confState)) +
    2 +
    numberSize(metadata.index) +
    numberSize(metadata.term)
  );
}

export function writeSnapshotMetadata(
  target: Uint8Array,
  offset: number,
  metadata: SnapshotMetadata,
): number {
  let at = writeFieldStart(target, offset, 1, confStateSize(metadata.confState));
  at = writeConfState(target, at, metadata.confState);
  at = writeNumberField(target, at, 2, metadata.index);
  return writeNumberField(target, at, 3, metadata.term);
}

export function snapshotSize(snapshot: Snapshot): number {
  return bytesFieldSizeUnlessEmpty(snapshot.data) + sizedFieldSize(snapshotMetadataSize(snapshot.metadata));
}

export function writeSnapshot(target: Uint8Array, offset: number, snapshot: Snapshot): number {
  let at = writeBytesFieldUnlessEmpty(target, offset, 1, snapshot.data);
  at = writeFieldStart(target, at, 2, snapshotMetadataSize(snapshot.metadata));
  return writeSnapshotMetadata(target, at, snapshot.metadata);
}

/** Ten scalars with one-byte tags; reject and type have one-byte values. */
export function messageSize(message: Message): number {
  let size =
    12 +
    bigintSize(message.to) +
    bigintSize(message.from) +
    numberSize(message.term) +
    numberSize(message.logTerm) +
    numberSize(message.index) +
    numberSize(message.commit) +
    numberSize(message.rejectHint) +
    bigintSize(message.vote) +
    bytesFieldSizeUnlessEmpty(message.context);
  for (const entry of message.entries) size += sizedFieldSize(entrySize(entry));
  for (const response of message.responses) size += sizedFieldSize(messageSize(response));
  if (message.snapshot !== undefined) size += sizedFieldSize(snapshotSize(message.snapshot));
  return size;
}

export function writeMessage(target: Uint8Array, offset: number, message: Message): number {
  let at = writeNumberField(target, offset, 1, messageTypeNumber[message.type]);
  at = writeIdField(target, at, 2, message.to);
  at = writeIdField(target, at, 3, message.from);
  at = writeNumberField(target, at, 4, message.term);
  at = writeNumberField(target, at, 5, message.logTerm);
  at = writeNumberField(target, at, 6, message.index);
  for (const entry of message.entries) {
    at = writeFieldStart(target, at, 7, entrySize(entry));
    at = writeEntry(target, at, entry);
  }
  at = writeNumberField(target, at, 8, message.commit);
  if (message.snapshot !== undefined) {
    at = writeFieldStart(target, at, 9, snapshotSize(message.snapshot));
    at = writeSnapshot(target, at, message.snapshot);
  }
  at = writeNumberField(target, at, 10, message.reject ? 1 : 0);
  at = writeNumberField(target, at, 11, message.rejectHint);
  at = writeBytesFieldUnlessEmpty(target, at, 12, message.context);
  at = writeIdField(target, at, 13, message.vote);
  for (const response of message.responses) {
    at = writeFieldStart(target, at, 14, messageSize(response));
    at = writeMessage(target, at, response);
  }
  return at;
}

export function confChangeSize(change: ConfChange): number {
  return 4 + bigintSize(change.id) + bigintSize(change.nodeId) + bytesFieldSizeUnlessEmpty(change.context);
}

export function writeConfChange(target: Uint8Array, offset: number, change: ConfChange): number {
  let at = writeIdField(target, offset, 1, change.id);
  at = writeNumberField(target, at, 2, confChangeTypeNumber[change.type]);
  at = writeIdField(target, at, 3, change.nodeId);
  return writeBytesFieldUnlessEmpty(target, at, 4, change.context);
}

export function confChangeV2Size(change: ConfChangeV2): number {
  let size = 2 + bytesFieldSizeUnlessEmpty(change.context);
  for (const single of change.changes) size += sizedFieldSize(singleSize(single));
  return size;
}

export function writeConfChangeV2(target: Uint8Array, offset: number, change: ConfChangeV2): number {
  let at = writeNumberField(target, offset, 1, transitionNumber[change.transition]);
  for (const single of change.changes) {
    at = writeFieldStart(target, at, 2, singleSize(single));
    at = writeNumberField(target, at, 1, confChangeTypeNumber[single.type]);
    at = writeIdField(target, at, 2, single.nodeId);
  }
  return writeBytesFieldUnlessEmpty(target, at, 3, change.context);
}

function singleSize(single: ConfChangeSingle): number {
  return 3 + bigintSize(single.nodeId);
}

function idsSize(ids: readonly NodeId[]): number {
  let size = ids.length;
  for (const id of ids) size += bigintSize(id);
  return size;
}

function writeIdFields(target: Uint8Array, offset: number, field: number, ids: readonly NodeId[]): number {
  let at = offset;
  for (const id of ids) at = writeIdField(target, at, field, id);
  return at;
}

function writeIdField(target: Uint8Array, offset: number, field: number, id: bigint): number {
  target[offset] = varintTag(field);
  return writeBigint(target, offset + 1, id);
}
