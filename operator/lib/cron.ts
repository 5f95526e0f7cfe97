// Times of a cron schedule: five fields in a time zone. Daylight saving is the library's business: a time that does not
// exist on a day comes when the clocks have moved on, and one that comes twice counts once.
import { Cron } from "croner";

export interface CronSchedule {
  /** The last time at or before `wallMs`; undefined if there was none in living memory. */
  lastAt(wallMs: number): number | undefined;
  /** The first time after `wallMs`; undefined if there is none. */
  nextAfter(wallMs: number): number | undefined;
}

/** An Error's message when the schedule or the zone is none. */
export type ParsedCron =
  | { readonly ok: true; readonly schedule: CronSchedule }
  | { readonly ok: false; readonly message: string };

export function parseCron(text: string, timeZone: string): ParsedCron {
  try {
    const cron = new Cron(text, { mode: "5-part", timezone: timeZone, paused: true });
    // Zones are looked up when they are first needed.
    cron.nextRun("2026-01-01T00:00:00");
    return { ok: true, schedule: scheduleOf(cron) };
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) };
  }
}

function scheduleOf(cron: Cron): CronSchedule {
  return {
    // The library's bounds are exclusive, and its times whole seconds.
    lastAt: (wallMs) => cron.previousRuns(1, new Date(Math.floor(wallMs / 1000) * 1000 + 1000))[0]?.getTime(),
    nextAfter: (wallMs) => cron.nextRun(new Date(wallMs))?.getTime(),
  };
}
