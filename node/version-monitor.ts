// The cluster's version is the lowest that all members run, so that an old member is never sent what it does not know.
// The leader asks the others and proposes it, as etcd does.

import { setTimeout as delay } from "node:timers/promises";
import type { Outcome } from "./apply/outcome.ts";
import { hexId } from "./lib/ids.ts";
import type { Logger } from "./lib/log.ts";
import { compatibleVersion } from "./lib/version.ts";
import {
  decideClusterVersion,
  formatVersion,
  isDowngradeOver,
  versionOf,
} from "./membership/cluster-version.ts";
import type { Member } from "./membership/member.ts";
import type { PeerCalls } from "./peer/peer-calls.ts";
import type { Replica } from "./replica/replica.ts";

/** etcd's pace. */
const intervalMs = 4000;
/** While there is none, members that start wait for nothing else. */
const undecidedIntervalMs = 200;

export interface VersionMonitorOptions {
  readonly replica: Replica;
  readonly calls: Pick<PeerCalls, "versions">;
  readonly log: Logger;
}

export class VersionMonitor {
  readonly #options: VersionMonitorOptions;
  readonly #stopped = new AbortController();

  constructor(options: VersionMonitorOptions) {
    this.#options = options;
  }

  /** Resolves after `stop`. */
  async run(): Promise<void> {
    const { replica } = this.#options;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      if (replica.isLeader) await this.#decide();
      const pauseMs = replica.members.clusterVersion === undefined ? undecidedIntervalMs : intervalMs;
      await delay(pauseMs, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #decide(): Promise<void> {
    const { replica, log } = this.#options;
    const releases = await this.#releases();
    const { clusterVersion, downgrade } = replica.members;
    if (isDowngradeOver(downgrade, releases)) return this.#endDowngrade();
    const current = clusterVersion === undefined ? undefined : versionOf(clusterVersion);
    const decided = decideClusterVersion({ current, downgrade, releases });
    if (decided === undefined || !replica.isLeader) return;
    const version = formatVersion(decided);
    const outcome = await this.#propose({ clusterVersionSet: { ver: version } });
    if (outcome.ok) log.info("cluster version is updated", { "cluster-version": version });
    else log.warn("failed to update cluster version", { error: outcome.refusal });
  }

  async #endDowngrade(): Promise<void> {
    const { replica, log } = this.#options;
    if (!replica.isLeader) return;
    log.info("the cluster has been downgraded", { "cluster-version": replica.members.clusterVersion });
    const outcome = await this.#propose({ downgradeInfoSet: { enabled: false, ver: "" } });
    if (!outcome.ok) log.warn("failed to cancel downgrade", { error: outcome.refusal });
  }

  #propose(request: Parameters<Replica["propose"]>[0]): Promise<Outcome> {
    return new Promise((resolve) => this.#options.replica.propose(request, resolve));
  }

  /** Of all members, undefined for one that cannot be asked. */
  async #releases(): Promise<readonly (string | undefined)[]> {
    const { replica } = this.#options;
    const others = replica.members.list().filter(({ id }) => id !== replica.nodeId);
    return [compatibleVersion, ...(await Promise.all(others.map((member) => this.#versionOf(member))))];
  }

  async #versionOf({ id, peerUrls }: Member): Promise<string | undefined> {
    for (const url of peerUrls) {
      try {
        return (await this.#options.calls.versions(new URL(url))).server;
      } catch (error) {
        this.#options.log.debug("failed to get version from remote member", {
          "remote-member-id": hexId(id),
          url,
          error,
        });
      }
    }
    return undefined;
  }
}
