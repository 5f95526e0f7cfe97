// One of several operators acts: who holds a Lease. Others take it over when it was not renewed for its duration,
// measured by their own clock from when they last saw it change, never by times another machine wrote.
// `mayAct` is the fence: it is asked before every change, and already says no some seconds before others may take
// over, also when this process was stopped meanwhile.
import { isStatus, type KubeClient } from "../kube/client.ts";
import { type KubeObject, kinds, resourcePath } from "../kube/objects.ts";
import { type Clock, pause } from "../lib/clock.ts";
import { describeError, type Logger } from "../lib/log.ts";
import { microTime } from "../lib/time.ts";

export interface LeaderElectionOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly namespace: string;
  readonly name: string;
  /** Unique to this process. */
  readonly identity: string;
}

const leaseDurationSeconds = 15;
const renewDeadlineMs = 10_000;
const retryMs = 2_000;
const requestTimeoutMs = 5_000;

interface Lease extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

export class LeaderElection {
  readonly #options: LeaderElectionOptions;
  readonly #path: string;
  #renewedAtMs = Number.NEGATIVE_INFINITY;
  #lease: Lease | undefined;
  #observed: { readonly resourceVersion: string; readonly atMs: number } | undefined;

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#path = resourcePath(kinds.lease, { namespace: options.namespace, name: options.name });
  }

  get identity(): string {
    return this.#options.identity;
  }

  /** Whether the Lease is surely still ours. */
  get mayAct(): boolean {
    return this.#options.clock.nowMs() - this.#renewedAtMs < renewDeadlineMs;
  }

  /** Waits until this process leads, or the signal is aborted; returns whether it leads. */
  async acquire(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      if (await this.#attempt("acquire")) return true;
      await pause(this.#options.clock, retryMs, signal);
    }
    return false;
  }

  /** Renews until the signal is aborted or leadership is lost; returns which. */
  async keep(signal: AbortSignal): Promise<"stopped" | "lost"> {
    const { clock, log } = this.#options;
    for (;;) {
      await pause(clock, retryMs, signal);
      if (signal.aborted) return "stopped";
      const renewed = await this.#attempt("renew");
      if (renewed) continue;
      const holder = this.#lease?.spec?.holderIdentity;
      if (holder !== undefined && holder !== "" && holder !== this.#options.identity) {
        this.#renewedAtMs = Number.NEGATIVE_INFINITY;
        log.error("leadership was taken over", { holder });
        return "lost";
      }
      if (!this.mayAct) {
        log.error("leadership was lost: the Lease could not be renewed", { renewDeadlineMs });
        return "lost";
      }
    }
  }

  /** Gives the Lease up, so that others need not wait. Nothing may act afterwards. */
  async release(): Promise<void> {
    const wasLeading = this.mayAct;
    this.#renewedAtMs = Number.NEGATIVE_INFINITY;
    if (!wasLeading || this.#lease === undefined) return;
    try {
      const spec = { ...this.#lease.spec, holderIdentity: "", leaseDurationSeconds: 1 };
      await this.#put({ ...this.#lease, spec });
    } catch (error) {
      this.#options.log.warn("the Lease was not released", { error: describeError(error) });
    }
  }

  async #attempt(purpose: "acquire" | "renew"): Promise<boolean> {
    const { clock, log } = this.#options;
    // Counted from before the request: others may count from its arrival at the earliest.
    const startedMs = clock.nowMs();
    try {
      const lease = await this.#read();
      this.#lease = lease;
      const resourceVersion = lease?.metadata.resourceVersion;
      if (resourceVersion !== undefined && resourceVersion !== this.#observed?.resourceVersion) {
        this.#observed = { resourceVersion, atMs: startedMs };
      }
      if (!this.#isFree(lease)) return false;
      // Held by us and lapsed: somebody may have acted in between, so it has to be acquired anew.
      const isOurs = lease?.spec?.holderIdentity === this.#options.identity;
      if (purpose === "renew" && !isOurs) return false;
      this.#lease = await this.#write(lease, isOurs);
      this.#renewedAtMs = startedMs;
      return true;
    } catch (error) {
      // Somebody else wrote first: the next attempt sees who.
      if (!isStatus(error, 409))
        log.warn("the Lease is out of reach", { purpose, error: describeError(error) });
      return false;
    }
  }

  #isFree(lease: Lease | undefined): boolean {
    const holder = lease?.spec?.holderIdentity ?? "";
    if (lease === undefined || holder === "" || holder === this.#options.identity) return true;
    const durationMs = (lease.spec?.leaseDurationSeconds ?? leaseDurationSeconds) * 1000;
    const sinceMs = this.#options.clock.nowMs() - (this.#observed?.atMs ?? this.#options.clock.nowMs());
    return sinceMs >= durationMs;
  }

  async #read(): Promise<Lease | undefined> {
    try {
      const request = { method: "GET" as const, path: this.#path, timeoutMs: requestTimeoutMs };
      return (await this.#options.client.request(request)) as Lease;
    } catch (error) {
      if (isStatus(error, 404)) return undefined;
      throw error;
    }
  }

  async #write(lease: Lease | undefined, isOurs: boolean): Promise<Lease> {
    const now = microTime(this.#options.clock.wallMs());
    const spec = {
      holderIdentity: this.#options.identity,
      leaseDurationSeconds,
      acquireTime: isOurs ? (lease?.spec?.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: (lease?.spec?.leaseTransitions ?? 0) + (lease === undefined || isOurs ? 0 : 1),
    };
    if (lease !== undefined) return this.#put({ ...lease, spec });
    const { namespace, name, client } = this.#options;
    const { apiVersion, kind } = kinds.lease;
    return (await client.request({
      method: "POST",
      path: resourcePath(kinds.lease, { namespace }),
      body: { apiVersion, kind, metadata: { name, namespace }, spec },
      timeoutMs: requestTimeoutMs,
    })) as Lease;
  }

  async #put(lease: Lease): Promise<Lease> {
    const request = { method: "PUT" as const, path: this.#path, body: lease, timeoutMs: requestTimeoutMs };
    return (await this.#options.client.request(request)) as Lease;
  }
}
