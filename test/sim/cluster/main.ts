// The command of the cluster simulator:
//   npm run test:sim                                  2,000 seeds, the seeds that once failed, and every mutant
//   npm run test:sim -- --seed N --seeds M [--events K] [--trace]
//   npm run test:sim -- --mutants [--mutant NAME] [--seeds M]
// Exits 1 when a rule was broken, a mutant survived, or something that has to happen never did.

import { parseArgs } from "node:util";
import { clusterMutants } from "./mutants.ts";
import { runTasks } from "./pool.ts";
import { rules } from "./rules.ts";
import {
  type Counts,
  clusterEventsDefault,
  happenings,
  neverHappened,
  noCounts,
  runClusters,
  sum,
  type Task,
} from "./runs.ts";

const seedsDefault = 2_000;
const mutantSeedsMax = 1_000;
/** Seeds that one task holds. */
const pieceSeeds = 50;

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seeds: { type: "string" },
    events: { type: "string", default: String(clusterEventsDefault) },
    workers: { type: "string", default: "2" },
    trace: { type: "boolean", default: false },
    mutants: { type: "boolean", default: false },
    mutant: { type: "string" },
  },
});

function number(text: string, what: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Error(`--${what} ${text} is not a positive number`);
  return value;
}

function seedTasks(first: number, seeds: number, events: number): Task[] {
  const tasks: Task[] = [];
  for (let at = first; at < first + seeds; at += pieceSeeds) {
    tasks.push({ kind: "seeds", first: at, seeds: Math.min(pieceSeeds, first + seeds - at), events });
  }
  return tasks;
}

function mutantTasks(seeds: number, events: number): Task[] {
  const chosen = clusterMutants.filter(({ name }) => values.mutant === undefined || name === values.mutant);
  if (chosen.length === 0)
    throw new Error(
      `--mutant "${values.mutant}" is none of ${clusterMutants.map(({ name }) => name).join("; ")}`,
    );
  return chosen.map(({ name }) => ({ kind: "mutant", name, seeds, events }));
}

function print(counts: Counts, cpuSeconds: number): void {
  for (const what of happenings) console.log(`  ${what.padEnd(28)} ${counts.happened.get(what) ?? 0}`);
  for (const rule of rules) console.log(`  ${`rule ${rule}`.padEnd(28)} ${counts.asked.get(rule) ?? 0}`);
  const { seeds, events, virtualMs } = counts;
  console.log(
    `seeds ${seeds}, ${events} events, ${Math.round(virtualMs / 3_600_000)} h of cluster time; on one core ` +
      `${(seeds / cpuSeconds).toFixed(1)} seeds/s, ${Math.round(events / cpuSeconds)} events/s, ` +
      `${Math.round(virtualMs / 1000 / cpuSeconds)} times real time`,
  );
}

const first = number(values.seed, "seed");
const events = number(values.events, "events");
const isEverything = values.seeds === undefined && !values.mutants && values.mutant === undefined;
const wantsMutants = values.mutants || values.mutant !== undefined || isEverything;
const seeds = number(
  values.seeds ?? String(wantsMutants && !isEverything ? mutantSeedsMax : seedsDefault),
  "seeds",
);

if (values.trace) {
  const { failures } = runClusters({ first, seeds, events, print: (line) => console.log(line) });
  for (const failure of failures) console.log(failure);
  if (failures.length > 0) process.exitCode = 1;
} else {
  const tasks = isEverything
    ? [...mutantTasks(mutantSeedsMax, events), ...seedTasks(first, seeds, events)]
    : wantsMutants
      ? mutantTasks(seeds, events)
      : seedTasks(first, seeds, events);
  let counts = noCounts;
  let badCount = 0;
  let killedCount = 0;
  let seedsCpu = 0;
  let cpu = process.cpuUsage();
  await runTasks(tasks, number(values.workers, "workers"), (answer) => {
    const used = process.cpuUsage(cpu);
    cpu = process.cpuUsage();
    if (answer.kind === "seeds") {
      seedsCpu += (used.user + used.system) / 1e6;
      counts = sum(counts, answer.counts);
      for (const failure of answer.failures) console.log(failure);
      badCount += answer.failures.length;
    } else {
      console.log(answer.line);
      if (answer.isKilled) killedCount++;
      else badCount++;
    }
  });
  if (wantsMutants) console.log(`mutants killed: ${killedCount} of ${clusterMutants.length}`);
  if (counts.seeds > 0) {
    const zeros = counts.seeds >= 200 ? neverHappened(counts) : [];
    for (const line of zeros) console.log(line);
    badCount += zeros.length;
    print(counts, seedsCpu);
  }
  if (badCount > 0) process.exitCode = 1;
}
