// The three places a setting can come from (arguments, environment, configuration file), each read into
// the same form: typed values by flag name. What the values mean together is config.ts's business.

import { parse as parseYaml } from "yaml";
import { parseGates } from "./feature-gates.ts";
import { environmentName, type FlagSpec, flagTable } from "./flags.ts";
import {
  int64,
  type Parsed,
  parseBoolean,
  parseDurationMs,
  parseInteger,
  parseUrls,
  parseWords,
  uint32,
  uint64,
} from "./values.ts";

/** What config.ts casts by the flag's kind: text, truth, number (durations in ms), URLs, words or gates. */
export type FlagValue = unknown;

export type Settings = ReadonlyMap<string, FlagValue>;

/** A line for the log once there is one. */
export interface Notice {
  readonly level: "info" | "warn";
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** The command line cannot be read: usage on stderr, exit 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The settings are readable and wrong: one log line, exit 1. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

export function parseValue(spec: FlagSpec, text: string): Parsed<FlagValue> {
  switch (spec.kind) {
    case "boolean":
      return parseBoolean(text);
    case "uint":
      return parseInteger(text, uint64);
    case "uint32":
      return parseInteger(text, uint32);
    case "int":
      return parseInteger(text, int64);
    case "duration":
      return parseDurationMs(text);
    case "urls":
      return parseUrls(text);
    case "words":
      return { ok: true, value: parseWords(text) };
    case "gates":
      return parseGates(text);
    case "string":
      return { ok: true, value: text };
    case "choice":
      return isChecked(spec) && !(spec.choices ?? []).includes(text)
        ? { ok: false, error: "invalid value" }
        : { ok: true, value: text };
  }
}

/** etcd takes any text for these two while reading flags and judges it later, or never. */
function isChecked(spec: FlagSpec): boolean {
  return spec.name !== "auto-compaction-mode" && spec.name !== "metrics";
}

export interface Arguments {
  readonly values: Settings;
  /** The first argument that is no flag; reading stops there. */
  readonly positional: string | undefined;
  readonly wantsHelp: boolean;
  readonly wantsVersion: boolean;
}

/** `--name=value`, `--name value`, `-name value`, and `--name` alone for a boolean. */
export function readArguments(argv: readonly string[]): Arguments {
  const values = new Map<string, FlagValue>();
  let wantsVersion = false;
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i] as string;
    const match = /^--?([^-=][^=]*)(?:=([\s\S]*))?$/.exec(argument);
    if (match === null) {
      if (argument === "--") return { values, positional: argv[i + 1], wantsHelp: false, wantsVersion };
      if (!argument.startsWith("-") || argument === "-") {
        return { values, positional: argument, wantsHelp: false, wantsVersion };
      }
      throw new UsageError(`bad flag syntax: ${argument}`);
    }
    const name = match[1] as string;
    let text = match[2];
    if (name === "version") {
      wantsVersion = isTrue("version", text ?? "true");
      continue;
    }
    const spec = flagTable.get(name);
    if (spec === undefined) {
      if (name === "help" || name === "h") {
        return { values, positional: undefined, wantsHelp: true, wantsVersion };
      }
      throw new UsageError(`flag provided but not defined: -${name}`);
    }
    if (text === undefined) {
      if (spec.kind === "boolean") text = "true";
      else {
        i += 1;
        text = argv[i];
        if (text === undefined) throw new UsageError(`flag needs an argument: -${name}`);
      }
    }
    const parsed = parseValue(spec, text);
    if (!parsed.ok) {
      const what = spec.kind === "boolean" ? "boolean value" : "value";
      const whose = spec.kind === "boolean" ? `-${name}` : `flag -${name}`;
      throw new UsageError(`invalid ${what} "${text}" for ${whose}: ${parsed.error}`);
    }
    values.set(name, parsed.value);
  }
  return { values, positional: undefined, wantsHelp: false, wantsVersion };
}

function isTrue(name: string, text: string): boolean {
  const parsed = parseBoolean(text);
  if (!parsed.ok) throw new UsageError(`invalid boolean value "${text}" for -${name}: ${parsed.error}`);
  return parsed.value;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** ETCD_* variables. An empty one counts as unset; one that a flag sets, too, is refused, as etcd does. */
export function readEnvironment(
  environment: Environment,
  given: Settings,
  notices: Notice[],
): ReadonlyMap<string, FlagValue> {
  const values = new Map<string, FlagValue>();
  const known = new Set<string>();
  for (const spec of flagTable.values()) {
    const variable = environmentName(spec.name);
    known.add(variable);
    const text = environment[variable] ?? "";
    if (text === "") continue;
    if (given.has(spec.name)) {
      throw new ConfigError(
        `conflicting environment variable ${variable} is shadowed by corresponding command-line flag ` +
          `(either unset environment variable or disable flag)`,
      );
    }
    const parsed = parseValue(spec, text);
    if (!parsed.ok) throw new ConfigError(`invalid value "${text}" for ${variable}: ${parsed.error}`);
    values.set(spec.name, parsed.value);
    notices.push({
      level: "info",
      message: "recognized and used environment variable",
      fields: { "variable-name": variable, "variable-value": text },
    });
  }
  for (const [variable, text] of Object.entries(environment)) {
    if (!variable.startsWith("ETCD_") || known.has(variable)) continue;
    notices.push({
      level: "warn",
      message: "unrecognized environment variable",
      fields: { "environment-variable": `${variable}=${text ?? ""}` },
    });
  }
  return values;
}

/** The configuration file's text. Keys are flag names; the security flags sit in two sections. */
export function readConfigFile(text: string, notices: Notice[]): Settings {
  const document = parseDocument(text);
  if (document === null || document === undefined) return new Map();
  if (!isMapping(document)) throw new ConfigError("the configuration file is not a mapping");
  const byKey = new Map<string, FlagSpec>();
  for (const spec of flagTable.values()) {
    if (spec.name !== "config-file") byKey.set((spec.yaml ?? ["", spec.name]).join("/"), spec);
  }
  const values = new Map<string, FlagValue>();
  const readKey = (section: string, key: string, value: unknown): void => {
    const spec = byKey.get(`${section}/${key}`);
    if (spec !== undefined) {
      values.set(spec.name, parseYamlValue(spec, value));
    } else {
      notices.push({
        level: "warn",
        message: "ignored a key of the configuration file that is not known",
        fields: { key: section === "" ? key : `${section}.${key}` },
      });
    }
  };
  for (const [key, value] of Object.entries(document)) {
    if (key === "client-transport-security" || key === "peer-transport-security") {
      if (value === null) continue;
      if (!isMapping(value)) throw new ConfigError(`invalid ${key}`);
      for (const [inner, innerValue] of Object.entries(value)) readKey(key, inner, innerValue);
    } else if (value !== null) {
      readKey("", key === "experimental-snapshot-catch-up-entries" ? catchupAlias : key, value);
    }
  }
  return values;
}

function parseDocument(text: string): unknown {
  try {
    return parseYaml(text, { prettyErrors: false, logLevel: "error" });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`the configuration file is not valid YAML: ${reason}`);
  }
}

/** etcd's file format spells this one key differently from the flag. */
const catchupAlias = "experimental-snapshot-catchup-entries";

function parseYamlValue(spec: FlagSpec, value: unknown): FlagValue {
  // etcd's durations in a file are integers of nanoseconds; texts such as "5s" are taken, too.
  if (spec.kind === "duration" && typeof value === "number") return value / 1e6;
  const text = Array.isArray(value) ? value.join(",") : String(value);
  if (typeof value === "object" && !Array.isArray(value)) {
    throw new ConfigError(`invalid value for ${spec.name}: not a plain value`);
  }
  const parsed = parseValue(spec, text);
  if (!parsed.ok) throw new ConfigError(`invalid value "${text}" for ${spec.name}: ${parsed.error}`);
  return parsed.value;
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
