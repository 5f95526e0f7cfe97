// What a learner answers, and how it becomes a voter.

import { must } from "../../../node/lib/assert.ts";
import type { TestStream } from "../client.ts";
import { addedId } from "./membership.ts";
import type { ClusterGroup, ClusterRun } from "./run.ts";

const timeoutMs = 20_000;

async function recordEnd(t: ClusterRun, name: string, stream: TestStream): Promise<void> {
  await stream.until(() => false, timeoutMs);
  t.record(
    `${name}: ${stream.received.length} messages, ended ${stream.ended?.code} "${stream.ended?.text}"`,
  );
  stream.cancel();
}

async function recordAnswers(t: ClusterRun): Promise<void> {
  const member = t.cluster.member(3);
  const calls: readonly [string, object][] = [
    ["Range", { key: "a" }],
    ["Range", { key: "a", serializable: true }],
    ["Put", { key: "b", value: "1" }],
    ["DeleteRange", { key: "b" }],
    ["Txn", {}],
    ["Compact", { revision: 1 }],
    ["LeaseGrant", { TTL: 60, ID: 5 }],
    ["LeaseRevoke", { ID: 5 }],
    ["LeaseTimeToLive", { ID: 5 }],
    ["LeaseLeases", {}],
    ["MemberList", {}],
    ["MemberList", { linearizable: true }],
    ["MemberPromote", { ID: 5 }],
    ["MoveLeader", { targetID: 5 }],
    ["Alarm", {}],
    ["HashKV", {}],
    ["Downgrade", { action: "VALIDATE", version: "3.5" }],
  ];
  for (const [method, request] of calls) {
    const outcome = await t.client(member).call(method, { ...request });
    t.record(`${method}: ${outcome.ok ? "answered" : `error ${outcome.code} "${outcome.text}"`}`);
  }
  const status = await t.ask(member, "Status", {});
  t.record(`status: learner ${status["isLearner"]}, errors ${status["errors"]}`);
}

export const learnerCases: ClusterGroup = {
  name: "learners",
  cases: [
    {
      name: "a learner joins, answers little, is promoted once it has caught up, and then answers everything",
      async run(t) {
        const { leader, followers } = await t.roles();
        const follower = must(followers[0], "there are followers");
        await t.ask(leader, "Put", { key: "a", value: "1" });
        await t.settle();
        const joining = await t.cluster.reserve(leader.kind);
        const outcome = await t
          .client(follower)
          .call("MemberAdd", { peerURLs: [joining.peerUrl], isLearner: true });
        const ID = addedId(outcome);
        t.name(ID, joining.name);
        await t.cluster.run(joining, "existing");
        await t.eventually("the learner has caught up", async () => {
          const answer = await t.ask(joining, "Range", { key: "a", serializable: true });
          return answer["count"] === 1n;
        });
        await recordAnswers(t);
        const watch = t.client(joining).watch();
        watch.send({ create_request: { key: "a" } });
        await recordEnd(t, "watch", watch);
        const keepAlive = t.client(joining).keepAlive();
        keepAlive.send({ ID: 5 });
        await recordEnd(t, "keepalive", keepAlive);
        await t.call(leader, "MoveLeader", { targetID: ID });
        await t.until(follower, "MemberPromote", { ID }, (one) => one.ok);
        await t.call(follower, "MemberPromote", { ID });
        await t.eventually("the promoted member knows", async () => {
          const status = await t.ask(joining, "Status", {});
          return status["isLearner"] === undefined;
        });
        await recordAnswers(t);
        await t.call(joining, "MemberList", { linearizable: true });
        const hashes = new Set<unknown>();
        for (const member of t.cluster.members) {
          await t.ask(member, "Range", { key: "a" });
          hashes.add((await t.ask(member, "HashKV", {}))["hash"]);
        }
        t.record(`hashes ${hashes.size}`);
      },
    },
  ],
};
