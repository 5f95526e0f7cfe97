// Arguments of commands that work on files, in the form of etcdutl: flags and other arguments in any order.

import { parseBoolean, parseInteger, uint64 } from "./values.ts";

export interface OfflineFlag {
  readonly kind: "string" | "uint" | "boolean";
  readonly default: string;
  /** One letter. */
  readonly short?: string;
}

export type OfflineFlags = Readonly<Record<string, OfflineFlag>>;

export interface OfflineArguments {
  readonly positionals: readonly string[];
  text(name: string): string;
  number(name: string): number;
  isSet(name: string): boolean;
}

/** The command line cannot be read, or asks how it is written. */
export class OfflineUsageError extends Error {
  override readonly name = "OfflineUsageError";
  readonly wantsHelp: boolean;

  constructor(message: string, wantsHelp = false) {
    super(message);
    this.wantsHelp = wantsHelp;
  }
}

/** Throws OfflineUsageError. */
export function readOfflineArguments(argv: readonly string[], flags: OfflineFlags): OfflineArguments {
  const given = new Map<string, string>();
  const positionals: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i] as string;
    if (argument === "--") {
      positionals.push(...argv.slice(i + 1));
      break;
    }
    const match = /^(--?)([^-=][^=]*)(?:=([\s\S]*))?$/.exec(argument);
    if (match === null) {
      positionals.push(argument);
      continue;
    }
    const [, dashes, word, attached] = match as unknown as [string, string, string, string | undefined];
    if (word === "help" || (dashes === "-" && word === "h")) throw new OfflineUsageError("help", true);
    const name = nameOf(flags, dashes, word);
    const flag = name === undefined ? undefined : flags[name];
    if (name === undefined || flag === undefined)
      throw new OfflineUsageError(`unknown flag: ${dashes}${word}`);
    let text = attached;
    if (text === undefined && flag.kind === "boolean") text = "true";
    if (text === undefined) {
      i++;
      text = argv[i];
    }
    if (text === undefined) throw new OfflineUsageError(`flag needs an argument: ${dashes}${word}`);
    check(name, flag, text);
    given.set(name, text);
  }
  const text = (name: string): string => given.get(name) ?? (flags[name] as OfflineFlag).default;
  return {
    positionals,
    text,
    number(name) {
      const parsed = parseInteger(text(name), uint64);
      return parsed.ok ? parsed.value : 0;
    },
    isSet(name) {
      const parsed = parseBoolean(text(name));
      return parsed.ok && parsed.value;
    },
  };
}

function nameOf(flags: OfflineFlags, dashes: string, word: string): string | undefined {
  if (dashes === "--") return word;
  return Object.keys(flags).find((name) => flags[name]?.short === word);
}

function check(name: string, flag: OfflineFlag, text: string): void {
  if (flag.kind === "string") return;
  const parsed = flag.kind === "uint" ? parseInteger(text, uint64) : parseBoolean(text);
  if (!parsed.ok)
    throw new OfflineUsageError(`invalid argument "${text}" for "--${name}" flag: ${parsed.error}`);
}
