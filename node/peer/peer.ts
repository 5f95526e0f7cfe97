// One other member: which way a message takes to it, and what came of it.

import type { ServerResponse } from "node:http";
import { assert } from "../lib/assert.ts";
import { hexId, type NodeId } from "../lib/ids.ts";
import type { Message } from "../wire/raft.ts";
import { faultOf, numbersOf } from "./message-check.ts";
import { errorText, PeerStatus } from "./peer-status.ts";
import { Pipeline } from "./pipeline.ts";
import { Prober } from "./prober.ts";
import type { PeerSettings } from "./settings.ts";
import { type SnapshotSend, sendSnapshot } from "./snapshot-sender.ts";
import type { StreamKind } from "./stream-kind.ts";
import { StreamReader } from "./stream-reader.ts";
import { StreamWriter } from "./stream-writer.ts";
import { UrlPicker } from "./url-picker.ts";

export class Peer {
  readonly #settings: PeerSettings;
  readonly #peerId: NodeId;
  readonly #picker: UrlPicker;
  readonly #status: PeerStatus;
  readonly #writers: Readonly<Record<StreamKind, StreamWriter>>;
  readonly #readers: Readonly<Record<StreamKind, StreamReader>>;
  readonly #pipeline: Pipeline;
  readonly #prober: Prober;
  readonly #snapshots = new Set<SnapshotSend>();
  #isReportDue = false;
  #isDropping = false;
  #isStopped = false;

  /** Throws for text that is no URL. */
  constructor(settings: PeerSettings, peerId: NodeId, urls: readonly string[]) {
    assert(peerId !== settings.local.nodeId, "a member is not its own peer", { peerId });
    this.#settings = settings;
    this.#peerId = peerId;
    this.#picker = new UrlPicker(urls);
    this.#status = new PeerStatus(settings, peerId);
    const common = { settings, peerId, picker: this.#picker, status: this.#status };
    const onLost = (): void => this.#reportUnreachableSoon();
    const deliver = (message: Message): void => this.#deliver(message);
    this.#writers = {
      message: new StreamWriter({ ...common, kind: "message", onLost }),
      append: new StreamWriter({ ...common, kind: "append", onLost }),
    };
    this.#readers = {
      message: new StreamReader({ ...common, kind: "message", deliver }),
      append: new StreamReader({ ...common, kind: "append", deliver }),
    };
    this.#pipeline = new Pipeline({ ...common, onLost });
    this.#prober = new Prober(settings, peerId, this.#picker);
  }

  start(): void {
    this.#readers.append.start();
    this.#readers.message.start();
    this.#prober.start();
  }

  /** Never blocks. What cannot be taken is dropped and reported. */
  send(message: Message): void {
    if (message.type === "MsgSnap") {
      this.#sendSnapshot(message);
      return;
    }
    if (this.#way(message).send(message)) {
      this.#isDropping = false;
      return;
    }
    this.#settings.metrics.sentFailure(hexId(this.#peerId));
    this.#reportUnreachableSoon();
    // Once for each time the queue overflows, not for each message.
    if (this.#isDropping) return;
    this.#isDropping = true;
    this.#settings.logger.warn("dropped internal Raft message since sending buffer is full", {
      "message-type": message.type,
      "remote-peer-id": hexId(this.#peerId),
      "remote-peer-active": this.activeSinceMs !== undefined,
    });
  }

  /** The peer opened a stream. */
  attach(kind: StreamKind, response: ServerResponse): void {
    this.#writers[kind].attach(response);
    // It is alive, so it is worth dialing.
    this.#readers.append.retryNow();
    this.#readers.message.retryNow();
  }

  update(urls: readonly string[]): void {
    this.#picker.update(urls);
    this.#readers.append.retryNow();
    this.#readers.message.retryNow();
  }

  get activeSinceMs(): number | undefined {
    return this.#status.activeSinceMs;
  }

  /** Whether all four streams stand. */
  get isFullyConnected(): boolean {
    const ends = [...Object.values(this.#writers), ...Object.values(this.#readers)];
    return ends.every((end) => end.isConnected);
  }

  stop(): void {
    this.#isStopped = true;
    for (const reader of Object.values(this.#readers)) reader.stop();
    for (const writer of Object.values(this.#writers)) writer.stop();
    this.#pipeline.stop();
    this.#prober.stop();
    for (const snapshot of this.#snapshots) snapshot.abort();
    this.#status.forget();
  }

  #way({ type }: Message): { send(message: Message): boolean } {
    const { append, message } = this.#writers;
    if (type === "MsgApp" && append.isConnected) return append;
    return message.isConnected ? message : this.#pipeline;
  }

  #deliver(message: Message): void {
    const { local, logger, metrics, raft } = this.#settings;
    const fault = raft.isRemoved(message.from) ? "fromRemoved" : faultOf(message, local.nodeId);
    // A snapshot without its store would replace the log by nothing.
    if (fault === undefined && message.type !== "MsgSnap") {
      // Followers pass on what others asked of the leader.
      if (message.from === this.#peerId) raft.receive(message);
      else raft.receiveUnproven(message);
      return;
    }
    metrics.receivedFailure(hexId(this.#peerId));
    logger.warn("failed to process Raft message", {
      "remote-peer-id": hexId(this.#peerId),
      "message-type": message.type,
      from: hexId(message.from),
      to: hexId(message.to),
      fault: fault ?? "a snapshot on a stream",
      ...numbersOf(message),
    });
  }

  #sendSnapshot(message: Message): void {
    const { clock, logger, metrics, raft } = this.#settings;
    const peerId = this.#peerId;
    const to = hexId(peerId);
    const url = this.#picker.get();
    const startMs = clock.nowMs();
    metrics.snapshotSendStarted(to);
    const sent = sendSnapshot(this.#settings, { message, peerId, url });
    this.#snapshots.add(sent);
    void sent.outcome.then((failure) => {
      this.#snapshots.delete(sent);
      metrics.snapshotSendEnded(to, failure === undefined ? (clock.nowMs() - startMs) / 1000 : undefined);
      if (this.#isStopped) return;
      if (failure === undefined) this.#status.activate();
      else {
        logger.warn("failed to send database snapshot", {
          "remote-peer-id": to,
          error: errorText(failure),
        });
        this.#picker.failed(url);
        this.#status.deactivate(`post ${to} on sendMsgSnap`, failure);
        metrics.sentFailure(to);
        raft.reportUnreachable(peerId);
      }
      raft.reportSnapshot(peerId, failure === undefined);
    });
  }

  /** Once a turn: Raft only wants to know that something was lost. */
  #reportUnreachableSoon(): void {
    if (this.#isReportDue) return;
    this.#isReportDue = true;
    this.#settings.clock.defer(() => {
      this.#isReportDue = false;
      if (!this.#isStopped) this.#settings.raft.reportUnreachable(this.#peerId);
    });
  }
}
