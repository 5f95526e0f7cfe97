// Transcripts: commands with arguments and input, each followed by the output expected of it.
//
//   # a comment
//   command key key=value key=(one, two)
//   input lines
//   ----
//   expected output, up to a blank line
//
// Output that contains blank lines is fenced by two lines of "----" at the end and a second one at the start.

export interface Argument {
  readonly key: string;
  /** Undefined for a bare key. */
  readonly values: readonly string[] | undefined;
}

export interface Command {
  /** Line of the command, counted from 1. */
  readonly line: number;
  readonly name: string;
  readonly args: readonly Argument[];
  readonly input: string;
  readonly expected: string;
  /** Lines [start, end) of the file that hold the separator and the expected output. */
  readonly outputLines: { readonly start: number; readonly end: number };
}

/** What is wrong with a transcript, as opposed to with what it describes. */
export class TranscriptError extends Error {
  override readonly name = "TranscriptError";
}

const separator = "----";

export function parseTranscript(text: string): Command[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const commands: Command[] = [];
  let at = 0;
  while (at < lines.length) {
    const start = at;
    let directive = (lines[at++] ?? "").trim();
    if (directive === "" || directive.startsWith("#")) continue;
    while (directive.endsWith("\\") && at < lines.length) {
      directive = `${directive.slice(0, -1)} ${(lines[at++] ?? "").trim()}`;
    }
    const { name, args } = parseDirective(directive, start + 1);
    // Marks a group of commands and has no output of its own.
    if (name === "subtest") continue;

    const inputStart = at;
    while (at < lines.length && lines[at] !== separator) at++;
    const input = lines.slice(inputStart, at).join("\n").trim();
    const outputStart = at;
    const output = readOutput(lines, at);
    at = output.end;
    commands.push({
      line: start + 1,
      name,
      args,
      input,
      expected: output.text,
      outputLines: { start: outputStart, end: output.end },
    });
  }
  return commands;
}

/** `at` is the separator's position, or the end of the file when there is none. */
function readOutput(lines: readonly string[], at: number): { text: string; end: number } {
  if (at >= lines.length) return { text: "", end: at };
  const start = at + 1;
  const isFenced = lines[start] === separator;
  let end = isFenced ? start + 1 : start;
  if (!isFenced) {
    while (end < lines.length && (lines[end] ?? "").trim() !== "") end++;
    return { text: joined(lines.slice(start, end)), end };
  }
  while (end < lines.length && !(lines[end] === separator && lines[end + 1] === separator)) end++;
  return { text: joined(lines.slice(start + 1, end)), end: Math.min(end + 2, lines.length) };
}

function joined(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

/** The lines that stand for `output` in a transcript. */
export function formatOutput(output: string): string[] {
  const lines = output.split("\n").slice(0, -1);
  const hasBlank = lines.some((line) => line.trim() === "");
  return hasBlank ? [separator, separator, ...lines, separator, separator] : [separator, ...lines];
}

function parseDirective(text: string, line: number): { name: string; args: Argument[] } {
  const broken = (): TranscriptError =>
    new TranscriptError(`cannot parse the command in line ${line}: ${text}`);
  const name = /^[^ ]+/.exec(text)?.[0] ?? "";
  let rest = text.slice(name.length).trim();
  const args: Argument[] = [];
  while (rest !== "") {
    const key = /^[^ =]+/.exec(rest)?.[0];
    if (key === undefined) throw broken();
    rest = rest.slice(key.length);
    if (!rest.startsWith("=")) {
      args.push({ key, values: undefined });
    } else if (rest.startsWith("=(")) {
      const list = parseList(rest.slice(2));
      if (list === undefined) throw broken();
      args.push({ key, values: list.values });
      rest = list.rest;
    } else {
      const value = /^[^ ]*/.exec(rest.slice(1))?.[0] ?? "";
      args.push({ key, values: [value] });
      rest = rest.slice(1 + value.length);
    }
    rest = rest.trim();
  }
  return { name, args };
}

/** Values up to the closing parenthesis; commas inside inner parentheses do not separate. */
function parseList(text: string): { values: string[]; rest: string } | undefined {
  const values: string[] = [];
  let depth = 1;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "(") depth++;
    if (character === ")") depth--;
    if (depth === 0) {
      values.push(text.slice(start, at).trimStart());
      return { values, rest: text.slice(at + 1) };
    }
    if (character === "," && depth === 1) {
      values.push(text.slice(start, at).trimStart());
      start = at + 1;
    }
  }
  return undefined;
}

export function parseInteger(text: string): number {
  if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(Number(text))) {
    throw new TranscriptError(`not a whole number: ${JSON.stringify(text)}`);
  }
  return Number(text);
}

export function parseBoolean(text: string): boolean {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  throw new TranscriptError(`not a boolean: ${JSON.stringify(text)}`);
}

/** The single value of a required argument. */
export function requiredValue(command: Command, key: string): string {
  const values = command.args.find((arg) => arg.key === key)?.values;
  const value = values?.[0];
  if (value === undefined || values?.length !== 1) {
    throw new TranscriptError(`${command.name} needs ${key}=VALUE`);
  }
  return value;
}
