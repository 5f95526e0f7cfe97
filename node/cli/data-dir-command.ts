// `etcdlike inspect`, `etcdlike export-datadir` and `etcdlike defrag`: commands on a data directory that no member runs on.

import type { Logger } from "../lib/log.ts";
import { exportDataDir } from "../migrate/export-data-dir.ts";
import { inspectDataDir } from "../migrate/inspect.ts";
import { defragmentDataDir } from "./defragment.ts";
import {
  type OfflineArguments,
  type OfflineFlags,
  OfflineUsageError,
  readOfflineArguments,
} from "./offline-flags.ts";
import type { CommandResult } from "./snapshot-command.ts";

const inspectUsage = `Usage:
  etcdlike inspect DIR [--wal-dir DIR]

Prints as JSON what the data directory of a member holds, ours or etcd's, and what in it is damaged. Changes nothing.
Ends with 0 for a directory that is whole, with 1 otherwise.
`;

const exportUsage = `Usage:
  etcdlike export-datadir --data-dir DIR --out DIR [--wal-dir DIR]

Writes a data directory on which a real etcd starts as the same member. The member is stopped; its own directory stays.

Options:
  --data-dir DIR   of the member
  --wal-dir DIR    where its log lies; DATA-DIR/member/wal without it
  --out DIR        the data directory to make: empty, or not there yet
`;

const defragUsage = `Usage:
  etcdlike defrag --data-dir DIR

Gives the free space in the store of a stopped member back to the disk.
`;

const walDirFlag: OfflineFlags = { "wal-dir": { kind: "string", default: "" } };
const exportFlags: OfflineFlags = {
  ...walDirFlag,
  "data-dir": { kind: "string", default: "" },
  out: { kind: "string", default: "" },
};

/** `argv` is what follows the word "inspect". */
export async function runInspect(argv: readonly string[]): Promise<CommandResult> {
  return run(inspectUsage, () => {
    const flags = readOfflineArguments(argv, walDirFlag);
    const [dataDir, ...more] = flags.positionals;
    if (dataDir === undefined || more.length > 0)
      throw new OfflineUsageError("inspect takes one data directory");
    const inspection = inspectDataDir(dataDir, walDirOf(flags));
    const stdout = `${JSON.stringify(inspection, null, 2)}\n`;
    return { exitCode: inspection.problems.length > 0 ? 1 : 0, stdout, stderr: "" };
  });
}

/** `argv` is what follows the word "export-datadir". */
export async function runExport(argv: readonly string[], log: Logger): Promise<CommandResult> {
  return run(exportUsage, async () => {
    const flags = readOfflineArguments(argv, exportFlags);
    const dataDir = required(flags, "data-dir");
    const out = required(flags, "out");
    if (flags.positionals.length > 0) {
      throw new OfflineUsageError(
        `export-datadir takes no argument without a flag: "${flags.positionals[0]}"`,
      );
    }
    await exportDataDir({ dataDir, out, walDir: walDirOf(flags), log });
    return { exitCode: 0, stdout: "", stderr: "" };
  });
}

/** `argv` is what follows the word "defrag". */
export async function runDefrag(argv: readonly string[], log: Logger): Promise<CommandResult> {
  return run(defragUsage, async () => {
    const flags = readOfflineArguments(argv, { "data-dir": { kind: "string", default: "" } });
    if (flags.positionals.length > 0) {
      throw new OfflineUsageError(`defrag takes no argument without a flag: "${flags.positionals[0]}"`);
    }
    await defragmentDataDir(required(flags, "data-dir"), log);
    return { exitCode: 0, stdout: "", stderr: "" };
  });
}

async function run(
  usage: string,
  command: () => CommandResult | Promise<CommandResult>,
): Promise<CommandResult> {
  try {
    return await command();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (error instanceof OfflineUsageError && error.wantsHelp)
      return { exitCode: 0, stdout: usage, stderr: "" };
    const help = error instanceof OfflineUsageError ? usage : "";
    return { exitCode: 1, stdout: "", stderr: `Error: ${error.message}\n${help}` };
  }
}

function required(flags: OfflineArguments, name: string): string {
  const text = flags.text(name);
  if (text === "") throw new OfflineUsageError(`--${name} is missing`);
  return text;
}

function walDirOf(flags: OfflineArguments): string | undefined {
  return flags.text("wal-dir") || undefined;
}
