// A program in the background: its output in a file, and stopped by the process that started it.
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";

export interface Background {
  readonly pid: number;
  readonly logFile: string;
  /** Resolves when the process has ended, with its exit code, or `null` after a signal. */
  readonly exited: Promise<number | null>;
  isRunning(): boolean;
  signal(name: NodeJS.Signals): void;
  /** SIGTERM, then SIGKILL after 20 s. */
  stop(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** The end of its log. */
  tail(): string;
}

const stopTimeoutMs = 20_000;
const tailBytes = 4_000;

export interface BackgroundOptions {
  readonly logFile: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Lives on when this process ends. */
  readonly isDetached?: boolean;
}

export function startInBackground(
  command: string,
  args: readonly string[],
  options: BackgroundOptions,
): Background {
  const log = openSync(options.logFile, "a");
  const child: ChildProcess = spawn(command, args, {
    stdio: ["ignore", log, log],
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    detached: options.isDetached === true,
  });
  closeSync(log);
  let running = true;
  const exited = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", resolve);
  });
  void exited.then(
    () => {
      running = false;
    },
    () => {
      running = false;
    },
  );
  if (options.isDetached === true) child.unref();
  else {
    const stopWithParent = () => child.kill("SIGKILL");
    process.once("exit", stopWithParent);
    void exited.finally(() => process.off("exit", stopWithParent)).catch(() => {});
  }
  return {
    pid: child.pid ?? 0,
    logFile: options.logFile,
    exited,
    isRunning: () => running,
    signal: (name) => void child.kill(name),
    async stop() {
      if (!running) return;
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), stopTimeoutMs);
      await exited;
      clearTimeout(timer);
    },
    async kill() {
      if (!running) return;
      child.kill("SIGKILL");
      await exited;
    },
    tail: () => readFileSync(options.logFile, "utf8").slice(-tailBytes),
  };
}
