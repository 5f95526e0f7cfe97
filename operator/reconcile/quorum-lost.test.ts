// Two of three disks are gone: nobody can tell any more which member counts. The operator says so soon, and touches
// neither members nor volumes, however long it lasts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Run } from "./testing/run.ts";

test("a lost quorum is told within 30 s, and nothing is taken away", async () => {
  const run = new Run({ spec: { storage: { size: "1Gi", reclaimPolicy: "Delete" } } });
  await run.until(() => run.isReady());
  const before = {
    members: run.world.entries.map(({ id }) => id),
    volumes: run.world.api.all("persistentvolumeclaims").map(({ metadata }) => metadata.uid),
    objects: run.world.api.all("etcdlikemembers").map(({ metadata }) => metadata.uid),
  };
  const [survivor, ...lost] = run.world.podNames();
  for (const name of lost) run.world.wipe(name);
  const available = () => run.cluster().status?.conditions?.find(({ type }) => type === "Available");
  const lostAtMs = run.world.nowMs;
  await run.until(() => available()?.reason === "QuorumLost", 30);
  assert.equal(available()?.status, "False");
  assert.ok(run.world.nowMs - lostAtMs <= 30_000);
  const calls = run.world.history.length;
  for (let second = 0; second < 3_600; second++) {
    await run.passes();
    run.world.tick();
  }
  assert.equal(run.world.history.length, calls, "no member was asked to change anything");
  assert.deepEqual(
    {
      members: run.world.entries.map(({ id }) => id),
      volumes: run.world.api.all("persistentvolumeclaims").map(({ metadata }) => metadata.uid),
      objects: run.world.api.all("etcdlikemembers").map(({ metadata }) => metadata.uid),
    },
    before,
  );
  assert.ok(run.world.api.all("persistentvolumeclaims").every(({ metadata }) => isLive(metadata)));
  assert.ok(run.world.podNames().includes(survivor ?? ""));
  assert.equal(available()?.reason, "QuorumLost");
});

function isLive(metadata: { readonly deletionTimestamp?: string; readonly labels?: object }): boolean {
  const marks: Readonly<Record<string, unknown>> = { ...metadata.labels };
  return metadata.deletionTimestamp === undefined && marks["etcdlike.io/quarantined"] === undefined;
}
