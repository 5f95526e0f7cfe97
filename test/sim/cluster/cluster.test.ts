import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { clusterEventsDefault, neverHappened, runClusters } from "./runs.ts";
import { runCluster } from "./simulation.ts";

/** Lines of seeds.txt that begin with "cluster": seed, events, and what the seed found. */
function seedsThatFailed(): { readonly seed: number; readonly events: number }[] {
  const text = readFileSync(new URL("../seeds.txt", import.meta.url), "utf8");
  return [...text.matchAll(/^cluster (\d+) (\d+) /gm)].map(([, seed, events]) => ({
    seed: Number(seed),
    events: Number(events),
  }));
}

test("200 seeds of whole clusters break no rule, and in them everything happens that can", () => {
  const { counts, failures } = runClusters({ first: 1, seeds: 200, events: clusterEventsDefault });
  assert.deepEqual([...failures, ...neverHappened(counts)], []);
});

test("the seeds of clusters that once failed do so no more", () => {
  for (const { seed, events } of seedsThatFailed()) {
    assert.deepEqual(runClusters({ first: seed, seeds: 1, events }).failures, []);
  }
});

test("a seed of a cluster repeats itself to the last event", () => {
  for (const seed of [1, 2, 3, 24]) {
    const traceOf = (): string => {
      const lines: string[] = [];
      runCluster({ seed, events: clusterEventsDefault, print: (line) => lines.push(line) });
      return lines.join("\n");
    };
    assert.equal(traceOf(), traceOf());
  }
});
