import { setTimeout as sleep } from "node:timers/promises";

const defaultTimeoutMs = 120_000;

type NotYet = false | "" | undefined;

/** Asks again and again until there is an answer, and returns it; the timeout only tells a hang from slowness. */
export async function eventually<T extends boolean | string | object>(
  what: string,
  ask: () => T | NotYet | Promise<T | NotYet>,
  timeoutMs = defaultTimeoutMs,
): Promise<Exclude<T, NotYet>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer) return answer as Exclude<T, NotYet>;
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs / 1000} s: ${what}`);
    await sleep(100);
  }
}
