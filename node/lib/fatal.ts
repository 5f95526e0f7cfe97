// Why a member ends for good. Each reason has its own exit code, so that a supervisor or operator can tell
// "replace me" from "restart me" without reading logs.

/** Exit codes by reason. They stay clear of 0-2 (usage), of Node's own codes and of 128 + signal. */
export const exitCodes = {
  WAL_DAMAGED: 60,
  STORE_DAMAGED: 61,
  DATA_LOST: 62,
  REMOVED: 63,
  DISK_FULL: 64,
  IO_ERROR: 65,
  CLUSTER_MISMATCH: 66,
  UNKNOWN_ENTRY: 67,
  LOCKED: 68,
} as const;

export type FatalReason = keyof typeof exitCodes;

export interface FatalDetails {
  readonly file?: string;
  /** Byte position in `file`. */
  readonly offset?: number;
  /** Raft log index. */
  readonly index?: number;
}

/** A fatal end of the member. Whoever raises it has changed nothing after the fault was seen. */
export class FatalError extends Error {
  override readonly name = "FatalError";
  readonly reason: FatalReason;
  readonly details: FatalDetails;

  constructor(reason: FatalReason, message: string, details: FatalDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.reason = reason;
    this.details = details;
  }
}

/** The reason for a failed system call on log or store: a full disk is kept apart from any other error. */
export function fatalOfSystemError(error: NodeJS.ErrnoException, file: string): FatalError {
  const reason = error.code === "ENOSPC" || error.code === "EDQUOT" ? "DISK_FULL" : "IO_ERROR";
  return new FatalError(reason, `${error.message} (${file})`, { file }, error);
}
