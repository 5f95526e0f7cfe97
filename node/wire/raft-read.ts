// Raft's messages and persistent state on their way in. Each reader reads to the reader's `end`. Terms and
// indexes beyond the safe integers, and numbers of unknown types, are refused with a WireError that names them.

import { emptyBytes } from "../lib/bytes.ts";
import type { NodeId } from "../lib/ids.ts";
import { noNode } from "../lib/ids.ts";
import { WireError } from "./error.ts";
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
import { confChangeTransitions, entryTypes } from "./raft-write.ts";
import type { Reader } from "./reader.ts";
import { readNested, skipBeyond } from "./reader.ts";

/** Responses hold no further responses. */
const messageLevelsMax = 4;

/** Tags are written as number * 8 + wire type. */
export function readEntry(reader: Reader): Entry {
  let type: EntryType = "EntryNormal";
  let term = 0;
  let index = 0;
  let data = emptyBytes;
  while (reader.position < reader.end) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        type = named(reader, entryTypes, "entry type");
        break;
      case 16:
        term = reader.counter("a term");
        break;
      case 24:
        index = reader.counter("an index");
        break;
      case 34:
        data = reader.view();
        break;
      default:
        skipBeyond(reader, tag, 4);
    }
  }
  return { type, term, index, data };
}

export function readHardState(reader: Reader): HardState {
  let term = 0;
  let vote = noNode;
  let commit = 0;
  while (reader.position < reader.end) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        term = reader.counter("a term");
        break;
      case 16:
        vote = reader.uint64Id() as NodeId;
        break;
      case 24:
        commit = reader.counter("a commit index");
        break;
      default:
        skipBeyond(reader, tag, 3);
    }
  }
  return { term, vote, commit };
}

export function readConfState(reader: Reader): ConfState {
  const voters: NodeId[] = [];
  const learners: NodeId[] = [];
  const votersOutgoing: NodeId[] = [];
  const learnersNext: NodeId[] = [];
  const lists = [voters, learners, votersOutgoing, learnersNext];
  let autoLeave = false;
  while (reader.position < reader.end) {
    const tag = reader.tag();
    const list = lists[(tag >>> 3) - 1];
    if (tag === 40) autoLeave = reader.bool();
    else if (list === undefined) skipBeyond(reader, tag, 5);
    else if ((tag & 7) === 0) list.push(reader.uint64Id() as NodeId);
    else if ((tag & 7) === 2) {
      // Packed: never written by etcd, but a legal form of the same field.
      readNested(reader, (nested) => {
        while (nested.position < nested.end) list.push(nested.uint64Id() as NodeId);
      });
    } else skipBeyond(reader, tag, 5);
  }
  return { voters, learners, votersOutgoing, learnersNext, autoLeave };
}

const emptyConfState: ConfState = {
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};

export function readSnapshotMetadata(reader: Reader): SnapshotMetadata {
  let confState = emptyConfState;
  let index = 0;
  let term = 0;
  while (reader.position < reader.end) {
    const tag = reader.tag();
    switch (tag) {
      case 10:
        confState = readNested(reader, readConfState);
        break;
      case 16:
        index = reader.counter("an index");
        break;
      case 24:
        term = reader.counter("a term");
        break;
      default:
        skipBeyond(reader, tag, 3);
    }
  }
  return { confState, index, term };
}

export function readSnapshot(reader: Reader): Snapshot {
  let data = emptyBytes;
  let metadata: SnapshotMetadata = { confState: emptyConfState, index: 0, term: 0 };
  while (reader.position < reader.end) {
    const tag = reader.tag();
    switch (tag) {
      case 10:
        data = reader.view();
        break;
      case 18:
        metadata = readNested(reader, readSnapshotMetadata);
        break;
      default:
        skipBeyond(reader, tag, 2);
    }
  }
  return { data, metadata };
}

export function readMessage(reader: Reader, levels = messageLevelsMax): Message {
  let type: MessageType = "MsgHup";
  let to = noNode;
  let from = noNode;
  let term = 0;
  let logTerm = 0;
  let index = 0;
  const entries: Entry[] = [];
  let commit = 0;
  let vote = noNode;
  let snapshot: Snapshot | undefined;
  let reject = false;
  let rejectHint = 0;
  let context = emptyBytes;
  const responses: Message[] = [];
  while (reader.position < reader.end) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        type = named(reader, messageTypes, "message type");
        break;
      case 16:
        to = reader.uint64Id() as NodeId;
        break;
      case 24:
        from = reader.uint64Id() as NodeId;
        break;
      case 32:
        term = reader.counter("a term");
        break;
      case 40:
        logTerm = reader.counter("a log term");
        break;
      case 48:
        index = reader.counter("an index");
        break;
      case 58:
        entries.push(readNested(reader, readEntry));
        break;
      case 64:
        commit = reader.counter("a commit index");
        break;
      case 74:
        snapshot = readNested(reader, readSnapshot);
        break;
      case 80:
        reject = reader.bool();
        break;
      case 88:
        rejectHint = reader.counter("a reject hint");
        break;
      case 98:
        context = reader.view();
        break;
      case 104:
        vote = reader.uint64Id() as NodeId;
        break;
      case 114:
        if (levels === 0) throw new WireError(reader.position, "fewer levels of nested messages");
        responses.push(readNested(reader, (nested) => readMessage(nested, levels - 1)));
        break;
      default:
        skipBeyond(reader, tag, 14);
    }
  }
  return {
    type,
    to,
    from,
    term,
    logTerm,
    index,
    entries,
    commit,
    vote,
    snapshot,
    reject,
    rejectHint,
    context,
    responses,
  };
}

export function readConfChange(reader: Reader): ConfChange {
  let id = 0n;
  let type: ConfChangeType = "ConfChangeAddNode";
  let nodeId = noNode;
  let context = emptyBytes;
  while (reader.position < reader.end) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        id = reader.uint64Id();
        break;
      case 16:
        type = named(reader, confChangeTypes, "configuration change type");
        break;
      case 24:
        nodeId = reader.uint64Id() as NodeId;
        break;
      case 34:
        context = reader.view();
        break;
      default:
        skipBeyond(reader, tag, 4);
    }
  }
  return { id, type, nodeId, context };
}

export function readConfChangeV2(reader: Reader): ConfChangeV2 {
  let transition: ConfChangeTransition = "ConfChangeTransitionAuto";
  const changes: ConfChangeSingle[] = [];
  let context = emptyBytes;
  while (reader.position < reader.end) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        transition = named(reader, confChangeTransitions, "configuration change transition");
        break;
      case 18:
        changes.push(readNested(reader, readConfChangeSingle));
        break;
      case 26:
        context = reader.view();
        break;
      default:
        skipBeyond(reader, tag, 3);
    }
  }
  return { transition, changes, context };
}

function readConfChangeSingle(reader: Reader): ConfChangeSingle {
  let type: ConfChangeType = "ConfChangeAddNode";
  let nodeId = noNode;
  while (reader.position < reader.end) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        type = named(reader, confChangeTypes, "configuration change type");
        break;
      case 16:
        nodeId = reader.uint64Id() as NodeId;
        break;
      default:
        skipBeyond(reader, tag, 2);
    }
  }
  return { type, nodeId };
}

function named<T extends string>(reader: Reader, names: readonly T[], what: string): T {
  const start = reader.position;
  const number = reader.int32();
  const name = names[number];
  if (name === undefined) throw new WireError(start, `a known ${what} instead of ${number}`);
  return name;
}
