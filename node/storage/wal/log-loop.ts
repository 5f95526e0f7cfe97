// What the log worker does, for its whole life: take everything that is queued, write it with one call, sync
// once, answer everybody who waited. While a sync runs, the next batch collects in the queue: group commit.

import { type MessagePort, parentPort, receiveMessageOnPort } from "node:worker_threads";
import { assert, must } from "../../lib/assert.ts";
import { type FatalDetails, FatalError, type FatalReason } from "../../lib/fatal.ts";
import { raftCodecs } from "../../wire/raft-codec.ts";
import type { Disk } from "../disk.ts";
import type { SnapTimes } from "../snap/snap-file.ts";
import { commandKinds, type QueueMemory, QueueReceiver } from "./log-queue.ts";
import { installSnapshot, type LogOptions, saveSnapshot, walOptions } from "./open-log.ts";
import { Wal, type WalPosition } from "./wal.ts";

/** What the worker is started with. */
export interface LogWorkerData {
  readonly memory: QueueMemory;
  readonly memberDir: string;
  readonly walDir: string | undefined;
  readonly segmentBytes: number;
  readonly position: WalPosition;
}

/** A command too large for the ring. */
export interface LargeCommand {
  readonly number: number;
  readonly body: Uint8Array;
}

export type LogAnswer =
  | {
      readonly kind: "done";
      /** Requests up to this one are answered. */
      readonly request: number;
      readonly bytes: number;
      readonly writeSeconds: number;
      /** Undefined when nobody had asked for a sync. */
      readonly syncSeconds: number | undefined;
      /** Undefined when no `.snap` file was written. */
      readonly snapTimes: SnapTimes | undefined;
    }
  | {
      readonly kind: "fatal";
      readonly reason: FatalReason;
      readonly message: string;
      readonly details: FatalDetails;
    }
  | { readonly kind: "closed" };

/** A batch is written when it has grown to this size, so that the first of it need not wait for all. */
const batchBytesMax = 8 << 20;

/** Runs in a worker thread until the log is closed or has failed, and the main thread was told so. */
export function runLogLoop(data: LogWorkerData, disk: Disk): void {
  assert(parentPort !== null, "the log loop runs in a worker thread");
  const port = parentPort;
  const post = (answer: LogAnswer) => port.postMessage(answer);
  try {
    new LogLoop(data, disk, port).run(post);
    post({ kind: "closed" });
  } catch (error) {
    if (!(error instanceof FatalError)) throw error;
    post({ kind: "fatal", reason: error.reason, message: error.message, details: error.details });
  }
}

class LogLoop {
  readonly #queue: QueueReceiver;
  readonly #options: LogOptions & { readonly segmentBytes: number };
  readonly #port: MessagePort;
  readonly #wal: Wal;
  /** The newest request of the batch; 0 when it holds none. */
  #request = 0;
  #snapTimes: SnapTimes | undefined;
  #isClosing = false;

  constructor(data: LogWorkerData, disk: Disk, port: MessagePort) {
    this.#queue = new QueueReceiver(data.memory);
    const { memberDir, walDir, segmentBytes } = data;
    this.#options = { disk, memberDir, walDir, segmentBytes };
    this.#port = port;
    this.#wal = new Wal(walOptions(this.#options), data.position);
  }

  run(post: (answer: LogAnswer) => void): void {
    while (!this.#isClosing) {
      this.#request = 0;
      this.#snapTimes = undefined;
      const count = this.#takeBatch();
      if (count === 0) {
        if (!this.#wal.prepare()) this.#queue.wait();
        continue;
      }
      const bytes = this.#wal.pendingBytes;
      const startedAt = performance.now();
      this.#wal.write();
      const writtenAt = performance.now();
      const writeSeconds = (writtenAt - startedAt) / 1000;
      let syncSeconds: number | undefined;
      if (this.#request > 0) {
        this.#wal.sync();
        syncSeconds = (performance.now() - writtenAt) / 1000;
      }
      const snapTimes = this.#snapTimes;
      post({ kind: "done", request: this.#request, bytes, writeSeconds, syncSeconds, snapTimes });
      this.#wal.prepare();
    }
    this.#wal.close();
  }

  /** Appends what is queued. Returns how many commands there were. */
  #takeBatch(): number {
    const queue = this.#queue;
    let count = 0;
    while (this.#wal.pendingBytes < batchBytesMax && queue.next()) {
      count++;
      if (queue.kind === commandKinds.entry)
        this.#wal.appendEntryFrom(queue.number, queue.view, queue.bodyStart, queue.bodyEnd);
      else if (!this.#carryOut(queue.kind, queue.number, queue.body)) break;
    }
    // Before the answer: whoever gets it may have waited for room.
    queue.free();
    return count;
  }

  /** Returns whether the batch may go on behind this command. */
  #carryOut(kind: number, number: number, body: Uint8Array): boolean {
    switch (kind) {
      case commandKinds.entry:
        this.#wal.appendEncodedEntry(number, body);
        return true;
      case commandKinds.hardState:
        this.#wal.appendHardState(raftCodecs.HardState.decode(body));
        return true;
      case commandKinds.sync:
        this.#request = number;
        return true;
      case commandKinds.snapshot:
        this.#saveSnapshot(body);
        this.#request = number;
        return false;
      case commandKinds.install:
        this.#installSnapshot(body);
        this.#request = number;
        return false;
      case commandKinds.close:
        this.#isClosing = true;
        return false;
      case commandKinds.large: {
        const received = must(receiveMessageOnPort(this.#port), "a large command was sent before its place");
        const large = received.message as LargeCommand;
        return this.#carryOut(number, large.number, large.body);
      }
      default:
        assert(false, "the command is known", { kind });
    }
  }

  #saveSnapshot(body: Uint8Array): void {
    // A copy, since decoded bytes are views and the ring's memory is shared.
    const copy = body.slice();
    const releaseIndex = new DataView(copy.buffer).getFloat64(0, true);
    const { data, metadata } = raftCodecs.Snapshot.decode(copy.subarray(8));
    const { index, term, confState } = metadata;
    const snapshot = { index, term, confState, data };
    this.#snapTimes = saveSnapshot(this.#wal, this.#options, snapshot, releaseIndex);
  }

  #installSnapshot(body: Uint8Array): void {
    const copy = body.slice();
    const end = 8 + new DataView(copy.buffer).getFloat64(0, true);
    const hardState = raftCodecs.HardState.decode(copy.subarray(8, end));
    const { data, metadata } = raftCodecs.Snapshot.decode(copy.subarray(end));
    const { index, term, confState } = metadata;
    const snapshot = { index, term, confState, data };
    this.#snapTimes = installSnapshot(this.#wal, this.#options, snapshot, hardState);
  }
}
