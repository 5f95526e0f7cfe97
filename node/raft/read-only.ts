// Linearizable reads without log entries. A request notes the commit index of its arrival; when a quorum answers a
// heartbeat sent afterwards, the leader was still the leader then, and every write acknowledged before the request
// is at or below that index.
//
// Heartbeats carry a position, the count of all requests of this term so far, so that an answer to any of them
// confirms exactly the requests that came before it. Positions of one term never repeat, whatever clients do.

import { emptyBytes } from "../lib/bytes.ts";
import type { NodeId } from "../lib/ids.ts";
import type { ConfState, Message } from "../wire/raft.ts";
import { type AckedIndexer, jointCommitted } from "./quorum.ts";

export interface ReadRequest {
  readonly message: Message;
  /** The commit index when the request arrived: what the reader's state must include. */
  readonly index: number;
}

/** Requests that wait for a heartbeat round at most; more are dropped, and their readers ask again. */
const pendingReadsMax = 65_536;

export class ReadOnly implements AckedIndexer {
  #pending: ReadRequest[] = [];
  #confirmedCount = 0;
  readonly #acks = new Map<NodeId, number>();

  /** False when the queue is full. */
  add(message: Message, index: number): boolean {
    if (this.#pending.length >= pendingReadsMax) return false;
    this.#pending.push({ message, index });
    return true;
  }

  /** What a heartbeat sent now carries: empty when nobody waits. */
  heartbeatContext(): Uint8Array {
    if (this.#pending.length === 0) return emptyBytes;
    return encodePosition(this.#position());
  }

  acknowledge(from: NodeId, context: Uint8Array): void {
    if (context.length !== 8) return;
    const position = Math.min(decodePosition(context), this.#position());
    this.#acks.set(from, Math.max(this.#acks.get(from) ?? 0, position));
  }

  ackedIndex(voter: NodeId): number | undefined {
    return this.#acks.get(voter);
  }

  /** Takes out the requests that a quorum has confirmed, oldest first. */
  takeConfirmed(config: ConfState): readonly ReadRequest[] {
    const confirmed = Math.min(jointCommitted(config.voters, config.votersOutgoing, this), this.#position());
    if (confirmed <= this.#confirmedCount) return [];
    const taken = this.#pending.splice(0, confirmed - this.#confirmedCount);
    this.#confirmedCount = confirmed;
    return taken;
  }

  #position(): number {
    return this.#confirmedCount + this.#pending.length;
  }
}

function encodePosition(position: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, position % 0x1_0000_0000, true);
  view.setUint32(4, Math.floor(position / 0x1_0000_0000), true);
  return bytes;
}

function decodePosition(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
  return view.getUint32(0, true) + view.getUint32(4, true) * 0x1_0000_0000;
}
