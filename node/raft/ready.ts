// What the driver has to do next, as data.

import type { NodeId } from "../lib/ids.ts";
import type { Entry, HardState, Message, Snapshot } from "../wire/raft.ts";

export type RaftState = "StateFollower" | "StateCandidate" | "StateLeader" | "StatePreCandidate";

/** Volatile state, worth a log line or a metric but never written. */
export interface SoftState {
  readonly lead: NodeId;
  readonly state: RaftState;
}

/** A read that may be served once the state machine has applied everything up to `index`. */
export interface ReadState {
  readonly index: number;
  /** What `readIndex` was called with. */
  readonly context: Uint8Array;
}

/**
 * One round of work.
 *
 * Without async storage writes: write `hardState`, `entries` and `snapshot`, in one step and durably if `mustSync`;
 * send `messages` at any time and `messagesAfterAppend` only after the write; apply `committedEntries`; then call
 * `advance`.
 *
 * With async storage writes: send `messages` at once and hand `storageMessages` to the two storage threads, which
 * work each in its own order and deliver a message's `responses` (to this member through `step`, or to others over
 * the network) after it was carried out. The other fields only repeat what those messages hold; there is no
 * `advance`, and `messagesAfterAppend` is empty since they are responses of the append message. A snapshot is installed
 * by the append thread, so apply work handed out before it may come up after it: entries at or below the index of the
 * state machine are skipped then, conf changes among them included.
 */
export interface Ready {
  /** Undefined when unchanged. */
  readonly softState: SoftState | undefined;
  /** Undefined when unchanged. */
  readonly hardState: HardState | undefined;
  readonly readStates: readonly ReadState[];
  /** To append to the log on disk, replacing what is there from the first one's index on. */
  readonly entries: readonly Entry[];
  /**
   * To install, replacing the log and the state machine, before `entries` are appended behind it: entries that arrived
   * right after the snapshot come in the same round. Committed entries never do.
   */
  readonly snapshot: Snapshot | undefined;
  readonly committedEntries: readonly Entry[];
  /** These may leave at once. */
  readonly messages: readonly Message[];
  /** These answer for what is written in this round, and leave after the disk. */
  readonly messagesAfterAppend: readonly Message[];
  /** With async storage writes: at most one MsgStorageAppend, then at most one MsgStorageApply. */
  readonly storageMessages: readonly Message[];
  /** The write must be durable, and not merely happen sometime (as with a commit index alone). */
  readonly mustSync: boolean;
}
