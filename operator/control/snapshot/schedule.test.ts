// When a schedule begins a snapshot, when it leaves one out, and what it keeps.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ScheduleSpec, ScheduleStatus } from "../../api/snapshot-schedule.ts";
import type { Snapshot } from "../../model/snapshot-objects.ts";
import { decideSchedule, type ScheduleDecision } from "./decide-schedule.ts";

const at = (time: string) => Date.parse(`2026-03-10T${time}Z`);
const destination = { pvc: { claimName: "backups" } };

interface Given {
  readonly now?: string;
  readonly spec?: Partial<ScheduleSpec>;
  readonly status?: ScheduleStatus;
  readonly snapshots?: readonly Snapshot[];
}

function decide({ now = "03:00:20", spec, status, snapshots = [] }: Given): ScheduleDecision {
  const template = { destination, deletionPolicy: "Delete", activeDeadlineSeconds: 3_600 } as const;
  return decideSchedule({
    nowMs: at(now),
    snapshots,
    schedule: {
      metadata: {
        ...{ name: "hourly", namespace: "default", uid: "uid-s", generation: 1 },
        creationTimestamp: "2026-03-09T12:00:00Z",
      },
      spec: {
        ...{ clusterRef: { name: "c" }, schedule: "0 * * * *", timeZone: "Etc/UTC", suspend: false },
        ...{ concurrencyPolicy: "Forbid", template, retention: {}, ...spec },
      },
      ...(status === undefined ? {} : { status }),
    },
  });
}

const nameAt = (time: string) => `hourly-${at(time) / 1000}`;

type Phase = NonNullable<Snapshot["status"]>["phase"];

function snapshot(time: string, phase: Phase = "Succeeded", verified = phase === "Succeeded"): Snapshot {
  const created = new Date(at(time)).toISOString();
  const condition = { type: "Verified", reason: "Restored", message: "", lastTransitionTime: created };
  return {
    metadata: { name: nameAt(time), namespace: "default", uid: `uid-${time}`, creationTimestamp: created },
    spec: { clusterRef: { name: "c" }, destination, deletionPolicy: "Delete", activeDeadlineSeconds: 3_600 },
    status: {
      ...(phase === undefined ? {} : { phase }),
      completedAt: created,
      conditions: [{ ...condition, status: verified ? "True" : "False" }],
    },
  };
}

function told({ status }: ScheduleDecision): string | undefined {
  return status.conditions?.find(({ type }) => type === "Scheduled")?.reason;
}

test("a snapshot named after its time is begun, and its time is recorded once it is there", () => {
  const first = decide({});
  assert.deepEqual(first.action, { kind: "CreateSnapshot", name: nameAt("03:00:00") });
  assert.equal(first.status.lastScheduleTime, undefined);
  const after = decide({ snapshots: [snapshot("03:00:00", "Running")] });
  assert.equal(after.action, undefined);
  assert.equal(after.status.lastScheduleTime, "2026-03-10T03:00:00Z");
  assert.equal(after.status.nextScheduleTime, "2026-03-10T04:00:00Z");
  assert.deepEqual(after.status.active, [nameAt("03:00:00")]);
  assert.equal(decide({ now: "03:59:59", status: after.status }).action, undefined);
  assert.equal(decide({ now: "04:00:00", status: after.status }).action?.kind, "CreateSnapshot");
});

test("the operator looks again when the next one is due", () => {
  const status = { lastScheduleTime: "2026-03-10T03:00:00Z" };
  assert.equal(decide({ now: "03:58:00", status }).requeueAfterMs, 120_000);
});

test("of runs that a stop missed only the last is made up for", () => {
  const status = { lastScheduleTime: "2026-03-09T20:00:00Z" };
  const made = decide({ now: "03:30:00", status });
  assert.deepEqual(made.action, { kind: "CreateSnapshot", name: nameAt("03:00:00") });
  const then = decide({ now: "03:30:00", status, snapshots: [snapshot("03:00:00", "Running")] });
  assert.equal(then.status.lastScheduleTime, "2026-03-10T03:00:00Z");
  assert.equal(then.action, undefined);
});

test("one that is too late is left out, and that is told until the next", () => {
  const spec = { startingDeadlineSeconds: 60 };
  assert.equal(decide({ now: "03:01:00", spec }).action?.kind, "CreateSnapshot");
  const late = decide({ now: "03:01:01", spec });
  assert.deepEqual([late.action, told(late)], [undefined, "TooLate"]);
  assert.equal(late.status.lastScheduleTime, "2026-03-10T03:00:00Z");
  assert.equal(told(decide({ now: "03:20:00", spec, status: late.status })), "TooLate");
});

test("while one is being taken the policy decides", () => {
  const snapshots = [snapshot("02:00:00", "Running")];
  const forbid = decide({ snapshots });
  assert.deepEqual([forbid.action, told(forbid)], [undefined, "StillActive"]);
  assert.equal(forbid.status.lastScheduleTime, "2026-03-10T03:00:00Z");
  const replace = decide({ snapshots, spec: { concurrencyPolicy: "Replace" } });
  assert.equal(replace.action?.kind, "DeleteSnapshot");
  assert.equal(replace.action?.name, nameAt("02:00:00"));
  assert.equal(replace.status.lastScheduleTime, undefined, "its own is still to begin");
  const allow = decide({ snapshots, spec: { concurrencyPolicy: "Allow" } });
  assert.equal(allow.action?.kind, "CreateSnapshot");
});

test("suspended it begins nothing, and afterwards makes up for nothing", () => {
  const suspended = decide({ spec: { suspend: true } });
  assert.deepEqual([suspended.action, told(suspended)], [undefined, "Suspended"]);
  assert.equal(suspended.status.nextScheduleTime, undefined);
  assert.equal(decide({ now: "03:30:00", status: suspended.status }).action, undefined);
});

test("a schedule or a time zone that is none is said, and begins nothing", () => {
  for (const spec of [{ schedule: "61 * * * *" }, { timeZone: "Mars/Olympus" }]) {
    const wrong = decide({ spec });
    assert.deepEqual([wrong.action, told(wrong)], [undefined, "InvalidSchedule"]);
  }
});

const settled = { lastScheduleTime: "2026-03-10T03:00:00Z" };

function deletedBy(retention: ScheduleSpec["retention"], snapshots: readonly Snapshot[]): string[] {
  const deleted: string[] = [];
  let left = snapshots;
  for (;;) {
    const { action } = decide({ status: settled, spec: { retention }, snapshots: left });
    if (action?.kind !== "DeleteSnapshot") return deleted;
    deleted.push(action.name);
    left = left.filter(({ metadata }) => metadata.uid !== action.uid);
  }
}

test("the last verified ones are kept, and failures go with those of their time", () => {
  const hours = ["00:00:00", "01:00:00", "02:00:00", "03:00:00"];
  assert.deepEqual(
    deletedBy(
      { keepLast: 2 },
      hours.map((hour) => snapshot(hour)),
    ),
    [nameAt("00:00:00"), nameAt("01:00:00")],
  );
  const mixed = [
    snapshot("00:00:00"),
    snapshot("01:00:00", "Failed"),
    snapshot("02:00:00"),
    snapshot("02:30:00", "Failed"),
    snapshot("03:00:00", "Running"),
  ];
  assert.deepEqual(deletedBy({ keepLast: 1 }, mixed), [nameAt("00:00:00"), nameAt("01:00:00")]);
});

test("the newest verified one outlives every rule", () => {
  const snapshots = [snapshot("00:00:00"), snapshot("01:00:00"), snapshot("02:00:00", "Succeeded", false)];
  assert.deepEqual(deletedBy({ maxAgeSeconds: 60 }, snapshots), [nameAt("00:00:00"), nameAt("02:00:00")]);
  assert.deepEqual(deletedBy({}, snapshots), []);
});
