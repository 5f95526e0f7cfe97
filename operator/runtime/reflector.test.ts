import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, type ApiRequest, type KubeClient, type WatchRequest } from "../kube/client.ts";
import type { KubeObject } from "../kube/objects.ts";
import { silentLogger } from "../lib/log.ts";
import { Reflector } from "./reflector.ts";
import { ManualClock, settled } from "./testing/manual-clock.ts";

const expired = () => new ApiError({ status: 410, reason: "Expired", message: "too old" });
const object = (name: string, resourceVersion: string): KubeObject => ({
  metadata: { namespace: "n", name, resourceVersion },
});

/** A watch that the reflector opened and the test now drives. */
interface OpenWatch {
  readonly request: WatchRequest;
  end(): void;
  fail(error: Error): void;
}

/** Answers lists from a script and hands watches to the test. */
class ScriptedApi implements KubeClient {
  readonly lists: ApiRequest[] = [];
  readonly watches: OpenWatch[] = [];
  /** Answers in turn; the last one stays. */
  readonly answers: (() => unknown)[] = [];

  async request(request: ApiRequest): Promise<unknown> {
    this.lists.push(request);
    const answer = this.answers.length > 1 ? this.answers.shift() : this.answers[0];
    return answer?.();
  }

  watch(request: WatchRequest): Promise<void> {
    return new Promise((resolve, reject) => {
      request.signal.addEventListener("abort", () => reject(new Error("aborted")));
      this.watches.push({ request, end: resolve, fail: reject });
    });
  }

  get last(): OpenWatch {
    const watch = this.watches.at(-1);
    assert.ok(watch, "a watch is open");
    return watch;
  }
}

function list(resourceVersion: string, ...items: KubeObject[]) {
  return () => ({ metadata: { resourceVersion }, items });
}

async function reflecting(...answers: (() => unknown)[]) {
  const [api, clock, stop] = [new ScriptedApi(), new ManualClock(), new AbortController()];
  api.answers.push(...answers);
  const changes: string[] = [];
  const reflector = new Reflector<KubeObject>({
    client: api,
    path: "/things",
    clock,
    random: () => 0,
    log: silentLogger,
    onChange: ({ before, now }) =>
      changes.push(`${before?.metadata.resourceVersion ?? "-"}>${now?.metadata.resourceVersion ?? "-"}`),
  });
  const running = reflector.run(stop.signal);
  await settled();
  const names = () => [...reflector.all()].map((item) => item.metadata.name).sort();
  return { api, clock, stop, running, reflector, changes, names };
}

test("a list comes in pages, and the watch begins where it ended", async () => {
  const { api, reflector, names } = await reflecting(
    () => ({ metadata: { resourceVersion: "7", continue: "more" }, items: [object("a", "1")] }),
    list("7", object("b", "2")),
  );
  assert.deepEqual(names(), ["a", "b"]);
  assert.equal(reflector.hasSynced, true);
  assert.equal(api.lists[1]?.query?.["continue"], "more");
  assert.equal(api.last.request.query["resourceVersion"], "7");
  assert.equal(api.last.request.query["allowWatchBookmarks"], "true");
});

test("nothing counts as synced before the last page", async () => {
  const { reflector } = await reflecting(
    () => ({ metadata: { resourceVersion: "7", continue: "more" }, items: [object("a", "1")] }),
    () => {
      throw new Error("connection reset");
    },
  );
  assert.equal(reflector.hasSynced, false);
  assert.deepEqual([...reflector.all()], []);
});

test("events change the copy, and a watch that ends resumes after the last of them", async () => {
  const { api, clock, names, changes } = await reflecting(list("7", object("a", "1")));
  const { request } = api.last;
  request.onEvent({ type: "ADDED", object: object("b", "8") });
  request.onEvent({ type: "MODIFIED", object: object("a", "9") });
  request.onEvent({ type: "DELETED", object: object("b", "10") });
  assert.deepEqual(names(), ["a"]);
  assert.deepEqual(changes, ["->1", "->8", "1>9", "10>-"]);
  api.last.end();
  await clock.advance(1_000);
  assert.equal(api.lists.length, 1);
  assert.equal(api.last.request.query["resourceVersion"], "10");
});

test("a bookmark moves the point to resume from and changes nothing else", async () => {
  const { api, clock, changes } = await reflecting(list("7"));
  api.last.request.onEvent({ type: "BOOKMARK", object: { metadata: { resourceVersion: "500" } } });
  api.last.end();
  await clock.advance(1_000);
  assert.equal(api.last.request.query["resourceVersion"], "500");
  assert.deepEqual(changes, []);
});

for (const [what, breakIt] of [
  ["an answer of 410", (watch: OpenWatch) => watch.fail(expired())],
  [
    "an ERROR event of 410",
    (watch: OpenWatch) => {
      try {
        watch.request.onEvent({
          type: "ERROR",
          object: { code: 410, reason: "Expired", message: "too old" },
        });
      } catch (error) {
        watch.fail(error as Error);
      }
    },
  ],
] as const) {
  test(`after ${what} a list tells what was missed, deletions too`, async () => {
    const { api, clock, names, changes } = await reflecting(
      list("7", object("a", "1"), object("b", "2"), object("c", "3")),
      list("90", object("a", "1"), object("c", "80")),
    );
    breakIt(api.last);
    await clock.advance(2_000);
    assert.deepEqual(names(), ["a", "c"]);
    assert.deepEqual(changes.slice(3), ["2>-", "3>80"]);
    assert.equal(api.last.request.query["resourceVersion"], "90");
  });
}

test("a page that expired begins the list anew", async () => {
  const { clock, names } = await reflecting(
    () => ({ metadata: { resourceVersion: "7", continue: "more" }, items: [object("a", "1")] }),
    () => {
      throw expired();
    },
    list("9", object("b", "8")),
  );
  await clock.advance(2_000);
  assert.deepEqual(names(), ["b"]);
});

test("a broken connection resumes without a list, after a delay that grows", async () => {
  const { api, clock } = await reflecting(list("7"));
  const openedAt: number[] = [];
  for (let i = 0; i < 4; i++) {
    const count = api.watches.length;
    api.last.fail(new Error("ECONNRESET"));
    while (api.watches.length === count) await clock.advance(100);
    openedAt.push(clock.nowMs());
  }
  assert.equal(api.lists.length, 1);
  const delays = openedAt.map((at, i) => at - (openedAt[i - 1] ?? 0));
  assert.deepEqual(delays, [500, 1_000, 2_000, 4_000]);
});

test("it never gives up, whatever the server answers", async () => {
  const { api, clock, names } = await reflecting(
    ...Array.from({ length: 50 }, () => () => {
      throw new ApiError({ status: 500, reason: "InternalError", message: "no" });
    }),
    list("7", object("a", "1")),
  );
  await clock.advance(60 * 60_000);
  assert.equal(api.lists.length >= 51, true);
  assert.deepEqual(names(), ["a"]);
});

test("a server that is too busy is left alone for as long as it asked", async () => {
  const { api, clock } = await reflecting(() => {
    throw new ApiError({ status: 429, reason: "TooManyRequests", message: "busy", retryAfterMs: 20_000 });
  }, list("7"));
  await clock.advance(19_000);
  assert.equal(api.lists.length, 1);
  await clock.advance(1_000);
  assert.equal(api.lists.length, 2);
});

test("a watch that falls silent is opened again from where it was", async () => {
  const { api, clock } = await reflecting(list("7"));
  await clock.advance(60_000);
  api.last.request.onBytes();
  await clock.advance(60_000);
  assert.equal(api.watches.length, 1);
  await clock.advance(30_000);
  assert.equal(api.watches.length, 2);
  assert.equal(api.lists.length, 1);
  assert.equal(api.last.request.query["resourceVersion"], "7");
});

test("every ten minutes a list makes sure, although the watches went well", async () => {
  const { api, clock } = await reflecting(list("7"));
  for (let i = 0; i < 11; i++) {
    await clock.advance(60_000);
    api.last.end();
    await settled();
  }
  assert.equal(api.lists.length, 2);
});

test("an exception of a handler breaks one watch and not the reflector", async () => {
  const { api, clock, names } = await reflecting(list("7"));
  try {
    api.last.request.onEvent({ type: "SURPRISE", object: object("a", "8") });
  } catch (error) {
    api.last.fail(error as Error);
  }
  await clock.advance(1_000);
  api.last.request.onEvent({ type: "ADDED", object: object("a", "8") });
  assert.deepEqual(names(), ["a"]);
});

test("stopping ends the watch and the run", async () => {
  const { stop, running, api } = await reflecting(list("7"));
  stop.abort();
  await running;
  assert.equal(api.last.request.signal.aborted, true);
});
