// A Python with grpcio from PyPI, in a virtual environment beside the other tools.
import { execFile } from "node:child_process";
import { access, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { exclusively, toolCache } from "./lock.ts";

const grpcioVersion = "1.85.3";
const run = promisify(execFile);

/** The interpreter, installed first when it is missing. */
export async function pythonWithGrpc(): Promise<string> {
  const target = join(toolCache, `python-grpcio-${grpcioVersion}`);
  const python = join(target, "bin", "python3");
  if (await exists(join(target, "complete"))) return python;
  // The environment knows its own path, so it is made in place.
  await exclusively("python-grpcio", async () => {
    if (!(await exists(join(target, "complete")))) await install(target, python);
  });
  return python;
}

async function install(target: string, python: string): Promise<void> {
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
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
