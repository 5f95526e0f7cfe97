// EtcdLikeSnapshotSchedule: snapshots of a cluster by the clock, and how long they are kept.
import { destination } from "./artifact.ts";
import { conditions } from "./conditions.ts";
import { boolean, dateTime, type Infer, integer, list, object, oneOf, optional, string } from "./schema.ts";
import { clusterRef, deadline, deletionPolicy } from "./snapshot.ts";

/** The time of a run is added to it: NAME-TTTTTTTTTT. */
export const scheduleNameMax = 41;

const template = object(
  {
    destination,
    deletionPolicy: deletionPolicy("Delete"),
    activeDeadlineSeconds: deadline,
  },
  { description: "What the snapshots are like." },
);

const retention = object(
  {
    keepLast: optional(
      integer({ description: "This many verified snapshots are kept.", minimum: 1, maximum: 1000 }),
    ),
    maxAgeSeconds: optional(
      integer({
        description: "Older snapshots are deleted.",
        minimum: 60,
        maximum: 315_360_000,
      }),
    ),
  },
  {
    description:
      "Which snapshots of this schedule are deleted. The newest verified one is always kept; without rules all are.",
    default: {},
  },
);

export const scheduleSpec = object(
  {
    clusterRef,
    schedule: string({
      description: "When, as cron writes it: minute, hour, day of the month, month, day of the week.",
      minLength: 9,
      maxLength: 128,
      pattern: "^(\\S+\\s+){4}\\S+$",
    }),
    timeZone: string({
      description: "Name of the time zone that the schedule is in.",
      minLength: 1,
      maxLength: 64,
      pattern: "^[A-Za-z][A-Za-z0-9_+/-]*$",
      default: "Etc/UTC",
    }),
    suspend: boolean({ description: "No snapshot is begun.", default: false }),
    concurrencyPolicy: oneOf(["Forbid", "Replace", "Allow"], {
      description:
        "What happens when a snapshot is due while one is being taken: none, that one ends, or both.",
      default: "Forbid",
    }),
    startingDeadlineSeconds: optional(
      integer({
        description: "A snapshot that could not begin this long after its time is left out.",
        minimum: 10,
        maximum: 86_400,
      }),
    ),
    template,
    retention,
  },
  {
    description: "When snapshots are taken, what they are like, and how long they are kept.",
    rules: [{ rule: "self.clusterRef == oldSelf.clusterRef", message: "clusterRef cannot change" }],
  },
);

export type ScheduleSpec = Infer<typeof scheduleSpec>;

export const scheduleStatus = object(
  {
    observedGeneration: optional(
      integer({ description: "metadata.generation this was made from.", minimum: 0, format: "int64" }),
    ),
    lastScheduleTime: optional(dateTime("The time of the last run that was begun or left out.")),
    lastSuccessfulTime: optional(dateTime("When the last snapshot of it was stored.")),
    nextScheduleTime: optional(dateTime("The time of the next run.")),
    active: optional(
      list(string({ description: "Name of a snapshot.", maxLength: 253 }), {
        description: "Snapshots that are being taken.",
        maxItems: 64,
      }),
    ),
    conditions: optional(conditions),
  },
  { description: "What has become of it." },
);

export type ScheduleStatus = Infer<typeof scheduleStatus>;
