// Leases across members: whoever is asked, the leader answers.

import type { ClusterGroup } from "./run.ts";

const id = 77;
const timeoutMs = 20_000;

export const leaseCases: ClusterGroup = {
  name: "leases",
  cases: [
    {
      name: "L4 a lease is granted through one member and kept alive at once through every other one",
      async run(t) {
        const { leader, followers } = await t.roles();
        for (const [i, granting] of [leader, ...followers].entries()) {
          await t.call(granting, "LeaseGrant", { ID: id + i, TTL: 600 });
          for (const member of t.cluster.members) {
            const stream = t.client(member).keepAlive();
            stream.send({ ID: id + i });
            await stream.until((received) => received.length === 1, timeoutMs);
            const [answer] = stream.received;
            t.record(`keepalive: TTL ${answer?.["TTL"]}, ID ${answer?.["ID"]}, ended ${stream.ended?.text}`);
            stream.cancel();
          }
        }
      },
    },
    {
      name: "the time to live and the keys of a lease are the same through every member",
      async run(t) {
        const { leader, followers } = await t.roles();
        await t.ask(leader, "Put", { key: "leased", value: "1", lease: id });
        for (const member of [leader, ...followers]) {
          for (const keys of [false, true]) {
            const answer = await t.ask(member, "LeaseTimeToLive", { ID: id, keys });
            const { TTL, grantedTTL, keys: found } = answer;
            const isFresh = Number(TTL) > 500 && Number(TTL) <= 600;
            t.record(`TTL ${isFresh ? "fresh" : TTL}, granted ${grantedTTL}, keys ${String(found)}`);
          }
        }
      },
    },
    {
      name: "a lease that is none is told so by every member",
      async run(t) {
        for (const member of t.cluster.members) {
          const answer = await t.ask(member, "LeaseTimeToLive", { ID: 999, keys: true });
          t.record(`time to live: TTL ${answer["TTL"]}, granted ${answer["grantedTTL"]}`);
          await t.call(member, "LeaseRevoke", { ID: 999 });
          const stream = t.client(member).keepAlive();
          stream.send({ ID: 999 });
          await stream.until((received) => received.length === 1, timeoutMs);
          t.record(`keepalive: TTL ${stream.received[0]?.["TTL"]}`);
          stream.cancel();
        }
      },
    },
    {
      name: "a lease revoked through one member is gone for every other one",
      async run(t) {
        const { leader, followers } = await t.roles();
        await t.call(followers[0] ?? leader, "LeaseRevoke", { ID: id });
        for (const member of t.cluster.members) {
          const answer = await t.ask(member, "LeaseTimeToLive", { ID: id });
          t.record(`TTL ${answer["TTL"]}`);
          const range = await t.ask(member, "Range", { key: "leased" });
          t.record(`keys ${range["count"] ?? 0}`);
        }
      },
    },
    {
      name: "L2 a leader change lets a lease live on, with its whole time",
      async run(t) {
        const { leader, followers } = await t.roles();
        const next = followers[0] ?? leader;
        await t.ask(leader, "LeaseGrant", { ID: 500, TTL: 60 });
        await t.ask(leader, "MoveLeader", { targetID: await t.idOf(next) });
        await t.roles();
        for (const member of t.cluster.members) {
          const answer = await t.ask(member, "LeaseTimeToLive", { ID: 500 });
          const left = Number(answer["TTL"]);
          t.record(`TTL ${left > 50 && left <= 61 ? "whole" : left}`);
        }
      },
    },
  ],
};
