// The queue between the main thread and the log worker: commands in a ring of shared memory. One thread puts,
// the other takes; neither locks. A command is a head of 16 bytes (kind, length of the body, one number) and a
// body padded to eight; it never wraps around the end of the ring. Positions count 8-byte units and run on
// modulo 2^32.

import { assert } from "../../lib/assert.ts";

export const commandKinds = {
  /** Fills the rest of the ring in front of a command that needs more room. */
  filler: 0,
  /** The number is the index, the body a raftpb.Entry. */
  entry: 1,
  /** A raftpb.HardState. */
  hardState: 2,
  /** The number is the request to answer, here and below. */
  sync: 3,
  /** Release index as float64, then a raftpb.Snapshot. */
  snapshot: 4,
  close: 5,
  /** The number is a kind; head and body come as a message of their own. */
  large: 6,
  /** A length as float64, a raftpb.HardState of that length, then a raftpb.Snapshot. */
  install: 7,
} as const;

const unitBytes = 8;
const headBytes = 16;
const publishedSlot = 0;
const consumedSlot = 1;

export interface QueueMemory {
  readonly control: SharedArrayBuffer;
  readonly ring: SharedArrayBuffer;
}

export function createQueueMemory(ringBytes: number): QueueMemory {
  // Positions wrap at 2^32, which only a power of two divides.
  assert(Number.isInteger(Math.log2(ringBytes)) && ringBytes >= 1024, "the ring is a power of two", {
    ringBytes,
  });
  return { control: new SharedArrayBuffer(8), ring: new SharedArrayBuffer(ringBytes) };
}

/** The main thread's side. */
export class QueueSender {
  readonly #control: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #units: number;
  /** Ahead of what is published while a batch of commands is put. */
  #position = 0;

  constructor(memory: QueueMemory) {
    this.#control = new Int32Array(memory.control);
    this.#bytes = new Uint8Array(memory.ring);
    this.#view = new DataView(memory.ring);
    this.#units = memory.ring.byteLength / unitBytes;
  }

  /** Bytes that the other side has not taken yet. */
  get queuedBytes(): number {
    return ((this.#position - Atomics.load(this.#control, consumedSlot)) | 0) * unitBytes;
  }

  /** A larger command must go as a message of its own. */
  get bodyBytesMax(): number {
    return this.#bytes.length / 4;
  }

  /** The ring itself, into which a body is written at the offset that `put` returns. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Makes room for a command and writes its head. Returns where the body goes, -1 when the ring is full. Hot. */
  put(kind: number, number: number, bodyBytes: number): number {
    const units = commandUnits(bodyBytes);
    const at = (this.#position >>> 0) % this.#units;
    const filler = at + units > this.#units ? this.#units - at : 0;
    const free = this.#units - ((this.#position - Atomics.load(this.#control, consumedSlot)) | 0);
    if (filler + units > free) return -1;
    if (filler >= headBytes / unitBytes)
      this.#writeHead(at, commandKinds.filler, 0, filler * unitBytes - headBytes);
    const start = filler > 0 ? 0 : at;
    this.#writeHead(start, kind, number, bodyBytes);
    this.#position = (this.#position + filler + units) | 0;
    return start * unitBytes + headBytes;
  }

  /** Shows the other side everything put so far, and wakes it. */
  publish(): void {
    Atomics.store(this.#control, publishedSlot, this.#position);
    Atomics.notify(this.#control, publishedSlot);
  }

  #writeHead(unit: number, kind: number, number: number, bodyBytes: number): void {
    const offset = unit * unitBytes;
    this.#view.setUint32(offset, kind, true);
    this.#view.setUint32(offset + 4, bodyBytes, true);
    this.#view.setFloat64(offset + 8, number, true);
  }
}

/** The worker's side. It stands on one command after the other, whose bodies are there until `free`. */
export class QueueReceiver {
  /** The ring. */
  readonly view: DataView;
  readonly #control: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #units: number;
  #position = 0;
  #published = 0;
  kind: number = commandKinds.filler;
  number = 0;
  /** Where in the ring the body lies. */
  bodyStart = 0;
  bodyEnd = 0;

  constructor(memory: QueueMemory) {
    this.#control = new Int32Array(memory.control);
    this.#bytes = new Uint8Array(memory.ring);
    this.view = new DataView(memory.ring);
    this.#units = memory.ring.byteLength / unitBytes;
  }

  get body(): Uint8Array {
    return this.#bytes.subarray(this.bodyStart, this.bodyEnd);
  }

  /** Gives the room of everything taken back to the sender. The bodies are not to be read any more. */
  free(): void {
    Atomics.store(this.#control, consumedSlot, this.#position);
  }

  /** Goes on to the next command; false when there is none. Hot. */
  next(): boolean {
    for (;;) {
      this.#published = Atomics.load(this.#control, publishedSlot);
      if (this.#position === this.#published) return false;
      const at = (this.#position >>> 0) % this.#units;
      const left = this.#units - at;
      // Too little for a head: the sender left it empty.
      if (left < headBytes / unitBytes) {
        this.#position = (this.#position + left) | 0;
        continue;
      }
      const offset = at * unitBytes;
      this.kind = this.view.getUint32(offset, true);
      const bodyBytes = this.view.getUint32(offset + 4, true);
      this.#position = (this.#position + commandUnits(bodyBytes)) | 0;
      if (this.kind === commandKinds.filler) continue;
      this.number = this.view.getFloat64(offset + 8, true);
      this.bodyStart = offset + headBytes;
      this.bodyEnd = this.bodyStart + bodyBytes;
      return true;
    }
  }

  /** Sleeps until something is published. Call it when there is no next command. */
  wait(): void {
    Atomics.wait(this.#control, publishedSlot, this.#published);
  }
}

function commandUnits(bodyBytes: number): number {
  return (headBytes + Math.ceil(bodyBytes / unitBytes) * unitBytes) / unitBytes;
}
