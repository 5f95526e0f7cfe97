// Runs test files one after the other, each in a process of its own, and prints a line a test; those that
// failed stand once more at the end.
import { globSync } from "node:fs";
import { join } from "node:path";
import { run } from "node:test";

/**
 * Every *.test.ts below `folder` whose path contains one of `parts` (all without any) and none of `except`. Ends the
 * process.
 */
export async function runSuite(
  folder: string,
  parts: readonly string[],
  except: readonly string[] = [],
): Promise<never> {
  const files = globSync("**/*.test.ts", { cwd: folder })
    .filter((file) => parts.length === 0 || parts.some((part) => file.includes(part)))
    .filter((file) => !except.some((part) => file.includes(part)))
    .sort();
  if (files.length === 0) {
    console.error(`no test below ${folder} matches ${parts.join(" ")}`);
    process.exit(2);
  }

  let passed = 0;
  const failures: string[] = [];
  const events = run({
    files: files.map((file) => join(folder, file)),
    concurrency: 1,
    isolation: "process",
    execArgv: ["--disable-warning=ExperimentalWarning"],
  });
  for await (const { type, data } of events) {
    if (type === "test:pass" && data.details.type !== "suite") {
      passed++;
      console.log(`ok   ${data.name} (${seconds(data.details.duration_ms)})`);
    } else if (type === "test:fail" && data.details.error.failureType !== "subtestsFailed") {
      const text = `FAIL ${data.name} (${seconds(data.details.duration_ms)})\n${indented(describe(data.details.error))}`;
      failures.push(text);
      console.log(text);
    } else if (type === "test:diagnostic" && data.file !== undefined) {
      console.log(`     ${data.message}`);
    } else if (type === "test:stdout" || type === "test:stderr") {
      process.stdout.write(data.message);
    }
  }
  if (failures.length > 0) console.log(["failed:", ...failures].join("\n"));
  console.log(`${passed} passed, ${failures.length} failed`);
  process.exit(failures.length === 0 && passed > 0 ? 0 : 1);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function describe(error: Error): string {
  const cause = error.cause;
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause ?? error.message);
}

function indented(text: string): string {
  return text.replaceAll(/^/gm, "     ");
}
