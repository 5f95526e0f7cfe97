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
  const stat = await readFile(`/proc/${member.pid}/stat`, "utf8");
  // The process name in parentheses may hold spaces; utime and stime are fields 14 and 15 of the line.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]);
  const metrics = await (await fetch(`${member.clientUrl}/metrics`)).text();
  const line = metrics.split("\n").find((one) => one.startsWith(fsyncCountMetric));
  return { cpuSeconds: ticks / ticksPerSecond, fdatasyncs: Number(line?.split(" ")[1] ?? Number.NaN) };
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
