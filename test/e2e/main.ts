// The end-to-end tests: real processes, real clients, real files.
//
//   npm run test:e2e -- [--full] [--subject etcd] [PART...]
//
// Every *.test.ts below this folder whose path contains one of the parts (all without any), one after the other.
// --full runs the long forms. --subject etcd runs the clients against a real etcd, which checks the tests.
import { globSync } from "node:fs";
import { join } from "node:path";
import { run } from "node:test";
import { parseArgs } from "node:util";
import { modeVariable, subjectVariable } from "./support/mode.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { full: { type: "boolean", default: false }, subject: { type: "string", default: "etcdlike" } },
});
process.env[modeVariable] = values.full ? "full" : "short";
process.env[subjectVariable] = values.subject;

const files = globSync("**/*.test.ts", { cwd: import.meta.dirname })
  .filter((file) => positionals.length === 0 || positionals.some((part) => file.includes(part)))
  .sort();
if (files.length === 0) {
  console.error(`no end-to-end test matches ${positionals.join(" ")}`);
  process.exit(2);
}

const counts = { passed: 0, failed: 0 };
const events = run({
  files: files.map((file) => join(import.meta.dirname, file)),
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
