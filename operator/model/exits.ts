// What the way a member ended demands. The words are the member's own, from its container's termination message.

export const exitReasons = [
  "WAL_DAMAGED",
  "STORE_DAMAGED",
  "DATA_LOST",
  "REMOVED",
  "DISK_FULL",
  "IO_ERROR",
  "CLUSTER_MISMATCH",
  "UNKNOWN_ENTRY",
  "LOCKED",
] as const;

export type ExitReason = (typeof exitReasons)[number];

/** How a member that ended so is treated. */
export type Remedy =
  /** Its data is gone or cannot be trusted: another member takes its place, the volume is put aside. */
  | "Replace"
  /** One restart, then as Replace. */
  | "ReplaceAfterRestart"
  /** A person has to look, or time passes: nothing is replaced, however long it lasts. */
  | "Report"
  /** It was taken out of the cluster. */
  | "Remove";

export const remedies: Readonly<Record<ExitReason, Remedy>> = {
  WAL_DAMAGED: "Replace",
  STORE_DAMAGED: "Replace",
  DATA_LOST: "Replace",
  REMOVED: "Remove",
  DISK_FULL: "Report",
  IO_ERROR: "ReplaceAfterRestart",
  CLUSTER_MISMATCH: "Report",
  UNKNOWN_ENTRY: "Report",
  LOCKED: "Report",
};

/** The reason in a termination message: the last line that is a JSON object with one of the known words. */
export function exitReasonOf(message: string): ExitReason | undefined {
  for (const line of message.trim().split("\n").reverse()) {
    try {
      const reason = (JSON.parse(line) as { reason?: unknown } | null)?.reason;
      const known = exitReasons.find((word) => word === reason);
      if (known !== undefined) return known;
    } catch {
      // Other lines, such as a stack, stand around the one that counts.
    }
  }
  return undefined;
}
