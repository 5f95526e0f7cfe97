import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { mutants } from "./mutants.ts";
import { Broken } from "./promises.ts";
import { eventsDefault, killMutant, runSeeds, seedsDefault } from "./runs.ts";
import { faultNames } from "./settings.ts";
import { runSeed } from "./simulation.ts";

/** Seed and events of each line; the rest of it says what the seed found. */
function seedsThatFailed(): { readonly seed: number; readonly events: number }[] {
  const text = readFileSync(new URL("seeds.txt", import.meta.url), "utf8");
  return text
    .split("\n")
    .filter((line) => /^\d/.test(line))
    .map((line) => {
      const [seed = 0, events = 0] = line.split(" ").map(Number);
      return { seed, events };
    });
}

test("200 seeds break no promise, and in them every fault happens and every checker is asked", () => {
  const { lines, isGood } = runSeeds({ first: 1, seeds: seedsDefault, events: eventsDefault });
  assert.ok(isGood, lines.join("\n"));
});

test("the seeds that once failed do so no more", () => {
  for (const { seed, events } of seedsThatFailed()) {
    const { lines, isGood } = runSeeds({ first: seed, seeds: 1, events });
    assert.ok(isGood, lines.join("\n"));
  }
});

test("a seed has its events and at least three crashes", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { events, crashes } = runSeed({ seed, events: eventsDefault });
    assert.ok(events >= 2_000 && crashes >= 3, `seed ${seed}: ${events} events, ${crashes} crashes`);
  }
});

test("a seed repeats itself to the last byte, and no two are alike", () => {
  const traces = new Set<string>();
  for (let seed = 1; seed <= 10; seed++) {
    const { trace } = runSeed({ seed, events: eventsDefault });
    assert.equal(runSeed({ seed, events: eventsDefault }).trace, trace);
    traces.add(trace);
  }
  assert.equal(traces.size, 10);
});

test("switching any fault changes the trace", () => {
  const run = (switched: readonly (typeof faultNames)[number][]) =>
    runSeed({ seed: 1, events: eventsDefault, switched: new Set(switched) }).trace;
  const traces = new Set([run([]), ...faultNames.map((name) => run([name]))]);
  assert.equal(traces.size, faultNames.length + 1);
});

for (const mutant of mutants) {
  test(`the simulator finds a member that ${mutant.name}`, () => {
    const killed = killMutant(mutant, { first: 1, seeds: seedsDefault, events: eventsDefault });
    assert.ok(killed?.error instanceof Broken, `${killed?.error.stack ?? "survived"}`);
    assert.ok(mutant.breaks.includes(killed.error.promise), killed.error.message);
  });
}
