// What a decision consists of, and small helpers to write one down.
import type { Operation } from "../api/cluster-status.ts";
import { secondTime } from "../lib/time.ts";
import type { Observation } from "../model/observation.ts";
import type { Action } from "./action.ts";

/** The next step towards what spec says. At most one thing is ever done at a time. */
export type Step =
  /** Do this. */
  | { readonly kind: "Act"; readonly action: Action; readonly operation?: Operation }
  /** Record this before its first step is decided. */
  | { readonly kind: "Begin"; readonly operation: Operation }
  /** The recorded operation is over. `retryAfterMs`: it failed, and nothing is added before. */
  | { readonly kind: "Finish"; readonly retryAfterMs?: number }
  /** The recorded operation goes on under this record. */
  | { readonly kind: "Amend"; readonly operation: Operation }
  /** Latch the id of the formed cluster. */
  | { readonly kind: "Latch"; readonly clusterId: string; readonly clusterToken?: string }
  /** Nothing can be done now. */
  | { readonly kind: "Wait"; readonly reason: WaitReason; readonly message: string }
  /** Nothing has to be done. */
  | { readonly kind: "Rest" };

/** `Waiting` passes by itself; the others need somebody. */
export type WaitReason =
  | "Waiting"
  | "Paused"
  | "QuorumLost"
  | "VolumesExist"
  | "NotSafe"
  | "RateLimited"
  | "NoEligibleNode"
  | "DataLost"
  | "CertificateProblem"
  | "RestoreRefused";

export function act(action: Action): Step {
  return { kind: "Act", action };
}

export function wait(message: string, reason: WaitReason = "Waiting"): Step {
  return { kind: "Wait", reason, message };
}

export function begin(
  { nowMs, holder }: Observation,
  operation: Pick<Operation, "type" | "member" | "reason"> &
    Partial<Pick<Operation, "replacement" | "order" | "run" | "runUid" | "clusterId">>,
): Step {
  return { kind: "Begin", operation: { ...operation, startedAt: secondTime(nowMs), holder } };
}
