// The two framings of etcd's Raft streams. Encoders and decoders hold state per connection: both ends begin anew with
// each. A decoder never allocates for bytes that have not arrived.
//
// "message": every frame is an 8-byte length and a Message; an otherwise empty MsgHeartbeat keeps the link alive.
// "append" (etcd's "msgapp v2"), for MsgApp only; a frame begins with its type:
//   0  keeps the link alive
//   1  8-byte count, each entry after its 8-byte length, 8-byte commit: a MsgApp that continues the frame before it,
//      so that addresses, terms and index are known
//   2  8-byte length and a Message

import { emptyBytes } from "../lib/bytes.ts";
import { type NodeId, noNode } from "../lib/ids.ts";
import type { Entry, Message } from "../wire/raft.ts";
import { raftCodecs } from "../wire/raft-codec.ts";
import { ByteQueue, writeUint64 } from "./byte-queue.ts";

/** Bytes that are not the stream they should be; the connection is given up. */
export class FrameError extends Error {
  override readonly name = "FrameError";
}

/** First `size` for each message of a batch, then `writeTo` for each, in the same order. */
export interface FrameEncoder {
  size(message: Message): number;
  writeTo(target: Uint8Array, offset: number, message: Message): number;
  readonly linkHeartbeat: Uint8Array;
}

export interface FrameDecoder {
  /** Throws FrameError or WireError. */
  push(chunk: Uint8Array): void;
}

/** `bytes` is the length of the frame. Heartbeats of the link are not delivered. */
export type DeliverFrame = (message: Message, bytes: number) => void;

const lengthBytes = 8;
const typeLinkHeartbeat = 0;
const typeEntries = 1;
const typeMessage = 2;

const linkHeartbeatMessage: Message = {
  type: "MsgHeartbeat",
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
};

/** A frame of the message stream, which snapshots begin with, too. */
export function messageFrame(message: Message): Uint8Array {
  const size = raftCodecs.Message.size(message);
  const frame = new Uint8Array(lengthBytes + size);
  raftCodecs.Message.writeTo(frame, writeUint64(frame, 0, size), message);
  return frame;
}

export class MessageEncoder implements FrameEncoder {
  readonly linkHeartbeat = messageFrame(linkHeartbeatMessage);

  size(message: Message): number {
    return lengthBytes + raftCodecs.Message.size(message);
  }

  writeTo(target: Uint8Array, offset: number, message: Message): number {
    const end = raftCodecs.Message.writeTo(target, offset + lengthBytes, message);
    writeUint64(target, offset, end - offset - lengthBytes);
    return end;
  }
}

export class MessageDecoder implements FrameDecoder {
  readonly #queue = new ByteQueue();
  readonly #bytesMax: number;
  readonly #deliver: DeliverFrame;
  /** Of the frame under way, once it is known. */
  #size: number | undefined;

  constructor(bytesMax: number, deliver: DeliverFrame) {
    this.#bytesMax = bytesMax;
    this.#deliver = deliver;
  }

  push(chunk: Uint8Array): void {
    const queue = this.#queue;
    queue.push(chunk);
    for (;;) {
      if (this.#size === undefined) {
        if (queue.length < lengthBytes) return;
        this.#size = takeLength(queue, this.#bytesMax);
      }
      if (queue.length < this.#size) return;
      const message = raftCodecs.Message.decode(queue.take(this.#size));
      const bytes = lengthBytes + this.#size;
      this.#size = undefined;
      if (!isLinkHeartbeat(message)) this.#deliver(message, bytes);
    }
  }
}

/** Where the last frame of an append stream ended. */
class AppendCursor {
  term = 0;
  index = 0;

  /** Whether the other end can tell term and index of this message by itself. */
  isContinuedBy({ index, logTerm, term }: Message): boolean {
    return this.index === index && this.term === logTerm && logTerm === term;
  }

  pass(message: Message): void {
    this.term = message.term;
    this.index = message.entries.at(-1)?.index ?? message.index;
  }
}

export class AppendEncoder implements FrameEncoder {
  readonly linkHeartbeat = Uint8Array.of(typeLinkHeartbeat);
  readonly #sized = new AppendCursor();
  readonly #written = new AppendCursor();

  size(message: Message): number {
    const isContinued = this.#sized.isContinuedBy(message);
    this.#sized.pass(message);
    if (!isContinued) return 1 + lengthBytes + raftCodecs.Message.size(message);
    let size = 1 + lengthBytes + lengthBytes;
    for (const entry of message.entries) size += lengthBytes + raftCodecs.Entry.size(entry);
    return size;
  }

  writeTo(target: Uint8Array, offset: number, message: Message): number {
    const isContinued = this.#written.isContinuedBy(message);
    this.#written.pass(message);
    if (!isContinued) {
      target[offset] = typeMessage;
      const start = offset + 1 + lengthBytes;
      const end = raftCodecs.Message.writeTo(target, start, message);
      writeUint64(target, offset + 1, end - start);
      return end;
    }
    target[offset] = typeEntries;
    let at = writeUint64(target, offset + 1, message.entries.length);
    for (const entry of message.entries) {
      const end = raftCodecs.Entry.writeTo(target, at + lengthBytes, entry);
      writeUint64(target, at, end - at - lengthBytes);
      at = end;
    }
    return writeUint64(target, at, message.commit);
  }
}

type AppendStep = "type" | "count" | "entryLength" | "entry" | "commit" | "messageLength" | "message";

const bytesOfStep = { type: 1, count: 8, entryLength: 8, commit: 8, messageLength: 8 } as const;

export class AppendDecoder implements FrameDecoder {
  readonly #queue = new ByteQueue();
  readonly #local: NodeId;
  readonly #remote: NodeId;
  readonly #bytesMax: number;
  readonly #deliver: DeliverFrame;
  readonly #cursor = new AppendCursor();
  #step: AppendStep = "type";
  /** Of the entry or message under way. */
  #size = 0;
  #frameBytes = 0;
  #entries: Entry[] = [];
  #entriesLeft = 0;

  constructor(options: {
    readonly local: NodeId;
    readonly remote: NodeId;
    readonly bytesMax: number;
    readonly deliver: DeliverFrame;
  }) {
    this.#local = options.local;
    this.#remote = options.remote;
    this.#bytesMax = options.bytesMax;
    this.#deliver = options.deliver;
  }

  push(chunk: Uint8Array): void {
    this.#queue.push(chunk);
    for (;;) {
      const step = this.#step;
      const need = step === "entry" || step === "message" ? this.#size : bytesOfStep[step];
      if (this.#queue.length < need) return;
      this.#frameBytes += need;
      this.#take(step);
    }
  }

  #take(step: AppendStep): void {
    const queue = this.#queue;
    switch (step) {
      case "type":
        this.#frameBytes = 1;
        this.#step = stepAfterType(queue.takeByte());
        return;
      case "count":
        if (this.#cursor.term === 0) throw new FrameError("entries before any message on an append stream");
        this.#entries = [];
        // Each entry takes its length at least, so the count cannot promise more than the bound holds.
        this.#entriesLeft = takeLength(queue, Math.floor(this.#bytesMax / lengthBytes));
        this.#step = this.#entriesLeft > 0 ? "entryLength" : "commit";
        return;
      case "entryLength":
        this.#size = takeLength(queue, this.#bytesMax - this.#frameBytes);
        this.#step = "entry";
        return;
      case "entry":
        this.#entries.push(raftCodecs.Entry.decode(queue.take(this.#size)));
        this.#entriesLeft--;
        this.#step = this.#entriesLeft > 0 ? "entryLength" : "commit";
        return;
      case "commit":
        this.#step = "type";
        this.#deliverEntries(takeLength(queue, Number.MAX_SAFE_INTEGER));
        return;
      case "messageLength":
        this.#size = takeLength(queue, this.#bytesMax);
        this.#step = "message";
        return;
      case "message": {
        const message = raftCodecs.Message.decode(queue.take(this.#size));
        this.#step = "type";
        this.#cursor.pass(message);
        this.#deliver(message, this.#frameBytes);
      }
    }
  }

  #deliverEntries(commit: number): void {
    const { term, index } = this.#cursor;
    const message: Message = {
      type: "MsgApp",
      to: this.#local,
      from: this.#remote,
      term,
      logTerm: term,
      index,
      entries: this.#entries,
      commit,
      vote: noNode,
      snapshot: undefined,
      reject: false,
      rejectHint: 0,
      context: emptyBytes,
      responses: [],
    };
    // The sender counts entries, whatever they call themselves.
    this.#cursor.index = index + this.#entries.length;
    this.#deliver(message, this.#frameBytes);
  }
}

function stepAfterType(type: number): AppendStep {
  switch (type) {
    case typeLinkHeartbeat:
      return "type";
    case typeEntries:
      return "count";
    case typeMessage:
      return "messageLength";
    default:
      throw new FrameError(`a frame of unknown type ${type} on an append stream`);
  }
}

function takeLength(queue: ByteQueue, max: number): number {
  const length = queue.takeUint64();
  if (length === undefined || length > max) {
    throw new FrameError(`a stream announces ${length ?? "more than 2^53"}, at most ${max} is allowed`);
  }
  return length;
}

function isLinkHeartbeat({ type, from, to }: Message): boolean {
  return type === "MsgHeartbeat" && from === noNode && to === noNode;
}
