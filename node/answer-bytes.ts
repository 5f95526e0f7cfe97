// How much memory the answers to long ranges may take together: a part of what the process may use, so that the heap, the
// page cache of the store and the queues keep theirs.

import { totalmem } from "node:os";

const partOfMemory = 8;
const bytesMin = 64 * 1024 * 1024;
const bytesMax = 512 * 1024 * 1024;

export function answerBytesMax(): number {
  // What the control group allows; not a number of use where there is none.
  const allowed = process.constrainedMemory();
  const memory = allowed > 0 ? Math.min(allowed, totalmem()) : totalmem();
  return Math.min(bytesMax, Math.max(bytesMin, Math.floor(memory / partOfMemory)));
}
