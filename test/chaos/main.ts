// Three real processes in network namespaces, faults under traffic, and checks of everything clients were told.
//
//   npm run test:chaos -- [--seed N] [--rounds N] [--rate N] [PART...]
//
// Runs every scenario whose name contains one of the parts (all without any), each on a cluster of its own, once
// it does `--rate` operations a second. It takes root: the network and the mounts it makes are private to its process, and vanish with it.
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { must } from "../../node/lib/assert.ts";
import { debianTool } from "../tools/debian.ts";
import { scenarios } from "./faults.ts";
import { diesWithParent } from "./network.ts";
import { runScenario } from "./run.ts";

const insideVariable = "ETCDLIKE_CHAOS_INSIDE";

if (process.env[insideVariable] === undefined) {
  for (const tool of ["ip", "iptables"]) await debianTool(tool);
  const [program, ...args] = [...diesWithParent, "unshare", "--net", "--mount"];
  const { status, error } = spawnSync(
    must(program, "a command has a program"),
    [...args, process.execPath, ...process.execArgv, ...process.argv.slice(1)],
    { stdio: "inherit", env: { ...process.env, [insideVariable]: "1" } },
  );
  if (error !== undefined)
    console.error(`test:chaos needs setpriv and unshare of util-linux: ${error.message}`);
  process.exit(status ?? 1);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: "string" },
    rounds: { type: "string", default: "1" },
    rate: { type: "string", default: "50" },
  },
});
const firstSeed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const chosen = scenarios.filter(
  ({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)),
);
const counts = { passed: 0, failed: 0 };
for (let round = 0; round < Number(values.rounds); round++)
  for (const scenario of chosen) {
    const seed = firstSeed + round;
    const started = performance.now();
    try {
      const text = await runScenario(scenario, { seed, operationsPerSecondMin: Number(values.rate) });
      counts.passed++;
      console.log(`ok   ${scenario.name} (${seconds(started)}): ${text}`);
    } catch (error) {
      counts.failed++;
      console.log(`FAIL ${scenario.name} (${seconds(started)}, --seed ${seed})`);
      console.log(error instanceof Error ? error.stack : String(error));
    }
  }
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exit(counts.failed === 0 && counts.passed > 0 ? 0 : 1);

function seconds(startedMs: number): string {
  return `${((performance.now() - startedMs) / 1000).toFixed(1)} s`;
}
