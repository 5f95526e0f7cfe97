// A cluster that loses members: what still works with two of three, and what one alone answers.

import { must } from "../../../node/lib/assert.ts";
import type { Outcome } from "../client.ts";
import { type ClusterGroup, type ClusterRun, pause } from "./run.ts";

const hasLeader = { hasleader: "true" };
const streamTimeoutMs = 20_000;

/** How long a call took, in words that do not differ from run to run. */
async function timed(t: ClusterRun, name: string, call: () => Promise<Outcome>): Promise<void> {
  const startedMs = performance.now();
  const outcome = await call();
  const seconds = (performance.now() - startedMs) / 1000;
  const text = outcome.ok ? "answered" : `error ${outcome.code} "${outcome.text}"`;
  t.record(
    `${name}: ${text} ${seconds < 3 ? "soon" : seconds < 6 ? "between" : "after the request timeout"}`,
  );
}

export const quorumCases: ClusterGroup = {
  name: "quorum",
  cases: [
    {
      name: "R19 with one of three down members go, and a voter does not come",
      async run(t) {
        const { leader, followers } = await t.roles();
        const down = must(followers[0], "there are followers");
        const up = must(followers[1], "there are two followers");
        await t.settle();
        const ID = await t.idOf(down);
        await t.cluster.kill(down);
        // A URL that is taken: until the loss is noticed the change is let through, and then this one changes nothing.
        await t.until(
          leader,
          "MemberAdd",
          { peerURLs: [up.peerUrl] },
          (outcome) => !outcome.ok && outcome.text.includes("unhealthy"),
        );
        await t.call(leader, "MemberRemove", { ID: await t.idOf(up) });
        await t.call(leader, "MemberRemove", { ID: await t.idOf(leader) });
        await t.call(leader, "Put", { key: "a", value: "1" });
        await t.call(up, "Range", { key: "a" });
        await t.call(up, "Put", { key: "b", value: "2" }, hasLeader);
        t.record(`the id of the member that is down is ${ID}`);
      },
    },
    {
      name: "without a quorum writes and linearizable reads time out, serializable reads do not, and streams end",
      async run(t) {
        const { leader, followers } = await t.roles();
        const last = must(followers[0], "there is a follower");
        const watch = t.client(last).watch(hasLeader);
        watch.send({ create_request: { key: "a" } });
        await watch.until((received) => received.length === 1, streamTimeoutMs);
        const patient = t.client(last).watch();
        patient.send({ create_request: { key: "a" } });
        await patient.until((received) => received.length === 1, streamTimeoutMs);
        const keepAlive = t.client(last).keepAlive(hasLeader);
        await t.cluster.kill(leader);
        await watch.until(() => false, streamTimeoutMs);
        t.record(`watch that requires a leader: ${watch.ended?.code} "${watch.ended?.text}"`);
        for (const message of watch.received) {
          t.record(`  canceled ${message["canceled"]} "${message["cancel_reason"]}"`);
        }
        await keepAlive.until(() => false, streamTimeoutMs);
        t.record(`keepalive that requires a leader: ${keepAlive.ended?.code} "${keepAlive.ended?.text}"`);
        t.record(`watch that does not: ${patient.ended?.text}`);
        patient.cancel();
        const client = t.client(last);
        const put = { key: "c", value: "1" };
        await timed(t, "put that requires a leader", () => client.call("Put", put, hasLeader));
        await timed(t, "range that requires a leader", () =>
          client.call("Range", { key: "a", serializable: true }, hasLeader),
        );
        await timed(t, "serializable range", () => client.call("Range", { key: "a", serializable: true }));
        await timed(t, "put", () => client.call("Put", put));
        await timed(t, "linearizable range", () => client.call("Range", { key: "a" }));
        await timed(t, "linearizable list", () => client.call("MemberList", { linearizable: true }));
        await timed(t, "list", () => client.call("MemberList", {}));
        await timed(t, "time to live", () => client.call("LeaseTimeToLive", { ID: 1 }));
        await timed(t, "hash", () => client.call("HashKV", {}));
        await timed(t, "promote", () => client.call("MemberPromote", { ID: 1 }));
        await timed(t, "move leader", () => client.call("MoveLeader", { targetID: 1 }));
        await timed(t, "validate a downgrade", () =>
          client.call("Downgrade", { action: "VALIDATE", version: "3.5" }),
        );
        const keepAliveOf = client.keepAlive();
        keepAliveOf.send({ ID: 1 });
        await keepAliveOf.until(() => false, streamTimeoutMs);
        t.record(`keepalive: ${keepAliveOf.ended?.code} "${keepAliveOf.ended?.text}"`);
        const status = await t.ask(last, "Status", {});
        t.record(`status: leader ${status["leader"]}, errors ${status["errors"]}`);
      },
    },
    {
      name: "the members that come back go on",
      async run(t) {
        for (const member of t.cluster.members) {
          if (member.process === undefined) await t.cluster.run(member, "new");
        }
        await t.roles();
        await pause(1000);
        for (const member of t.cluster.members) await t.call(member, "Range", { key: "a", keys_only: true });
      },
    },
  ],
};
