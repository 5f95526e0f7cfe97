// The members as a port: the part of etcd's API that the operator uses. The adapter is grpc-members.ts.
import type { Probe, Roster } from "../model/observation.ts";

/** What a member said about itself, and the member list if a quorum stands behind it. */
export interface Answer {
  readonly probe: Probe;
  readonly roster?: Roster;
}

export interface Members {
  /** Asks one member at its address; a member that does not answer is an answer, too. */
  ask(address: string): Promise<Answer>;
  addLearner(address: string, peerUrl: string): Promise<void>;
  promote(address: string, id: string): Promise<void>;
  remove(address: string, id: string): Promise<void>;
  /** At the leader's address. */
  moveLeader(address: string, toId: string): Promise<void>;
}

/** gRPC's numbers of the codes that matter here. */
export const codes = { deadlineExceeded: 4, failedPrecondition: 9, unavailable: 14 } as const;

/** A member refused, or nobody answered. `text` is etcd's own. */
export class MemberError extends Error {
  override readonly name = "MemberError";
  readonly code: number;
  readonly text: string;

  constructor(code: number, text: string, what: string) {
    super(`${what}: ${text} (code ${code})`);
    this.code = code;
    this.text = text;
  }

  /** The learner has not caught up yet. */
  get isNotInSync(): boolean {
    return this.text.includes("in sync with leader");
  }

  /** The cluster takes no change because not all voters are connected. */
  get isUnhealthyCluster(): boolean {
    return this.text.includes("unhealthy cluster") || this.text.includes("not enough started members");
  }

  /** Done before, by an attempt whose answer was lost. */
  get isDoneAlready(): boolean {
    return (
      this.text.includes("member not found") ||
      this.text.includes("Peer URLs already exists") ||
      // An id is made from the peer URL and the second: asked twice within one, this comes first.
      this.text.includes("member ID already exist") ||
      this.text.endsWith("can only promote a learner member")
    );
  }
}
