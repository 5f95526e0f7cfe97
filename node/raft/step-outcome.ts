/** What became of a message that was stepped. Anything but "accepted" had no effect. */
export type StepOutcome =
  | "accepted"
  /** Not appended: no leader, or a leader that cannot take it now. The proposer may try again. */
  | "proposalDropped"
  /** Of a type that a peer must not send. */
  | "localMessage"
  /** An answer of somebody who is not a member. */
  | "unknownPeer"
  /** A commit that the log does not reach, or an acknowledgement of entries that the leader does not have. */
  | "beyondLog";

/** For logs and error answers. */
export const stepOutcomeTexts: Readonly<Record<StepOutcome, string>> = {
  accepted: "accepted",
  proposalDropped: "raft proposal dropped",
  localMessage: "raft: cannot step raft local message",
  unknownPeer: "raft: cannot step as peer not found",
  beyondLog: "raft: cannot step message about entries beyond the log",
};
