// Collects figures by workload, measure and member, and prints medians, spread and the ratio.
import type { MemberKind } from "../tools/member.ts";

export class Table {
  readonly #kinds: readonly MemberKind[];
  readonly #values = new Map<string, Map<string, Map<MemberKind, number[]>>>();

  constructor(kinds: readonly MemberKind[]) {
    this.#kinds = kinds;
  }

  add(workload: string, measure: string, kind: MemberKind, value: number): void {
    const measures = entry(this.#values, workload, () => new Map<string, Map<MemberKind, number[]>>());
    const byKind = entry(measures, measure, () => new Map<MemberKind, number[]>());
    entry(byKind, kind, () => []).push(value);
  }

  print(): void {
    for (const [workload, measures] of this.#values) {
      console.log(`\n${workload}`);
      for (const [measure, byKind] of measures) {
        const cells = this.#kinds.map((kind) => `${kind} ${summary(byKind.get(kind) ?? [])}`.padEnd(38));
        console.log(`  ${measure.padEnd(24)} ${cells.join("")} ${this.#ratio(byKind)}`);
      }
    }
    console.log("");
  }

  /** The last kind's median over the first's. */
  #ratio(byKind: ReadonlyMap<MemberKind, readonly number[]>): string {
    const [first, last] = [this.#kinds[0], this.#kinds.at(-1)];
    if (first === undefined || last === undefined || first === last) return "";
    const ratio = median(byKind.get(last) ?? []) / median(byKind.get(first) ?? []);
    return Number.isFinite(ratio) ? `ratio ${ratio.toFixed(2)}` : "";
  }
}

function summary(values: readonly number[]): string {
  if (values.length === 0) return "-";
  const spread = values.length === 1 ? "" : ` (${short(Math.min(...values))}..${short(Math.max(...values))})`;
  return `${short(median(values))}${spread}`;
}

function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  if (sorted.length % 2 === 1) return sorted[middle] ?? Number.NaN;
  return ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}
