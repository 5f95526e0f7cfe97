// The nine guarantees of etcd's watch, and a tenth of ours, as functions over what clients recorded while random
// histories ran with slow consumers, small budgets, compactions and replaced stores.

import assert from "node:assert/strict";
import { test } from "node:test";
import { textOf } from "../lib/bytes.ts";
import { SeededRandom } from "../lib/random.ts";
import { codecs } from "../wire/codecs.ts";
import type { WatchResponse } from "./watch-response.ts";
import type { WatchCreateRequest, WatchStream } from "./watch-stream.ts";
import { type Change, createRequest, PlainHistory, watchBed } from "./watch-testing.ts";

interface SeenEvent {
  readonly type: "put" | "delete";
  readonly key: string;
  readonly revision: number;
  readonly kv: Uint8Array;
  readonly isCreate: boolean;
  readonly previous: Uint8Array | undefined;
  /** Number of the batch it came in: a response, or a run of fragments. */
  readonly batch: number;
}

/** One watch as its client saw it. */
interface Record {
  readonly request: WatchCreateRequest;
  /** The store's revision when it was created. */
  readonly createdAt: number;
  readonly events: SeenEvent[];
  /** Progress told, and how many events had come before. */
  readonly bookmarks: { readonly revision: number; readonly eventCount: number }[];
  end: "open" | "canceled" | { readonly compactRevision: number };
  batch: number;
  isInFragments: boolean;
}

interface Client {
  readonly stream: WatchStream;
  /** Requests whose answer has not been read yet. */
  readonly pending: { readonly request: WatchCreateRequest; readonly createdAt: number }[];
  readonly live: Map<bigint, Record>;
  /** Watches that compaction ended and the client has not canceled. */
  readonly overtaken: Set<bigint>;
  readonly records: Record[];
}

const keys = ["a", "aa", "ab", "b", "c\0", "c"];

function record(client: Client, response: WatchResponse): void {
  if (response.created) {
    const created = client.pending.shift();
    assert.ok(created !== undefined, "an answer has a request");
    if (response.canceled) return;
    const fresh: Record = {
      ...created,
      events: [],
      bookmarks: [],
      end: "open",
      batch: 0,
      isInFragments: false,
    };
    client.live.set(response.watchId, fresh);
    client.records.push(fresh);
    return;
  }
  if (response.watchId === -1n) {
    for (const watch of client.live.values()) bookmark(watch, response);
    return;
  }
  if (client.overtaken.delete(response.watchId)) {
    assert.ok(response.canceled && response.compactRevision === 0, "only a cancel is answered after the end");
    return;
  }
  const watch = client.live.get(response.watchId);
  assert.ok(watch !== undefined, "responses belong to a watch that is open");
  if (response.canceled) {
    client.live.delete(response.watchId);
    assert.equal(response.revision === 0, response.compactRevision !== 0);
    if (response.compactRevision !== 0) client.overtaken.add(response.watchId);
    watch.end = response.compactRevision === 0 ? "canceled" : { compactRevision: response.compactRevision };
  } else if (response.events.length === 0) {
    bookmark(watch, response);
  } else {
    if (!watch.isInFragments) watch.batch++;
    watch.isInFragments = response.fragment;
    for (const bytes of response.events) watch.events.push(decode(bytes, watch.batch));
    assert.ok(
      (watch.events.at(-1)?.revision ?? 0) <= response.revision,
      "the header is not behind its events",
    );
  }
}

function bookmark(watch: Record, { revision }: WatchResponse): void {
  watch.bookmarks.push({ revision, eventCount: watch.events.length });
}

function decode(bytes: Uint8Array, batch: number): SeenEvent {
  const { type, kv, prevKv } = codecs.Event.decode(bytes);
  assert.ok(kv !== undefined);
  return {
    type: type === 0 ? "put" : "delete",
    key: textOf(kv.key),
    revision: kv.modRevision,
    kv: codecs.KeyValue.encode(kv),
    isCreate: type === 0 && kv.createRevision === kv.modRevision,
    previous: prevKv && codecs.KeyValue.encode(prevKv),
    batch,
  };
}

function wants({ request }: Record, type: "put" | "delete", key: string): boolean {
  const [start, end] = [textOf(request.key) || "\0", textOf(request.rangeEnd)];
  const isInRange = end === "" ? key === start : key >= start && (end === "\0" || key < end);
  return isInRange && !request.filters.includes(type === "put" ? 0 : 1);
}

function firstRevision({ request, createdAt }: Record): number {
  return request.startRevision === 0 ? createdAt + 1 : request.startRevision;
}

/** What the watch has to see in [first, end), by the store's own lists. */
function expected(watch: Record, history: PlainHistory, end: number): { key: string; revision: number }[] {
  const wanted: { key: string; revision: number }[] = [];
  for (let revision = firstRevision(watch); revision < end; revision++) {
    for (const { type, key } of history.revisions.get(revision)?.events ?? []) {
      if (wants(watch, type, textOf(key))) wanted.push({ key: textOf(key), revision });
    }
  }
  return wanted;
}

const guarantees: { [name: string]: (watch: Record, history: PlainHistory) => void } = {
  filter(watch) {
    for (const { type, key } of watch.events) assert.ok(wants(watch, type, key));
  },
  ordered(watch) {
    for (const [i, { revision }] of watch.events.entries()) {
      assert.ok(revision >= (watch.events[i - 1]?.revision ?? 0));
    }
  },
  unique(watch, history) {
    const seen = new Map<string, number>();
    for (const { revision, key } of watch.events) {
      const name = `${revision} ${key}`;
      seen.set(name, (seen.get(name) ?? 0) + 1);
      const made = history.revisions.get(revision)?.events.filter((event) => textOf(event.key) === key) ?? [];
      assert.ok((seen.get(name) ?? 0) <= made.length);
    }
  },
  atomic(watch) {
    const batches = new Map<number, number>();
    for (const { revision, batch } of watch.events) {
      assert.equal(batches.get(revision) ?? batch, batch);
      batches.set(revision, batch);
    }
    assert.ok(!watch.isInFragments, "fragments end");
  },
  reliable(watch, history) {
    const last = watch.events.at(-1)?.revision ?? 0;
    const seen = watch.events.map(({ key, revision }) => ({ key, revision }));
    assert.deepEqual(seen, expected(watch, history, last + 1));
  },
  resumable(watch, history) {
    const first = watch.events[0];
    if (first === undefined) return;
    assert.ok(first.revision >= firstRevision(watch));
    assert.deepEqual(expected(watch, history, first.revision), []);
  },
  bookmark(watch) {
    for (const { revision, eventCount } of watch.bookmarks) {
      assert.ok(revision >= watch.request.startRevision);
      for (const event of watch.events.slice(0, eventCount)) assert.ok(event.revision <= revision);
      for (const event of watch.events.slice(eventCount)) assert.ok(event.revision > revision);
    }
  },
  isCreate(watch, history) {
    for (const { type, key, revision, isCreate } of watch.events) {
      if (type === "put" && isCreate) {
        const made = history.revisions.get(revision)?.events ?? [];
        const wasDeletedInside = made.some((event) => event.type === "delete" && textOf(event.key) === key);
        assert.ok(history.stateAt(key, revision - 1) === undefined || wasDeletedInside);
      }
    }
  },
  previous(watch, history) {
    for (const { key, revision, isCreate, previous } of watch.events) {
      const before = history.stateAt(key, revision - 1)?.kv;
      if (!watch.request.prevKv || isCreate) assert.equal(previous, undefined);
      else if (previous !== undefined) assert.deepEqual(previous, before);
      else assert.ok(before === undefined || revision - 1 < history.compactRevision());
    }
  },
  completeOrTold(watch, history) {
    if (watch.end === "canceled") return;
    if (watch.end === "open") {
      const seen = watch.events.map(({ key, revision }) => ({ key, revision }));
      assert.deepEqual(seen, expected(watch, history, history.currentRevision() + 1));
    } else {
      const next = watch.events.at(-1)?.revision ?? firstRevision(watch) - 1;
      assert.ok(next < watch.end.compactRevision, "a watch that got on was not overtaken");
    }
  },
};

interface Coverage {
  overtaken: number;
  canceled: number;
  lagged: number;
  bookmarks: number;
  fragments: number;
  previous: number;
  restores: number;
}

function run(seed: number, coverage: Coverage): void {
  const random = new SeededRandom(seed);
  const pick = <T>(items: readonly T[]): T => items[random.below(items.length)] as T;
  const chance = (percent: number) => random.below(100) < percent;
  const history = new PlainHistory();
  const bed = watchBed(
    {
      streamBudgetBytes: pick([200, 1_000, 10_000]),
      fragmentBytesMax: 200,
      roundWatchersMax: pick([1, 3, 100]),
      roundRevisionsMax: pick([1, 4, 100]),
      roundBytesMax: pick([1, 500, 100_000]),
      batchBytesMax: pick([1, 300, 100_000]),
    },
    history,
  );
  const clients: Client[] = Array.from({ length: 4 }, () => ({
    stream: bed.hub.openStream(() => {}, 0),
    pending: [],
    live: new Map(),
    overtaken: new Set(),
    records: [],
  }));
  const transaction = (): Change[] =>
    Array.from({ length: chance(70) ? 1 : 1 + random.below(5) }, () =>
      chance(70) ? [pick(keys), "v".repeat(random.below(90))] : [pick(keys)],
    );
  const read = (client: Client, count: number) => {
    for (let i = 0; i < count; i++) {
      const response = client.stream.next();
      if (response === undefined) return;
      if (response.fragment) coverage.fragments++;
      record(client, response);
    }
  };
  const readBias = pick([2, 10, 30]);
  for (let step = 0; step < 400; step++) {
    const client = pick(clients);
    const action = random.below(100);
    if (action < 50) {
      bed.commit(...transaction());
    } else if (action < 50 + readBias) {
      read(client, 1 + random.below(10));
    } else if (action < 88) {
      bed.hub.syncStep();
    } else if (action < 92) {
      const request = createRequest(pick([...keys, ""]), {
        rangeEnd: pick(["", "", "\0", "b", "c", "d"]),
        startRevision: pick([
          0,
          1 + random.below(history.currentRevision()),
          history.currentRevision() + random.below(20),
        ]),
        filters: pick([[], [], [], [0], [1]]),
        prevKv: chance(50),
        fragment: chance(50),
        progressNotify: chance(50),
      });
      client.pending.push({ request, createdAt: history.currentRevision() });
      client.stream.create(request);
    } else if (action < 93) {
      client.stream.cancel(BigInt(random.below(5)));
    } else if (action < 95) {
      client.stream.requestProgress();
    } else if (action < 97) {
      bed.hub.tick(step * 100);
    } else if (action < 98) {
      for (let i = random.below(10); i > 0; i--) history.commit(transaction());
      bed.hub.restored();
      coverage.restores++;
    } else {
      const revision = history.compactRevision() + 1 + random.below(10);
      if (revision > 0 && revision <= history.currentRevision()) bed.compact(revision);
    }
    coverage.lagged += bed.hub.laggingCount;
  }
  for (
    let rounds = 0;
    bed.hub.laggingCount > 0 || clients.some(({ stream }) => stream.queuedBytes > 0);
    rounds++
  ) {
    assert.ok(rounds < 10_000, "everything is delivered once everybody reads");
    for (const client of clients) read(client, 1_000);
    bed.hub.syncStep();
  }
  for (const { pending, records } of clients) {
    assert.equal(pending.length, 0, "every request is answered");
    for (const watch of records) {
      for (const [name, holds] of Object.entries(guarantees)) {
        try {
          holds(watch, history);
        } catch (cause) {
          throw new Error(`seed ${seed}: guarantee "${name}" is broken`, { cause });
        }
      }
      if (watch.end === "canceled") coverage.canceled++;
      else if (watch.end !== "open") coverage.overtaken++;
      coverage.bookmarks += watch.bookmarks.length;
      for (const { previous } of watch.events) if (previous !== undefined) coverage.previous++;
    }
  }
}

test("the nine guarantees of watch hold over random histories, and a watch is complete or told why not", () => {
  const coverage: Coverage = {
    overtaken: 0,
    canceled: 0,
    lagged: 0,
    bookmarks: 0,
    fragments: 0,
    previous: 0,
    restores: 0,
  };
  for (let seed = 1; seed <= 150; seed++) run(seed, coverage);
  for (const [name, count] of Object.entries(coverage))
    assert.ok(count > 100, `${name} happened ${count} times`);
});
