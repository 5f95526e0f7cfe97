// Whether a membership change endangers the quorum: etcd's `--strict-reconfig-check`, in front of the proposal. It
// counts members that have started, as they have published themselves, and those connected for long enough.

import type { NodeId } from "../lib/ids.ts";
import type { Member } from "../membership/member.ts";
import type { Replica } from "../replica/replica.ts";
import type { ApiErrorName } from "./errors.ts";

/** A connection counts once it has stood for so long. */
const healthyMs = 5000;
/** A learner may vote once it has this share of the leader's log. */
const readyShare = 0.9;

/** What is sent within a fraction of a second. */
const lagEntriesMax = 1000;

export interface ReconfigurationOptions {
  readonly replica: Replica;
  readonly nowMs: () => number;
  readonly isStrict: boolean;
}

export class Reconfiguration {
  readonly #options: ReconfigurationOptions;

  constructor(options: ReconfigurationOptions) {
    this.#options = options;
  }

  refusalOfAdd({ isLearner }: { readonly isLearner: boolean }): ApiErrorName | undefined {
    if (!this.#options.isStrict) return undefined;
    const voters = this.#voters();
    const connected = this.#connectedCount(voters);
    // A learner changes no quorum: it is enough that there is one, where etcd asks for that of one voter more.
    if (isLearner) return connected >= quorumOf(voters.length) ? undefined : "unhealthy";
    const started = startedCount(voters);
    // A single member is extended from, also one that was just restored.
    if (voters.length === 1 && started === 1) return undefined;
    if (started < quorumOf(voters.length + 1)) return "notEnoughStartedMembers";
    // The new member counts as one that is down.
    return connected >= quorumOf(voters.length + 1) ? undefined : "unhealthy";
  }

  refusalOfRemove(id: NodeId): ApiErrorName | undefined {
    const { replica, isStrict } = this.#options;
    if (!isStrict || replica.members.get(id)?.isLearner === true) return undefined;
    const voters = this.#voters();
    const others = voters.filter((member) => member.id !== id);
    if (startedCount(others) < quorumOf(others.length)) return "notEnoughStartedMembers";
    // One that is down is no part of the quorum that works.
    if (id !== replica.nodeId && replica.activeSinceMs(id) === undefined) return undefined;
    return this.#connectedCount(voters) - 1 < 1 + Math.floor((voters.length - 1) / 2)
      ? "unhealthy"
      : undefined;
  }

  /** Asked of the leader, which alone knows how far a learner is. */
  refusalOfPromote(id: NodeId): ApiErrorName | undefined {
    const { replica, isStrict } = this.#options;
    const { progress } = replica.raftStatus;
    const learner = progress.find((one) => one.id === id);
    if (learner === undefined) return "memberNotFound";
    const own = progress.find((one) => one.id === replica.nodeId);
    if (learner.match < readyShare * (own?.match ?? 0)) return "learnerNotReady";
    if (!isStrict) return undefined;
    const voters = this.#voters();
    return startedCount(voters) + 1 < quorumOf(voters.length + 1) ? "notEnoughStartedMembers" : undefined;
  }

  /** Whether a learner may be promoted without anybody looking: it lags no more than a busy voter may. */
  hasCaughtUp(id: NodeId): boolean {
    const { replica } = this.#options;
    const { progress } = replica.raftStatus;
    const learner = progress.find((one) => one.id === id);
    const own = progress.find((one) => one.id === replica.nodeId);
    if (learner === undefined || own === undefined) return false;
    return own.match - learner.match <= lagEntriesMax && this.refusalOfPromote(id) === undefined;
  }

  #voters(): readonly Member[] {
    return this.#options.replica.members.list().filter(({ isLearner }) => !isLearner);
  }

  #connectedCount(members: readonly Member[]): number {
    const { replica, nowMs } = this.#options;
    const since = nowMs() - healthyMs;
    return members.filter(({ id }) => {
      const activeSinceMs = replica.activeSinceMs(id);
      return id === replica.nodeId || (activeSinceMs !== undefined && activeSinceMs < since);
    }).length;
  }
}

function quorumOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

/** A member has started once it has published its name. */
function startedCount(members: readonly Member[]): number {
  return members.filter(({ name }) => name !== "").length;
}
