// Our end of a stream that a peer has opened: messages wait in a bounded queue and leave together, one write a turn.
// Messages are encoded when the connection takes them, so a slow peer holds no second copy of the log.

import type { ServerResponse } from "node:http";
import type { Timer } from "../lib/clock.ts";
import { hexId, type NodeId } from "../lib/ids.ts";
import type { Message } from "../wire/raft.ts";
import { raftCodecs } from "../wire/raft-codec.ts";
import type { FrameEncoder } from "./frames.ts";
import type { PeerStatus } from "./peer-status.ts";
import type { PeerSettings } from "./settings.ts";
import { newEncoder, type StreamKind, streamNames } from "./stream-kind.ts";

/** Encoded at a time; while so much waits for the network, nothing further is encoded. */
const writeBytesMax = 1024 * 1024;

export interface StreamWriterOptions {
  readonly settings: PeerSettings;
  readonly kind: StreamKind;
  readonly peerId: NodeId;
  readonly status: PeerStatus;
  /** Messages that waited for the stream are lost. */
  readonly onLost: () => void;
}

interface Connection {
  readonly response: ServerResponse;
  readonly encoder: FrameEncoder;
  /** Writes the network has not taken. */
  unwrittenCount: number;
  /** When it last took one, or when the first of them was written. */
  progressMs: number;
  heartbeat: Timer;
}

export class StreamWriter {
  readonly #options: StreamWriterOptions;
  #connection: Connection | undefined;
  #queue: Message[] = [];
  /** Encoded bytes of each message that waits. */
  #sizes: number[] = [];
  #queueBytes = 0;
  #isFlushDue = false;

  constructor(options: StreamWriterOptions) {
    this.#options = options;
  }

  get isConnected(): boolean {
    return this.#connection !== undefined;
  }

  /** Takes over a response whose headers were sent. One that was there before is dead to the peer. */
  attach(response: ServerResponse): void {
    const { settings, kind, status } = this.#options;
    this.#drop("replaced by a new stream");
    const connection: Connection = {
      response,
      encoder: newEncoder(kind),
      unwrittenCount: 0,
      progressMs: 0,
      heartbeat: { cancel() {} },
    };
    this.#connection = connection;
    this.#heartbeatLater(connection);
    response.on("close", () => this.#fail(connection, new Error("the peer closed the stream")));
    response.on("error", (error) => this.#fail(connection, error));
    settings.logger.info("established TCP streaming connection with remote peer", this.#fields);
    status.activate();
  }

  /** False when it was not taken: there is no connection, or the queue is full. */
  send(message: Message): boolean {
    const { limits } = this.#options.settings;
    const bytes = raftCodecs.Message.size(message);
    const isFull =
      this.#queue.length >= limits.queueMessagesMax || this.#queueBytes + bytes > limits.queueBytesMax;
    if (this.#connection === undefined || isFull) return false;
    this.#queue.push(message);
    this.#sizes.push(bytes);
    this.#queueBytes += bytes;
    if (!this.#isFlushDue) {
      this.#isFlushDue = true;
      queueMicrotask(() => {
        this.#isFlushDue = false;
        this.#flush();
      });
    }
    return true;
  }

  /** What the network takes at once still leaves. */
  stop(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#flush();
    this.#forget(connection);
    connection.response.end();
  }

  #flush(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    while (this.#queue.length > 0 && connection.response.writableLength < writeBytesMax) {
      this.#write(connection, this.#nextBatch(connection.encoder));
    }
  }

  #nextBatch(encoder: FrameEncoder): Uint8Array {
    const queue = this.#queue;
    let count = 0;
    let bytes = 0;
    while (count < queue.length && bytes < writeBytesMax) {
      this.#queueBytes -= this.#sizes[count] as number;
      bytes += encoder.size(queue[count++] as Message);
    }
    const batch = new Uint8Array(bytes);
    let at = 0;
    for (let i = 0; i < count; i++) at = encoder.writeTo(batch, at, queue[i] as Message);
    this.#queue = queue.slice(count);
    this.#sizes = this.#sizes.slice(count);
    return batch;
  }

  #write(connection: Connection, bytes: Uint8Array): void {
    const { clock, metrics } = this.#options.settings;
    if (connection.unwrittenCount === 0) connection.progressMs = clock.nowMs();
    connection.unwrittenCount++;
    connection.response.write(bytes, () => {
      connection.unwrittenCount--;
      connection.progressMs = clock.nowMs();
      if (connection === this.#connection) this.#flush();
    });
    metrics.sentBytes(hexId(this.#options.peerId), bytes.length);
  }

  #heartbeatLater(connection: Connection): void {
    const { clock, limits } = this.#options.settings;
    connection.heartbeat = clock.after(Math.floor(limits.readTimeoutMs / 3), () => {
      if (connection.unwrittenCount === 0) this.#write(connection, connection.encoder.linkHeartbeat);
      else if (clock.nowMs() - connection.progressMs > limits.writeTimeoutMs) {
        this.#fail(connection, new Error(`the peer took nothing for ${limits.writeTimeoutMs} ms`));
        return;
      }
      this.#heartbeatLater(connection);
    });
  }

  #fail(connection: Connection, error: Error): void {
    if (connection !== this.#connection) return;
    const { settings, kind, status, peerId } = this.#options;
    settings.metrics.sentFailure(hexId(peerId));
    status.deactivate(`write ${hexId(peerId)} on ${streamNames[kind]}`, error);
    this.#drop(error.message);
  }

  #drop(reason: string): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#options.settings.logger.warn("lost TCP streaming connection with remote peer", {
      ...this.#fields,
      error: reason,
    });
    this.#forget(connection);
    connection.response.destroy();
  }

  #forget(connection: Connection): void {
    connection.heartbeat.cancel();
    this.#connection = undefined;
    const hasLost = this.#queue.length > 0 || connection.unwrittenCount > 0;
    this.#queue = [];
    this.#sizes = [];
    this.#queueBytes = 0;
    if (hasLost) this.#options.onLost();
  }

  get #fields(): Readonly<Record<string, string>> {
    const { settings, kind, peerId } = this.#options;
    return {
      "stream-writer-type": streamNames[kind],
      "local-member-id": hexId(settings.local.nodeId),
      "remote-peer-id": hexId(peerId),
    };
  }
}
