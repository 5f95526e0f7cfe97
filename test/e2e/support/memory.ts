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

/** What a process has read of files so far, in bytes: by calls, and of the pages it mapped of those below `folder`. */
export async function bytesReadBy(pid: number, folder: string): Promise<{ called: number; mapped: number }> {
  const called = Number(/^rchar: (\d+)$/m.exec(await readFile(`/proc/${pid}/io`, "utf8"))?.[1]);
  let mapped = 0;
  let isBelow = false;
  for (const line of (await readFile(`/proc/${pid}/smaps`, "utf8")).split("\n")) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) isBelow = line.includes(`${folder}/`);
    else if (isBelow && line.startsWith("Rss:")) mapped += Number(/\d+/.exec(line)?.[0]) * kibibyte;
  }
  return { called, mapped };
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
