// Hands crashed disks to the process that opens them (check.ts), and survives that process.

import { type ChildProcess, fork } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { CheckAnswer, CheckRequest } from "./check.ts";
import type { Image } from "./disk-model.ts";

/** Many times what the slowest machine takes. */
const openTimeoutMs = 30_000;

export class Checker {
  readonly #historyFile: string;
  #process: ChildProcess | undefined;

  constructor(historyFile: string) {
    this.#historyFile = historyFile;
  }

  /** `recordedDir` is the data directory that the image is one of. */
  async check(image: Image, recordedDir: string, acknowledgedRevision: number): Promise<CheckAnswer> {
    const base = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
    const scratch = mkdtempSync(join(base, "etcdlike-power-"));
    try {
      writeImage(image, dirname(recordedDir), scratch);
      return await this.#ask({ dataDir: join(scratch, basename(recordedDir)), acknowledgedRevision });
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  }

  stop(): void {
    this.#end();
  }

  #end(): void {
    this.#process?.removeAllListeners();
    this.#process?.kill("SIGKILL");
    this.#process = undefined;
  }

  #ask(request: CheckRequest): Promise<CheckAnswer> {
    this.#process ??= fork(join(import.meta.dirname, "check.ts"), [this.#historyFile], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    const checker = this.#process;
    return new Promise((resolve) => {
      let stderr = "";
      const onStderr = (chunk: Buffer): void => {
        stderr = (stderr + chunk.toString("utf8")).slice(-2000);
      };
      const timer = setTimeout(() => {
        finish({ problem: `the member did not open within ${openTimeoutMs} ms`, revision: 0 });
      }, openTimeoutMs);
      const finish = (answer: CheckAnswer): void => {
        clearTimeout(timer);
        checker.off("message", finish);
        checker.off("exit", onExit);
        checker.stderr?.off("data", onStderr);
        // After a failure the process is in no known state, or about to end.
        if (answer.problem !== undefined) this.#end();
        resolve(answer);
      };
      const onExit = (code: number | null, signal: string | null): void => {
        finish({ problem: `the process ended with ${code ?? signal}: ${stderr}`, revision: 0 });
      };
      checker.on("message", finish);
      checker.on("exit", onExit);
      checker.stderr?.on("data", onStderr);
      checker.send(request);
    });
  }
}

function writeImage({ directories, files }: Image, from: string, to: string): void {
  for (const path of directories) mkdirSync(to + path.slice(from.length), { recursive: true, mode: 0o700 });
  for (const [path, bytes] of files) writeFileSync(to + path.slice(from.length), bytes, { mode: 0o600 });
}
