// Latencies of puts, one after the other, while something else happens.
import type { TestClient } from "../../conformance/client.ts";
import { put } from "./kv.ts";

export interface Latencies {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export async function putsDuring(client: TestClient, during: Promise<unknown>): Promise<Latencies> {
  let isDone = false;
  const finished = during.finally(() => {
    isDone = true;
  });
  const tookMs: number[] = [];
  while (!isDone) {
    const started = performance.now();
    await put(client, `during/${tookMs.length % 10}`, "x".repeat(100));
    tookMs.push(performance.now() - started);
  }
  await finished;
  tookMs.sort((a, b) => a - b);
  const at = (share: number) => tookMs[Math.min(tookMs.length - 1, Math.floor(tookMs.length * share))] ?? 0;
  return { count: tookMs.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}

export function latencyText({ count, p50Ms, p99Ms, maxMs }: Latencies): string {
  return `${count} puts, p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms, max ${maxMs.toFixed(1)} ms`;
}
