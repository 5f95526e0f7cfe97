// A voter whose volume went back to an older state (a copy, a snapshot of the disk) has forgotten entries that it
// acknowledged. It must not count for them again.
import assert from "node:assert/strict";
import { cp, rm } from "node:fs/promises";
import { test } from "node:test";
import type { MemberKind } from "../../tools/member.ts";
import { type Place, TestCluster } from "../support/clusters.ts";
import { keyValue, put } from "../support/kv.ts";
import { scratchFolder } from "../support/scratch.ts";

const timeout = 180_000;

for (const leaderKind of ["etcdlike", "etcd"] as const satisfies readonly MemberKind[]) {
  test(`a voter restored to an older state ends with DATA_LOST under a leader of kind ${leaderKind}`, {
    timeout,
  }, async (t) => {
    const cluster = await TestCluster.start(t, { kinds: [leaderKind, leaderKind, "etcdlike"] });
    const voter = cluster.place(2);
    if ((await cluster.leader()) === voter) await cluster.moveLeader(cluster.place(0));
    const leader = await cluster.leader();
    await put(leader.client, "before", "1");
    await voter.stop();
    const copy = `${await scratchFolder(t)}/copy`;
    await cp(voter.dataDir, copy, { recursive: true });
    await voter.start();
    for (let i = 0; i < 20; i++) await put(voter.client, `after/${i}`, "1");

    await voter.stop();
    await rm(voter.dataDir, { recursive: true });
    await cp(copy, voter.dataDir, { recursive: true });
    assert.match(await endOf(voter), /"reason":"DATA_LOST"/);
    assert.equal(await keyValue(leader.client, "after/19"), "1");
  });
}

/** What it printed. It may be ready before the leader tells it on a stream: what is only posted does not count. */
async function endOf(place: Place): Promise<string> {
  try {
    await place.start();
  } catch (error) {
    return String(error);
  }
  return (await place.ended()).log;
}
