// The sizes that a store reports.

import type { EngineSize } from "../../lib/backend.ts";
import { type PageUse, pageBytes } from "./environment.ts";

/**
 * The pages of a store's file before its first record. Reports leave these and the first page of each bucket out:
 * quotas are meant for data, and users compare with a bbolt file, which starts at a few small pages.
 * Held by a test against such stores.
 */
export const emptyStorePages = 8;

export function reportedSize(fileBytes: number, use: PageUse): EngineSize {
  const sizeBytes = atLeastOnePage(fileBytes - (emptyStorePages + use.bucketsWithPages) * pageBytes);
  const sizeInUseBytes = atLeastOnePage((use.pages - use.bucketsWithPages) * pageBytes);
  return { sizeBytes, sizeInUseBytes: Math.min(sizeInUseBytes, sizeBytes) };
}

/** A size of nothing looks like a broken store. */
function atLeastOnePage(bytes: number): number {
  return Math.max(bytes, pageBytes);
}
