// The "confchange" form: `simple`, `enter-joint` and `leave-joint` with changes as input, one configuration
// evolving through the file. The answer is the configuration and every member's progress, or why it was refused.

import type { ConfChangeSingle } from "../../wire/raft.ts";
import { type ConfChangeOutcome, changeSimply, enterJoint, leaveJoint } from "../conf-changer.ts";
import { describeConfig, emptyConfState } from "../conf-state.ts";
import { noLimit } from "../entry-size.ts";
import { describeProgress } from "../progress.ts";
import { Tracker } from "../tracker.ts";
import { parseChanges } from "./conf-change-input.ts";
import { type Command, parseBoolean, TranscriptError } from "./transcript.ts";

export function conversationAbout(): (command: Command) => string {
  const tracker = new Tracker({ inflightCountMax: 10, inflightBytesMax: noLimit });
  tracker.restore(emptyConfState, 0);
  // Grows with every command, so that a member's `next` tells when its progress began.
  let lastIndex = 0;
  return (command) => {
    const changes = parseChanges(command.input);
    const outcome = typeof changes === "string" ? undefined : attempt(tracker, command, changes);
    const began = lastIndex++;
    if (outcome === undefined) return `${changes}`;
    if (!outcome.ok) return outcome.reason;
    tracker.switchTo(outcome.config, { fresh: outcome.fresh, lastIndex: began });
    let text = `${describeConfig(tracker.config)}\n`;
    for (const member of tracker.members) text += `${member.id}: ${describeProgress(member.status())}\n`;
    return text;
  };
}

function attempt(
  tracker: Tracker,
  command: Command,
  changes: readonly ConfChangeSingle[],
): ConfChangeOutcome {
  switch (command.name) {
    case "simple":
      return changeSimply(tracker.config, changes);
    case "enter-joint": {
      const autoLeave = command.args.find((arg) => arg.key === "autoleave")?.values?.[0];
      return enterJoint(tracker.config, {
        autoLeave: autoLeave === undefined ? false : parseBoolean(autoLeave),
        changes,
      });
    }
    case "leave-joint":
      if (changes.length > 0) return { ok: false, reason: "this command takes no input" };
      return leaveJoint(tracker.config);
    default:
      throw new TranscriptError(`unknown command ${command.name}`);
  }
}
