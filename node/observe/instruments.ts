// Counters and histograms that cost a few nanoseconds, and their form for prom-client's registry, which only
// writes them out: its own instruments hash their labels at every call.

import type { Metric } from "prom-client";
import type { Counter, Histogram } from "../lib/metrics.ts";

export class CountedValue implements Counter {
  value = 0;

  increment(by = 1): void {
    this.value += by;
  }
}

export class BucketedValue implements Histogram {
  readonly bounds: readonly number[];
  /** Observations per bucket, not cumulated; the last one is above every bound. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const { bounds, counts } = this;
    let i = 0;
    while (i < bounds.length && value > (bounds[i] as number)) i++;
    counts[i] = (counts[i] as number) + 1;
    this.sum += value;
  }
}

/** `count` bounds, each twice the one before. */
export function doubling(first: number, count: number): readonly number[] {
  // Rounded to what decimal notation means, so that 0.0001 * 2^3 prints as 0.0008.
  return Array.from({ length: count }, (_, i) => Number((first * 2 ** i).toPrecision(12)));
}

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** A sample under a name of its own, as a histogram's parts have. */
interface NamedSample extends Sample {
  readonly metricName: string;
}

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** Asked at every scrape. */
  readonly samples: () => readonly (Sample | NamedSample)[];
}

export function counterFamily(name: string, help: string, counter: CountedValue): Family {
  return { name, help, type: "counter", samples: () => [{ labels: {}, value: counter.value }] };
}

export function gaugeFamily(name: string, help: string, samples: () => readonly Sample[]): Family {
  return { name, help, type: "gauge", samples };
}

export function histogramFamily(
  name: string,
  help: string,
  children: () => Iterable<readonly [Labels, BucketedValue]>,
): Family {
  return {
    name,
    help,
    type: "histogram",
    samples: () =>
      [...children()].flatMap(([labels, histogram]) => histogramSamples(name, labels, histogram)),
  };
}

function histogramSamples(
  name: string,
  labels: Labels,
  { bounds, counts, sum }: BucketedValue,
): NamedSample[] {
  const samples: NamedSample[] = [];
  let total = 0;
  for (const [i, count] of counts.entries()) {
    total += count;
    const bound = bounds[i];
    const le = bound === undefined ? "+Inf" : formatBound(bound);
    samples.push({ metricName: `${name}_bucket`, labels: { ...labels, le }, value: total });
  }
  samples.push({ metricName: `${name}_sum`, labels, value: sum });
  samples.push({ metricName: `${name}_count`, labels, value: total });
  return samples;
}

/** Go's shortest form: 1048576 is 1.048576e+06 there, and series are matched by this text. */
function formatBound(bound: number): string {
  if (bound < 1e6) return String(bound);
  const [mantissa = "", exponent = ""] = bound.toExponential().split("e+");
  return `${mantissa}e+${exponent.padStart(2, "0")}`;
}

/** A family as the object that prom-client's registry keeps. It asks for nothing but `name` and `get`. */
export function promMetric(family: Family): Metric {
  const { name, help, type } = family;
  const metric = {
    name,
    help,
    type,
    aggregator: "sum",
    get: async () => ({ name, help, type, aggregator: "sum", values: family.samples() }),
    reset() {},
  };
  return metric as unknown as Metric;
}
