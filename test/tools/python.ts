// A Python with grpcio from PyPI, in a virtual environment beside the other tools.
import { execFile } from "node:child_process";
import { access, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { toolCache } from "./toolchain.ts";

const grpcioVersion = "1.85.3";
const run = promisify(execFile);

/** The interpreter, installed first when it is missing. */
export async function pythonWithGrpc(): Promise<string> {
  const target = join(toolCache, `python-grpcio-${grpcioVersion}`);
  const python = join(target, "bin", "python3");
  if (await exists(join(target, "complete"))) return python;
  await mkdir(toolCache, { recursive: true });
  // The environment knows its own path, so it is made in place, by whoever holds the lock.
  const lock = `${target}.lock`;
  const isMine = await mkdir(lock).then(
    () => true,
    () => false,
  );
  if (!isMine) return waitFor(python, join(target, "complete"), lock);
  try {
    await rm(target, { recursive: true, force: true });
    await run("python3", ["-m", "venv", target]);
    await run(python, ["-m", "pip", "install", "--quiet", "--only-binary=:all:", `grpcio==${grpcioVersion}`]);
    const mark = await mkdtemp(join(target, ".mark-"));
    await rename(mark, join(target, "complete"));
  } catch (cause) {
    throw new Error("a Python 3 with venv and pip is needed for the tests with Python's gRPC client", {
      cause,
    });
  } finally {
    await rm(lock, { recursive: true, force: true });
  }
  return python;
}

const waitMs = 200;
const waitsMax = 1500;

async function waitFor(python: string, mark: string, lock: string): Promise<string> {
  for (let i = 0; i < waitsMax; i++) {
    if (await exists(mark)) return python;
    if (!(await exists(lock))) return pythonWithGrpc();
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
  throw new Error(`${lock} is held for ${(waitMs * waitsMax) / 1000} s; remove it if nobody installs`);
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
