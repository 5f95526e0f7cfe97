// The command of the simulator:
//   npm run sim -- --seed N [--seeds M] [--events K] [--switch FAULT,FAULT] [--trace]
//   npm run sim -- --mutants [--seeds M] [--events K]
// Exits 1 when a promise was broken, or when something that has to happen never did.

import { parseArgs } from "node:util";
import { mutants } from "./mutants.ts";
import { eventsDefault, killMutant, runSeeds, seedsDefault } from "./runs.ts";
import { type FaultName, faultNames } from "./settings.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seeds: { type: "string" },
    events: { type: "string", default: String(eventsDefault) },
    switch: { type: "string", default: "" },
    trace: { type: "boolean", default: false },
    mutants: { type: "boolean", default: false },
  },
});

function number(text: string, what: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Error(`--${what} ${text} is not a positive number`);
  return value;
}

function faults(text: string): ReadonlySet<FaultName> {
  const names = text.split(",").filter((name) => name !== "");
  const unknown = names.filter((name) => !(faultNames as readonly string[]).includes(name));
  if (unknown.length > 0) throw new Error(`--switch knows no ${unknown.join()}, only ${faultNames.join()}`);
  return new Set(names as FaultName[]);
}

const first = number(values.seed, "seed");
const events = number(values.events, "events");
if (values.mutants) {
  const seeds = number(values.seeds ?? String(seedsDefault), "seeds");
  for (const mutant of mutants) {
    const killed = killMutant(mutant, { first, seeds, events });
    if (killed === undefined) {
      console.log(`survived ${seeds} seeds: ${mutant.name}`);
      process.exitCode = 1;
    } else
      console.log(`killed by seed ${killed.seed}: ${mutant.name} (${killed.error.message.slice(0, 120)})`);
  }
} else {
  const seeds = number(values.seeds ?? "1", "seeds");
  const switched = faults(values.switch);
  const print = values.trace ? (line: string) => console.log(line) : undefined;
  const summary = runSeeds({ first, seeds, events, switched, ...(print === undefined ? {} : { print }) });
  for (const line of summary.lines) console.log(line);
  if (!summary.isGood) process.exitCode = 1;
}
