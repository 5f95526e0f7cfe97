// Compaction by itself, as etcd does it with `--auto-compaction-mode` and `--auto-compaction-retention`. Only the
// leader proposes; the others keep watching the revision, so that a new leader knows the past.

import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { ProposalDone } from "./proposals.ts";

export type AutoCompaction =
  /** Keeps everything of the last `retentionMs`. */
  | { readonly mode: "periodic"; readonly retentionMs: number }
  /** Keeps the last `retentionRevisions`. */
  | { readonly mode: "revision"; readonly retentionRevisions: number };

export interface AutoCompactorOptions {
  readonly policy: AutoCompaction;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly isLeader: () => boolean;
  readonly currentRevision: () => number;
  readonly compact: (revision: number, done: ProposalDone) => void;
}

const hourMs = 3_600_000;
const revisionCheckMs = 300_000;
/** A period is looked at in so many steps. */
const stepsPerInterval = 10;

export class AutoCompactor {
  readonly #options: AutoCompactorOptions;
  readonly #stepMs: number;
  /** The revision at each step of the retention period, oldest first. */
  #past: number[] = [];
  #stepsSinceCompaction = 0;
  #compacted = 0;
  #isStopped = false;

  constructor(options: AutoCompactorOptions) {
    this.#options = options;
    const { policy } = options;
    this.#stepMs =
      policy.mode === "revision" ? revisionCheckMs : Math.min(policy.retentionMs, hourMs) / stepsPerInterval;
  }

  start(): void {
    this.#options.clock.after(this.#stepMs, () => {
      if (this.#isStopped) return;
      this.#step();
      this.start();
    });
  }

  stop(): void {
    this.#isStopped = true;
  }

  #step(): void {
    const { policy, currentRevision } = this.#options;
    if (policy.mode === "revision") {
      this.#compact(currentRevision() - policy.retentionRevisions);
      return;
    }
    this.#past.push(currentRevision());
    this.#stepsSinceCompaction++;
    const stepsKept = Math.ceil(policy.retentionMs / this.#stepMs);
    if (this.#past.length <= stepsKept) return;
    this.#past = this.#past.slice(-stepsKept - 1);
    if (this.#stepsSinceCompaction >= stepsPerInterval) this.#compact(this.#past[0] ?? 0);
  }

  #compact(revision: number): void {
    const { policy, clock, logger, isLeader, compact } = this.#options;
    if (!isLeader() || revision <= this.#compacted || revision <= 0) return;
    const fields = { revision, ...policyFields(policy) };
    const startedMs = clock.nowMs();
    logger.info(`starting auto ${policy.mode} compaction`, fields);
    compact(revision, (outcome) => {
      if (!outcome.ok && outcome.refusal !== "compacted") {
        logger.warn(`failed auto ${policy.mode} compaction`, { ...fields, error: outcome.refusal });
        return;
      }
      this.#compacted = revision;
      this.#stepsSinceCompaction = 0;
      const took = `${(clock.nowMs() - startedMs).toFixed(3)}ms`;
      logger.info(`completed auto ${policy.mode} compaction`, { ...fields, took });
    });
  }
}

/** What log readers know the policy by. */
function policyFields(policy: AutoCompaction): Readonly<Record<string, number | string>> {
  return policy.mode === "periodic"
    ? { "compact-period": `${policy.retentionMs / 1000}s` }
    : { "revision-compaction-retention": policy.retentionRevisions };
}
