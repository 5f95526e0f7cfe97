// `etcdlike snapshot status|restore`: etcdutl's commands, flags, texts and exit codes.

import type { Logger } from "../lib/log.ts";
import { parseInitialCluster } from "./config.ts";
import { type OfflineFlags, OfflineUsageError, readOfflineArguments } from "./offline-flags.ts";
import { restoreSnapshot } from "./snapshot-restore.ts";
import { formatStatus, type OutputFormat, outputFormats, snapshotStatus } from "./snapshot-status.ts";
import { parseUrls } from "./values.ts";

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const usageText = `Usage:
  etcdlike snapshot status FILE [-w simple|table|json|fields]
  etcdlike snapshot restore FILE --data-dir DIR [options]

Options of restore:
  --data-dir DIR                     the data directory to make; NAME.etcd without it
  --wal-dir DIR                      where the log goes; DATA-DIR/member/wal without it
  --name NAME                        of this member (default "default")
  --initial-cluster NAME=URL,...     all members of the new cluster (default "NAME=http://localhost:2380")
  --initial-cluster-token TOKEN      (default "etcd-cluster")
  --initial-advertise-peer-urls URLS of this member (default "http://localhost:2380")
  --skip-hash-check                  for a file copied from a data directory, which has no hash
  --bump-revision N                  how far to move the revision on
  --mark-compacted                   make all revisions up to the new one compacted; goes with --bump-revision
`;

const statusFlags: OfflineFlags = { "write-out": { kind: "string", default: "simple", short: "w" } };

const restoreFlags: OfflineFlags = {
  ...statusFlags,
  "data-dir": { kind: "string", default: "" },
  "wal-dir": { kind: "string", default: "" },
  name: { kind: "string", default: "default" },
  "initial-cluster": { kind: "string", default: "default=http://localhost:2380" },
  "initial-cluster-token": { kind: "string", default: "etcd-cluster" },
  "initial-advertise-peer-urls": { kind: "string", default: "http://localhost:2380" },
  "skip-hash-check": { kind: "boolean", default: "false" },
  "bump-revision": { kind: "uint", default: "0" },
  "mark-compacted": { kind: "boolean", default: "false" },
  // Memory of a mapped bbolt file, which there is none of here.
  "initial-memory-map-size": { kind: "uint", default: "0" },
};

const exitCodes = { error: 1, badArguments: 128 } as const;

/** Wrong arguments, as opposed to a command that failed. */
class BadArguments extends Error {
  override readonly name = "BadArguments";
}

/** `argv` is what follows the word "snapshot". */
export async function runSnapshotCommand(argv: readonly string[], log: Logger): Promise<CommandResult> {
  try {
    const [command, ...rest] = argv;
    switch (command) {
      case "status":
        return { exitCode: 0, stdout: `${status(rest)}\n`, stderr: "" };
      case "restore":
        await restore(rest, log);
        return { exitCode: 0, stdout: "", stderr: "" };
      case undefined:
      case "help":
      case "-h":
      case "--help":
        return { exitCode: 0, stdout: usageText, stderr: "" };
      default:
        throw new OfflineUsageError(`unknown command "${command}" for "etcdlike snapshot"`);
    }
  } catch (error) {
    return failed(error);
  }
}

function failed(error: unknown): CommandResult {
  if (!(error instanceof Error)) throw error;
  if (error instanceof OfflineUsageError) {
    const text = error.wantsHelp ? "" : `Error: ${error.message}\n`;
    return { exitCode: error.wantsHelp ? 0 : exitCodes.error, stdout: "", stderr: `${text}${usageText}` };
  }
  const exitCode = error instanceof BadArguments ? exitCodes.badArguments : exitCodes.error;
  return { exitCode, stdout: "", stderr: `Error: ${error.message}\n` };
}

function status(argv: readonly string[]): string {
  const { text, positionals } = readOfflineArguments(argv, statusFlags);
  const path = onlyArgument(positionals, "status");
  const format = text("write-out");
  if (!(outputFormats as readonly string[]).includes(format)) {
    throw new Error(`${format} not supported as output format`);
  }
  return formatStatus(snapshotStatus(path), format as OutputFormat);
}

async function restore(argv: readonly string[], log: Logger): Promise<void> {
  const { text, number, isSet, positionals } = readOfflineArguments(argv, restoreFlags);
  const path = onlyArgument(positionals, "restore");
  const bumpRevision = number("bump-revision");
  if (bumpRevision > 0 !== isSet("mark-compacted")) {
    throw new BadArguments("--mark-compacted required if --revision-bump > 0");
  }
  const advertised = parseUrls(text("initial-advertise-peer-urls"));
  if (!advertised.ok) throw new Error(advertised.error);
  const name = text("name");
  await restoreSnapshot({
    path,
    name,
    dataDir: text("data-dir") === "" ? `${name}.etcd` : text("data-dir"),
    walDir: text("wal-dir") === "" ? undefined : text("wal-dir"),
    initialCluster: parseInitialCluster(text("initial-cluster")),
    initialClusterToken: text("initial-cluster-token"),
    initialAdvertisePeerUrls: advertised.value.map((url) => url.text),
    skipHashCheck: isSet("skip-hash-check"),
    bumpRevision,
    log,
  });
}

function onlyArgument(positionals: readonly string[], command: string): string {
  const [path, ...others] = positionals;
  if (path === undefined || others.length > 0) {
    throw new BadArguments(`snapshot ${command} requires exactly one argument`);
  }
  return path;
}
