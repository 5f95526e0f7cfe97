import assert from "node:assert/strict";
import { test } from "node:test";
import { textOf } from "../lib/bytes.ts";
import { codecs } from "../wire/codecs.ts";
import type { WatchHubOptions } from "./watch-hub.ts";
import { cancelReasons } from "./watch-response.ts";
import type { WatchStream } from "./watch-stream.ts";
import { createRequest, drain, PlainHistory, type WatchBed, watchBed } from "./watch-testing.ts";

function open(bed: WatchBed, onReadable = () => {}): WatchStream {
  return bed.hub.openStream(onReadable, 0);
}

/** A bed whose store has revisions 2 to 5: a=1, a=2, b=1, a deleted. */
function bedWithHistory(options: Partial<WatchHubOptions> = {}): WatchBed {
  const bed = watchBed(options);
  bed.commit(["a", "1"]);
  bed.commit(["a", "2"]);
  bed.commit(["b", "1"]);
  bed.commit(["a"]);
  return bed;
}

const emptyRange = '"mvcc: watcher range is empty"';
const duplicateId = '"mvcc: duplicate watch ID provided on the WatchStream"';

test("create requests are answered as etcd answers them", async (t) => {
  const table = [
    { name: "start 0 begins after now", request: createRequest("a"), answers: ["0@5 created"] },
    {
      name: "a start in the past brings history",
      request: createRequest("a", { startRevision: 3 }),
      answers: ["0@5 created", "0@5: PUT a=2, DELETE a"],
    },
    {
      name: "a start in the future is accepted",
      request: createRequest("a", { startRevision: 100 }),
      answers: ["0@5 created"],
    },
    {
      name: "the largest start is accepted",
      request: createRequest("a", { startRevision: Number.MAX_SAFE_INTEGER }),
      answers: ["0@5 created"],
    },
    {
      name: "a negative start is refused as compacted",
      request: createRequest("a", { startRevision: -1 }),
      answers: ['-1@5 created canceled "etcdserver: mvcc: required revision has been compacted"'],
    },
    {
      name: "an empty key is the smallest key",
      request: createRequest("", { rangeEnd: "b", startRevision: 2 }),
      answers: ["0@5 created", "0@5: PUT a=1, PUT a=2, DELETE a"],
    },
    {
      name: "an empty key and a zero end are all keys",
      request: createRequest("", { rangeEnd: "\0", startRevision: 4 }),
      answers: ["0@5 created", "0@5: PUT b=1, DELETE a"],
    },
    {
      name: "a zero end is every key from the start on",
      request: createRequest("aa", { rangeEnd: "\0", startRevision: 2 }),
      answers: ["0@5 created", "0@5: PUT b=1"],
    },
    {
      name: "an end equal to the key is an empty range",
      request: createRequest("a", { rangeEnd: "a" }),
      answers: [`-1@5 created canceled ${emptyRange}`],
    },
    {
      name: "an end before the key is an empty range",
      request: createRequest("b", { rangeEnd: "a" }),
      answers: [`-1@5 created canceled ${emptyRange}`],
    },
    {
      name: "an id of the client's is used, whatever int64 it is",
      request: createRequest("a", { watchId: -(2n ** 63n) }),
      answers: [`${-(2n ** 63n)}@5 created`],
    },
  ];
  for (const { name, request, answers } of table) {
    await t.test(name, () => {
      const bed = bedWithHistory();
      const stream = open(bed);
      stream.create(request);
      bed.sync();
      assert.deepEqual(drain(stream), answers);
    });
  }
});

test("ids are counted per stream from zero, without those in use", () => {
  const bed = watchBed();
  const first = open(bed);
  const second = open(bed);
  first.create(createRequest("a", { watchId: 1n }));
  first.create(createRequest("a"));
  first.create(createRequest("a"));
  second.create(createRequest("a"));
  assert.deepEqual(drain(first), ["1@1 created", "0@1 created", "2@1 created"]);
  assert.deepEqual(drain(second), ["0@1 created"]);
});

test("an id in use is refused, and free again after a cancel", () => {
  const bed = watchBed();
  const stream = open(bed);
  stream.create(createRequest("a", { watchId: 5n }));
  assert.deepEqual(stream.create(createRequest("b", { watchId: 5n })), {
    ok: false,
    reason: cancelReasons.duplicateId,
  });
  stream.cancel(5n);
  stream.create(createRequest("b", { watchId: 5n }));
  assert.deepEqual(drain(stream), [
    "5@1 created",
    `-1@1 created canceled ${duplicateId}`,
    "5@1 canceled",
    "5@1 created",
  ]);
});

test("a start below the compact revision is created and then canceled with that revision; the revision itself is fine", () => {
  const bed = bedWithHistory();
  bed.compact(4);
  const stream = open(bed);
  stream.create(createRequest("a", { startRevision: 3 }));
  stream.create(createRequest("b", { startRevision: 4 }));
  bed.sync();
  assert.deepEqual(drain(stream), ["0@5 created", "0@0 canceled compacted 4", "1@5 created", "1@5: PUT b=1"]);
  assert.equal(bed.hub.watcherCount, 1);
});

test("a watch that compaction ended keeps its id and the stream from progress until it is canceled", () => {
  const bed = bedWithHistory();
  bed.compact(4);
  const stream = open(bed);
  stream.create(createRequest("a", { startRevision: 3, watchId: 7n }));
  stream.create(createRequest("a", {}));
  assert.equal(drain(stream).length, 3);
  stream.requestProgress();
  stream.create(createRequest("a", { watchId: 7n }));
  assert.deepEqual(drain(stream), [
    `-1@5 created canceled "mvcc: duplicate watch ID provided on the WatchStream"`,
  ]);
  stream.cancel(7n);
  stream.requestProgress();
  assert.deepEqual(drain(stream), ["7@5 canceled", "-1@5"]);
});

test("canceling answers once, and an unknown id is ignored", () => {
  const bed = watchBed();
  const stream = open(bed);
  stream.create(createRequest("a"));
  stream.cancel(7n);
  stream.cancel(0n);
  stream.cancel(0n);
  bed.commit(["a", "1"]);
  assert.deepEqual(drain(stream), ["0@1 created", "0@1 canceled"]);
  assert.equal(bed.hub.watcherCount, 0);
});

test("a refusal from outside, as for missing permission, is created and canceled with the reason", () => {
  const bed = watchBed();
  let isReadable = false;
  const stream = open(bed, () => {
    isReadable = true;
  });
  stream.refuse("rpc error: code = PermissionDenied desc = etcdserver: permission denied");
  assert.ok(isReadable);
  assert.deepEqual(drain(stream), [
    '-1@1 created canceled "rpc error: code = PermissionDenied desc = etcdserver: permission denied"',
  ]);
});

test("a future start gets no earlier events and no progress before it is reached", () => {
  const bed = watchBed();
  const stream = open(bed);
  stream.create(createRequest("a", { startRevision: 4, progressNotify: true }));
  bed.commit(["a", "2"]);
  bed.commit(["a", "3"]);
  stream.requestProgress();
  bed.hub.tick(10_000);
  assert.deepEqual(drain(stream), ["0@1 created"]);
  bed.commit(["a", "4"]);
  stream.requestProgress();
  assert.deepEqual(drain(stream), ["0@4: PUT a=4", "-1@4"]);
});

test("created comes before events, events in order, progress behind them", () => {
  const bed = watchBed();
  const stream = open(bed);
  stream.create(createRequest("a"));
  bed.commit(["a", "1"]);
  bed.commit(["b", "1"]);
  bed.commit(["a", "2"]);
  stream.requestProgress();
  assert.deepEqual(drain(stream), ["0@1 created", "0@4: PUT a=1, PUT a=2", "-1@4"]);
});

test("events join a response that nobody took yet, and overtake nothing that was said since", () => {
  const bed = watchBed();
  const stream = open(bed);
  stream.create(createRequest("a"));
  stream.create(createRequest("a", { fragment: true }));
  drain(stream);
  bed.commit(["a", "1"]);
  bed.commit(["a", "2"]);
  stream.requestProgress();
  bed.commit(["a", "3"]);
  bed.commit(["a", "4"], ["b", "1"], ["a"]);
  bed.commit(["a", "5"]);
  assert.deepEqual(drain(stream), [
    "0@3: PUT a=1, PUT a=2",
    "1@2: PUT a=1",
    "1@3: PUT a=2",
    "-1@3",
    "0@4: PUT a=3",
    "1@4: PUT a=3",
    "0@6: PUT a=4, DELETE a, PUT a=5",
    "1@5: PUT a=4, DELETE a",
    "1@6: PUT a=5",
  ]);
  bed.commit(["a", "6"]);
  assert.deepEqual(drain(stream), ["0@7: PUT a=6", "1@7: PUT a=6"]);
});

test("a response grows to 256 events, and watchers of one range share the list", () => {
  const bed = watchBed();
  const streams = [open(bed), open(bed)];
  for (const stream of streams) {
    stream.create(createRequest("a"));
    drain(stream);
  }
  for (let i = 0; i < 300; i++) bed.commit(["a", "1"]);
  const [first, second] = streams.map((stream) => [stream.next(), stream.next(), stream.next()]);
  assert.deepEqual(
    first?.map((response) => response?.events.length),
    [256, 44, undefined],
  );
  assert.equal(second?.[0]?.events, first?.[0]?.events);
  assert.equal(second?.[1]?.events, first?.[1]?.events);
});

test("filters drop puts or deletes, and a batch left empty is not sent", () => {
  const bed = watchBed();
  const stream = open(bed);
  stream.create(createRequest("a", { filters: [0] }));
  stream.create(createRequest("a", { filters: [1] }));
  stream.create(createRequest("a", { filters: [0, 1] }));
  drain(stream);
  bed.commit(["a", "1"]);
  bed.commit(["a"]);
  bed.commit(["a", "2"], ["a"]);
  // Watchers of one revision have no order among themselves.
  assert.deepEqual(drain(stream).sort(), ["0@4: DELETE a, DELETE a", "1@4: PUT a=1, PUT a=2"]);
});

test("the previous value is that of the revision before, and absent for creates", () => {
  const bed = watchBed();
  const stream = open(bed);
  stream.create(createRequest("a", { prevKv: true }));
  drain(stream);
  bed.commit(["a", "1"]);
  bed.commit(["a", "2"]);
  bed.commit(["a", "3"], ["a"]);
  bed.commit(["a", "4"], ["a"]);
  bed.commit(["a", "5"]);
  bed.commit(["a"], ["a", "6"]);
  assert.deepEqual(drain(stream), [
    "0@3: PUT a=1, PUT a=2 (was 1)",
    "0@4: PUT a=3 (was 2), DELETE a (was 2)",
    "0@6: PUT a=4, DELETE a, PUT a=5",
    // Made anew in the transaction that deleted it: a create, although the key was there before.
    "0@7: DELETE a (was 5), PUT a=6",
  ]);
});

test("the previous value is absent when it is compacted", () => {
  const bed = bedWithHistory();
  bed.compact(5);
  const stream = open(bed);
  stream.create(createRequest("a", { startRevision: 5, prevKv: true }));
  bed.sync();
  assert.deepEqual(drain(stream), ["0@5 created", "0@5: DELETE a"]);
});

test("a delete's event holds the key and the revision, nothing else", () => {
  const bed = bedWithHistory();
  const stream = open(bed);
  stream.create(createRequest("a", { startRevision: 5 }));
  bed.sync();
  stream.next();
  const event = codecs.Event.decode(stream.next()?.events[0] ?? new Uint8Array(0));
  assert.equal(event.type, 1);
  assert.deepEqual(
    { ...event.kv, key: textOf(event.kv?.key ?? new Uint8Array(0)) },
    { ...codecs.KeyValue.create({ modRevision: 5 }), key: "a" },
  );
});

test("the events of one transaction come in one response, in its order", () => {
  const bed = watchBed();
  const stream = open(bed);
  stream.create(createRequest("", { rangeEnd: "\0" }));
  bed.commit(["b", "1"], ["a", "1"], ["b"], ["c", "1"]);
  assert.deepEqual(drain(stream), ["0@1 created", "0@2: PUT b=1, PUT a=1, DELETE b, PUT c=1"]);
});

test("a large revision is split only for who asked, and all parts but the last say so", () => {
  const bed = watchBed({ fragmentBytesMax: 500 });
  const stream = open(bed);
  stream.create(createRequest("", { rangeEnd: "\0", fragment: true }));
  stream.create(createRequest("", { rangeEnd: "\0", fragment: false }));
  drain(stream);
  const value = "v".repeat(200);
  bed.commit(["a", value], ["b", value], ["c", value], ["d", value], ["e", value]);
  assert.deepEqual(
    drain(stream).map((text) => text.replaceAll(value, "v")),
    [
      "0@2 fragment: PUT a=v, PUT b=v",
      "0@2 fragment: PUT c=v, PUT d=v",
      "0@2: PUT e=v",
      "1@2: PUT a=v, PUT b=v, PUT c=v, PUT d=v, PUT e=v",
    ],
  );
});

test("a single event is never split, and parts hold at least one", () => {
  const bed = watchBed({ fragmentBytesMax: 500 });
  const stream = open(bed);
  stream.create(createRequest("", { rangeEnd: "\0", fragment: true }));
  drain(stream);
  const value = "v".repeat(1_000);
  bed.commit(["a", value]);
  bed.commit(["a", value], ["b", value]);
  assert.deepEqual(
    drain(stream).map((text) => text.replaceAll(value, "v")),
    ["0@2: PUT a=v", "0@3 fragment: PUT a=v", "0@3: PUT b=v"],
  );
});

test("periodic progress goes to idle synced watchers that want it, once an interval", () => {
  const bed = watchBed();
  const stream = open(bed);
  stream.create(createRequest("a", { progressNotify: true }));
  stream.create(createRequest("b", { progressNotify: true }));
  stream.create(createRequest("c"));
  drain(stream);
  bed.hub.tick(999);
  assert.deepEqual(drain(stream), [], "not before the interval");
  bed.commit(["a", "1"]);
  bed.hub.tick(1_100);
  assert.deepEqual(drain(stream), ["0@2: PUT a=1", "1@2"], "who had an event waits for the next interval");
  bed.hub.tick(1_101);
  assert.deepEqual(drain(stream), []);
  bed.hub.tick(2_300);
  assert.deepEqual(drain(stream), ["0@2", "1@2"]);
});

test("progress on demand is one response for the stream, only if all its watchers are synced", () => {
  const bed = bedWithHistory();
  const stream = open(bed);
  stream.requestProgress();
  assert.deepEqual(drain(stream), [], "without watches there is no answer");
  stream.create(createRequest("a"));
  stream.create(createRequest("b", { startRevision: 2 }));
  drain(stream);
  stream.requestProgress();
  assert.deepEqual(drain(stream), [], "one watcher lags");
  bed.sync();
  stream.requestProgress();
  assert.deepEqual(drain(stream), ["1@5: PUT b=1", "-1@5"]);
});

test("watchers of a stream that is not read lag, and get everything in order once it is", () => {
  const bed = watchBed({ streamBudgetBytes: 2_000, roundRevisionsMax: 7 });
  const stream = open(bed);
  stream.create(createRequest("a"));
  drain(stream);
  for (let i = 2; i <= 101; i++) bed.commit(["a", String(i).padStart(100, "0")]);
  assert.ok(stream.queuedBytes < 2_300, "one revision beyond the budget at most");
  assert.equal(bed.hub.laggingCount, 1);
  bed.sync();
  assert.ok(stream.queuedBytes < 2_300);
  const values: number[] = [];
  while (bed.hub.laggingCount > 0 || stream.queuedBytes > 0) {
    for (const text of drain(stream))
      for (const put of text.matchAll(/PUT a=0*(\d+)/g)) values.push(Number(put[1]));
    bed.sync();
  }
  assert.deepEqual(
    values,
    Array.from({ length: 100 }, (_, i) => i + 2),
  );
});

test("the hub asks for a round when a slow stream has room again, and no sooner", () => {
  const bed = watchBed({ streamBudgetBytes: 2_000 });
  const stream = open(bed);
  stream.create(createRequest("a"));
  drain(stream);
  for (let i = 0; i < 20; i++) bed.commit(["a", "v".repeat(200)]);
  assert.equal(bed.syncsWanted(), 0);
  assert.equal(bed.hub.syncStep(), false, "nothing can be done for a full stream");
  while (stream.queuedBytes > 1_000) {
    assert.equal(bed.syncsWanted(), 0);
    stream.next();
  }
  assert.equal(bed.syncsWanted(), 1);
});

test("one slow stream does not hold up another", () => {
  const bed = watchBed({ streamBudgetBytes: 1_000 });
  const slow = open(bed);
  const quick = open(bed);
  slow.create(createRequest("a"));
  quick.create(createRequest("a"));
  drain(quick);
  for (let i = 0; i < 50; i++) {
    bed.commit(["a", "v".repeat(300)]);
    assert.equal(drain(quick).length, 1);
  }
  assert.equal(bed.hub.laggingCount, 1);
});

test("a slow watcher that compaction overtakes is told so, also when nobody reads", () => {
  const bed = watchBed({ streamBudgetBytes: 1_000 });
  const stream = open(bed);
  stream.create(createRequest("a"));
  for (let i = 0; i < 10; i++) bed.commit(["a", "v".repeat(300)]);
  bed.compact(11);
  const texts = drain(stream).map((text) => text.replaceAll(/v+/g, "v"));
  assert.deepEqual(texts, ["0@1 created", "0@4: PUT a=v, PUT a=v, PUT a=v", "0@0 canceled compacted 11"]);
  assert.equal(bed.hub.laggingCount, 0);
});

test("compaction leaves synced watchers and those that start at its revision alone", () => {
  const bed = bedWithHistory();
  const stream = open(bed);
  stream.create(createRequest("a"));
  stream.create(createRequest("a", { startRevision: 5 }));
  bed.compact(5);
  bed.sync();
  bed.commit(["a", "9"]);
  assert.deepEqual(drain(stream).sort(), [
    "0@5 created",
    "0@6: PUT a=9",
    "1@5 created",
    "1@6: DELETE a, PUT a=9",
  ]);
});

test("M5, M8: a store replaced by a snapshot neither repeats nor loses events", () => {
  const history = new PlainHistory();
  const bed = watchBed({}, history);
  const stream = open(bed);
  stream.create(createRequest("a"));
  stream.create(createRequest("a", { startRevision: 7 }));
  stream.create(createRequest("a", { startRevision: 100, progressNotify: true }));
  bed.commit(["a", "2"]);
  drain(stream);
  for (let i = 3; i <= 8; i++) history.commit([["a", String(i)]]);
  bed.hub.restored();
  bed.hub.tick(5_000);
  bed.sync();
  bed.commit(["a", "9"]);
  assert.deepEqual(drain(stream).sort(), [
    "0@9: PUT a=3, PUT a=4, PUT a=5, PUT a=6, PUT a=7, PUT a=8, PUT a=9",
    "1@9: PUT a=7, PUT a=8, PUT a=9",
  ]);
});

test("a snapshot that was compacted past a watcher cancels it", () => {
  const history = new PlainHistory();
  const bed = watchBed({}, history);
  const stream = open(bed);
  stream.create(createRequest("a"));
  drain(stream);
  for (let i = 2; i <= 9; i++) history.commit([["a", String(i)]]);
  history.compact(6);
  bed.hub.restored();
  assert.deepEqual(drain(stream), ["0@0 canceled compacted 6"]);
});

test("watchers share the bytes of an event", () => {
  const bed = watchBed();
  const streams = Array.from({ length: 1_000 }, () => open(bed));
  for (const stream of streams) stream.create(createRequest("a"));
  bed.commit(["a", "1"]);
  const seen = new Set<unknown>();
  for (const stream of streams) {
    stream.next();
    seen.add(stream.next()?.events[0]);
  }
  assert.equal(seen.size, 1);
  assert.equal(bed.hub.eventCount, 1_000);
});

test("watchers that lag alike are served by one read", () => {
  const bed = watchBed();
  for (let i = 0; i < 500; i++) bed.commit([`k${i}`, "1"]);
  const streams = Array.from({ length: 500 }, () => open(bed));
  for (const [i, stream] of streams.entries())
    stream.create(createRequest(`k${i}`, { startRevision: 2 + (i % 3) }));
  bed.sync();
  assert.ok(bed.history.reads <= 3, `${bed.history.reads} reads`);
  assert.deepEqual(drain(streams[499] as WatchStream), ["0@501 created", "0@501: PUT k499=1"]);
});

test("ten thousand range watchers each get their own keys", () => {
  const bed = watchBed();
  const stream = open(bed);
  const name = (i: number) => `key/${String(i).padStart(5, "0")}/`;
  for (let i = 0; i < 10_000; i++) stream.create(createRequest(name(i), { rangeEnd: `${name(i)}\xff` }));
  drain(stream);
  for (let i = 0; i < 10_000; i += 100) bed.commit([`${name(i)}x`, "1"]);
  assert.deepEqual(
    drain(stream).map((text) => Number(text.split("@")[0])),
    Array.from({ length: 100 }, (_, i) => i * 100),
  );
});

test("M7: hundreds of watches on one stream that is read slowly get all events or a cancel", () => {
  const bed = watchBed({ streamBudgetBytes: 20_000, roundWatchersMax: 64, roundRevisionsMax: 10 });
  const stream = open(bed);
  for (let i = 0; i < 300; i++) stream.create(createRequest("a", { prevKv: true }));
  const next = new Map<string, number>();
  const ended = new Map<string, number>();
  const read = (responses: number) => {
    for (let i = 0; i < responses; i++) {
      const response = stream.next();
      if (response === undefined) return;
      const id = String(response.watchId);
      if (response.created) next.set(id, 2);
      if (response.canceled) ended.set(id, response.compactRevision);
      for (const bytes of response.events) {
        const { kv, prevKv } = codecs.Event.decode(bytes);
        assert.equal(kv?.modRevision, next.get(id));
        assert.ok(
          prevKv === undefined
            ? kv?.modRevision === 2 || (kv?.modRevision ?? 0) <= bed.history.compactRevision()
            : prevKv.modRevision === (kv?.modRevision ?? 0) - 1,
        );
        next.set(id, (next.get(id) ?? 0) + 1);
      }
    }
  };
  for (let round = 0; round < 200; round++) {
    const revision = bed.commit(["a", String(round)]);
    bed.hub.syncStep();
    read(40);
    if (round % 50 === 49) bed.compact(revision - 20);
  }
  while (bed.hub.laggingCount > 0 || stream.queuedBytes > 0) {
    read(1_000);
    bed.sync();
  }
  assert.equal(next.size, 300);
  assert.ok(ended.size > 0 && ended.size < 300, `${ended.size} overtaken`);
  for (const [id, revision] of next) {
    const compactRevision = ended.get(id);
    if (compactRevision === undefined) assert.equal(revision, 202, `watch ${id} is complete`);
    else assert.ok(revision < compactRevision, `watch ${id} was overtaken`);
  }
});

test("a stream with as many watches as allowed refuses more", () => {
  const bed = watchBed({ watchersPerStreamMax: 1 });
  const stream = open(bed);
  stream.create(createRequest("a"));
  stream.create(createRequest("a"));
  assert.deepEqual(drain(stream), [
    "0@1 created",
    '-1@1 created canceled "etcdlike: too many watches on one stream"',
  ]);
});

test("a stream says when its client asks faster than it reads", () => {
  const bed = watchBed({ streamBudgetBytes: 1_000 });
  const stream = open(bed);
  while (!stream.isCongested) stream.create(createRequest("a", { startRevision: -1 }));
  assert.ok(stream.queuedBytes < 1_100);
  drain(stream);
  stream.create(createRequest("a"));
  for (let i = 0; i < 1_000; i++) stream.requestProgress();
  assert.ok(stream.queuedBytes < 1_100, "progress is dropped instead of piled up");
});

test("the consumer is told once until it has seen the queue empty", () => {
  const bed = watchBed();
  let calls = 0;
  const stream = open(bed, () => calls++);
  stream.create(createRequest("a"));
  bed.commit(["a", "1"]);
  assert.equal(calls, 1);
  stream.next();
  stream.next();
  bed.commit(["a", "2"]);
  assert.equal(calls, 1, "it has not seen undefined yet");
  drain(stream);
  bed.commit(["a", "3"]);
  assert.equal(calls, 2);
});

test("a consumer may read, create and cancel while it is told", () => {
  const bed = watchBed();
  const texts: string[] = [];
  const stream: WatchStream = open(bed, () => {
    const got = drain(stream);
    texts.push(...got);
    if (got.includes("0@2: PUT a=1")) {
      stream.create(createRequest("b", { startRevision: 2 }));
      stream.cancel(0n);
    }
  });
  stream.create(createRequest("a"));
  bed.commit(["a", "1"]);
  bed.sync();
  assert.deepEqual(texts, ["0@1 created", "0@2: PUT a=1", "1@2 created", "0@2 canceled"]);
});

test("closing a stream ends its watches for good", () => {
  const bed = bedWithHistory();
  const stream = open(bed);
  stream.create(createRequest("a"));
  stream.create(createRequest("a", { startRevision: 2 }));
  stream.close();
  stream.close();
  bed.sync();
  bed.commit(["a", "1"]);
  stream.requestProgress();
  assert.equal(stream.create(createRequest("a")).ok, false);
  stream.refuse("late");
  assert.deepEqual(drain(stream), []);
  assert.deepEqual([bed.hub.streamCount, bed.hub.watcherCount, bed.hub.laggingCount], [0, 0, 0]);
});

test("revisions are told in order", () => {
  const bed = bedWithHistory();
  assert.throws(() => bed.hub.notify({ revision: 5, events: [] }), /revisions are told in order/);
});
