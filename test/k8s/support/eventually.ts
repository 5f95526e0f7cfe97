import { setTimeout as sleep } from "node:timers/promises";

const defaultTimeoutMs = 120_000;

/** Asks again and again until the answer is true; the timeout only tells a hang from slowness. */
export async function eventually(
  what: string,
  ask: () => boolean | Promise<boolean>,
  timeoutMs = defaultTimeoutMs,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await ask())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs / 1000} s: ${what}`);
    await sleep(100);
  }
}
