// `--auto-promote`: the leader makes a voter of a learner that has caught up, so that adding a member takes one step of
// its operator. etcd has no such option; without it nothing here runs.

import { setTimeout as delay } from "node:timers/promises";
import type { ClusterService } from "./api/cluster-service.ts";
import { ApiError } from "./api/errors.ts";
import { hexId } from "./lib/ids.ts";
import type { Logger } from "./lib/log.ts";

const intervalMs = 1000;

export class AutoPromoter {
  readonly #cluster: ClusterService;
  readonly #log: Logger;
  readonly #stopped = new AbortController();

  constructor(cluster: ClusterService, log: Logger) {
    this.#cluster = cluster;
    this.#log = log;
  }

  /** Resolves after `stop`. */
  async run(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      await this.#promote();
      await delay(intervalMs, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  stop(): void {
    this.#stopped.abort();
  }

  /** One at a time: the next one is held against the quorum that this one changes. */
  async #promote(): Promise<void> {
    const id = this.#cluster.learnerThatCaughtUp();
    if (id === undefined) return;
    const fields = { "promoted-member-id": hexId(id) };
    try {
      await this.#cluster.promoteHere(id);
      this.#log.info("promoted a learner that has caught up", fields);
    } catch (error) {
      // Another look follows.
      if (!(error instanceof ApiError)) throw error;
      this.#log.warn("failed to promote a learner that has caught up", { ...fields, error: error.message });
    }
  }
}
