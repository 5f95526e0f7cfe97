// Clients of every member that write and read a few shared keys, and watchers of every member. All they asked and
// were told is kept, for the checks.
import { setTimeout as delay } from "node:timers/promises";
import { must } from "../../node/lib/assert.ts";
import type { Random } from "../../node/lib/random.ts";
import { TestClient } from "../conformance/client.ts";
import type { InputMessage, Message } from "../conformance/messages.ts";
import type { Place } from "../e2e/support/clusters.ts";
import { eventually } from "../e2e/support/kv.ts";

export interface KeyValue {
  readonly key: string;
  readonly value: string;
}

export interface Operation {
  readonly startMs: number;
  /** Nothing for a read. No value is written twice. */
  readonly writes: readonly KeyValue[];
  /** The key that is read, linearizable. */
  readonly reads?: string;
  answer?: {
    readonly endMs: number;
    readonly revision: number;
    /** What was read; undefined where there is no key. */
    readonly value?: string | undefined;
  };
}

/** What one watcher saw, in its order. */
export interface Watched {
  readonly place: string;
  readonly events: { readonly revision: number; readonly kv: KeyValue }[];
}

/** What clients asked and were told. */
export interface Told {
  readonly operations: readonly Operation[];
  readonly watched: readonly Watched[];
}

const clientsPerMember = 4;
const keyCount = 20;
const callTimeoutMs = 3_000;
const catchUpTimeoutMs = 60_000;
/** After a refusal: the member is gone, or has no leader. */
const pauseMs = 20;
/** An upper bound for what is kept in memory. */
const operationsMax = 500_000;
const everyKey = { key: Uint8Array.of(0), range_end: Uint8Array.of(0) };

export class Traffic {
  readonly operations: Operation[] = [];
  readonly watched: Watched[] = [];
  acknowledgedCount = 0;
  readonly #random: Random;
  readonly #valueBytes: number;
  readonly #callLanes: Promise<void>[] = [];
  readonly #watchLanes: Promise<void>[] = [];
  readonly #refusedCounts = new Map<Place, number>();
  #isCalling = true;
  #isWatching = true;

  /** Values are padded to `valueBytes`. */
  constructor(random: Random, valueBytes: number) {
    this.#random = random;
    this.#valueBytes = valueBytes;
  }

  /** Begins on a member. A later call does so on a further one. */
  addMember(place: Place): void {
    const lanes = this.#callLanes;
    for (let i = 0; i < clientsPerMember; i++) lanes.push(this.#call(place, lanes.length));
    const watched: Watched = { place: place.name, events: [] };
    this.watched.push(watched);
    this.#watchLanes.push(this.#watch(place, watched));
  }

  /** How many operations this member did not do, or did not answer. */
  refusedBy(place: Place): number {
    return this.#refusedCounts.get(place) ?? 0;
  }

  /** Asks nothing more, gives the watchers of these members the time to see what was done, and ends them too. */
  async finish(running: readonly Place[]): Promise<void> {
    this.#isCalling = false;
    await Promise.all(this.#callLanes);
    const answered = this.operations.map(({ writes, answer }) => (writes.length > 0 ? answer : undefined));
    const last = answered.reduce((newest, answer) => Math.max(newest, answer?.revision ?? 0), 0);
    for (const { place, events } of this.watched)
      if (running.some(({ name }) => name === place))
        await eventually(
          `the watcher of ${place} sees revision ${last}`,
          async () => (events.at(-1)?.revision ?? 0) >= last,
          catchUpTimeoutMs,
        );
    await this.stop();
  }

  async stop(): Promise<void> {
    this.#isCalling = false;
    this.#isWatching = false;
    await Promise.all([...this.#callLanes, ...this.#watchLanes]);
  }

  async #call(place: Place, lane: number): Promise<void> {
    const client = new TestClient(place.endpoint, callTimeoutMs);
    for (let step = 0; this.#isCalling && this.operations.length < operationsMax; step++) {
      const operation = this.#operation(`${lane}/${step}`.padEnd(this.#valueBytes, "."));
      this.operations.push(operation);
      const outcome = await client.call(...callOf(operation));
      if (!outcome.ok) {
        this.#refusedCounts.set(place, this.refusedBy(place) + 1);
        await delay(pauseMs);
        continue;
      }
      this.acknowledgedCount++;
      operation.answer = {
        endMs: performance.now(),
        revision: Number((outcome.response["header"] as Message)["revision"]),
        ...(operation.reads === undefined ? {} : { value: valueRead(outcome.response) }),
      };
    }
    client.close();
  }

  #operation(value: string): Operation {
    const startMs = performance.now();
    const key = () => `key ${this.#random.below(keyCount)}`;
    const kind = this.#random.below(10);
    if (kind < 4) return { startMs, writes: [], reads: key() };
    if (kind < 9) return { startMs, writes: [{ key: key(), value }] };
    const number = this.#random.below(keyCount);
    const second = (number + 1 + this.#random.below(keyCount - 1)) % keyCount;
    return {
      startMs,
      writes: [
        { key: `key ${number}`, value: `${value}/first` },
        { key: `key ${second}`, value: `${value}/second` },
      ],
    };
  }

  /** Goes on behind the last event whenever the stream breaks. */
  async #watch(place: Place, { events }: Watched): Promise<void> {
    while (this.#isWatching) {
      const client = new TestClient(place.endpoint);
      const stream = client.watch();
      const startRevision = (events.at(-1)?.revision ?? 1) + 1;
      stream.send({ create_request: { ...everyKey, start_revision: startRevision } });
      let read = 0;
      await stream.until((received) => {
        for (; read < received.length; read++) collect(must(received[read], "it was received"), events);
        return !this.#isWatching;
      }, watchRenewMs);
      stream.cancel();
      client.close();
      await delay(pauseMs);
    }
  }
}

/** A stream whose member was cut off does not end by itself. */
const watchRenewMs = 3_000;

function collect(response: Message, events: Watched["events"]): void {
  for (const event of (response["events"] ?? []) as readonly Message[]) {
    const kv = event["kv"] as Message;
    const pair = { key: textOf(kv["key"]), value: textOf(kv["value"]) };
    events.push({ revision: Number(kv["mod_revision"]), kv: pair });
  }
}

function callOf({ writes, reads }: Operation): [string, InputMessage] {
  if (reads !== undefined) return ["Range", { key: reads }];
  const [first, second] = writes;
  if (first !== undefined && second === undefined) return ["Put", { ...first }];
  return ["Txn", { success: writes.map((kv) => ({ request_put: { ...kv } })) }];
}

function valueRead(response: Message): string | undefined {
  const kv = ((response["kvs"] ?? []) as readonly Message[])[0];
  return kv === undefined ? undefined : textOf(kv["value"]);
}

function textOf(bytes: unknown): string {
  return new TextDecoder().decode((bytes as Uint8Array | undefined) ?? new Uint8Array());
}
