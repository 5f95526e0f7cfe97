// The options of one Raft member.

import { assert } from "../lib/assert.ts";
import { type NodeId, noNode } from "../lib/ids.ts";
import type { Random } from "../lib/random.ts";
import { noLimit } from "./entry-size.ts";
import { type RaftLogger, silentLogger } from "./logger.ts";
import { isStorageThread } from "./message.ts";
import type { Storage } from "./storage.ts";

/**
 * ReadOnlySafe: a read waits for a quorum's answer to a heartbeat. ReadOnlyLeaseBased: it trusts that no other leader
 * was elected within the last election timeout, which a paused process or a drifting clock can prove wrong.
 */
export type ReadOnlyOption = "ReadOnlySafe" | "ReadOnlyLeaseBased";

export interface RaftConfig {
  readonly id: NodeId;
  /** Ticks without a leader until a follower campaigns; the real timeout is random in [n, 2n). */
  readonly electionTicks: number;
  /** Ticks between heartbeats, less than `electionTicks`. */
  readonly heartbeatTicks: number;
  readonly storage: Storage;
  readonly random: Random;
  readonly logger?: RaftLogger;
  /** Index up to which the state machine has applied before this start; zero when it starts from the snapshot. */
  readonly applied?: number;
  /** Hand out storage work as messages instead of expecting `advance`. See Ready. */
  readonly asyncStorageWrites?: boolean;
  /** Encoded bytes of the entries in one append message. Zero means one entry a message. */
  readonly messageBytesMax: number;
  /** Encoded bytes of committed entries handed out and not yet applied. Default: `messageBytesMax`. */
  readonly applyingBytesMax?: number;
  /** Payload bytes a leader holds uncommitted before it drops proposals. Default: no limit. */
  readonly uncommittedBytesMax?: number;
  /** Append messages under way to one follower. */
  readonly inflightMessagesMax: number;
  /** Payload bytes under way to one follower, at least `messageBytesMax`. Default: no limit. */
  readonly inflightBytesMax?: number;
  /** A leader steps down when it did not hear of a quorum for an election timeout; followers with a leader ignore
   * candidates. */
  readonly checkQuorum?: boolean;
  /** Ask whether an election could be won before raising the term. */
  readonly preVote?: boolean;
  /** Default: ReadOnlySafe. */
  readonly readOnlyOption?: ReadOnlyOption;
  /** Followers drop proposals instead of sending them to the leader. */
  readonly disableProposalForwarding?: boolean;
  /** Accept conf changes that do not fit the configuration in force. Only for those who check them elsewhere. */
  readonly disableConfChangeValidation?: boolean;
  /** A leader that is removed or made a learner steps down at once. */
  readonly stepDownOnRemoval?: boolean;
}

/** The options with every default filled in. */
export type CompleteRaftConfig = Required<RaftConfig>;

export function completeConfig(config: RaftConfig): CompleteRaftConfig {
  const complete: CompleteRaftConfig = {
    logger: silentLogger,
    applied: 0,
    asyncStorageWrites: false,
    applyingBytesMax: config.messageBytesMax,
    uncommittedBytesMax: noLimit,
    inflightBytesMax: noLimit,
    checkQuorum: false,
    preVote: false,
    readOnlyOption: "ReadOnlySafe",
    disableProposalForwarding: false,
    disableConfChangeValidation: false,
    stepDownOnRemoval: false,
    ...config,
  };
  assert(complete.id !== noNode, "a member needs an id");
  assert(!isStorageThread(complete.id), "the id of a storage thread is not a member's");
  assert(complete.heartbeatTicks > 0, "heartbeatTicks must be positive");
  assert(complete.electionTicks > complete.heartbeatTicks, "electionTicks must exceed heartbeatTicks");
  assert(complete.inflightMessagesMax > 0, "inflightMessagesMax must be positive");
  assert(complete.inflightBytesMax >= complete.messageBytesMax, "inflightBytesMax is below messageBytesMax");
  assert(complete.applyingBytesMax > 0, "applyingBytesMax must be positive");
  assert(
    complete.checkQuorum || complete.readOnlyOption === "ReadOnlySafe",
    "reads by lease need checkQuorum, or a cut off leader answers them forever",
  );
  return complete;
}
