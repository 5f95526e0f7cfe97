// Keeps a copy of all objects of one kind: a list in pages, then a watch from there on. It resumes where a watch
// broke off, lists again when the server has forgotten that point, and never gives up. Purpose: everything the
// operator decides from is read from such copies. It knows nothing of what the objects mean. Tested with a
// scripted API (reflector.test.ts) and against a real API server (test/k8s/reflector.test.ts).
import { type ApiError, apiErrorOf, isStatus, type KubeClient, type WatchEvent } from "../kube/client.ts";
import type { KubeObject } from "../kube/objects.ts";
import { type Clock, pause, type Random } from "../lib/clock.ts";
import { describeError, type Logger } from "../lib/log.ts";
import { backoffMs } from "./backoff.ts";

export interface ReflectorOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly path: string;
  readonly labelSelector?: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** After every change of the copy, with what was there before and what is there now. */
  readonly onChange: (change: { readonly before?: T; readonly now?: T }) => void;
}

const pageSize = 500;
// The server ends a watch then; the random part keeps many from ending together.
const watchSeconds = 300;
// Bookmarks come about once a minute: longer silence means a dead connection.
const silenceMaxMs = 90_000;
// A safety net under the watches.
const relistAfterMs = 10 * 60_000;
const healthyAfterMs = 30_000;
const shortWatchMs = 1_000;
const backoff = { firstMs: 500, mostMs: 30_000 };

export class Reflector<T extends KubeObject> {
  readonly #options: ReflectorOptions<T>;
  readonly #objects = new Map<string, T>();
  #resourceVersion: string | undefined;
  #hasSynced = false;
  #listedAtMs = Number.NEGATIVE_INFINITY;
  #lastContactMs: number;
  #lists = 0;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#lastContactMs = options.clock.nowMs();
  }

  /** True once a list was complete. */
  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** Number of complete lists. */
  get lists(): number {
    return this.#lists;
  }

  /** How long ago the server said anything. */
  get silenceMs(): number {
    return this.#options.clock.nowMs() - this.#lastContactMs;
  }

  get(namespace: string, name: string): T | undefined {
    return this.#objects.get(`${namespace}/${name}`);
  }

  /** In no particular order. */
  all(): Iterable<T> {
    return this.#objects.values();
  }

  /** Runs until the signal is aborted; does not reject. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, log, path } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      const startedMs = clock.nowMs();
      try {
        const isStale = clock.nowMs() - this.#listedAtMs >= relistAfterMs;
        if (this.#resourceVersion === undefined || isStale) await this.#list(signal);
        await this.#watch(signal);
        failures = 0;
        // A server that ends watches as soon as they begin is not asked in a tight loop.
        if (clock.nowMs() - startedMs < shortWatchMs) await pause(clock, shortWatchMs, signal);
      } catch (error) {
        if (signal.aborted) return;
        // The point to resume from is gone; a list is needed and nothing went wrong.
        if (isStatus(error, 410)) this.#resourceVersion = undefined;
        failures = clock.nowMs() - startedMs >= healthyAfterMs ? 1 : failures + 1;
        const delayMs = Math.max(backoffMs(failures, { ...backoff, random }), retryAfterMs(error));
        log.warn("watching failed, going on", { path, error: describeError(error), failures, delayMs });
        await pause(clock, delayMs, signal);
      }
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { client, path, labelSelector, clock } = this.#options;
    const found = new Map<string, T>();
    let continueToken = "";
    let resourceVersion = "";
    do {
      const page = (await client.request({
        method: "GET",
        path,
        query: {
          limit: String(pageSize),
          ...(labelSelector === undefined ? {} : { labelSelector }),
          ...(continueToken === "" ? {} : { continue: continueToken }),
        },
        signal,
      })) as { metadata: { resourceVersion: string; continue?: string }; items: T[] };
      this.#lastContactMs = clock.nowMs();
      for (const item of page.items) found.set(keyOf(item), item);
      continueToken = page.metadata.continue ?? "";
      resourceVersion = page.metadata.resourceVersion;
    } while (continueToken !== "");

    this.#resourceVersion = resourceVersion;
    this.#listedAtMs = clock.nowMs();
    this.#lists++;
    for (const [key, before] of [...this.#objects]) {
      if (!found.has(key)) this.#put(key, before, undefined);
    }
    for (const [key, now] of found) {
      const before = this.#objects.get(key);
      if (before?.metadata.resourceVersion !== now.metadata.resourceVersion) this.#put(key, before, now);
    }
    this.#hasSynced = true;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { client, path, labelSelector, clock, random } = this.#options;
    const ended = new AbortController();
    const onAbort = () => ended.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    let isSilent = false;
    let cancelWatchdog = () => {};
    const feedWatchdog = () => {
      this.#lastContactMs = clock.nowMs();
      cancelWatchdog();
      cancelWatchdog = clock.after(silenceMaxMs, () => {
        isSilent = true;
        ended.abort(new Error(`nothing from the API server for ${silenceMaxMs} ms`));
      });
    };
    feedWatchdog();
    try {
      await client.watch({
        path,
        query: {
          resourceVersion: this.#resourceVersion ?? "",
          allowWatchBookmarks: "true",
          timeoutSeconds: String(watchSeconds + Math.floor(random() * 60)),
          ...(labelSelector === undefined ? {} : { labelSelector }),
        },
        signal: ended.signal,
        onBytes: feedWatchdog,
        onEvent: (event) => this.#take(event),
      });
    } catch (error) {
      // A dead connection says nothing about the server: resume at once from the last known point.
      if (!isSilent || signal.aborted) throw error;
      this.#options.log.warn("a watch fell silent, opened again", { path, silenceMaxMs });
    } finally {
      cancelWatchdog();
      signal.removeEventListener("abort", onAbort);
    }
  }

  #take(event: WatchEvent): void {
    if (event.type === "ERROR") throw apiErrorOf(event.object, 500);
    const object = event.object as T;
    const key = keyOf(object);
    if (event.type === "ADDED" || event.type === "MODIFIED") {
      this.#put(key, this.#objects.get(key), object);
    } else if (event.type === "DELETED") {
      this.#put(key, object, undefined);
    } else if (event.type !== "BOOKMARK") {
      throw new Error(`a watch event of unknown type ${JSON.stringify(event.type)}`);
    }
    this.#resourceVersion = object.metadata.resourceVersion;
  }

  #put(key: string, before: T | undefined, now: T | undefined): void {
    if (now === undefined) this.#objects.delete(key);
    else this.#objects.set(key, now);
    this.#options.onChange({
      ...(before === undefined ? {} : { before }),
      ...(now === undefined ? {} : { now }),
    });
  }
}

function keyOf(object: KubeObject): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}

function retryAfterMs(error: unknown): number {
  return error instanceof Error && error.name === "ApiError" ? ((error as ApiError).retryAfterMs ?? 0) : 0;
}
