// The log as the replica sees it: entries are encoded straight into memory shared with the log worker, and
// completions run when the worker says that a sync has returned. Nothing here waits for a disk.
//
// What waits for the worker is bounded. Beyond the ring, commands wait in order on this side; `isFull` tells the
// replica to refuse proposals from there on. If `queueBytesMax` is exceeded all the same, the disk has stopped
// taking writes and the member ends with IO_ERROR instead of growing.

import { Worker } from "node:worker_threads";
import { assert } from "../../lib/assert.ts";
import { FatalError } from "../../lib/fatal.ts";
import type { LogAppend, LogSnapshot, LogStore } from "../../replica/log-store.ts";
import type { HardState } from "../../wire/raft.ts";
import { raftCodecs, type SizedCodec } from "../../wire/raft-codec.ts";
import type { SnapTimes } from "../snap/snap-file.ts";
import type { LargeCommand, LogAnswer, LogWorkerData } from "./log-loop.ts";
import { commandKinds, createQueueMemory, QueueSender } from "./log-queue.ts";
import { defaultSegmentBytes } from "./segments.ts";
import type { WalPosition } from "./wal.ts";

/** What one write of the worker took. */
export interface LogMetrics {
  onWrite(batch: {
    readonly bytes: number;
    readonly writeSeconds: number;
    /** Undefined when nobody waited for a sync. */
    readonly syncSeconds: number | undefined;
    /** Undefined when no `.snap` file was written. */
    readonly snapTimes: SnapTimes | undefined;
  }): void;
}

export interface WorkerLogOptions {
  readonly memberDir: string;
  /** As in LogOptions. */
  readonly walDir?: string | undefined;
  /** From `createLog` or `openLog`. */
  readonly position: WalPosition;
  readonly segmentBytes?: number;
  /** The log has failed: no completion runs any more. Called once. */
  readonly onFatal: (error: FatalError) => void;
  readonly metrics?: LogMetrics;
  readonly ringBytes?: number;
  readonly queueBytesMax?: number;
  /** The module that runs the log loop. Tests give one with a disk of their own. */
  readonly worker?: URL;
}

interface Waiting {
  readonly kind: number;
  readonly number: number;
  readonly body: Uint8Array;
}

interface Completion {
  readonly request: number;
  readonly done: () => void;
}

const ringBytesDefault = 16 << 20;
/** Far above what Raft lets be in flight, so that only a disk that stands still gets there. */
const queueBytesMaxDefault = 1 << 30;

// The build turns `.ts` into `.js`, but only in imports.
const workerModule = new URL(`./log-worker${import.meta.url.slice(-3)}`, import.meta.url);

export class WorkerLogStore implements LogStore {
  readonly #options: WorkerLogOptions;
  readonly #queue: QueueSender;
  readonly #worker: Worker;
  /** Commands the ring had no room for, in order. */
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  readonly #completions: Completion[] = [];
  #nextRequest = 1;
  #onClosed: (() => void) | undefined;
  #hasFailed = false;

  constructor(options: WorkerLogOptions) {
    this.#options = options;
    const memory = createQueueMemory(options.ringBytes ?? ringBytesDefault);
    this.#queue = new QueueSender(memory);
    const workerData: LogWorkerData = {
      memory,
      memberDir: options.memberDir,
      walDir: options.walDir,
      segmentBytes: options.segmentBytes ?? defaultSegmentBytes,
      position: options.position,
    };
    this.#worker = new Worker(options.worker ?? workerModule, { workerData, name: "log" });
    this.#worker.on("message", (answer: LogAnswer) => this.#onAnswer(answer));
    this.#worker.on("error", (error) => this.#fail(workerEnded(error)));
    this.#worker.on("exit", () => {
      if (this.#onClosed === undefined) this.#fail(workerEnded(undefined));
      this.#onClosed?.();
    });
  }

  /** Bytes that the worker has not taken yet. */
  get queuedBytes(): number {
    return this.#queue.queuedBytes + this.#waitingBytes;
  }

  /** The ring is full: no more proposals until the worker has caught up. */
  get isFull(): boolean {
    return this.#waiting.length > 0;
  }

  append(append: LogAppend, done?: () => void): void {
    if (this.#hasFailed) return;
    for (const entry of append.entries) {
      this.#putEncoded(commandKinds.entry, entry.index, raftCodecs.Entry, entry);
    }
    if (append.hardState !== undefined) {
      this.#putEncoded(commandKinds.hardState, 0, raftCodecs.HardState, append.hardState);
    }
    if (done !== undefined) this.#putRequest(commandKinds.sync, noBytes, done);
    // What nobody waits for is written at once too: a commit that the log lacks is lost to --force-new-cluster.
    this.#queue.publish();
    this.#checkBound();
  }

  saveSnapshot(snapshot: LogSnapshot, releaseIndex: number, done: () => void): void {
    if (this.#hasFailed) return;
    const { index, term, confState, data } = snapshot;
    const value = { data, metadata: { index, term, confState } };
    const body = new Uint8Array(8 + raftCodecs.Snapshot.size(value));
    new DataView(body.buffer).setFloat64(0, releaseIndex, true);
    raftCodecs.Snapshot.writeTo(body, 8, value);
    this.#putRequest(commandKinds.snapshot, body, done);
    this.#queue.publish();
    this.#checkBound();
  }

  installSnapshot(snapshot: LogSnapshot, hardState: HardState, done: () => void): void {
    if (this.#hasFailed) return;
    const { index, term, confState, data } = snapshot;
    const value = { data, metadata: { index, term, confState } };
    const stateBytes = raftCodecs.HardState.size(hardState);
    const body = new Uint8Array(8 + stateBytes + raftCodecs.Snapshot.size(value));
    new DataView(body.buffer).setFloat64(0, stateBytes, true);
    raftCodecs.HardState.writeTo(body, 8, hardState);
    raftCodecs.Snapshot.writeTo(body, 8 + stateBytes, value);
    this.#putRequest(commandKinds.install, body, done);
    this.#queue.publish();
    this.#checkBound();
  }

  close(done: () => void): void {
    assert(this.#onClosed === undefined, "the log is closed once");
    if (this.#hasFailed) return;
    this.#onClosed = done;
    this.#put(commandKinds.close, 0, noBytes);
    this.#queue.publish();
  }

  #putRequest(kind: number, body: Uint8Array, done: () => void): void {
    const request = this.#nextRequest++;
    this.#completions.push({ request, done });
    this.#put(kind, request, body);
  }

  /** Hot. */
  #putEncoded<T>(kind: number, number: number, codec: SizedCodec<T>, value: T): void {
    const size = codec.size(value);
    if (this.#waiting.length === 0 && size <= this.#queue.bodyBytesMax) {
      const offset = this.#queue.put(kind, number, size);
      if (offset >= 0) {
        codec.writeTo(this.#queue.bytes, offset, value);
        return;
      }
    }
    this.#put(kind, number, codec.encode(value));
  }

  #put(kind: number, number: number, body: Uint8Array): void {
    const command = { kind, number, body };
    if (this.#waiting.length === 0 && this.#fits(command)) return;
    this.#waiting.push(command);
    this.#waitingBytes += body.length;
  }

  /** Puts a command into the ring if there is room. */
  #fits({ kind, number, body }: Waiting): boolean {
    if (body.length > this.#queue.bodyBytesMax) {
      // One at a time, because these bytes are outside the ring.
      if (this.#queue.queuedBytes > 0) return false;
      assert(this.#queue.put(commandKinds.large, kind, 0) >= 0, "an empty ring has room");
      // Not published yet, so the message is there before the worker looks for it.
      this.#worker.postMessage({ number, body } satisfies LargeCommand);
      return true;
    }
    const offset = this.#queue.put(kind, number, body.length);
    if (offset < 0) return false;
    this.#queue.bytes.set(body, offset);
    return true;
  }

  #refill(): void {
    if (this.#waiting.length === 0) return;
    let count = 0;
    for (const command of this.#waiting) {
      if (!this.#fits(command)) break;
      this.#waitingBytes -= command.body.length;
      count++;
    }
    this.#waiting = this.#waiting.slice(count);
    this.#queue.publish();
  }

  #checkBound(): void {
    const queueBytesMax = this.#options.queueBytesMax ?? queueBytesMaxDefault;
    if (this.queuedBytes <= queueBytesMax) return;
    const message = `the log has ${this.queuedBytes} bytes to write: the disk takes none`;
    this.#fail(new FatalError("IO_ERROR", message, { file: this.#options.memberDir }));
  }

  #onAnswer(answer: LogAnswer): void {
    if (this.#hasFailed) return;
    if (answer.kind === "fatal") {
      this.#fail(new FatalError(answer.reason, answer.message, answer.details));
      return;
    }
    if (answer.kind === "closed") return;
    this.#refill();
    this.#options.metrics?.onWrite(answer);
    while (!this.#hasFailed) {
      const [first] = this.#completions;
      if (first === undefined || first.request > answer.request) return;
      this.#completions.shift();
      first.done();
    }
  }

  #fail(error: FatalError): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#completions.length = 0;
    this.#waiting = [];
    // It may be asleep, waiting for commands that will not come.
    void this.#worker.terminate();
    this.#options.onFatal(error);
  }
}

const noBytes = new Uint8Array(0);

function workerEnded(cause: unknown): FatalError {
  const message = cause instanceof Error ? cause.message : "its thread is gone";
  return new FatalError("IO_ERROR", `the log worker has ended: ${message}`, {}, cause);
}
