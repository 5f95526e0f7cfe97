// Whether a peer is within reach, as the last thing that was tried with it says.

import { hexId, type NodeId } from "../lib/ids.ts";
import type { PeerSettings } from "./settings.ts";

export class PeerStatus {
  readonly #settings: PeerSettings;
  readonly #peerId: string;
  #activeSinceMs: number | undefined;

  constructor(settings: PeerSettings, peerId: NodeId) {
    this.#settings = settings;
    this.#peerId = hexId(peerId);
  }

  /** Of the clock's time; undefined while out of reach. */
  get activeSinceMs(): number | undefined {
    return this.#activeSinceMs;
  }

  activate(): void {
    if (this.#activeSinceMs !== undefined) return;
    this.#activeSinceMs = this.#settings.clock.nowMs();
    this.#settings.metrics.active(this.#peerId, true);
    this.#settings.logger.info("peer became active", { "peer-id": this.#peerId });
  }

  deactivate(what: string, error: unknown): void {
    const { logger, metrics } = this.#settings;
    const text = `failed to ${what} (${errorText(error)})`;
    if (this.#activeSinceMs === undefined) {
      logger.debug("peer deactivated again", { "peer-id": this.#peerId, error: text });
      return;
    }
    this.#activeSinceMs = undefined;
    metrics.active(this.#peerId, false);
    logger.warn("peer became inactive (message send to peer failed)", {
      "peer-id": this.#peerId,
      error: text,
    });
  }

  /** The peer is not one any more. */
  forget(): void {
    if (this.#activeSinceMs === undefined) return;
    this.#activeSinceMs = undefined;
    this.#settings.metrics.active(this.#peerId, false);
  }
}

export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
