// The members as a port: the part of etcd's API that the operator uses. The adapter is grpc-members.ts.
import type { MemberAccess, Probe, Roster } from "../model/observation.ts";

/** What a member said about itself, and the member list if a quorum stands behind it. */
export interface Answer {
  readonly probe: Probe;
  readonly roster?: Roster;
}

/** Where a member takes clients, and how it is spoken to; without `tls` in clear text. */
export interface Endpoint {
  /** ADDRESS:PORT. */
  readonly address: string;
  readonly tls?: MemberAccess & {
    /** The name that its certificate has to carry: Pods are reached by addresses, and those are in no certificate. */
    readonly serverName: string;
  };
}

export type Defragmentation =
  | { readonly isOver: false }
  /** `problem`: why it has failed. */
  | { readonly isOver: true; readonly problem?: string };

export interface Members {
  /** Asks one member; a member that does not answer is an answer, too. */
  ask(at: Endpoint): Promise<Answer>;
  addLearner(at: Endpoint, peerUrl: string): Promise<void>;
  promote(at: Endpoint, id: string): Promise<void>;
  remove(at: Endpoint, id: string): Promise<void>;
  /** At the leader. */
  moveLeader(at: Endpoint, toId: string): Promise<void>;
  /** Begins it or asks after the one that runs, and waits for its end for some seconds. */
  defragment(at: Endpoint): Promise<Defragmentation>;
  /** Takes back the NOSPACE alarm of a member. */
  disarmNoSpace(at: Endpoint, id: string): Promise<void>;
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
