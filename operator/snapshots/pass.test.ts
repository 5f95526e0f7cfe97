// Passes over snapshots and schedules, with the operator stopped at every single change, done or not, and started again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { annotations } from "../api/group.ts";
import { observationOf } from "../control/testing/situation.ts";
import { SnapshotWorld, type SnapshotWorldOptions } from "./testing/world.ts";

/** Every change both done and not; `npm run test:operator` sets it. */
const isFull = process.env["ETCDLIKE_CRASH_SAFETY"] === "full";
const { cluster } = observationOf({});
const s3 = {
  ...{ bucket: "backups", region: "us-east-1", forcePathStyle: true, credentialsSecretRef: { name: "keys" } },
};
const spec = {
  clusterRef: { name: "c" },
  destination: { s3 },
  deletionPolicy: "Delete",
  activeDeadlineSeconds: 3_600,
};
const [snapshots, schedules] = ["etcdlikesnapshots", "etcdlikesnapshotschedules"] as const;

type Options = Omit<SnapshotWorldOptions, "cluster">;

function verified(world: SnapshotWorld, name: string): string | undefined {
  const { conditions = [] } = world.status(snapshots, name) as {
    conditions?: { type: string; status: string }[];
  };
  return conditions.find(({ type }) => type === "Verified")?.status;
}

/** Taken, damaged, found out, and deleted with its file. */
async function oneSnapshot(options: Options): Promise<SnapshotWorld> {
  const world = new SnapshotWorld({ cluster, ...options });
  await world.create(snapshots, "one", { spec });
  await world.until(() => verified(world, "one") === "True");
  const [location] = [...world.artifacts.keys()];
  assert.ok(location !== undefined);
  assert.match(location, /^s3:\/\/backups\/c\/one-uid-/);
  assert.equal(world.artifacts.size, 1);
  world.artifacts.set(location, { isDamaged: true });
  world.api.edit(snapshots, "one", { metadata: { annotations: { [annotations.verify]: "now" } } });
  await world.until(() => verified(world, "one") === "False");
  assert.equal(world.artifacts.size, 1, "a damaged one is kept for whoever looks into it");
  await world.api.request({
    method: "DELETE",
    path: `/apis/etcdlike.io/v1alpha1/namespaces/default/${snapshots}/one`,
  });
  await world.until(() => world.names(snapshots).length === 0);
  assert.equal(world.artifacts.size, 0);
  return world;
}

/** Four times with two kept: the files are as many as the records. */
async function aSchedule(options: Options): Promise<SnapshotWorld> {
  const world = new SnapshotWorld({ cluster, ...options });
  const { clusterRef, ...template } = spec;
  const times = { schedule: "*/5 * * * *", timeZone: "Etc/UTC", suspend: false, concurrencyPolicy: "Forbid" };
  const retention = { keepLast: 2 };
  await world.create(schedules, "often", { spec: { clusterRef, ...times, template, retention } });
  const nameAt = (time: string) => `often-${Date.parse(`2026-03-10T${time}:00Z`) / 1000}`;
  await world.until(() => verified(world, nameAt("03:15")) === "True");
  await world.until(() => world.names(snapshots).length === 2);
  assert.deepEqual(world.names(snapshots), ["03:10", "03:15"].map(nameAt));
  assert.equal(world.artifacts.size, 2);
  assert.equal(world.status(schedules, "often")["lastScheduleTime"], "2026-03-10T03:15:00Z");
  return world;
}

for (const [name, play] of [
  ["a snapshot is taken, found damaged when asked again, and deleted", oneSnapshot],
  ["a schedule takes snapshots by the clock and keeps the last", aSchedule],
] as const) {
  test(`${name}, whatever change the operator stops at`, async () => {
    const whole = await play({});
    assert.ok(whole.changes > 7);
    for (let change = 0; change < whole.changes; change++) {
      for (const isDone of isFull ? [false, true] : [change % 2 === 0]) {
        try {
          const { crashes } = await play({ crashAt: { change, isDone } });
          assert.equal(crashes, 1);
        } catch (cause) {
          throw new Error(`stopped at change ${change}, ${isDone ? "done" : "not done"}`, { cause });
        }
      }
    }
  });
}
