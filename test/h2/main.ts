// The HTTP/2 side of a real member: h2spec in full, clients in three languages, the fuzzer.
//
//   npm run test:h2 -- [--fuzz-seconds N] [--merge-corpus] [PART...]
//
// Parts: h2spec, clients, fuzz. What the fuzzer finds new stays in the user's cache folder from run to run;
// --merge-corpus makes it part of fuzz/corpus.txt, to be committed:
//
//   npm run test:h2 -- --fuzz-seconds 600 --merge-corpus fuzz
import { parseArgs } from "node:util";
import { runClients } from "./clients.ts";
import { runFuzz } from "./fuzz/run.ts";
import { runH2spec } from "./h2spec.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    "fuzz-seconds": { type: "string", default: "30" },
    "merge-corpus": { type: "boolean", default: false },
  },
});
const fuzz = { seconds: Number(values["fuzz-seconds"]), isMerging: values["merge-corpus"] };

const parts: Readonly<Record<string, (report: Report) => Promise<void>>> = {
  h2spec: runH2spec,
  clients: runClients,
  fuzz: (report) => runFuzz(report, fuzz),
};

/** `problem` is undefined for what passed. */
export type Report = (name: string, problem: string | undefined) => void;

const counts = { passed: 0, failed: 0 };
const report: Report = (name, problem) => {
  counts[problem === undefined ? "passed" : "failed"] += 1;
  console.log(problem === undefined ? `ok   ${name}` : `FAIL ${name}\n${problem.replaceAll(/^/gm, "     ")}`);
};

const unknown = positionals.filter((name) => parts[name] === undefined);
if (unknown.length > 0) {
  console.error(`unknown part ${unknown.join(", ")}; known: ${Object.keys(parts).join(", ")}`);
  process.exit(2);
}
for (const [name, run] of Object.entries(parts)) {
  if (positionals.length === 0 || positionals.includes(name)) await run(report);
}
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exit(counts.failed === 0 && counts.passed > 0 ? 0 : 1);
