// Raft's lines as log lines of the member.

import type { Logger } from "../lib/log.ts";
import type { RaftLogger } from "../raft/logger.ts";

/** Part of the line that says that an append's answer found its entries answered for already. */
const alreadyStable = "missing from unstable log; ignoring";

/**
 * With storage writes that overlap, every append under way answers for the newest entry there is, and all answers
 * but the first find nothing to do: at the level that Raft gives it, a busy follower would log that line for every
 * second write.
 */
export function raftLines(logger: Logger): RaftLogger {
  return {
    debug: (line) => logger.debug(line),
    info: (line) => (line.endsWith(alreadyStable) ? logger.debug(line) : logger.info(line)),
    warning: (line) => logger.warn(line),
    error: (line) => logger.error(line),
  };
}
