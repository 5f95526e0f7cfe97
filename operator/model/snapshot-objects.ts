// Snapshots, schedules and restores as objects, and what is seen of the Jobs that work for them.
import type { RestoreSpec, RestoreStatus } from "../api/restore.ts";
import type { SnapshotSpec, SnapshotStatus } from "../api/snapshot.ts";
import type { ScheduleSpec, ScheduleStatus } from "../api/snapshot-schedule.ts";
import type { ObjectMeta } from "../kube/objects.ts";

export type StoredMeta = ObjectMeta & { readonly namespace: string; readonly uid: string };

export interface Snapshot {
  readonly metadata: StoredMeta;
  readonly spec: SnapshotSpec;
  readonly status?: SnapshotStatus;
}

export interface Schedule {
  readonly metadata: StoredMeta;
  readonly spec: ScheduleSpec;
  readonly status?: ScheduleStatus;
}

export interface Restore {
  readonly metadata: StoredMeta;
  readonly spec: RestoreSpec;
  readonly status?: RestoreStatus;
}

/** What a Job does with an artifact. */
export type Task = "Take" | "Verify" | "Delete";

export interface JobFact {
  readonly name: string;
  readonly uid: string;
  /** Of the snapshot it was made for. */
  readonly ownerUid: string;
  readonly isTerminating: boolean;
  readonly outcome: "Active" | "Complete" | "Failed";
  /** Why it failed, as Kubernetes says. */
  readonly message: string;
  /** Whether a Pod of it is still there and has not ended. */
  readonly isRunning: boolean;
  /** What its last Pod said at its end; undefined when no Pod is left that said something. */
  readonly result: AgentResult | undefined;
}

/** The agent's last words. What is not what it should be counts as not said. */
export interface AgentResult {
  readonly error?: string;
  readonly artifact?: { readonly sizeBytes: number; readonly sha256: string };
  readonly endpoint?: string;
  readonly clusterId?: string;
  readonly verification?:
    | {
        readonly isSound: true;
        readonly revision: number;
        readonly hash: number;
        readonly totalKeys: number;
        readonly storageVersion: string;
      }
    | { readonly isSound: false; readonly reason: string; readonly message: string };
}

/** From a container's termination message: the last line that is a JSON object. */
export function agentResultOf(message: string): AgentResult | undefined {
  for (const line of message.trim().split("\n").reverse()) {
    try {
      const parsed: unknown = JSON.parse(line);
      if (typeof parsed === "object" && parsed !== null) return checkedResult(parsed as Fields);
    } catch {
      // Log lines stand around the one that counts.
    }
  }
  return undefined;
}

type Fields = Readonly<Record<string, unknown>>;

function checkedResult({ error, artifact, endpoint, clusterId, verification }: Fields): AgentResult {
  const digest = checkedDigest(artifact);
  const verdict = checkedVerdict(verification);
  return {
    ...(typeof error === "string" ? { error } : {}),
    ...(digest === undefined ? {} : { artifact: digest }),
    ...(typeof endpoint === "string" ? { endpoint } : {}),
    ...(typeof clusterId === "string" ? { clusterId } : {}),
    ...(verdict === undefined ? {} : { verification: verdict }),
  };
}

function checkedDigest(given: unknown): AgentResult["artifact"] {
  const { sizeBytes, sha256 } = (given ?? {}) as Fields;
  if (typeof sizeBytes !== "number" || typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256)) {
    return undefined;
  }
  return { sizeBytes, sha256 };
}

function checkedVerdict(given: unknown): AgentResult["verification"] {
  const { isSound, reason, message, revision, hash, totalKeys, storageVersion } = (given ?? {}) as Fields;
  if (isSound === false) return { isSound, reason: String(reason), message: String(message) };
  const numbers = [revision, hash, totalKeys];
  if (isSound !== true || !numbers.every((one) => Number.isSafeInteger(one))) return undefined;
  const [checkedRevision = 0, checkedHash = 0, checkedKeys = 0] = numbers as number[];
  return {
    isSound,
    revision: checkedRevision,
    hash: checkedHash,
    totalKeys: checkedKeys,
    storageVersion: String(storageVersion),
  };
}
