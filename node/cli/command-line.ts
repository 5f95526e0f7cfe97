// What the process was asked to do. Pure: arguments, environment and a way to read a file come in, a decision
// comes out; printing, logging and exiting are the caller's.

import { buildVersion, compatibleVersion } from "../lib/version.ts";
import { buildConfig, buildLogConfig, type LogConfig, type MemberConfig } from "./config.ts";
import { environmentName, usage } from "./flags.ts";
import {
  ConfigError,
  type Environment,
  type Notice,
  readArguments,
  readConfigFile,
  readEnvironment,
  type Settings,
  UsageError,
} from "./sources.ts";

export type Decision =
  /** Print to stdout, exit 0. */
  | { readonly kind: "print"; readonly text: string }
  /** Print to stderr, exit 2. */
  | { readonly kind: "usage"; readonly text: string }
  /** Log the notices, then "failed to verify flags" with the error; exit 1. */
  | {
      readonly kind: "invalid";
      readonly error: string;
      readonly notices: readonly Notice[];
      readonly log: LogConfig;
    }
  | { readonly kind: "run"; readonly config: MemberConfig; readonly notices: readonly Notice[] };

export interface CommandLineInput {
  /** Without the program's own name. */
  readonly argv: readonly string[];
  readonly environment: Environment;
  /** Throws with Node's error when the file cannot be read. */
  readonly readFile: (path: string) => string;
}

/** How to log before, or in spite of, what the user asked for. */
export const defaultLog: LogConfig = { level: "info", format: "json", outputs: ["stderr"] };

export function decide({ argv, environment, readFile }: CommandLineInput): Decision {
  const notices: Notice[] = [];
  let log = defaultLog;
  try {
    const given = readArguments(argv);
    if (given.wantsHelp) return { kind: "print", text: usage() };
    if (given.positional !== undefined) throw new ConfigError(`"${given.positional}" is not a valid flag`);
    if (given.wantsVersion) return { kind: "print", text: versionText() };
    const settings = gather(given.values, { environment, readFile }, notices);
    log = buildLogConfig(settings);
    return { kind: "run", config: buildConfig(settings, notices), notices };
  } catch (error) {
    if (error instanceof UsageError) return { kind: "usage", text: `${error.message}\n${usage()}` };
    if (error instanceof ConfigError) return { kind: "invalid", error: error.message, notices, log };
    throw error;
  }
}

function gather(
  given: Settings,
  { environment, readFile }: Pick<CommandLineInput, "environment" | "readFile">,
  notices: Notice[],
): Settings {
  const path = given.get("config-file") ?? environment[environmentName("config-file")] ?? "";
  if (typeof path !== "string" || path === "") {
    return new Map([...readEnvironment(environment, given, notices), ...given]);
  }
  notices.push({
    level: "info",
    message:
      "loaded server configuration, other configuration command line flags and environment variables will be ignored if provided",
    fields: { path },
  });
  return readConfigFile(readText(path, readFile), notices);
}

function readText(path: string, readFile: (path: string) => string): string {
  try {
    return readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new ConfigError(`open ${path}: no such file or directory`);
    }
    throw new ConfigError(`open ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** etcd's four lines, because tools parse them, then our own. */
export function versionText(): string {
  const architectures: Readonly<Record<string, string>> = { x64: "amd64" };
  const architecture = architectures[process.arch] ?? process.arch;
  return [
    `etcd Version: ${compatibleVersion}`,
    "Git SHA: Not provided",
    `Go Version: none (Node ${process.version})`,
    `Go OS/Arch: ${process.platform}/${architecture}`,
    `etcdlike Version: ${buildVersion}`,
    "",
  ].join("\n");
}
