// Changes of the membership: what is refused, with which text, and in which order the checks come.

import { must } from "../../../node/lib/assert.ts";
import type { Outcome } from "../client.ts";
import type { Message } from "../messages.ts";
import { type ClusterGroup, pause } from "./run.ts";

/** Nobody's id. */
const strangerId = 4242n;

/** The id of the member that a MemberAdd answered with. */
export function addedId(outcome: Outcome): bigint {
  if (!outcome.ok) throw new Error(`MemberAdd: ${outcome.text}`);
  return (outcome.response["member"] as Message)["ID"] as bigint;
}

export const membershipCases: ClusterGroup = {
  name: "membership",
  cases: [
    {
      name: "every member lists the same members",
      async run(t) {
        for (const member of t.cluster.members) {
          await t.call(member, "MemberList", {});
          await t.call(member, "MemberList", { linearizable: true });
        }
      },
    },
    {
      name: "members are added with URLs that are some",
      async run(t) {
        const { followers } = await t.roles();
        const member = must(followers[0], "there are followers");
        const lists = [
          [],
          [""],
          ["127.0.0.1:1234"],
          ["http://127.0.0.1"],
          ["ftp://127.0.0.1:1234"],
          ["http://127.0.0.1:1234/path"],
          ["http://127.0.0.1:1234", "nonsense"],
          ["http://127.0.0.1:port"],
        ];
        for (const peerURLs of lists) await t.call(member, "MemberAdd", { peerURLs });
      },
    },
    {
      name: "nothing is done to a member that is none",
      async run(t) {
        for (const member of t.cluster.members) {
          await t.call(member, "MemberRemove", { ID: strangerId });
          await t.call(member, "MemberUpdate", { ID: strangerId, peerURLs: ["http://127.0.0.1:1"] });
          await t.call(member, "MemberPromote", { ID: strangerId });
        }
      },
    },
    {
      name: "a URL belongs to one member",
      async run(t) {
        const { leader, followers } = await t.roles();
        const follower = must(followers[0], "there are followers");
        await t.settle();
        await t.call(follower, "MemberAdd", { peerURLs: [leader.peerUrl] });
        await t.call(follower, "MemberAdd", { peerURLs: [leader.peerUrl], isLearner: true });
        const ID = await t.idOf(follower);
        await t.call(leader, "MemberUpdate", { ID, peerURLs: [leader.peerUrl] });
        await t.call(leader, "MemberUpdate", { ID, peerURLs: [follower.peerUrl, follower.peerUrl] });
        await t.call(leader, "MemberUpdate", { ID, peerURLs: [follower.peerUrl] });
      },
    },
    {
      name: "a voter is not promoted",
      async run(t) {
        const { leader, followers } = await t.roles();
        const ID = await t.idOf(leader);
        for (const member of [leader, ...followers]) await t.call(member, "MemberPromote", { ID });
      },
    },
    {
      name: "a learner that never started is one of at most one, cannot be promoted, and its id is never used again",
      async run(t) {
        const { leader, followers } = await t.roles();
        const follower = must(followers[0], "there are followers");
        await t.settle();
        const outcome = await t.client(follower).call("MemberAdd", {
          peerURLs: ["http://127.0.0.1:9"],
          isLearner: true,
        });
        const ID = addedId(outcome);
        t.name(ID, "new");
        for (const member of [leader, ...followers]) {
          await t.until(member, "MemberList", {}, (one) => {
            const members = one.ok ? (one.response["members"] as readonly Message[]) : [];
            return members.length === 4;
          });
        }
        await t.call(follower, "MemberAdd", { peerURLs: ["http://127.0.0.1:10"], isLearner: true });
        // An id is made of the URLs and the second.
        await pause(1_500);
        await t.call(follower, "MemberAdd", { peerURLs: ["http://127.0.0.1:9"] });
        for (const member of [leader, ...followers]) await t.call(member, "MemberPromote", { ID });
        await t.call(leader, "MemberUpdate", { ID, peerURLs: ["http://127.0.0.1:11"] });
        await t.call(leader, "MoveLeader", { targetID: ID });
        await t.call(follower, "MemberRemove", { ID });
        await t.call(follower, "MemberRemove", { ID });
        await t.call(follower, "MemberUpdate", { ID, peerURLs: ["http://127.0.0.1:11"] });
        await t.call(follower, "MemberPromote", { ID });
        await t.call(leader, "MemberPromote", { ID });
      },
    },
    {
      name: "voters that were added and have not started count as members that are down",
      async run(t) {
        const { leader, followers } = await t.roles();
        const follower = must(followers[0], "there are followers");
        await t.settle();
        const ID = addedId(await t.client(leader).call("MemberAdd", { peerURLs: ["http://127.0.0.1:12"] }));
        t.name(ID, "new");
        await t.call(leader, "MemberAdd", { peerURLs: ["http://127.0.0.1:13"] });
        await t.call(leader, "MemberAdd", { peerURLs: ["http://127.0.0.1:14"] });
        await t.call(leader, "MemberRemove", { ID: await t.idOf(follower) });
        await t.call(leader, "MemberRemove", { ID });
        await t.call(leader, "MemberList", { linearizable: true });
      },
    },
    {
      name: "leadership moves to voters, at the leader's hand only",
      async run(t) {
        const { leader, followers } = await t.roles();
        const follower = must(followers[0], "there are followers");
        await t.call(follower, "MoveLeader", { targetID: await t.idOf(leader) });
        await t.call(follower, "MoveLeader", { targetID: strangerId });
        await t.call(leader, "MoveLeader", { targetID: strangerId });
        await t.call(leader, "MoveLeader", { targetID: await t.idOf(leader) });
        await t.call(leader, "MoveLeader", { targetID: await t.idOf(follower) });
        await t.eventually(
          "the follower leads",
          async () => (await t.ask(follower, "Status", {}))["leader"] === (await t.idOf(follower)),
        );
        t.record("the follower leads");
      },
    },
  ],
};
