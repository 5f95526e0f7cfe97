// Many seeds together: what fired, what was asked, and how a seed that failed is repeated.

import type { Mutant } from "./mutants.ts";
import { promiseNames } from "./promises.ts";
import { type FaultName, faultNames } from "./settings.ts";
import { type RunResult, runSeed } from "./simulation.ts";

export const eventsDefault = 2_000;
export const seedsDefault = 200;

export interface RunsOptions {
  readonly first: number;
  readonly seeds: number;
  readonly events: number;
  readonly switched?: ReadonlySet<FaultName>;
  readonly print?: (line: string) => void;
}

export interface Summary {
  /** The last one names seeds, events and trace hash. */
  readonly lines: readonly string[];
  readonly isGood: boolean;
}

export function runSeeds({ first, seeds, events, switched, print }: RunsOptions): Summary {
  const results: RunResult[] = [];
  const failures: string[] = [];
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      results.push(
        runSeed({
          seed,
          events,
          ...(switched === undefined ? {} : { switched }),
          ...(print === undefined ? {} : { print }),
        }),
      );
    } catch (error) {
      failures.push(failureText(error, { seed, events, switched }));
    }
  }
  const zeros = seeds >= seedsDefault ? neverFired(results) : [];
  return {
    lines: [...table(results), ...failures, ...zeros, lastLine(results, { first, seeds })],
    isGood: failures.length === 0 && zeros.length === 0,
  };
}

/** The first seed that finds the defect. */
export function killMutant(
  mutant: Mutant,
  { first, seeds, events }: RunsOptions,
): { readonly seed: number; readonly message: string } | undefined {
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      runSeed({ seed, events, mutant });
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return { seed, message: error.message.slice(0, 120) };
    }
  }
  return undefined;
}

function failureText(
  error: unknown,
  { seed, events, switched }: { seed: number; events: number; switched: ReadonlySet<FaultName> | undefined },
): string {
  const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const option = switched === undefined || switched.size === 0 ? "" : ` --switch ${[...switched].join()}`;
  return `seed ${seed} failed: ${what}\nrepeat it: npm run sim -- --seed ${seed} --events ${events}${option} --trace`;
}

function table(results: readonly RunResult[]): string[] {
  const lines = ["fault                                count"];
  for (const name of faultNames) lines.push(row(name, firedOf(results, name)));
  lines.push("checker                              asked");
  for (const name of promiseNames) lines.push(row(name, askedOf(results, name)));
  const crashes = results.reduce((sum, result) => sum + result.crashes, 0);
  const writes = results.reduce((sum, result) => sum + result.writes, 0);
  lines.push(row("crashes", crashes), row("acknowledged writes", writes));
  return lines;
}

function row(name: string, count: number): string {
  return `  ${name.padEnd(34)} ${String(count).padStart(7)}`;
}

function neverFired(results: readonly RunResult[]): string[] {
  const faults = faultNames.filter((name) => firedOf(results, name) === 0);
  const promises = promiseNames.filter((name) => askedOf(results, name) === 0);
  return [
    ...faults.map((name) => `the fault ${name} never happened`),
    ...promises.map((name) => `the checker ${name} was never asked`),
  ];
}

function firedOf(results: readonly RunResult[], name: FaultName): number {
  return results.reduce((sum, { fired }) => sum + (fired.get(name) ?? 0), 0);
}

function askedOf(results: readonly RunResult[], name: (typeof promiseNames)[number]): number {
  return results.reduce((sum, { asked }) => sum + (asked.get(name) ?? 0), 0);
}

function lastLine(
  results: readonly RunResult[],
  { first, seeds }: { readonly first: number; readonly seeds: number },
): string {
  const events = results.reduce((sum, result) => sum + result.events, 0);
  const [only] = results;
  if (seeds === 1 && only !== undefined) return `seed ${first} events ${events} trace ${only.trace}`;
  return `seeds ${first} to ${first + seeds - 1} events ${events} trace ${combined(results)}`;
}

/** Sums up the hashes of several runs. */
function combined(results: readonly RunResult[]): string {
  let sum = 0n;
  for (const { trace } of results) sum = BigInt.asUintN(64, sum * 31n + BigInt(`0x${trace}`));
  return sum.toString(16).padStart(16, "0");
}
