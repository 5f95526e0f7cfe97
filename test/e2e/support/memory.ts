// A process's memory as the kernel counts it.
import { readFile, writeFile } from "node:fs/promises";

const kibibyte = 1024;
export const mebibyte = 1024 * 1024;

export interface Memory {
  /** Everything that is mapped and present, pages of mapped files too. */
  readonly rss: number;
  /** The highest `rss` since `resetPeak`. */
  readonly peakRss: number;
  /** Heap, buffers and stacks: what the process itself needs. */
  readonly anonymous: number;
  /** Pages of mapped files: the page cache seen through LMDB's map, and the program. The kernel takes them back at will. */
  readonly file: number;
}

export async function memoryOf(pid: number): Promise<Memory> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) * kibibyte;
  return {
    rss: field("VmRSS"),
    peakRss: field("VmHWM"),
    anonymous: field("RssAnon"),
    file: field("RssFile"),
  };
}

/** Lets the kernel's own high-water mark begin anew, so that no peak between two samples is missed. */
export async function resetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, "5");
}

/** The highest anonymous memory while something runs, sampled. */
export async function peakAnonymous(pid: number, during: Promise<unknown>): Promise<number> {
  let isDone = false;
  const finished = during.finally(() => {
    isDone = true;
  });
  let peak = 0;
  while (!isDone) {
    peak = Math.max(peak, (await memoryOf(pid)).anonymous);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await finished;
  return peak;
}

export function inMebibytes(bytes: number): string {
  return `${(bytes / mebibyte).toFixed(1)} MiB`;
}
