// kill -9 of the leader under load, time after time: how long until a write that began after it is acknowledged, and
// whether everything that was acknowledged is still there. `--subject etcd` measures a real cluster.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ClusterLoad } from "../support/cluster-load.ts";
import { expectAgreement, type Place, TestCluster } from "../support/clusters.ts";
import { isFull, subject } from "../support/mode.ts";

const kills = isFull ? 50 : 6;
const timeout = 60_000 + kills * 60_000;
const probeIntervalMs = 10;
const probeTimeoutMs = 60_000;
const writesBetween = 200;

test(`the leader killed under load ${kills} times loses nothing that was acknowledged`, {
  timeout,
}, async (t) => {
  const cluster = await TestCluster.start(t, { kinds: [subject, subject, subject] });
  const load = new ClusterLoad(cluster);
  load.start();
  const tookMs: number[] = [];
  for (let round = 0; round < kills; round++) {
    await load.goesOn(writesBetween);
    const leader = await cluster.leader();
    const survivors = cluster.places.filter((place) => place !== leader);
    const killedAt = performance.now();
    await leader.kill();
    tookMs.push((await firstWrite(survivors, round)) - killedAt);
    await load.goesOn(writesBetween);
    await leader.start();
  }
  await load.stop();
  await load.expectKept();
  await expectAgreement(cluster);
  tookMs.sort((a, b) => a - b);
  const at = (share: number) => (tookMs[Math.min(kills - 1, Math.floor(kills * share))] ?? 0).toFixed(0);
  t.diagnostic(`first write after the kill: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, ${kills} kills`);
  t.diagnostic(load.summary());
});

/** When the first write was acknowledged that was sent after this call. New ones are sent all the time, to both. */
async function firstWrite(survivors: readonly Place[], round: number): Promise<number> {
  let acknowledgedAt: number | undefined;
  const end = performance.now() + probeTimeoutMs;
  for (let i = 0; acknowledgedAt === undefined; i++) {
    assert.ok(performance.now() < end, `no write is acknowledged within ${probeTimeoutMs} ms`);
    for (const { client, name } of survivors)
      void client.call("Put", { key: `probe/${round}/${name}/${i}`, value: "x" }).then((outcome) => {
        if (outcome.ok) acknowledgedAt ??= performance.now();
      });
    await delay(probeIntervalMs);
  }
  return acknowledgedAt;
}
