import type { Random } from "../lib/clock.ts";

/** Delays that double from `firstMs` to `mostMs`, each shortened by up to half so that many do not go in step. */
export interface BackoffOptions {
  readonly firstMs: number;
  readonly mostMs: number;
  readonly random: Random;
}

/** The delay after `failures` (one or more) failures in a row. */
export function backoffMs(failures: number, { firstMs, mostMs, random }: BackoffOptions): number {
  const full = Math.min(mostMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return Math.floor(full * (1 - random() / 2));
}
