// A sender that this member was not told of yet: it is behind and has not read of the other's addition. Answers go to
// the URLs the sender names, so that the member can catch up.

import type { NodeId } from "../lib/ids.ts";
import type { Message } from "../wire/raft.ts";
import { PeerStatus } from "./peer-status.ts";
import { Pipeline } from "./pipeline.ts";
import type { PeerSettings } from "./settings.ts";
import { UrlPicker } from "./url-picker.ts";

export class Remote {
  readonly #status: PeerStatus;
  readonly #pipeline: Pipeline;

  /** Throws for text that is no URL. */
  constructor(settings: PeerSettings, peerId: NodeId, urls: readonly string[]) {
    const picker = new UrlPicker(urls);
    this.#status = new PeerStatus(settings, peerId);
    this.#pipeline = new Pipeline({ settings, peerId, picker, status: this.#status, onLost() {} });
  }

  send(message: Message): void {
    if (message.type !== "MsgSnap") this.#pipeline.send(message);
  }

  stop(): void {
    this.#pipeline.stop();
    this.#status.forget();
  }
}
