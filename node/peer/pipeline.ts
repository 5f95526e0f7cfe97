// Messages to a peer that has no stream open: each is a request of its own, a few at a time.

import { hexId, type NodeId } from "../lib/ids.ts";
import type { Message } from "../wire/raft.ts";
import { raftCodecs } from "../wire/raft-codec.ts";
import { type Call, call } from "./call.ts";
import { introduction } from "./compatibility.ts";
import type { PeerStatus } from "./peer-status.ts";
import { refusalOfPost } from "./response.ts";
import type { PeerSettings } from "./settings.ts";
import type { UrlPicker } from "./url-picker.ts";

export interface PipelineOptions {
  readonly settings: PeerSettings;
  readonly peerId: NodeId;
  readonly picker: UrlPicker;
  readonly status: PeerStatus;
  /** A message could not be delivered. */
  readonly onLost: () => void;
}

export class Pipeline {
  readonly #options: PipelineOptions;
  #waiting: Message[] = [];
  readonly #underWay = new Set<Call>();
  #isStopped = false;

  constructor(options: PipelineOptions) {
    this.#options = options;
  }

  /** False when too many wait already. */
  send(message: Message): boolean {
    const { pipelineConnectionsMax, pipelineQueueMax } = this.#options.settings.limits;
    if (this.#isStopped || this.#waiting.length >= pipelineQueueMax) return false;
    if (this.#underWay.size < pipelineConnectionsMax) this.#post(message);
    else this.#waiting.push(message);
    return true;
  }

  stop(): void {
    this.#isStopped = true;
    this.#waiting = [];
    for (const one of this.#underWay) one.abort();
  }

  #post(message: Message): void {
    const { settings, picker } = this.#options;
    const { dialer, limits, local } = settings;
    const url = picker.get();
    const body = raftCodecs.Message.encode(message);
    const headers = {
      "Content-Type": "application/protobuf",
      "Content-Length": body.length,
      ...introduction(local),
    };
    const one = call(
      dialer,
      {
        ...{ url, path: "/raft", method: "POST", headers, lane: "request" },
        dialTimeoutMs: limits.dialTimeoutMs,
        idleTimeoutMs: limits.readTimeoutMs,
      },
      body,
    );
    this.#underWay.add(one);
    one.answer
      .then((answer) => refusalOfPost(answer, () => settings.raft.onRemoved()))
      .catch((error: Error) => error)
      .then((failure) => {
        this.#underWay.delete(one);
        if (this.#isStopped) return;
        if (failure === undefined) this.#onSuccess(body.length);
        else this.#onFailure(url, failure);
        const next = this.#waiting.shift();
        if (next !== undefined) this.#post(next);
      });
  }

  #onSuccess(bytes: number): void {
    const { settings, peerId, status } = this.#options;
    settings.metrics.sentBytes(hexId(peerId), bytes);
    status.activate();
  }

  #onFailure(url: URL, error: Error): void {
    const { settings, peerId, picker, status } = this.#options;
    picker.failed(url);
    status.deactivate(`write ${hexId(peerId)} on pipeline`, error);
    settings.metrics.sentFailure(hexId(peerId));
    this.#options.onLost();
  }
}
