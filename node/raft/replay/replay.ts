// Replays a transcript of any of the three forms and says where it differs.

import { AssertionFailure } from "../../lib/assert.ts";
import { conversationAbout as confChangeConversation } from "./conf-change-form.ts";
import { conversationAbout as interactionConversation } from "./interaction-form.ts";
import { answerQuorumCommand } from "./quorum-form.ts";
import { type Command, formatOutput, parseTranscript, TranscriptError } from "./transcript.ts";

export type Form = "interaction" | "quorum" | "confchange";

/** Answers the commands of one transcript in order; state is kept between them. */
export type Conversation = (command: Command) => string;

export type ReplayResult =
  | { readonly ok: true; readonly commandCount: number }
  | { readonly ok: false; readonly line: number; readonly command: string; readonly problem: string };

/** The form named by the folder closest to the file. */
export function formOf(path: string): Form | undefined {
  const folder = path
    .split("/")
    .slice(0, -1)
    .findLast((name) => name in conversations);
  return folder as Form | undefined;
}

const conversations: Readonly<Record<Form, () => Conversation>> = {
  interaction: interactionConversation,
  quorum: () => answerQuorumCommand,
  confchange: confChangeConversation,
};

export function replay(form: Form, text: string): ReplayResult {
  let commands: Command[];
  try {
    commands = parseTranscript(text);
  } catch (error) {
    return { ok: false, line: 1, command: "", problem: problemOf(error) };
  }
  const answer = conversations[form]();
  for (const command of commands) {
    let actual: string;
    try {
      actual = answer(command);
    } catch (error) {
      return { ok: false, line: command.line, command: command.name, problem: problemOf(error) };
    }
    actual = terminated(actual);
    if (actual !== command.expected) {
      const problem = diffLines(command.expected, actual);
      return { ok: false, line: command.line, command: command.name, problem };
    }
  }
  return { ok: true, commandCount: commands.length };
}

/** The transcript with every output replaced by what was answered: for a reader who checks the difference. */
export function rewrite(form: Form, text: string): string {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const answer = conversations[form]();
  const rewritten: string[] = [];
  let copied = 0;
  for (const command of parseTranscript(text)) {
    rewritten.push(...lines.slice(copied, command.outputLines.start));
    rewritten.push(...formatOutput(terminated(answer(command))));
    copied = command.outputLines.end;
    if (copied >= lines.length) rewritten.push("");
  }
  rewritten.push(...lines.slice(copied));
  while (rewritten.at(-1) === "") rewritten.pop();
  return `${rewritten.join("\n")}\n`;
}

function terminated(output: string): string {
  return output === "" || output.endsWith("\n") ? output : `${output}\n`;
}

/** A broken invariant is a finding about the transcript at hand; anything else is a bug in the replay itself. */
function problemOf(error: unknown): string {
  if (error instanceof TranscriptError) return `${error.message}\n`;
  if (error instanceof AssertionFailure) return `assertion failed: ${error.message}\n`;
  throw error;
}

/** Expected lines marked "-", actual ones "+", common ones " ", from the longest common subsequence. */
export function diffLines(expected: string, actual: string): string {
  const a = expected.split("\n").slice(0, -1);
  const b = actual.split("\n").slice(0, -1);
  const width = b.length + 1;
  const lengths = new Uint32Array((a.length + 1) * width);
  const common = (i: number, j: number): number => lengths[i * width + j] as number;
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      lengths[i * width + j] =
        a[i] === b[j] ? common(i + 1, j + 1) + 1 : Math.max(common(i + 1, j), common(i, j + 1));
    }
  }
  let text = "";
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      text += `  ${a[i]}\n`;
      i++;
      j++;
    } else if (i < a.length && (j === b.length || common(i + 1, j) >= common(i, j + 1))) {
      text += `- ${a[i++]}\n`;
    } else {
      text += `+ ${b[j++]}\n`;
    }
  }
  return text;
}
