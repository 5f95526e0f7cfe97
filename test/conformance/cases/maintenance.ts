// Maintenance and Cluster of a single member.
import type { Case } from "./run.ts";

const outOfRange = 11;

export const maintenanceCases: readonly Case[] = [
  {
    name: "the hash of a fresh store has compact revision -1",
    isFresh: true,
    async run(t) {
      await t.ok("HashKV", {}, { compact_revision: -1, hash_revision: 1 });
      await t.ok("HashKV", { revision: 1 }, { compact_revision: -1, hash_revision: 1 });
    },
  },
  {
    name: "the hash of a revision stays what it was, whatever is written after it",
    async run(t) {
      await t.put("a", "1");
      const before = await t.ok("HashKV", {}, { hash_revision: t.base + 1 });
      await t.put("a", "2");
      await t.ok("HashKV", { revision: t.base + 1 }, { hash: before["hash"] as bigint });
      await t.ok("HashKV", { revision: t.base + 2 }, { hash_revision: t.base + 2 });
    },
  },
  {
    name: "hashes below the compaction and above the current revision are refused",
    async run(t) {
      for (const value of ["1", "2", "3"]) await t.put("h", value);
      await t.ok("Compact", { revision: t.base + 2, physical: true });
      await t.fails(
        "HashKV",
        { revision: t.base + 1 },
        outOfRange,
        "etcdserver: mvcc: required revision has been compacted",
      );
      await t.fails(
        "HashKV",
        { revision: t.base + 9 },
        outOfRange,
        "etcdserver: mvcc: required revision is a future revision",
      );
      await t.ok("HashKV", { revision: t.base + 2 });
      await t.call("HashKV", { revision: -1 });
    },
  },
  {
    name: "hashes after deletes, leases, a compaction in the middle and at the end",
    async run(t) {
      await t.ok("LeaseGrant", { TTL: 9_000, ID: 90 });
      for (let i = 0; i < 40; i++) await t.put(`k${i % 7}`, `${i}`, i % 3 === 0 ? { lease: 90 } : {});
      await t.ok("DeleteRange", { key: "k3" });
      await t.ok("LeaseRevoke", { ID: 90 });
      await t.ok("HashKV", {});
      await t.ok("Compact", { revision: t.base + 20, physical: true });
      for (let i = 20; i <= 42; i++) await t.ok("HashKV", { revision: t.base + i });
      await t.ok("Compact", { revision: t.base + 42, physical: true });
      await t.ok("HashKV", {});
    },
  },
  {
    name: "the hash of a compaction stays to be asked for: the last ten, with the compaction before it",
    isFresh: true,
    async run(t) {
      for (let i = 0; i < 30; i++) await t.put(`c${i % 5}`, String(i));
      for (let rev = 2; rev <= 26; rev += 2) await t.ok("Compact", { revision: rev, physical: true });
      for (let rev = 0; rev <= 31; rev++) await t.call("HashKV", { revision: rev });
      await t.ok("HashKV", { revision: 24 }, { compact_revision: 22 });
    },
  },
  {
    name: "status and member list of a single member",
    isFresh: true,
    async run(t) {
      await t.ok("Status", {}, { errors: undefined, isLearner: undefined, dbSizeQuota: 2_147_483_648 });
      await t.ok(
        "MemberList",
        { linearizable: true },
        { members: [{ name: "default" }], header: { revision: undefined } },
      );
      await t.ok("MemberList", { linearizable: false }, { members: [{ name: "default" }] });
    },
  },
  {
    name: "no alarms on a healthy member",
    async run(t) {
      await t.ok("Alarm", { action: "GET" }, { alarms: undefined });
      await t.ok("Alarm", {}, { alarms: undefined });
    },
  },
];
