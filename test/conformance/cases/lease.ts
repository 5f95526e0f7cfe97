// Leases.
import type { Message } from "../messages.ts";
import { type Case, CaseFailure } from "./run.ts";

const notFound = 5;
const failedPrecondition = 9;
const outOfRange = 11;
const leaseGone = "etcdserver: requested lease not found";
const int64Max = 9223372036854775807n;
const int64Min = -9223372036854775808n;

export const leaseCases: readonly Case[] = [
  {
    name: "a time to live below the minimum becomes 2 s, one above the maximum is refused",
    async run(t) {
      for (const [i, ttl] of [0, 1, 2, -5].entries())
        await t.ok("LeaseGrant", { TTL: ttl, ID: 10 + i }, { TTL: 2 });
      await t.ok("LeaseGrant", { TTL: int64Min, ID: 20 }, { TTL: 2 });
      await t.ok("LeaseGrant", { TTL: 9_000_000_000, ID: 21 }, { TTL: 9_000_000_000 });
      const tooLarge = "etcdserver: too large lease TTL";
      await t.fails("LeaseGrant", { TTL: 9_000_000_001, ID: 22 }, outOfRange, tooLarge);
      await t.fails("LeaseGrant", { TTL: int64Max, ID: 22 }, outOfRange, tooLarge);
    },
  },
  {
    name: "any id but 0 is taken, a negative one too; a second grant of it is refused; 0 lets the server pick",
    async run(t) {
      for (const ID of [1_001n, -1_001n, int64Max, int64Min]) {
        await t.ok("LeaseGrant", { TTL: 9_000, ID }, { ID });
        await t.fails(
          "LeaseGrant",
          { TTL: 9_000, ID },
          failedPrecondition,
          "etcdserver: lease already exists",
        );
        await t.put(`id${ID}`, "v", { lease: ID });
        await t.ok("LeaseTimeToLive", { ID, keys: true }, { ID, grantedTTL: 9_000, keys: [`id${ID}`] });
        await t.ok("LeaseRevoke", { ID });
      }
      const picked = await t.ok("LeaseGrant", { TTL: 9_000 });
      if ((picked["ID"] as bigint) <= 0n) throw new CaseFailure("the server picks a positive id");
    },
  },
  {
    name: "a lease that is not there: TTL -1, keep-alive 0, revoke not found",
    async run(t) {
      await t.ok(
        "LeaseTimeToLive",
        { ID: 555, keys: true },
        { ID: 555, TTL: -1, grantedTTL: undefined, keys: undefined },
      );
      await t.ok("LeaseTimeToLive", { ID: 0 }, { TTL: -1 });
      await t.fails("LeaseRevoke", { ID: 555 }, notFound, leaseGone);
      await t.fails("LeaseRevoke", { ID: 0 }, notFound, leaseGone);
      const stream = t.keepAlive();
      stream.send({ ID: 555 });
      await stream.next({ ID: 555, TTL: undefined });
      stream.send({});
      await stream.next({ ID: undefined, TTL: undefined });
    },
  },
  {
    name: "a keep-alive answers with the full time",
    async run(t) {
      await t.ok("LeaseGrant", { TTL: 7_000, ID: 30 });
      const stream = t.keepAlive();
      for (const _ of [0, 1, 2]) {
        stream.send({ ID: 30 });
        await stream.next({ ID: 30, TTL: 7_000, header: { revision: t.base } });
      }
    },
  },
  {
    name: "a revoke deletes the lease's keys in key order in one revision, none without keys",
    async run(t) {
      await t.ok("LeaseGrant", { TTL: 7_000, ID: 40 });
      for (const key of ["v3", "v1", "v2"]) await t.put(key, key, { lease: 40 });
      const watch = t.watch();
      watch.create({ key: "v", range_end: "w", prev_kv: true });
      await watch.next({ created: true });
      await t.ok("LeaseRevoke", { ID: 40 }, { header: { revision: t.base + 4 } });
      const events = ["v1", "v2", "v3"].map((key) => ({
        type: "DELETE",
        kv: { key },
        prev_kv: { lease: 40 },
      }));
      await watch.next({ events });
      await t.ok("LeaseGrant", { TTL: 7_000, ID: 41 });
      await t.ok("LeaseRevoke", { ID: 41 }, { header: { revision: t.base + 4 } });
    },
  },
  {
    name: "a key belongs to the lease of its last put",
    async run(t) {
      await t.ok("LeaseGrant", { TTL: 7_000, ID: 50 });
      await t.ok("LeaseGrant", { TTL: 7_000, ID: 51 });
      await t.put("mv", "1", { lease: 50 });
      await t.put("mv", "2", { lease: 51 });
      await t.put("del", "1", { lease: 50 });
      await t.ok("DeleteRange", { key: "del" });
      await t.put("del", "2");
      await t.ok("LeaseTimeToLive", { ID: 50, keys: true }, { keys: undefined });
      await t.ok("LeaseTimeToLive", { ID: 51, keys: true }, { keys: ["mv"] });
      await t.ok("LeaseTimeToLive", { ID: 51 }, { keys: undefined, grantedTTL: 7_000 });
      await t.ok("LeaseRevoke", { ID: 50 });
      await t.ok("Range", { key: "mv" }, { count: 1 });
      await t.ok("Range", { key: "del" }, { count: 1 });
    },
  },
  {
    name: "leases are listed by when they end",
    isFresh: true,
    async run(t) {
      for (const [ID, TTL] of [
        [3, 9_000],
        [1, 5_000],
        [2, 7_000],
      ])
        await t.ok("LeaseGrant", { TTL, ID });
      await t.ok("LeaseLeases", {}, { leases: [{ ID: 1 }, { ID: 2 }, { ID: 3 }] });
      const stream = t.keepAlive();
      await t.ok("LeaseRevoke", { ID: 1 });
      stream.send({ ID: 3 });
      await stream.next({ TTL: 9_000 });
      await t.ok("LeaseLeases", {}, { leases: [{ ID: 2 }, { ID: 3 }] });
    },
  },
  {
    name: "an expired lease takes its keys with it in one revision",
    async run(t) {
      const watch = t.watch();
      watch.create({ key: "ex", range_end: "ey" });
      await watch.next({ created: true });
      await t.ok("LeaseGrant", { TTL: 2, ID: 60 });
      await t.ok("Txn", { success: ["ex2", "ex1"].map((key) => ({ request_put: { key, lease: 60 } })) });
      await watch.next({ events: [{}, {}] });
      const expired = ["ex1", "ex2"].map((key) => ({
        type: "DELETE",
        kv: { key, mod_revision: t.base + 2 },
      }));
      await watch.next({ events: expired });
      await t.ok("LeaseTimeToLive", { ID: 60 }, { TTL: -1 });
      await t.fails("LeaseRevoke", { ID: 60 }, notFound, leaseGone);
      await t.fails("Put", { key: "ex", lease: 60 }, notFound, leaseGone);
    },
  },
  {
    name: "a lease kept alive outlives its time, one that lost its keys expires without a revision",
    async run(t) {
      await t.ok("LeaseGrant", { TTL: 2, ID: 70 });
      await t.ok("LeaseGrant", { TTL: 2, ID: 71 });
      await t.put("kept", "1", { lease: 70 });
      const stream = t.keepAlive();
      await t.eventually("the other lease expires", async () => {
        stream.send({ ID: 70 });
        await stream.next({ ID: 70, TTL: 2 }, undefined, { isQuiet: true });
        const other = await t.quietly("LeaseTimeToLive", { ID: 71 });
        return other.ok && other.response["TTL"] === -1n;
      });
      await t.ok("Range", { key: "kept" }, { count: 1, header: { revision: t.base + 1 } });
      const left = await t.quietly("LeaseTimeToLive", { ID: 70 });
      if (!left.ok || ((left.response["TTL"] as bigint | undefined) ?? 0n) < 0n)
        throw new CaseFailure("the lease kept alive is gone");
    },
  },
  {
    name: "the time to live counts down",
    async run(t) {
      await t.ok("LeaseGrant", { TTL: 100, ID: 80 });
      await t.eventually("a second passes", async () => {
        const answer = await t.quietly("LeaseTimeToLive", { ID: 80 });
        const ttl = answer.ok ? (answer.response as Message)["TTL"] : undefined;
        return typeof ttl === "bigint" && ttl < 99n && ttl > 90n;
      });
    },
  },
];
