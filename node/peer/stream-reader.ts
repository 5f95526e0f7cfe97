// Our end of a stream that we open, since the receiver of messages dials: connect, check the answer, decode until
// the connection ends, and again.

import type { ClientRequest, IncomingMessage } from "node:http";
import { textOf } from "../lib/bytes.ts";
import type { Timer } from "../lib/clock.ts";
import { hexId, type NodeId } from "../lib/ids.ts";
import { WireError } from "../wire/error.ts";
import type { Message } from "../wire/raft.ts";
import { readAll } from "./call.ts";
import { headerOf, introduction, servesStreams } from "./compatibility.ts";
import { FrameError } from "./frames.ts";
import { errorText, type PeerStatus } from "./peer-status.ts";
import type { PeerSettings } from "./settings.ts";
import { newDecoder, type StreamKind, streamNames, streamPath } from "./stream-kind.ts";
import type { UrlPicker } from "./url-picker.ts";

export interface StreamReaderOptions {
  readonly settings: PeerSettings;
  readonly kind: StreamKind;
  readonly peerId: NodeId;
  readonly picker: UrlPicker;
  readonly status: PeerStatus;
  readonly deliver: (message: Message) => void;
}

export class StreamReader {
  readonly #options: StreamReaderOptions;
  #request: ClientRequest | undefined;
  #retry: Timer | undefined;
  #retryMs: number;
  #isStopped = false;
  #isConnected = false;
  /** A stream stood since the last dial that was refused. */
  #hasStood = false;

  constructor(options: StreamReaderOptions) {
    this.#options = options;
    this.#retryMs = options.settings.limits.retryMs;
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  start(): void {
    this.#dial();
  }

  /** Dials at once if it waits: the peer gave a sign of life, or its URLs changed. */
  retryNow(): void {
    this.#retryMs = this.#options.settings.limits.retryMs;
    if (this.#retry === undefined) return;
    this.#retry.cancel();
    this.#retry = undefined;
    this.#dial();
  }

  stop(): void {
    this.#isStopped = true;
    this.#retry?.cancel();
    this.#retry = undefined;
    this.#request?.destroy();
  }

  #dial(): void {
    const { settings, kind, peerId, picker } = this.#options;
    const { dialer, limits, local } = settings;
    const url = picker.get();
    let request: ClientRequest;
    try {
      request = dialer.open({
        url,
        path: streamPath(kind, local.nodeId),
        method: "GET",
        headers: { ...introduction(local), "X-Raft-To": hexId(peerId) },
        lane: "stream",
        dialTimeoutMs: limits.dialTimeoutMs,
        idleTimeoutMs: limits.readTimeoutMs,
      });
    } catch (error) {
      this.#failed(url, "dial", error);
      return;
    }
    this.#request = request;
    let failure: unknown = new Error("the peer closed the stream");
    request.on("error", (error) => {
      failure = error;
    });
    request.on("response", (response) => {
      response.on("error", (error) => {
        failure = error;
      });
      this.#onResponse(request, response, (error) => {
        failure = error;
        request.destroy();
      });
    });
    request.on("close", () => {
      const wasConnected = this.#isConnected;
      this.#isConnected = false;
      this.#request = undefined;
      if (!this.#isStopped) this.#failed(url, wasConnected ? "read" : "dial", failure);
    });
    request.end();
  }

  #onResponse(request: ClientRequest, response: IncomingMessage, fail: (error: Error) => void): void {
    const { settings, kind, peerId, status } = this.#options;
    if (response.statusCode !== 200) {
      readAll(response).then(
        (body) => fail(this.#refusal(response, textOf(body).trimEnd())),
        (error: Error) => fail(error),
      );
      return;
    }
    if (!servesStreams(response.headers)) {
      fail(new Error("unsupported stream type"));
      return;
    }
    this.#isConnected = true;
    this.#hasStood = true;
    settings.logger.info("established TCP streaming connection with remote peer", {
      "stream-reader-type": streamNames[kind],
      ...this.#ids,
    });
    status.activate();
    const from = hexId(peerId);
    const decoder = newDecoder(kind, settings, peerId, (message, bytes) => {
      if (this.#isStopped) return;
      this.#retryMs = settings.limits.retryMs;
      settings.metrics.receivedBytes(from, bytes);
      this.#options.deliver(message);
    });
    response.on("data", (chunk: Uint8Array) => {
      if (request.destroyed) return;
      try {
        decoder.push(chunk);
      } catch (error) {
        // What Raft makes of a message is not the peer's fault.
        if (!(error instanceof FrameError || error instanceof WireError)) throw error;
        settings.metrics.receivedFailure(from);
        fail(error);
      }
    });
  }

  /** What an answer without a stream means. */
  #refusal(response: IncomingMessage, text: string): Error {
    const { settings, peerId } = this.#options;
    if (response.statusCode === 410) {
      settings.raft.onRemoved();
      return new Error("the member has been permanently removed from the cluster");
    }
    if (response.statusCode === 404) {
      return new Error(`peer ${hexId(peerId)} failed to find local node ${hexId(settings.local.nodeId)}`);
    }
    if (response.statusCode === 412) {
      const clusterId = headerOf(response.headers, "x-etcd-cluster-id") ?? "unnamed";
      return new Error(`${text} (the peer's cluster is ${clusterId})`);
    }
    return new Error(`unhandled http status ${response.statusCode}`);
  }

  #failed(url: URL, action: "dial" | "read", error: unknown): void {
    const { settings, kind, peerId, picker, status } = this.#options;
    const name = streamNames[kind];
    if (action === "read") {
      settings.logger.warn("lost TCP streaming connection with remote peer", {
        "stream-reader-type": name,
        ...this.#ids,
        error: errorText(error),
      });
    } else {
      picker.failed(url);
      if (isRefused(error)) this.#refused();
    }
    status.deactivate(`${action} ${hexId(peerId)} on ${name}`, error);
    const { clock, limits } = settings;
    this.#retry = clock.after(this.#retryMs, () => {
      this.#retry = undefined;
      this.#dial();
    });
    this.#retryMs = Math.min(this.#retryMs * 2, limits.retryMsMax);
  }

  /** The kernel of the peer's machine says so: nobody listens there. */
  #refused(): void {
    if (!this.#hasStood) return;
    this.#hasStood = false;
    this.#options.settings.raft.reportGone(this.#options.peerId);
  }

  get #ids(): Readonly<Record<string, string>> {
    const { settings, peerId } = this.#options;
    return { "local-member-id": hexId(settings.local.nodeId), "remote-peer-id": hexId(peerId) };
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ECONNREFUSED";
}
