// What other members say to Raft, and what of it is refused. A member that proves who it is may end this one, by telling
// it of entries that it lost; whoever only says to be a member may not.

import { FatalError } from "../lib/fatal.ts";
import { hexId } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import type { RawNode } from "../raft/raw-node.ts";
import type { Message } from "../wire/raft.ts";
import { problemOfProposal } from "./proposal-check.ts";

export interface InboxOptions {
  readonly rawNode: RawNode;
  readonly logger: Logger;
  readonly isRunning: () => boolean;
  /** A message was stepped: Raft may have something to do. */
  readonly onStepped: () => void;
}

export class Inbox {
  readonly #options: InboxOptions;

  constructor(options: InboxOptions) {
    this.#options = options;
  }

  /**
   * A message of another member. A snapshot comes with its store, and not here. Throws FatalError DATA_LOST when the
   * leader knows of entries that this member acknowledged, and they are gone: a volume was put back to an older state.
   */
  receive(message: Message): void {
    if (!this.#isRefused(message) || message.type !== "MsgHeartbeat") return;
    const last = this.#options.rawNode.lastIndex();
    const text = `this member acknowledged entries up to ${message.commit} or beyond, and its log ends at ${last}: its data are of an older state`;
    throw new FatalError("DATA_LOST", text, { index: last });
  }

  /**
   * A message from somebody who says to be another member. It cannot end this one: a proposal that nobody could apply is
   * refused, and so is what it says of entries that are not in the log; that counts when the member itself says it.
   */
  receiveUnproven(message: Message): void {
    const { rawNode, logger } = this.#options;
    const { type, from, entries } = message;
    const problem = type === "MsgProp" ? problemOfProposal(entries, rawNode.lastIndex() + 1) : undefined;
    if (problem === undefined) this.#isRefused(message);
    else logger.warn("refused a proposal", { from: hexId(from), error: problem });
  }

  /** Steps a message; true when it speaks of entries beyond the log, and was refused. */
  #isRefused(message: Message): boolean {
    const { rawNode, logger, isRunning, onStepped } = this.#options;
    if (!isRunning() || message.type === "MsgSnap") return false;
    const outcome = rawNode.step(message);
    onStepped();
    if (outcome !== "beyondLog") return false;
    const { type, from, term, commit, index } = message;
    logger.warn("refused a Raft message about entries beyond the log", {
      "message-type": type,
      from: hexId(from),
      term,
      [type === "MsgHeartbeat" ? "commit" : "index"]: type === "MsgHeartbeat" ? commit : index,
      "last-index": rawNode.lastIndex(),
    });
    return true;
  }
}
