// Whether two lists of peer URLs name the same places: as texts, or else when their hosts are addresses, as in etcd. A
// host counts with its first address; "localhost" and the paths of sockets stand for themselves. Names that nobody
// knows are asked for again until the deadline, which all comparisons of one object share: a name may become known
// only when others have started.

import { lookup } from "node:dns/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../lib/log.ts";

export interface SameUrlsOptions {
  /** The first address of a host; rejects when nobody knows it. */
  readonly addressOf: (host: string) => Promise<string>;
  readonly deadlineMs: number;
  readonly retryMs: number;
}

/** etcd waits as long, and as long between two questions. */
const optionsDefault: SameUrlsOptions = {
  addressOf: async (host) => (await lookup(host)).address,
  deadlineMs: 30_000,
  retryMs: 1_000,
};

export class SameUrls {
  readonly #log: Pick<Logger, "warn">;
  readonly #options: SameUrlsOptions;
  readonly #addresses = new Map<string, Promise<string>>();
  /** Begins with the first look-up. */
  #deadline: AbortSignal | undefined;

  constructor(log: Pick<Logger, "warn">, options: SameUrlsOptions = optionsDefault) {
    this.#log = log;
    this.#options = options;
  }

  /** Why they are not the same; undefined when they are. */
  async difference(some: readonly string[], others: readonly string[]): Promise<string | undefined> {
    if (isSameList(some, others)) return undefined;
    if (some.length !== others.length) return `${some.length} URLs, not ${others.length}`;
    try {
      const [a, b] = await Promise.all([this.#resolveAll(some), this.#resolveAll(others)]);
      const at = a.findIndex((url, i) => url !== b[i]);
      return at < 0 ? undefined : `resolved urls: "${a[at]}" != "${b[at]}"`;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  async #resolveAll(urls: readonly string[]): Promise<string[]> {
    return (await Promise.all(urls.map((url) => this.#resolve(url)))).sort();
  }

  async #resolve(url: string): Promise<string> {
    const [, scheme, host, port] = /^(https?:\/\/)\[?(.+?)\]?:(\d+)$/.exec(url) ?? [];
    if (host === undefined || host === "localhost") return url;
    let address = this.#addresses.get(host);
    if (address === undefined) {
      address = this.#find(host, url);
      this.#addresses.set(host, address);
    }
    return `${scheme}${await address}:${port}`;
  }

  async #find(host: string, url: string): Promise<string> {
    const { addressOf, deadlineMs, retryMs } = this.#options;
    this.#deadline ??= AbortSignal.timeout(deadlineMs);
    const deadline = this.#deadline;
    const noAnswer = new Error(`no answer in ${deadlineMs} ms`);
    const isOver = new Promise<never>((_, reject) => {
      deadline.addEventListener("abort", () => reject(noAnswer));
    });
    let cause: unknown = noAnswer;
    while (!deadline.aborted) {
      try {
        return await Promise.race([addressOf(host), isOver]);
      } catch (error) {
        if (error !== noAnswer) cause = error;
        this.#log.warn("failed to resolve URL Host", { url, host, error });
        await sleep(retryMs, undefined, { signal: deadline }).catch(() => {});
      }
    }
    throw new Error(`failed to resolve "${url}" (${String(cause)})`, { cause });
  }
}

export function isSameList(some: readonly string[], others: readonly string[]): boolean {
  return [...some].sort().join() === [...others].sort().join();
}
