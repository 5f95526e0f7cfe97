// Workers over a queue. Whatever a pass throws, its key comes back later and the worker goes on.
import type { Clock } from "../lib/clock.ts";
import { describeError, type Logger } from "../lib/log.ts";
import type { WorkQueue } from "./work-queue.ts";

export interface ControllerOptions {
  readonly queue: WorkQueue;
  readonly workers: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Returns after how many milliseconds the key wants another pass; undefined waits for a change. */
  readonly pass: (key: string, signal: AbortSignal) => Promise<number | undefined>;
  readonly onPass?: (result: "success" | "requeue_after" | "error", durationMs: number) => void;
}

/** Runs until the signal is aborted; then waits for passes under way. Does not reject. */
export async function runController(options: ControllerOptions, signal: AbortSignal): Promise<void> {
  const close = () => options.queue.close();
  if (signal.aborted) close();
  signal.addEventListener("abort", close, { once: true });
  await Promise.all(Array.from({ length: options.workers }, () => work(options, signal)));
  signal.removeEventListener("abort", close);
}

async function work({ queue, clock, log, pass, onPass }: ControllerOptions, signal: AbortSignal) {
  for (let key = await queue.take(); key !== undefined; key = await queue.take()) {
    const startedMs = clock.nowMs();
    try {
      const againMs = await pass(key, signal);
      queue.forget(key);
      if (againMs !== undefined) queue.addAfter(key, againMs);
      onPass?.(againMs === undefined ? "success" : "requeue_after", clock.nowMs() - startedMs);
    } catch (error) {
      onPass?.("error", clock.nowMs() - startedMs);
      if (!signal.aborted) {
        const delayMs = queue.addAfterFailure(key);
        log.warn("a pass failed", { key, error: describeError(error), delayMs });
      }
    } finally {
      queue.done(key);
    }
  }
}
