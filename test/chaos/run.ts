// One scenario: traffic, the fault, traffic without it, and then the checks.
import { setTimeout as delay } from "node:timers/promises";
import { must } from "../../node/lib/assert.ts";
import { readHistory } from "../e2e/kill/history.ts";
import { expectAgreement } from "../e2e/support/clusters.ts";
import { Bed } from "./bed.ts";
import { checkTraffic } from "./checks.ts";
import type { Scenario } from "./faults.ts";

const windowMs = 2_000;
/** A scenario without traffic would prove nothing; processes that just started may need a while. */
const warmUpWindows = 10;

export interface ScenarioOptions {
  readonly seed: number;
  /** That many have to be acknowledged before the fault. */
  readonly operationsPerSecondMin: number;
}

/** Resolves to what happened. Rejects when a promise was broken, or the scenario put nothing to the proof. */
export async function runScenario(
  { run, flags = [], diskMib, valueBytes = 40 }: Scenario,
  { seed, operationsPerSecondMin }: ScenarioOptions,
): Promise<string> {
  const bed = await Bed.open({ seed, flags, diskMib, valueBytes });
  const { cluster, traffic } = bed;
  try {
    for (const place of cluster.places) traffic.addMember(place);
    const rate = await warmUp(bed, operationsPerSecondMin);
    const effect = await run(bed);
    await cluster.leader();
    await bed.goesOn();
    await traffic.finish(cluster.running);
    await expectAgreement(cluster);
    const history = await readHistory(must(cluster.running[0], "a member runs").client, 1);
    checkTraffic(traffic, history);
    const watched = traffic.watched.reduce((sum, { events }) => sum + events.length, 0);
    return `${effect}; ${traffic.acknowledgedCount} operations (${rate.toFixed(0)}/s before), ${watched} events`;
  } finally {
    await bed.close();
  }
}

/** Resolves to the operations a second, once they are enough. */
async function warmUp({ traffic }: Bed, operationsPerSecondMin: number): Promise<number> {
  let rate = 0;
  for (let window = 0; window < warmUpWindows; window++) {
    const [count, started] = [traffic.acknowledgedCount, performance.now()];
    await delay(windowMs);
    rate = ((traffic.acknowledgedCount - count) / (performance.now() - started)) * 1000;
    if (rate >= operationsPerSecondMin) return rate;
  }
  throw new Error(`only ${rate.toFixed(0)} operations/s before the fault, not ${operationsPerSecondMin}`);
}
