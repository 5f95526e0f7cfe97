// Round-trip times to a peer, from a small request every few seconds. It keeps a connection warm, too.

import { textOf } from "../lib/bytes.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { hexId, type NodeId } from "../lib/ids.ts";
import { type Call, call } from "./call.ts";
import { errorText } from "./peer-status.ts";
import type { PeerSettings } from "./settings.ts";
import type { UrlPicker } from "./url-picker.ts";

/** Above this the clocks of two members are worth a warning. */
const clockDriftMsMax = 1000;

export class Prober {
  readonly #settings: PeerSettings;
  readonly #peerId: NodeId;
  readonly #picker: UrlPicker;
  #timer: Timer | undefined;
  #underWay: Call | undefined;
  #isStopped = false;

  constructor(settings: PeerSettings, peerId: NodeId, picker: UrlPicker) {
    this.#settings = settings;
    this.#peerId = peerId;
    this.#picker = picker;
  }

  start(): void {
    const { clock, limits } = this.#settings;
    this.#timer = clock.after(limits.probeIntervalMs, () => void this.#probe(clock));
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#underWay?.abort();
  }

  async #probe(clock: Clock): Promise<void> {
    const { dialer, limits, logger, metrics } = this.#settings;
    const startMs = clock.nowMs();
    const remote = hexId(this.#peerId);
    try {
      this.#underWay = call(dialer, {
        ...{ url: this.#picker.get(), path: "/raft/probing", method: "GET", headers: {}, lane: "request" },
        dialTimeoutMs: limits.dialTimeoutMs,
        idleTimeoutMs: limits.readTimeoutMs,
      });
      const { status, body } = await this.#underWay.answer;
      const roundTripMs = clock.nowMs() - startMs;
      const peerNowMs = readHealth(status, textOf(body));
      metrics.roundTripSeconds(remote, roundTripMs / 1000);
      const driftMs = Date.now() - roundTripMs / 2 - peerNowMs;
      if (Math.abs(driftMs) > clockDriftMsMax) {
        logger.warn("prober found high clock drift", {
          "remote-peer-id": remote,
          "clock-drift": `${driftMs}ms`,
          rtt: `${roundTripMs}ms`,
        });
      }
    } catch (error) {
      if (!this.#isStopped) {
        const fields = { "remote-peer-id": remote, error: errorText(error) };
        logger.warn("prober detected unhealthy status", fields);
      }
    }
    if (!this.#isStopped) this.start();
  }
}

/** The time of the peer's clock. */
function readHealth(status: number, text: string): number {
  if (status !== 200) throw new Error(`got unexpected HTTP status code ${status}`);
  const health = JSON.parse(text) as { readonly OK?: unknown; readonly Now?: unknown };
  const nowMs = typeof health.Now === "string" ? Date.parse(health.Now) : Number.NaN;
  if (health.OK !== true || Number.isNaN(nowMs)) throw new Error("an answer that is not a sign of health");
  return nowMs;
}
