import assert from "node:assert/strict";
import { test } from "node:test";
import { podFactOf, type VolumeClaim, volumeFactOf } from "./state.ts";

function claim(annotations: Record<string, string>, status: VolumeClaim["status"]): VolumeClaim {
  return {
    metadata: {
      name: "data-c-0-old",
      labels: { "etcdlike.io/member": "c-0-old", "etcdlike.io/slot": "2" },
      annotations: { "etcdlike.io/cluster-id": "c9", "etcdlike.io/cluster-uid": "uid", ...annotations },
    },
    spec: { resources: { requests: { storage: "2Gi" } } },
    ...(status === undefined ? {} : { status }),
  };
}

test("a claim says whose volume it was, and how large it is once it is bound", () => {
  const bound = volumeFactOf(
    claim({}, { phase: "Bound", capacity: { storage: "1Gi" }, conditions: [pending("True")] }),
  );
  assert.deepEqual(
    [bound.member, bound.slot, bound.clusterId, bound.clusterUid],
    ["c-0-old", 2, "c9", "uid"],
  );
  assert.deepEqual(bound.bound, {
    requestedBytes: 2 ** 31,
    capacityBytes: 2 ** 30,
    isFileSystemPending: true,
  });
  assert.equal(volumeFactOf(claim({}, { phase: "Pending" })).bound, undefined);
  assert.equal(volumeFactOf(claim({}, undefined)).bound, undefined);
});

test("a refused growth is read back, and whatever else stands in its place counts for nothing", () => {
  const refusal = { size: "3Gi", atMs: 5, message: "no" };
  const note = (text: string) => volumeFactOf(claim({ "etcdlike.io/resize-refusal": text }, undefined));
  assert.deepEqual(note(JSON.stringify(refusal)).resizeRefusal, refusal);
  for (const text of ["", "3Gi", "null", "{}", '{"size":3,"atMs":5,"message":"no"}']) {
    assert.equal(note(text).resizeRefusal, undefined, text);
  }
});

function pending(status: string) {
  return { type: "FileSystemResizePending", status };
}

test("a Pod says what the scheduler says, only while there is no node for it", () => {
  const fact = (condition: object) =>
    podFactOf({
      metadata: { name: "c-0-x" },
      status: { conditions: [{ type: "PodScheduled", status: "False", ...condition }] },
    });
  assert.equal(fact({ reason: "Unschedulable", message: "0/3 nodes" }).unschedulable, "0/3 nodes");
  assert.equal(fact({ reason: "SchedulingGated", message: "gated" }).unschedulable, undefined);
  assert.equal(fact({ status: "True" }).unschedulable, undefined);
});
