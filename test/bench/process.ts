// What the operating system and the member itself say about a running member.
import { readFile } from "node:fs/promises";
import type { Member } from "../tools/member.ts";

/** Clock ticks a second in /proc: fixed to 100 on every Linux that Node supports. */
const ticksPerSecond = 100;
const fsyncCountMetric = "etcd_disk_wal_fsync_duration_seconds_count";

export interface Usage {
  /** CPU seconds of all threads, user and system. */
  readonly cpuSeconds: number;
  readonly fdatasyncs: number;
}

export async function usageOf(member: Member): Promise<Usage> {
  const [cpuSeconds] = await cpuSecondsOf(String(member.pid));
  const metrics = await (await fetch(`${member.clientUrl}/metrics`)).text();
  const line = metrics.split("\n").find((one) => one.startsWith(fsyncCountMetric));
  return { cpuSeconds, fdatasyncs: Number(line?.split(" ")[1] ?? Number.NaN) };
}

/** CPU seconds of this process's children that have ended, as a load generator does after its load. */
export async function cpuSecondsOfEnded(): Promise<number> {
  const [, ended] = await cpuSecondsOf("self");
  return ended;
}

/** CPU seconds of a process, and of its children that have ended, user and system. */
async function cpuSecondsOf(pid: string): Promise<readonly [own: number, ended: number]> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  // The process name in parentheses may hold spaces; utime, stime, cutime and cstime are fields 14 to 17 of the line.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const seconds = (first: number) => (Number(fields[first]) + Number(fields[first + 1])) / ticksPerSecond;
  return [seconds(11), seconds(13)];
}

export interface Memory {
  readonly residentMib: number;
  /** The most that was resident so far. */
  readonly peakMib: number;
}

export async function memoryOf(member: Member): Promise<Memory> {
  const status = await readFile(`/proc/${member.pid}/status`, "utf8");
  const mib = (field: string): number =>
    Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1] ?? Number.NaN) / 1024;
  return { residentMib: mib("VmRSS"), peakMib: mib("VmHWM") };
}
