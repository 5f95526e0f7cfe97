// Runs the command the way a user does, and sees what comes out.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { join } from "node:path";

export const checkout = join(import.meta.dirname, "..", "..", "..");
export const nodePath = join(checkout, "node_modules", ".bin", "node");
export const binPath = join(checkout, "node", "bin.mjs");

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeoutMs?: number;
}

const defaultTimeoutMs = 30_000;

/** A process under test. It never outlives the test's process. */
export class Running {
  readonly child: ChildProcessWithoutNullStreams;
  readonly finished: Promise<Finished>;
  stdout = "";
  stderr = "";
  #onOutput: () => void = () => {};

  constructor(
    command: readonly [string, ...string[]],
    { env, cwd, timeoutMs = defaultTimeoutMs }: CommandOptions = {},
  ) {
    this.child = spawn(command[0], command.slice(1), { cwd, env: { ...process.env, ...env } });
    const kill = () => this.child.kill("SIGKILL");
    process.once("exit", kill);
    const timer = setTimeout(kill, timeoutMs);
    this.child.stdout.on("data", (chunk: Buffer) => {
      this.stdout += chunk.toString();
      this.#onOutput();
    });
    this.child.stderr.on("data", (chunk: Buffer) => {
      this.stderr += chunk.toString();
      this.#onOutput();
    });
    this.finished = new Promise((resolve, reject) => {
      this.child.on("error", reject);
      this.child.on("close", (code) => {
        clearTimeout(timer);
        process.off("exit", kill);
        this.#onOutput();
        resolve({ code, stdout: this.stdout, stderr: this.stderr });
      });
    });
  }

  /** Resolves when the text was printed; rejects when the process ended without. */
  async printed(text: string): Promise<void> {
    const isThere = () => this.stdout.includes(text) || this.stderr.includes(text);
    while (!isThere()) {
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        await this.finished;
        if (isThere()) return;
        throw new Error(`the process ended without "${text}":\n${this.stdout}${this.stderr}`);
      }
      await new Promise<void>((resolve) => {
        this.#onOutput = resolve;
      });
    }
  }
}

/** Starts etcdlike with flags. */
export function startCommand(flags: readonly string[], options?: CommandOptions): Running {
  return new Running([nodePath, binPath, ...flags], options);
}

/** Runs etcdlike with flags to its end. */
export function runCommand(flags: readonly string[], options?: CommandOptions): Promise<Finished> {
  return startCommand(flags, options).finished;
}

/** Log lines, those that are JSON; lines a program of another kind printed are left out. */
export function logLines(text: string): readonly Readonly<Record<string, unknown>>[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
