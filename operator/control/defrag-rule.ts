// Whether a member is worth defragmenting.
import type { DefragRule } from "../api/defrag.ts";
import { amountOf } from "../lib/quantity.ts";

export interface StoreSizes {
  readonly dbSizeBytes: number;
  readonly dbInUseBytes: number;
  /** 0 without a quota. */
  readonly dbQuotaBytes: number;
}

/** Why the rule leaves a member of these sizes alone; undefined when it asks for it. */
export function reasonToSkip(rule: DefragRule, sizes: StoreSizes): string | undefined {
  if (rule.all) return undefined;
  const freeBytes = Math.max(0, sizes.dbSizeBytes - sizes.dbInUseBytes);
  const isRoomy = rule.freeSpaceAbove !== undefined && freeBytes >= amountOf(rule.freeSpaceAbove);
  const isFull =
    rule.quotaUsageAbove !== undefined &&
    sizes.dbQuotaBytes > 0 &&
    sizes.dbSizeBytes * 100 >= sizes.dbQuotaBytes * Number.parseInt(rule.quotaUsageAbove, 10);
  const figures = `${freeBytes} bytes of ${sizes.dbSizeBytes} are free, the quota is ${sizes.dbQuotaBytes}`;
  if (!isRoomy && !isFull) return `it is below what the rule asks for: ${figures}`;
  if (freeBytes < amountOf(rule.minReclaim)) return `it would free less than ${rule.minReclaim}: ${figures}`;
  return undefined;
}
