// Volumes as tables: when they grow, and when those of a former cluster are taken over.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Observation, VolumeFact } from "../model/observation.ts";
import { decide } from "./decide.ts";
import { observationOf, type Situation } from "./testing/situation.ts";

const Gi = 2 ** 30;

/** A healthy cluster whose volumes are as given, by slot. */
function withVolumes(situation: Situation, ...changes: readonly Partial<VolumeFact>[]): Observation {
  const observation = observationOf(situation);
  const volumes = observation.volumes.map((volume, i) => ({ ...volume, ...changes[i] }));
  return { ...observation, volumes };
}

function bound(requested: number, capacity: number, isFileSystemPending = false): Partial<VolumeFact> {
  return { bound: { requestedBytes: requested * Gi, capacityBytes: capacity * Gi, isFileSystemPending } };
}

function storageOf(observation: Observation): readonly [string, string, string] {
  const found = decide(observation).status.conditions?.find(({ type }) => type === "StorageReady");
  return [found?.status ?? "", found?.reason ?? "", found?.message ?? ""];
}

function actionOf(observation: Observation): string {
  const { action, step } = decide(observation);
  return action === undefined ? step.kind : `${action.kind} ${"name" in action ? action.name : ""}`;
}

const storage = { storage: { size: "2Gi", reclaimPolicy: "Retain" } } as const;
/** The members' objects know the size already. */
const grown = (observation: Observation): Observation => ({
  ...observation,
  members: observation.members.map((one) => ({
    ...one,
    spec: { ...one.spec, storage: { size: "2Gi" } },
  })),
});

test("volumes that have what spec asks for are left alone", () => {
  assert.equal(actionOf(observationOf({})), "Rest");
  assert.deepEqual(storageOf(observationOf({})).slice(0, 2), ["True", "Sized"]);
  assert.equal(actionOf(withVolumes({}, bound(5, 5))), "Rest", "one that is larger stays");
});

test("a larger size goes to the members' objects and to their claims", () => {
  const wanted = observationOf({ spec: storage });
  assert.equal(actionOf(wanted), "UpdateMember c-0");
  assert.equal(actionOf(grown(wanted)), "ResizeVolume data-c-0");
  assert.equal(actionOf(grown(withVolumes({ spec: storage }, bound(2, 1)))), "ResizeVolume data-c-1");
  const asked = grown(withVolumes({ spec: storage }, bound(2, 2), bound(2, 1), bound(2, 1, true)));
  assert.equal(actionOf(asked), "Rest");
  assert.deepEqual(storageOf(asked).slice(0, 2), ["False", "Resizing"]);
});

test("volumes grow while members are down, even all of them", () => {
  const full = { reason: "DISK_FULL", restarts: 3 } as const;
  const situation: Situation = { spec: storage, exits: { "c-0": full, "c-1": full, "c-2": full } };
  assert.equal(actionOf(grown(observationOf({ ...situation, hasQuorum: false }))), "ResizeVolume data-c-0");
  assert.equal(actionOf(grown(observationOf({ spec: { ...storage, paused: true } }))), "Wait");
});

test("a volume that cannot grow is told about, and asked again only after a while or for another size", () => {
  const { nowMs } = observationOf({});
  const refusal = (size: string, ageSeconds: number): Partial<VolumeFact> => ({
    ...bound(1, 1),
    resizeRefusal: { size, atMs: nowMs - ageSeconds * 1_000, message: "the class does not allow it" },
  });
  const others = [bound(2, 2), bound(2, 2)];
  const refused = grown(withVolumes({ spec: storage }, refusal("2Gi", 599), ...others));
  assert.equal(actionOf(refused), "Rest");
  const [status, reason, message] = storageOf(refused);
  assert.deepEqual([status, reason], ["False", "ResizeRefused"]);
  assert.match(message, /data-c-0 cannot become 2Gi: the class does not allow it/);
  for (const change of [refusal("2Gi", 600), refusal("3Gi", 0)]) {
    assert.equal(actionOf(grown(withVolumes({ spec: storage }, change, ...others))), "ResizeVolume data-c-0");
  }
});

test("a claim without a volume is waited for, not resized", () => {
  const { bound: _, ...unbound } = observationOf({}).volumes[0] ?? assert.fail();
  const observation = grown(observationOf({ spec: storage }));
  const [, ...others] = withVolumes({}, {}, bound(2, 2), bound(2, 2)).volumes;
  const waiting = { ...observation, volumes: [unbound, ...others] };
  assert.equal(actionOf(waiting), "Rest");
  assert.deepEqual(storageOf(waiting).slice(0, 2), ["False", "NotBound"]);
});

/** A new object of the cluster's name, and volumes of the cluster c9 that was before. */
function after(spec: object, ...volumes: readonly Partial<VolumeFact>[]): Observation {
  const observation = observationOf({ members: [], status: { clusterId: undefined }, spec });
  return {
    ...observation,
    volumes: volumes.map((change, slot) => ({
      name: `data-c-${slot}-old`,
      isTerminating: false,
      isQuarantined: false,
      isLost: false,
      clusterId: "c9",
      clusterToken: "old-token",
      clusterUid: "old-uid",
      member: `c-${slot}-old`,
      slot,
      ...change,
    })),
  };
}

const adopting = { bootstrap: { adoptFrom: { clusterId: "c9" } } };

test("volumes of a former cluster block a new one, and the message says how they are taken over", () => {
  const { step, status } = decide(after({}, {}, { isQuarantined: true }));
  assert.ok(step.kind === "Wait" && step.reason === "VolumesExist");
  assert.match(step.message, /data-c-0-old \(of cluster c9\), data-c-1-old \(of cluster c9, put aside\)/);
  assert.match(step.message, /spec\.bootstrap\.adoptFrom\.clusterId: c9/);
  assert.equal(status.conditions?.find(({ type }) => type === "Progressing")?.reason, "Blocked");
});

test("on request they become members of their old names, and what is put aside or foreign does not", () => {
  const observation = after(adopting, {}, {}, { isQuarantined: true }, { clusterId: "c8" });
  const begin = decide(observation).step;
  assert.ok(begin.kind === "Begin");
  assert.deepEqual(
    [begin.operation.type, begin.operation.member, begin.operation.clusterId],
    ["Adopt", "c-0-old", "c9"],
  );
  const status = { ...observation.cluster.status, operation: begin.operation };
  const cluster = { ...observation.cluster, status };
  const { action } = decide({ ...observation, cluster });
  assert.ok(action?.kind === "CreateMember");
  assert.equal(action.name, "c-0-old");
  const { role, slot, clusterId, clusterToken, volumeName, initialCluster } = action.spec;
  assert.deepEqual(
    { role, slot, clusterId, clusterToken, volumeName },
    { role: "Joiner", slot: 0, clusterId: "c9", clusterToken: "old-token", volumeName: "data-c-0-old" },
  );
  assert.deepEqual(
    initialCluster?.split(",").map((pair) => pair.split("=")[0]),
    ["c-0-old", "c-1-old"],
  );
});

test("where nothing of the cluster named is there, none is formed in its place", () => {
  for (const observation of [after(adopting), after(adopting, { clusterId: "c8" })]) {
    const { step } = decide(observation);
    assert.ok(step.kind === "Wait" && step.reason === "VolumesExist");
    assert.match(step.message, /no volume of the cluster c9 can be taken over/);
  }
});
