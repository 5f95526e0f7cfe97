// What a member tells the cluster about itself, through the log: its name and client URLs, and as leader the
// cluster's version. It is ready to serve once these are known.

import type { Outcome } from "../apply/outcome.ts";
import type { Clock } from "../lib/clock.ts";
import { hexId, type NodeId } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import type { Members } from "../membership/members.ts";
import type { InternalRaftRequest } from "../wire/rpc.ts";

export interface PublisherOptions {
  readonly nodeId: NodeId;
  readonly name: string;
  readonly clientUrls: readonly string[];
  readonly members: Members;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly retryMs: number;
  /**
   * An entry of the present leader's term is applied. Before that, entries that were acknowledged in an earlier
   * run may not even be known as committed, and a read would miss them.
   */
  readonly hasCaughtUp: () => boolean;
  readonly isLeader: () => boolean;
  readonly propose: (request: Partial<InternalRaftRequest>, done: (outcome: Outcome) => void) => void;
}

/** The version of a cluster of this member alone; with others it takes theirs to decide. */
const decidedClusterVersion = "3.6.0";

export class Publisher {
  readonly #options: PublisherOptions;
  #isWaiting = false;
  #isStopped = false;
  #whenReady: (() => void)[] = [];

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  onReady(fn: () => void): void {
    this.#whenReady.push(fn);
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Called whenever something may have changed; proposes what is missing, one thing at a time. */
  check(): void {
    const { members, nodeId, name, clientUrls, logger } = this.#options;
    if (this.#isWaiting || this.#isStopped || !this.#options.hasCaughtUp()) return;
    const known = members.get(nodeId);
    if (known === undefined) return;
    if (known.name !== name || !areSame(known.clientUrls, clientUrls)) {
      const memberAttributes = { name, clientUrls };
      this.#propose({ clusterMemberAttrSet: { memberID: nodeId, memberAttributes } }, () =>
        logger.info("published local member to cluster through raft", { "local-member-id": hexId(nodeId) }),
      );
    } else if (
      this.#options.isLeader() &&
      members.clusterVersion === undefined &&
      members.list().length === 1
    ) {
      this.#propose({ clusterVersionSet: { ver: decidedClusterVersion } }, () =>
        logger.info("set initial cluster version", { "cluster-version": decidedClusterVersion }),
      );
    } else {
      const waiting = this.#whenReady;
      this.#whenReady = [];
      for (const fn of waiting) fn();
    }
  }

  #propose(request: Partial<InternalRaftRequest>, onDone: () => void): void {
    const { clock, retryMs, propose } = this.#options;
    this.#isWaiting = true;
    propose(request, (outcome) => {
      this.#isWaiting = false;
      if (outcome.ok) {
        onDone();
        this.check();
      } else clock.after(retryMs, () => this.check());
    });
  }
}

function areSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i]);
}
