// Small puts beside something large, and how long they waited for it.
import { TestClient } from "../conformance/client.ts";
import type { Member } from "../tools/member.ts";
import { quantile } from "./load.ts";

const writers = 4;

export interface PutFigures {
  /** The longest time in which no put was acknowledged. */
  readonly stallMs: number;
  readonly putP99Ms: number;
  /** Puts that were not acknowledged. */
  readonly refused: number;
}

/** Writers that put one key after the other until they are stopped. */
export class Puts {
  readonly #clients: readonly TestClient[];
  readonly #lanes: readonly Promise<void>[];
  readonly #tookMs: number[] = [];
  #lastMs = performance.now();
  #stallMs = 0;
  #refused = 0;
  #isStopped = false;

  constructor(member: Member) {
    this.#clients = Array.from({ length: writers }, () => new TestClient(member.endpoint));
    this.#lanes = this.#clients.map((client, lane) => this.#write(client, lane));
  }

  async #write(client: TestClient, lane: number): Promise<void> {
    while (!this.#isStopped) {
      const startedMs = performance.now();
      const outcome = await client.call("Put", { key: `during/${lane}`, value: "x".repeat(100) });
      if (!outcome.ok) {
        this.#refused++;
        continue;
      }
      const nowMs = performance.now();
      this.#tookMs.push(nowMs - startedMs);
      this.#stallMs = Math.max(this.#stallMs, nowMs - this.#lastMs);
      this.#lastMs = nowMs;
    }
  }

  async stop(): Promise<PutFigures> {
    this.#isStopped = true;
    await Promise.all(this.#lanes);
    for (const client of this.#clients) client.close();
    this.#tookMs.sort((a, b) => a - b);
    return { stallMs: this.#stallMs, putP99Ms: quantile(this.#tookMs, 0.99), refused: this.#refused };
  }
}
