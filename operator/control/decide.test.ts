// Decisions as tables: what is there, and the one next thing. Runs over many passes are in
// reconcile/crash-safety.test.ts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { exitReasonOf, exitReasons } from "../model/exits.ts";
import { memberOfPeerUrl, peerUrlOf } from "../model/names.ts";
import type { Observation } from "../model/observation.ts";
import { canRemove, canRestart, quorumOf } from "../model/quorum.ts";
import { decide } from "./decide.ts";
import { observationOf, type Situation } from "./testing/situation.ts";

function next(situation: Situation): string {
  const { step } = decide(observationOf(situation));
  switch (step.kind) {
    case "Act":
      return [
        step.action.kind,
        "name" in step.action ? step.action.name : "",
        "member" in step.action ? step.action.member : "",
      ]
        .filter((part) => part !== "")
        .join(" ");
    case "Begin":
      return `Begin ${step.operation.type} ${step.operation.member}`;
    case "Wait":
      return `Wait ${step.reason}`;
    default:
      return step.kind;
  }
}

test("quorum, and what a cluster stands", () => {
  const table = [1, 2, 3, 4, 5, 7, 9].map((voters) => [voters, quorumOf(voters)]);
  assert.deepEqual(table, [
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 3],
    [5, 3],
    [7, 4],
    [9, 5],
  ]);
  assert.equal(canRestart({ voters: 3, healthyOthers: 2 }), true);
  assert.equal(canRestart({ voters: 3, healthyOthers: 1 }), false);
  assert.equal(canRestart({ voters: 2, healthyOthers: 1 }), false);
  assert.equal(canRestart({ voters: 1, healthyOthers: 0 }), true);
  assert.equal(canRemove({ voters: 3, healthyOthers: 2 }), true);
  assert.equal(canRemove({ voters: 3, healthyOthers: 1 }), false);
  assert.equal(canRemove({ voters: 2, healthyOthers: 1 }), true);
  assert.equal(canRemove({ voters: 1, healthyOthers: 0 }), false);
});

test("a healthy cluster of the right size rests, and says it is Ready", () => {
  assert.equal(next({}), "Rest");
  const { status } = decide(observationOf({}));
  assert.equal(status.conditions?.find((one) => one.type === "Ready")?.status, "True");
  assert.equal(status.quorum, "3/2 (+1)");
});

const byExit: Readonly<Record<(typeof exitReasons)[number], string>> = {
  WAL_DAMAGED: "Begin Replace c-1",
  STORE_DAMAGED: "Begin Replace c-1",
  DATA_LOST: "Begin Replace c-1",
  REMOVED: "Rest",
  DISK_FULL: "Rest",
  IO_ERROR: "Rest",
  CLUSTER_MISMATCH: "Rest",
  UNKNOWN_ENTRY: "Rest",
  LOCKED: "Rest",
};

for (const reason of exitReasons) {
  test(`a member that ended with ${reason}`, () => {
    assert.equal(next({ exits: { "c-1": { reason, restarts: 1 } } }), byExit[reason]);
  });
}

test("an I/O error is worth one restart", () => {
  assert.equal(next({ exits: { "c-1": { reason: "IO_ERROR", restarts: 2 } } }), "Begin Replace c-1");
});

test("what only a person can cure is never replaced, however long it lasts", () => {
  for (const reason of ["DISK_FULL", "CLUSTER_MISMATCH", "UNKNOWN_ENTRY", "LOCKED"] as const) {
    assert.equal(next({ exits: { "c-1": { reason, restarts: 99 } }, awaySeconds: 86_400 }), "Rest");
  }
});

test("a member that is away without a reason is given time, then replaced", () => {
  assert.equal(next({ silent: ["c-1"], awaySeconds: 899 }), "Rest");
  assert.equal(next({ silent: ["c-1"], awaySeconds: 900 }), "Begin Replace c-1");
});

test("a member without a node is waited for longer while one is cordoned", () => {
  const full = "0/3 nodes are available: 3 Insufficient memory.";
  const cordoned =
    "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match PersistentVolume's node affinity.";
  const away = (message: string, awaySeconds: number) =>
    next({ silent: ["c-1"], unschedulable: { "c-1": message }, awaySeconds });
  assert.equal(away(full, 900), "Begin Replace c-1");
  assert.equal(away(cordoned, 14_399), "Rest");
  assert.equal(away(cordoned, 14_400), "Begin Replace c-1");
  // Never sooner than without a cordon.
  const spec = { healing: { replaceAfterSeconds: 900, maintenanceSeconds: 10, maxReplacementsPerHour: 2 } };
  const impatient = { silent: ["c-1"], unschedulable: { "c-1": cordoned }, spec };
  assert.equal(next({ ...impatient, awaySeconds: 899 }), "Rest");
  assert.equal(next({ ...impatient, awaySeconds: 900 }), "Begin Replace c-1");
});

test("a learner without a node blocks, is given up in time, and says why", () => {
  const message = "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.";
  const adding = (startedAt: string): Situation => ({
    replicas: 4,
    silent: ["c-3"],
    unschedulable: { "c-3": message },
    status: { operation: { type: "Add", member: "c-3", reason: "r", startedAt, holder: "h" } },
    learners: ["c-3"],
  });
  assert.equal(next(adding("2026-01-01T11:59:00Z")), "Wait NoEligibleNode");
  const progressing = decide(observationOf(adding("2026-01-01T11:59:00Z"))).status.conditions?.find(
    (one) => one.type === "Progressing",
  );
  assert.equal(progressing?.reason, "Blocked");
  assert.ok(progressing?.message.includes(message), progressing?.message);
  assert.equal(next(adding("2026-01-01T11:49:00Z")), "Amend");
});

test("nothing is taken away while the rest would have no quorum", () => {
  const damaged = { reason: "WAL_DAMAGED", restarts: 1 } as const;
  assert.equal(next({ replicas: 5, exits: { "c-1": damaged, "c-2": damaged } }), "Begin Replace c-1");
  assert.equal(next({ exits: { "c-1": damaged }, silent: ["c-2"], hasQuorum: false }), "Wait QuorumLost");
  assert.equal(next({ replicas: 1, exits: { "c-0": damaged }, hasQuorum: false }), "Wait QuorumLost");
});

test("replacements are rate-limited, but not those the user asks for", () => {
  const replacedAt = ["2026-01-01T11:30:00Z", "2026-01-01T11:40:00Z"];
  const exits = { "c-1": { reason: "DATA_LOST", restarts: 1 } } as const;
  assert.equal(next({ exits, status: { replacedAt } }), "Wait RateLimited");
  assert.equal(next({ exits, status: { replacedAt: replacedAt.slice(1) } }), "Begin Replace c-1");
  assert.equal(next({ deleted: ["c-1"], status: { replacedAt } }), "Begin Replace c-1");
});

test("a paused cluster is only reported", () => {
  const exits = { "c-1": { reason: "DATA_LOST", restarts: 1 } } as const;
  assert.equal(next({ spec: { paused: true }, exits }), "Wait Paused");
});

test("no cluster is formed where volumes or members of one exist", () => {
  const unformed: Situation = { members: [], status: { clusterId: undefined } };
  assert.match(next(unformed), /^Begin Bootstrap c-0-....$/);
  assert.equal(next({ ...unformed, volumes: ["data-c-7-left"] }), "Wait VolumesExist");
  const adopting = { bootstrap: { adoptFrom: { clusterId: "c9" } } };
  assert.equal(next({ ...unformed, spec: adopting }), "Wait VolumesExist");
  assert.equal(next({ ...unformed, spec: adopting, volumes: ["data-c-7-left"] }), "Wait VolumesExist");
  assert.equal(next({ ...unformed, foreignMembers: ["c-0-gone"] }), "Wait Waiting");
  // The status was lost, and the members remember.
  assert.equal(next({ status: { clusterId: undefined } }), "Latch");
});

test("a missing Pod comes first, and only on a volume that is there", () => {
  assert.equal(next({ withoutPod: ["c-1"] }), "CreatePod c-1");
  assert.equal(next({ withoutPod: ["c-1"], withoutVolume: ["c-1"] }), "Begin Replace c-1");
});

test("changes of the Pods go to followers first and the leader last, one at a time", () => {
  assert.equal(next({ outdated: ["c-0", "c-1", "c-2"], leader: "c-0" }), "Begin Update c-1");
  assert.equal(next({ outdated: ["c-0", "c-2"], leader: "c-0" }), "Begin Update c-2");
  assert.equal(next({ outdated: ["c-0"], leader: "c-0" }), "Begin Update c-0");
  assert.equal(next({ outdated: ["c-0", "c-1"], silent: ["c-2"] }), "Wait Waiting");
  assert.equal(next({ outdated: ["c-1", "c-2"], silent: ["c-2"] }), "Begin Update c-2");
  assert.equal(next({ outdated: ["c-1"], spec: { updateStrategy: { type: "OnDelete" } } }), "Rest");
  assert.equal(
    next({ outdated: ["c-1"], exits: { "c-2": { reason: "UNKNOWN_ENTRY", restarts: 1 } } }),
    "Wait NotSafe",
  );
});

test("the leader hands over before its Pod goes", () => {
  const operation = (member: string) =>
    ({ type: "Update", member, reason: "r", startedAt: "2026-01-01T12:00:00Z", holder: "h" }) as const;
  assert.equal(
    next({ outdated: ["c-0"], leader: "c-0", status: { operation: operation("c-0") } }),
    "MoveLeader",
  );
  assert.equal(
    next({ outdated: ["c-0"], leader: "c-1", status: { operation: operation("c-0") } }),
    "DeletePod c-0",
  );
  assert.equal(
    next({ outdated: ["c-0"], leader: "c-1", silent: ["c-2"], status: { operation: operation("c-0") } }),
    "Wait NotSafe",
  );
});

test("who leaves first: the ill, then the highest slot, the leader last", () => {
  const target = { replicas: 5, spec: { replicas: 3 } };
  assert.equal(next({ ...target, leader: "c-0" }), "Begin Remove c-4");
  assert.equal(next({ ...target, leader: "c-4" }), "Begin Remove c-3");
  assert.equal(next({ ...target, silent: ["c-1"] }), "Begin Remove c-1");
});

test("hibernation stops the leader last and takes nothing else", () => {
  assert.equal(next({ spec: { replicas: 0 }, leader: "c-0" }), "DeletePod c-1");
  assert.equal(next({ spec: { replicas: 0 }, leader: "c-0", withoutPod: ["c-1", "c-2"] }), "DeletePod c-0");
  assert.equal(next({ spec: { replicas: 0 }, withoutPod: ["c-0", "c-1", "c-2"], hasQuorum: false }), "Rest");
});

test("a lost quorum is told, and only Pods are brought back", () => {
  const situation: Situation = { silent: ["c-1", "c-2"], hasQuorum: false, awaySeconds: 86_400 };
  assert.equal(next(situation), "Wait QuorumLost");
  const { status } = decide(observationOf(situation));
  const available = status.conditions?.find((one) => one.type === "Available");
  assert.deepEqual([available?.status, available?.reason], ["False", "QuorumLost"]);
  assert.equal(next({ ...situation, withoutPod: ["c-2"] }), "CreatePod c-2");
});

test("what somebody else put into the member list is taken out or replaced", () => {
  const learner = { id: "ff", name: "", peerUrl: "http://elsewhere:2380", isLearner: true };
  assert.equal(next({ strays: [learner] }), "Begin Remove id-ff");
});

test("a member that answers for another cluster is not believed", () => {
  const { status } = decide(observationOf({ foreign: ["c-2"] }));
  const member = status.members?.find((one) => one.name === "c-2");
  assert.equal(member?.health, "Failed");
  assert.match(member?.reason ?? "", /answers for cluster bad/);
});

test("the same observation gives the same decision", () => {
  const observation: Observation = observationOf({ outdated: ["c-1"], silent: ["c-2"] });
  assert.deepEqual(decide(observation), decide(structuredClone(observation)));
});

test("a peer URL tells its member, and only of this cluster", () => {
  const { cluster } = observationOf({});
  assert.equal(peerUrlOf(cluster, "c-0"), "http://c-0.c-peer.default.svc:2380");
  assert.equal(memberOfPeerUrl(cluster, "http://c-0.c-peer.default.svc:2380"), "c-0");
  assert.equal(memberOfPeerUrl(cluster, "http://c-0.d-peer.default.svc:2380"), undefined);
});

test("the reason in a termination message is found among other lines", () => {
  assert.equal(exitReasonOf('{"reason":"WAL_DAMAGED","file":"x"}\n'), "WAL_DAMAGED");
  assert.equal(exitReasonOf('Error: boom\n{"reason":"DATA_LOST"}\n    at x'), "DATA_LOST");
  assert.equal(exitReasonOf('{"reason":"SOMETHING"}'), undefined);
  assert.equal(exitReasonOf("null\n"), undefined);
  assert.equal(exitReasonOf(""), undefined);
});
