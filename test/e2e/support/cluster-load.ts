// Writers on every member of a cluster, each key written once, so that what was acknowledged can be found again at
// the revision it was acknowledged with, whoever led and whoever died meanwhile.
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { Message } from "../../conformance/messages.ts";
import type { Place, TestCluster } from "./clusters.ts";
import { eventually, succeed } from "./kv.ts";

const writersPerMember = 4;
/** After a refusal: the member is gone, or has no leader. */
const pauseMs = 50;
const prefix = "load/";
const prefixEnd = "load0";
const pageKeys = 5_000;

export class ClusterLoad {
  readonly #cluster: TestCluster;
  /** Revision by key. */
  readonly #acknowledged = new Map<string, number>();
  /** Keys of writes without an answer: they may have happened. */
  readonly #unanswered = new Set<string>();
  readonly #refusals = new Map<string, number>();
  #writers: Promise<void>[] = [];
  #isStopping = false;

  constructor(cluster: TestCluster) {
    this.#cluster = cluster;
  }

  get acknowledgedCount(): number {
    return this.#acknowledged.size;
  }

  start(): void {
    for (const place of this.#cluster.places)
      for (let i = 0; i < writersPerMember; i++) this.#writers.push(this.#write(place, i));
  }

  /** Resolves when further writes were acknowledged. */
  async goesOn(count = 100): Promise<void> {
    const wanted = this.#acknowledged.size + count;
    await eventually(`${count} further writes`, async () => this.#acknowledged.size >= wanted, 60_000);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#writers);
    this.#writers = [];
  }

  /** Every acknowledged write is there, at its revision, and nothing that nobody asked for. */
  async expectKept(): Promise<void> {
    const [place] = this.#cluster.running;
    assert.ok(place !== undefined, "a member runs");
    const stored = await readAll(place);
    for (const [key, revision] of this.#acknowledged)
      assert.equal(stored.get(key), revision, `${key} was acknowledged at ${revision}`);
    for (const key of stored.keys())
      assert.ok(this.#acknowledged.has(key) || this.#unanswered.has(key), `${key} was written by a writer`);
  }

  summary(): string {
    const refusals = [...this.#refusals].map(([text, count]) => `${count} x ${text}`);
    return [`${this.#acknowledged.size} writes acknowledged and kept`, ...refusals].join(", ");
  }

  async #write(place: Place, writer: number): Promise<void> {
    for (let step = 0; !this.#isStopping; step++) {
      if (!place.isRunning) {
        await delay(pauseMs);
        continue;
      }
      const key = `${prefix}${place.name}/${writer}/${step}`;
      const outcome = await place.client.call("Put", { key, value: key });
      if (outcome.ok) {
        this.#acknowledged.set(key, Number((outcome.response["header"] as Message)["revision"]));
        continue;
      }
      this.#unanswered.add(key);
      this.#refusals.set(outcome.text, (this.#refusals.get(outcome.text) ?? 0) + 1);
      await delay(pauseMs);
    }
  }
}

/** Revision by key, a page at a time. */
async function readAll({ client }: Place): Promise<Map<string, number>> {
  const stored = new Map<string, number>();
  for (let key = prefix; ; ) {
    const response = await succeed(client, "Range", { key, range_end: prefixEnd, limit: pageKeys });
    const kvs = (response["kvs"] ?? []) as readonly Message[];
    for (const kv of kvs) stored.set(textOf(kv), Number(kv["mod_revision"]));
    const last = kvs.at(-1);
    if (response["more"] !== true || last === undefined) return stored;
    key = `${textOf(last)}\0`;
  }
}

function textOf(kv: Message): string {
  return Buffer.from(kv["key"] as Uint8Array).toString("latin1");
}
