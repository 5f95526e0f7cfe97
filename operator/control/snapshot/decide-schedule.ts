// From what is seen of a schedule to its status and the one next thing to do: begin a snapshot that is due, or delete
// one that is kept no longer. Pure: the time is in the observation. A run's snapshot is named after its time, so none is
// begun twice; of the runs that a stop missed only the last is made up for.
import type { Condition } from "../../api/conditions.ts";
import type { ScheduleStatus } from "../../api/snapshot-schedule.ts";
import { type CronSchedule, parseCron } from "../../lib/cron.ts";
import { secondTime } from "../../lib/time.ts";
import type { Schedule, Snapshot } from "../../model/snapshot-objects.ts";
import { withConditions } from "./conditions.ts";
import { expired } from "./retention.ts";

export interface ScheduleObservation {
  readonly nowMs: number;
  readonly schedule: Schedule;
  /** Those that carry the schedule's name. */
  readonly snapshots: readonly Snapshot[];
}

export type ScheduleAction =
  | { readonly kind: "CreateSnapshot"; readonly name: string }
  | { readonly kind: "DeleteSnapshot"; readonly name: string; readonly uid: string; readonly why: string };

export interface ScheduleDecision {
  /** Written after the action, if it differs: what it says of a run has happened. */
  readonly status: ScheduleStatus;
  readonly action: ScheduleAction | undefined;
  readonly requeueAfterMs: number | undefined;
}

const activeMax = 64;
/** Ages change without an event. */
const lookAgainMs = 600_000;
const afterActionMs = 2_000;

export function decideSchedule(observation: ScheduleObservation): ScheduleDecision {
  const { schedule, nowMs } = observation;
  if (schedule.metadata.deletionTimestamp !== undefined) {
    return { status: schedule.status ?? {}, action: undefined, requeueAfterMs: undefined };
  }
  const parsed = parseCron(schedule.spec.schedule, schedule.spec.timeZone);
  if (!parsed.ok) {
    const status = statusOf(observation, undefined, undefined, ["False", "InvalidSchedule", parsed.message]);
    return { status, action: undefined, requeueAfterMs: undefined };
  }
  const cron = parsed.schedule;
  const run = decideRun(observation, cron);
  const action = run.action ?? retentionAction(observation);
  const nextMs = schedule.spec.suspend ? undefined : cron.nextAfter(nowMs);
  const status = statusOf(observation, run.settledMs, nextMs, run.verdict);
  const untilNextMs = nextMs === undefined ? lookAgainMs : Math.max(0, nextMs - nowMs);
  const requeueAfterMs = action === undefined ? Math.min(lookAgainMs, untilNextMs) : afterActionMs;
  return { status, action, requeueAfterMs };
}

type Verdict = readonly [Condition["status"], string, string];

interface RunDecision {
  readonly action?: ScheduleAction;
  /** The run of this time needs no more thought. */
  readonly settledMs?: number;
  readonly verdict: Verdict | undefined;
}

function decideRun({ schedule, snapshots, nowMs }: ScheduleObservation, cron: CronSchedule): RunDecision {
  const { spec, status, metadata } = schedule;
  const sinceMs = Date.parse(status?.lastScheduleTime ?? metadata.creationTimestamp ?? secondTime(nowMs));
  const dueMs = cron.lastAt(nowMs);
  const usual: Verdict = spec.suspend
    ? ["False", "Suspended", "spec.suspend is set"]
    : ["True", "Scheduled", ""];
  if (dueMs === undefined || dueMs <= sinceMs) return { verdict: usual };
  if (spec.suspend) return { settledMs: dueMs, verdict: usual };
  const name = snapshotNameOf(schedule, dueMs);
  if (snapshots.some((one) => one.metadata.name === name)) return { settledMs: dueMs, verdict: usual };
  const leftOut = (reason: string, why: string): RunDecision => ({
    settledMs: dueMs,
    verdict: ["True", reason, `the snapshot of ${secondTime(dueMs)} was left out: ${why}`],
  });
  const lateSeconds = Math.floor((nowMs - dueMs) / 1000);
  if (spec.startingDeadlineSeconds !== undefined && lateSeconds > spec.startingDeadlineSeconds) {
    return leftOut("TooLate", `it was ${lateSeconds} s late`);
  }
  const [active] = snapshots.filter(isActive);
  if (active !== undefined && spec.concurrencyPolicy === "Forbid") {
    return leftOut("StillActive", `${active.metadata.name} was still being taken`);
  }
  if (active !== undefined && spec.concurrencyPolicy === "Replace") {
    const { name: activeName, uid } = active.metadata;
    const why = "another takes its place";
    return { action: { kind: "DeleteSnapshot", name: activeName, uid, why }, verdict: usual };
  }
  return { action: { kind: "CreateSnapshot", name }, verdict: usual };
}

export function snapshotNameOf({ metadata }: Schedule, timeMs: number): string {
  return `${metadata.name}-${Math.floor(timeMs / 1000)}`;
}

function retentionAction({ schedule, snapshots, nowMs }: ScheduleObservation): ScheduleAction | undefined {
  const first = expired(snapshots, schedule.spec.retention, nowMs)[0];
  if (first === undefined) return undefined;
  const { name, uid } = first.snapshot.metadata;
  return { kind: "DeleteSnapshot", name, uid, why: first.why };
}

function isActive({ metadata, status }: Snapshot): boolean {
  return (
    metadata.deletionTimestamp === undefined && status?.phase !== "Succeeded" && status?.phase !== "Failed"
  );
}

function statusOf(
  { schedule, snapshots, nowMs }: ScheduleObservation,
  settledMs: number | undefined,
  nextMs: number | undefined,
  verdict: Verdict | undefined,
): ScheduleStatus {
  const before = schedule.status ?? {};
  const last = settledMs === undefined ? before.lastScheduleTime : secondTime(settledMs);
  const active = snapshots.filter(isActive).map(({ metadata }) => metadata.name);
  const successes = snapshots.flatMap(({ status }) =>
    status?.phase === "Succeeded" && status.completedAt !== undefined ? [status.completedAt] : [],
  );
  const lastSuccess = [
    ...successes,
    ...(before.lastSuccessfulTime === undefined ? [] : [before.lastSuccessfulTime]),
  ]
    .toSorted((a, b) => Date.parse(b) - Date.parse(a))
    .at(0);
  const generation = schedule.metadata.generation;
  // A run that was left out stays told until the next one.
  const isNews =
    verdict !== undefined && !(verdict[1] === "Scheduled" && settledMs === undefined && wasLeftOut(before));
  const [status, reason, message] = verdict ?? ["True", "Scheduled", ""];
  const verdicts = isNews ? [{ type: "Scheduled", status, reason, message }] : [];
  return {
    observedGeneration: generation ?? 0,
    ...(last === undefined ? {} : { lastScheduleTime: last }),
    ...(lastSuccess === undefined ? {} : { lastSuccessfulTime: lastSuccess }),
    ...(nextMs === undefined ? {} : { nextScheduleTime: secondTime(nextMs) }),
    ...(active.length === 0 ? {} : { active: active.toSorted().slice(-activeMax) }),
    conditions: withConditions(before.conditions, verdicts, { nowMs, generation }),
  };
}

function wasLeftOut({ conditions }: ScheduleStatus): boolean {
  const reason = conditions?.find(({ type }) => type === "Scheduled")?.reason;
  return reason === "TooLate" || reason === "StillActive";
}
