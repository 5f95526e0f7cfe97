// Runs test files one after the other, each in a process of its own, and prints a line a test.
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

  const counts = { passed: 0, failed: 0 };
  const events = run({
    files: files.map((file) => join(folder, file)),
    concurrency: 1,
    isolation: "process",
    execArgv: ["--disable-warning=ExperimentalWarning"],
  });
  for await (const { type, data } of events) {
    if (type === "test:pass" && data.details.type !== "suite") {
      counts.passed++;
      console.log(`ok   ${data.name} (${seconds(data.details.duration_ms)})`);
    } else if (type === "test:fail" && data.details.error.failureType !== "subtestsFailed") {
      counts.failed++;
      console.log(`FAIL ${data.name} (${seconds(data.details.duration_ms)})`);
      console.log(indented(describe(data.details.error)));
    } else if (type === "test:diagnostic" && data.file !== undefined) {
      console.log(`     ${data.message}`);
    } else if (type === "test:stdout" || type === "test:stderr") {
      process.stdout.write(data.message);
    }
  }
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  process.exit(counts.failed === 0 && counts.passed > 0 ? 0 : 1);
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
