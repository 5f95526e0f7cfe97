// Runs of EtcdLikeDefrag as tables: which member is next, what stops a run, when the policy makes one.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DefragOutcome, DefragSpec, DefragStatus } from "../api/defrag.ts";
import type { Defrag } from "../model/objects.ts";
import type { Action } from "./action.ts";
import { decide } from "./decide.ts";
import type { Step } from "./decision.ts";
import { reasonToSkip } from "./defrag-rule.ts";
import { statusWithoutCluster } from "./defragment.ts";
import { observationOf, type Situation } from "./testing/situation.ts";

const Mi = 2 ** 20;

function runOf(status?: DefragStatus, spec: Partial<DefragSpec> = {}): Defrag {
  return {
    metadata: { name: "run", namespace: "default", creationTimestamp: "2026-01-01T11:50:00Z", generation: 1 },
    spec: {
      clusterRef: { name: "c" },
      rule: { all: true, minReclaim: "32Mi" },
      memberTimeoutSeconds: 3_600,
      ...spec,
    },
    ...(status === undefined ? {} : { status }),
  };
}

function outcomes(...given: readonly DefragOutcome["outcome"][]): DefragStatus {
  const members = given.map((outcome, i) => ({
    name: `c-${i}`,
    role: "Follower" as const,
    outcome,
    dbSizeBytesBefore: 100,
    ...(outcome === "Defragmented" ? { dbSizeBytesAfter: 40 } : {}),
    ...(outcome === "Failed" ? { reason: "no space" } : {}),
  }));
  return { phase: "Running", startedAt: "2026-01-01T11:51:00Z", members };
}

function stepOf(situation: Situation): Step {
  return decide(observationOf(situation)).step;
}

function begun(situation: Situation): string {
  const step = stepOf(situation);
  return step.kind === "Begin" ? `${step.operation.type} ${step.operation.member}` : step.kind;
}

function written(situation: Situation): Action & { kind: "WriteDefrag" } {
  const step = stepOf(situation);
  assert.ok(step.kind === "Act" && step.action.kind === "WriteDefrag", JSON.stringify(step));
  return step.action;
}

const inFlight = {
  type: "Defragment",
  member: "c-1",
  run: "run",
  reason: "run asks for it",
  startedAt: "2026-01-01T12:00:00Z",
  holder: "h",
} as const;

test("a rule chooses members by free space, by use of the quota, or all of them", () => {
  const of = (rule: object, size: number, inUse: number, quota = 1_000) =>
    reasonToSkip(
      { all: false, minReclaim: "32Mi", ...rule },
      { dbSizeBytes: size * Mi, dbInUseBytes: inUse * Mi, dbQuotaBytes: quota * Mi },
    ) === undefined;
  const table: readonly (readonly [boolean, boolean])[] = [
    [of({ all: true }, 10, 10), true],
    [of({ freeSpaceAbove: "200Mi" }, 300, 100), true],
    [of({ freeSpaceAbove: "200Mi" }, 300, 101), false],
    [of({ quotaUsageAbove: "80%" }, 800, 700), true],
    [of({ quotaUsageAbove: "80%" }, 799, 700), false],
    // Nothing would come of it.
    [of({ quotaUsageAbove: "80%" }, 800, 769), false],
    [of({ quotaUsageAbove: "80%", minReclaim: 0 }, 800, 800), true],
    [of({ quotaUsageAbove: "80%" }, 800, 100, 0), false],
    [of({ freeSpaceAbove: "200Mi", quotaUsageAbove: "80%" }, 850, 700), true],
  ];
  assert.deepEqual(
    table.map(([is]) => is),
    table.map(([, expected]) => expected),
  );
});

test("a run begins with a list of all members and their sizes", () => {
  const { status } = written({ defrags: [runOf()], sizes: [100, 60, 0], leader: "c-1" });
  assert.equal(status.phase, "Running");
  assert.deepEqual(
    status.members?.map(({ name, role, outcome, dbSizeBytesBefore }) => [
      name,
      role,
      outcome,
      dbSizeBytesBefore,
    ]),
    [
      ["c-0", "Follower", "Pending", 100],
      ["c-1", "Leader", "Pending", 100],
      ["c-2", "Follower", "Pending", 100],
    ],
  );
});

test("members that the rule leaves alone are skipped, and the run says why", () => {
  const spec = { rule: { all: false, freeSpaceAbove: "1Gi", minReclaim: "32Mi" } };
  const { status } = written({ defrags: [runOf(undefined, spec)], sizes: [100, 60, 0] });
  assert.ok(status.members?.every(({ outcome }) => outcome === "Skipped"));
  assert.match(status.members?.[0]?.reason ?? "", /40 bytes of 100 are free/);
});

test("one member after the other, the leader last", () => {
  const next = (leader: string, ...given: readonly DefragOutcome["outcome"][]) =>
    begun({ defrags: [runOf(outcomes(...given))], leader });
  assert.equal(next("c-0", "Pending", "Pending", "Pending"), "Defragment c-1");
  assert.equal(next("c-0", "Pending", "Defragmented", "Pending"), "Defragment c-2");
  assert.equal(next("c-0", "Pending", "Defragmented", "Failed"), "Defragment c-0");
  assert.equal(next("c-2", "Running", "Pending", "Pending"), "Defragment c-0");
});

test("nothing is defragmented while a member is ill or something else is to be done", () => {
  const run = runOf(outcomes("Pending", "Pending", "Pending"));
  const told = written({ defrags: [run], silent: ["c-2"] });
  assert.match(told.status.message ?? "", /while c-2 is not healthy: connection refused/);
  assert.equal(stepOf({ defrags: [{ ...run, status: told.status }], silent: ["c-2"] }).kind, "Wait");
  assert.equal(begun({ defrags: [run], silent: ["c-2"], awaySeconds: 900 }), "Replace c-2");
  assert.equal(begun({ defrags: [run], outdated: ["c-2"] }), "Update c-2");
  assert.equal(begun({ defrags: [run], replicas: 3, spec: { replicas: 5 } }).startsWith("Add"), true);
  assert.equal(stepOf({ defrags: [run], spec: { paused: true } }).kind, "Wait");
});

test("the member in turn is marked, then defragmented; its turn ends early when a member fails", () => {
  const with_ = (status: DefragStatus, more: Situation = {}) =>
    stepOf({ defrags: [runOf(status)], status: { operation: inFlight }, ...more });
  const marked = with_(outcomes("Pending", "Pending", "Pending"));
  assert.ok(marked.kind === "Act" && marked.action.kind === "WriteDefrag");
  assert.equal(marked.action.status.members?.[1]?.outcome, "Running");
  const running = outcomes("Pending", "Running", "Pending");
  const doing = with_(running);
  assert.ok(doing.kind === "Act" && doing.action.kind === "Defragment");
  assert.equal(with_(running, { silent: ["c-2"] }).kind, "Finish");
  assert.equal(with_(running, { silent: ["c-1", "c-2"], hasQuorum: false }).kind, "Finish");
  assert.equal(with_(outcomes("Pending", "Defragmented", "Pending")).kind, "Finish");
  assert.equal(stepOf({ defrags: [], status: { operation: inFlight } }).kind, "Finish");
});

test("a member that takes too long has failed, and the others go on", () => {
  const startedAt = "2026-01-01T10:59:59Z";
  const run = runOf(outcomes("Pending", "Running", "Pending"));
  const { status } = written({ defrags: [run], status: { operation: { ...inFlight, startedAt } } });
  assert.deepEqual(
    [status.members?.[1]?.outcome, status.members?.[1]?.reason],
    ["Failed", "it took longer than 3600 s"],
  );
});

test("a run ends with what was reclaimed, and disarms NOSPACE where every store has room again", () => {
  const end = (given: Situation, ...states: readonly DefragOutcome["outcome"][]) =>
    written({ defrags: [runOf(outcomes(...states))], ...given });
  const alarms = [{ memberId: "a1", alarm: "NOSPACE" }];
  const whole = end({ alarms, sizes: [40, 40, 100] }, "Defragmented", "Skipped", "Defragmented");
  assert.deepEqual([whole.status.phase, whole.status.reclaimedBytes], ["Succeeded", 120]);
  assert.deepEqual(whole.disarm, ["a1"]);
  assert.equal(whole.status.conditions?.[0]?.type, "Complete");
  assert.deepEqual(end({ alarms, sizes: [95, 40, 100] }, "Defragmented", "Skipped", "Skipped").disarm, []);
  assert.deepEqual(end({ alarms, sizes: [40, 40, 100] }, "Skipped", "Skipped", "Skipped").disarm, []);
  const corrupt = [{ memberId: "a1", alarm: "CORRUPT" }];
  assert.deepEqual(end({ alarms: corrupt, sizes: [40, 40, 100] }, "Defragmented").disarm, []);
  assert.equal(end({}, "Defragmented", "Failed").status.phase, "PartiallySucceeded");
  const failed = end({}, "Failed", "Skipped");
  assert.deepEqual([failed.status.phase, failed.status.message], ["Failed", "c-0: no space"]);
});

test("a run that is over is deleted after its time, and not without one", () => {
  const completedAt = "2026-01-01T11:59:00Z";
  const over = (ttl?: number) =>
    runOf(
      { ...outcomes("Defragmented"), phase: "Succeeded", completedAt },
      ttl === undefined ? {} : { ttlSecondsAfterFinished: ttl },
    );
  assert.equal(stepOf({ defrags: [over()] }).kind, "Rest");
  assert.equal(stepOf({ defrags: [over(61)] }).kind, "Rest");
  const step = stepOf({ defrags: [over(60)] });
  assert.ok(step.kind === "Act" && step.action.kind === "DeleteDefrag");
});

test("a run whose cluster is not there says so, once", () => {
  const status = statusWithoutCluster(runOf());
  assert.equal(status?.phase, "Pending");
  assert.match(status?.message ?? "", /there is no EtcdLikeCluster c in this namespace/);
  assert.equal(statusWithoutCluster(runOf(status)), undefined);
  assert.equal(
    statusWithoutCluster(runOf({ ...outcomes(), completedAt: "2026-01-01T11:59:00Z" })),
    undefined,
  );
});

test("the policy makes a run where a member is above it, not more often than its interval", () => {
  const spec = {
    maintenance: { defrag: { quotaUsageAbove: "80%", minReclaim: 10, minIntervalSeconds: 3_600 } },
  };
  const full: Situation = { spec, sizes: [90, 50, 100] };
  const step = stepOf(full);
  assert.ok(step.kind === "Act" && step.action.kind === "CreateDefrag", JSON.stringify(step));
  assert.deepEqual(step.action.spec.rule, { all: false, quotaUsageAbove: "80%", minReclaim: 10 });
  assert.match(step.action.name, /^c-policy-/);
  assert.equal(stepOf({ ...full, sizes: [79, 50, 100] }).kind, "Rest");
  assert.equal(stepOf({ ...full, status: { defragmentedAt: "2026-01-01T11:00:01Z" } }).kind, "Rest");
  assert.equal(stepOf({ ...full, status: { defragmentedAt: "2026-01-01T11:00:00Z" } }).kind, "Act");
  assert.equal(stepOf({ ...full, silent: ["c-1"] }).kind, "Rest");
  assert.equal(begun({ ...full, defrags: [runOf(outcomes("Pending"))] }), "Defragment c-0");
});
