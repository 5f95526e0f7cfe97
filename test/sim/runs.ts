// Many seeds together: what fired, what was asked, and how a seed that failed is repeated.

import type { Mutant } from "./mutants.ts";
import { placeNames } from "./places.ts";
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
): { readonly seed: number; readonly error: Error } | undefined {
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      runSeed({ seed, events, mutant });
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return { seed, error };
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
  for (const name of faultNames)
    lines.push(
      row(
        name,
        sumOf(results, ({ fired }) => fired.get(name)),
      ),
    );
  lines.push("checker                              asked");
  for (const name of promiseNames)
    lines.push(
      row(
        name,
        sumOf(results, ({ asked }) => asked.get(name)),
      ),
    );
  lines.push("reached                              count");
  for (const name of placeNames)
    lines.push(
      row(
        name,
        sumOf(results, ({ reached }) => reached.get(name)),
      ),
    );
  return lines;
}

function row(name: string, count: number): string {
  return `  ${name.padEnd(34)} ${String(count).padStart(7)}`;
}

function neverFired(results: readonly RunResult[]): string[] {
  const faults = faultNames.filter((name) => sumOf(results, ({ fired }) => fired.get(name)) === 0);
  const promises = promiseNames.filter((name) => sumOf(results, ({ asked }) => asked.get(name)) === 0);
  const places = placeNames.filter((name) => sumOf(results, ({ reached }) => reached.get(name)) === 0);
  return [
    ...faults.map((name) => `the fault ${name} never happened`),
    ...promises.map((name) => `the checker ${name} was never asked`),
    ...places.map((name) => `no run has reached: ${name}`),
  ];
}

function sumOf(results: readonly RunResult[], countOf: (result: RunResult) => number | undefined): number {
  return results.reduce((sum, result) => sum + (countOf(result) ?? 0), 0);
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
