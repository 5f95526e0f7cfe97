// Programs of the machine, run to their end.
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);
const outputBytesMax = 64 * 1024 * 1024;

/** Runs it and demands success; returns what it printed. */
export function run(command: string, ...args: readonly string[]): Promise<string> {
  return runWithInput("", command, ...args);
}

/** As run, with text on its standard input. */
export async function runWithInput(
  input: string,
  command: string,
  ...args: readonly string[]
): Promise<string> {
  try {
    const running = execute(command, [...args], { maxBuffer: outputBytesMax });
    // Who ends without reading it tells by the exit code what came of it.
    running.child.stdin?.on("error", () => {});
    running.child.stdin?.end(input);
    return (await running).stdout;
  } catch (error) {
    const { stderr = "", stdout = "" } = error as { stderr?: string; stdout?: string };
    const tail = (stderr || stdout).slice(-2_000);
    throw new Error(`${command} ${args.join(" ")} failed: ${tail}`, { cause: error });
  }
}

/** Runs it, whatever comes of it: for taking down what may be gone already. */
export async function attempt(command: string, ...args: readonly string[]): Promise<string> {
  return run(command, ...args).catch(() => "");
}
