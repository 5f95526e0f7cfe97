// Many seeds of whole clusters, and many seeds against a mutant; both go to workers in pieces.

import { type ClusterMutant, clusterMutants } from "./mutants.ts";
import { RuleBroken, type RuleName, rules } from "./rules.ts";
import { type ClusterRunResult, runCluster } from "./simulation.ts";

export const clusterEventsDefault = 5_000;
/** What happens in every long enough range of seeds; one that never does makes the range worthless. */
export const happenings = [
  "elections",
  "writes",
  "swaps",
  "reads",
  "reads from a deposed leader",
  "leases",
  "renewals",
  "renewals at a former leader",
  "revocations",
  "expiries",
  "compactions",
  "client snapshots",
  "defragmentations",
  "partitions",
  "one-way cuts",
  "torn networks",
  "pauses",
  "pauses amid a read",
  "clock rates",
  "kills",
  "power cuts",
  "blackouts",
  "crashes after a vote",
  "disk errors",
  "disk stalls",
  "bit flips in logs",
  "damaged logs refused",
  "bit flips in stores",
  "damaged stores refused",
  "wiped disks",
  "transfers",
  "false reports of an end",
  "stores sent",
  "members: add",
  "members: promote",
  "members: remove",
  "members: update",
  "removals",
] as const;

export type Task =
  | { readonly kind: "seeds"; readonly first: number; readonly seeds: number; readonly events: number }
  | { readonly kind: "mutant"; readonly name: string; readonly seeds: number; readonly events: number };

export interface Counts {
  readonly seeds: number;
  readonly events: number;
  readonly virtualMs: number;
  readonly asked: ReadonlyMap<RuleName, number>;
  readonly happened: ReadonlyMap<string, number>;
}

export type Answer =
  | { readonly kind: "seeds"; readonly counts: Counts; readonly failures: readonly string[] }
  | { readonly kind: "mutant"; readonly line: string; readonly isKilled: boolean };

export function carryOut(task: Task): Answer {
  if (task.kind === "seeds") return runClusters(task);
  const mutant = clusterMutants.find(({ name }) => name === task.name);
  if (mutant === undefined) throw new Error(`no mutant is called "${task.name}"`);
  return killClusterMutant(mutant, task);
}

export function runClusters(range: {
  readonly first: number;
  readonly seeds: number;
  readonly events: number;
  readonly print?: (line: string) => void;
}): Extract<Answer, { kind: "seeds" }> {
  const { first, seeds, events, print } = range;
  const failures: string[] = [];
  let counts = noCounts;
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      counts = sum(counts, countsOf(runCluster({ seed, events, ...(print === undefined ? {} : { print }) })));
    } catch (error) {
      failures.push(failureText(error, seed, events));
    }
  }
  return { kind: "seeds", counts, failures };
}

/** Tries seed after seed until one finds the defect by a rule that it breaks. */
export function killClusterMutant(
  mutant: ClusterMutant,
  { seeds, events }: { readonly seeds: number; readonly events: number },
): Extract<Answer, { kind: "mutant" }> {
  for (let seed = 1; seed <= seeds; seed++) {
    const undo = mutant.install?.();
    try {
      runCluster({ seed, events, defect: mutant.make() });
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      const rule = error instanceof RuleBroken ? error.rule : "invariant";
      const isKilled = mutant.breaks.includes(rule);
      const text = `${rule}: ${error.message.slice(0, 120)}`;
      return { kind: "mutant", isKilled, line: `killed by seed ${seed}: ${mutant.name} (${text})` };
    } finally {
      undo?.();
    }
  }
  return { kind: "mutant", isKilled: false, line: `survived ${seeds} seeds: ${mutant.name}` };
}

/** What a range of seeds has never done though it should have. */
export function neverHappened({ asked, happened }: Counts): string[] {
  return [
    ...rules.filter((rule) => (asked.get(rule) ?? 0) === 0).map((rule) => `the rule ${rule} was never asked`),
    ...happenings.filter((what) => !happened.has(what)).map((what) => `no run has seen: ${what}`),
  ];
}

export const noCounts: Counts = { seeds: 0, events: 0, virtualMs: 0, asked: new Map(), happened: new Map() };

export function sum(a: Counts, b: Counts): Counts {
  return {
    seeds: a.seeds + b.seeds,
    events: a.events + b.events,
    virtualMs: a.virtualMs + b.virtualMs,
    asked: sumOf(a.asked, b.asked),
    happened: sumOf(a.happened, b.happened),
  };
}

function sumOf<K>(a: ReadonlyMap<K, number>, b: ReadonlyMap<K, number>): Map<K, number> {
  const total = new Map(a);
  for (const [key, count] of b) total.set(key, (total.get(key) ?? 0) + count);
  return total;
}

function countsOf({ events, virtualMs, asked, happened }: ClusterRunResult): Counts {
  return { seeds: 1, events, virtualMs, asked, happened };
}

function failureText(error: unknown, seed: number, events: number): string {
  const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `seed ${seed} failed: ${what}\nrepeat it: npm run test:sim -- --seed ${seed} --seeds 1 --events ${events} --trace`;
}
