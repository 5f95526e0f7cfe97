import assert from "node:assert/strict";
import { test } from "node:test";
import { observationOf } from "../control/testing/situation.ts";
import { volumeClaimOf } from "./volume.ts";

test("a claim asks for the size of its member, the access mode of spec, and belongs to the cluster only under Delete", () => {
  const claim = (storage: object) =>
    volumeClaimOf(
      observationOf({
        spec: { storage: { size: "8Gi", accessMode: "ReadWriteOnce", reclaimPolicy: "Retain", ...storage } },
      }),
      "c-1",
    );
  assert.deepEqual(claim({})["spec"], {
    accessModes: ["ReadWriteOnce"],
    resources: { requests: { storage: "1Gi" } },
  });
  const { spec } = claim({ accessMode: "ReadWriteOncePod" }) as { spec: { accessModes: unknown } };
  assert.deepEqual(spec.accessModes, ["ReadWriteOncePod"]);
  const owners = (storage: object) =>
    (claim(storage)["metadata"] as { ownerReferences: readonly unknown[] }).ownerReferences.length;
  assert.deepEqual([owners({}), owners({ reclaimPolicy: "Delete" })], [0, 1]);
});

test("a claim that is not of a formed cluster yet goes with its member", () => {
  const formed = observationOf({});
  const members = formed.members.map(({ metadata, spec: { clusterId: _, ...spec } }) => ({ metadata, spec }));
  const { metadata } = volumeClaimOf({ ...formed, members }, "c-1") as { metadata: Record<string, unknown> };
  assert.deepEqual(metadata["ownerReferences"], [
    { apiVersion: "etcdlike.io/v1alpha1", kind: "EtcdLikeMember", name: "c-1", uid: "uid-of-c-1" },
  ]);
});
