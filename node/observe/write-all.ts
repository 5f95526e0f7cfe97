// Synchronous output that survives an exit right after it.

import { writeSync } from "node:fs";

/** Writes the whole text, or gives up when nobody can read it any more. */
export function writeAll(descriptor: 1 | 2, text: string): void {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length; ) {
    try {
      written += writeSync(descriptor, bytes, written);
    } catch (error) {
      // A full pipe empties in a moment; a closed one never does.
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return;
    }
  }
}
