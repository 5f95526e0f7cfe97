// The composition root: the real process around a member. Signals, exit codes and nothing else.

import { setTimeout as delay } from "node:timers/promises";
import { artifactWords } from "./artifact/words.ts";
import { defaultLog } from "./cli/command-line.ts";
import type { CommandResult } from "./cli/snapshot-command.ts";
import type { Environment } from "./cli/sources.ts";
import type { Logger } from "./lib/log.ts";
import { startMember } from "./member.ts";
import { exitWith } from "./observe/fatal-exit.ts";
import { createLogger } from "./observe/logger.ts";
import { writeAll } from "./observe/write-all.ts";
import { start } from "./start.ts";

/** Go's names, which etcd logs. */
const signalNames: Partial<Record<NodeJS.Signals, string>> = { SIGTERM: "terminated", SIGINT: "interrupt" };

/**
 * How long a signal waits for a start under way. One without a quorum never comes to its end, and a member that has
 * not started owes nobody an answer: what it holds is safe at every moment.
 */
const startGraceMs = 3_000;

/** `argv` is without the program's own name. A first word that is no flag names a command on files. */
export async function main(argv: readonly string[], environment: Environment): Promise<void> {
  const [word, ...rest] = argv;
  const command = await offlineCommand(word, rest[0]);
  if (command === undefined) await runMember(argv, environment);
  else printAndExit(await command(rest));
}

type OfflineCommand = (argv: readonly string[]) => Promise<CommandResult>;

/** Loaded when it is asked for: a member needs nothing of it. Undefined for a word that names none. */
async function offlineCommand(word: string | undefined, next = ""): Promise<OfflineCommand | undefined> {
  const log = (): Logger => createLogger(defaultLog);
  switch (word) {
    case "snapshot": {
      if (artifactWords.includes(next)) {
        const { runArtifactCommand } = await import("./artifact/command.ts");
        return (argv) => runArtifactCommand(argv, log());
      }
      const { runSnapshotCommand } = await import("./cli/snapshot-command.ts");
      return (argv) => runSnapshotCommand(argv, log());
    }
    case "inspect": {
      const { runInspect } = await import("./cli/data-dir-command.ts");
      return runInspect;
    }
    case "defrag": {
      const { runDefrag } = await import("./cli/data-dir-command.ts");
      return (argv) => runDefrag(argv, log());
    }
    case "export-datadir": {
      const { runExport } = await import("./cli/data-dir-command.ts");
      return (argv) => runExport(argv, log());
    }
    default:
      return undefined;
  }
}

function printAndExit({ exitCode, stdout, stderr }: CommandResult): never {
  writeAll(1, stdout);
  writeAll(2, stderr);
  process.exit(exitCode);
}

/** Runs a member until it is told to stop or cannot go on. */
async function runMember(argv: readonly string[], environment: Environment): Promise<void> {
  const { config, log, fatalExit } = start(argv, environment);
  const end = (error: unknown): never => exitWith(error, fatalExit);
  const starting = startMember({ config, log, onFatal: end, onUnexpected: end });
  let isStopping = false;
  // Whoever reads "ready" may signal at once, before the start has come to its end.
  const stop = (signal: NodeJS.Signals): void => {
    if (isStopping) return;
    isStopping = true;
    log.info("received signal; shutting down", { signal: signalNames[signal] ?? signal });
    Promise.race([starting, delay(startGraceMs)])
      .then((member) => member?.stop())
      .then(() => process.exit(0), end);
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  await starting.catch(end);
}
