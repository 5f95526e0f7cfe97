// Range, Put, DeleteRange and Compact.
import type { Case } from "./run.ts";

const int64Max = 9223372036854775807n;
const compacted = "etcdserver: mvcc: required revision has been compacted";
const future = "etcdserver: mvcc: required revision is a future revision";
const noKey = "etcdserver: key is not provided";
const invalidSort = "etcdserver: invalid sort option";
const invalidArgument = 3;
const notFound = 5;
const outOfRange = 11;

export const kvCases: readonly Case[] = [
  {
    name: "a fresh store is at revision 1, and the first write makes 2",
    isFresh: true,
    async run(t) {
      await t.ok("Range", { key: "a" }, { header: { revision: 1 }, kvs: undefined, count: undefined });
      await t.ok("Put", { key: "a", value: "1" }, { header: { revision: 2 } });
    },
  },
  {
    name: "an empty key is refused by range, put and delete",
    async run(t) {
      await t.fails("Range", { key: "" }, invalidArgument, noKey);
      await t.fails("Range", { key: "", range_end: "\0" }, invalidArgument, noKey);
      await t.fails("Put", { key: "", value: "1" }, invalidArgument, noKey);
      await t.fails("DeleteRange", { key: "" }, invalidArgument, noKey);
    },
  },
  {
    name: "the header of a range is at the current revision though an older one was read",
    async run(t) {
      await t.put("h", "1");
      await t.put("h", "2");
      const old = { kvs: [{ key: "h", value: "1", version: 1 }], count: 1 };
      await t.ok("Range", { key: "h", revision: t.base + 1 }, { ...old, header: { revision: t.base + 2 } });
    },
  },
  {
    name: "a put of the same value is a new revision and version",
    async run(t) {
      await t.put("same", "v");
      await t.put("same", "v");
      const kv = { create_revision: t.base + 1, mod_revision: t.base + 2, version: 2 };
      await t.ok("Range", { key: "same" }, { kvs: [kv] });
    },
  },
  {
    name: "a key deleted and made again starts over at version 1",
    async run(t) {
      await t.put("again", "1");
      await t.put("again", "2");
      await t.ok("DeleteRange", { key: "again" }, { deleted: 1, header: { revision: t.base + 3 } });
      await t.put("again", "3");
      await t.ok("Range", { key: "again" }, { kvs: [{ create_revision: t.base + 4, version: 1 }] });
      await t.ok("Range", { key: "again", revision: t.base + 3 }, { kvs: undefined, count: undefined });
    },
  },
  {
    name: "a delete that finds nothing makes no revision",
    async run(t) {
      const nothing = { deleted: undefined, header: { revision: t.base } };
      await t.ok("DeleteRange", { key: "none" }, nothing);
      await t.ok(
        "DeleteRange",
        { key: "none", range_end: "nonf", prev_kv: true },
        { ...nothing, prev_kvs: undefined },
      );
    },
  },
  {
    name: "a delete of a range deletes in key order in one revision",
    async run(t) {
      for (const key of ["d3", "d1", "d2"]) await t.put(key, key);
      const previous = [{ key: "d1" }, { key: "d2" }, { key: "d3" }];
      const deleted = { deleted: 3, prev_kvs: previous, header: { revision: t.base + 4 } };
      await t.ok("DeleteRange", { key: "d", range_end: "e", prev_kv: true }, deleted);
    },
  },
  {
    name: "range ends: single key, prefix, from key, end not after start, byte order",
    isFresh: true,
    async run(t) {
      for (const key of ["r", "r\0", "r\0\0", "ra", "r\x7f", "r\x80", "r\xff", "r\xff\xff", "s"])
        await t.put(key, "");
      await t.ok("Range", { key: "r" }, { count: 1 });
      await t.ok("Range", { key: "r", range_end: "s" }, { count: 8 });
      await t.ok("Range", { key: "r\0", range_end: "r\0\0" }, { count: 1 });
      await t.ok(
        "Range",
        { key: "r\x7f", range_end: "r\xff" },
        { kvs: [{ key: "r\x7f" }, { key: "r\x80" }] },
      );
      await t.ok("Range", { key: "r\xff", range_end: "\0" }, { count: 3 });
      await t.ok("Range", { key: "s", range_end: "r" }, { count: undefined, kvs: undefined });
      await t.ok("Range", { key: "r", range_end: "r" }, { count: undefined });
      await t.ok("Range", { key: "\xff\xff", range_end: "\0" }, { count: undefined });
    },
  },
  {
    name: "count ignores limit and filters, more is set by the limit alone",
    async run(t) {
      for (let i = 0; i < 5; i++) await t.put(`c${i}`, "x");
      const all = { key: "c", range_end: "d" };
      await t.ok("Range", { ...all, limit: 2 }, { count: 5, more: true });
      await t.ok("Range", { ...all, limit: 5 }, { count: 5, more: undefined });
      await t.ok("Range", { ...all, limit: -3 }, { count: 5, more: undefined });
      await t.ok(
        "Range",
        { ...all, min_mod_revision: t.base + 4 },
        { count: 5, kvs: [{ key: "c3" }, { key: "c4" }] },
      );
      await t.ok("Range", { ...all, min_mod_revision: t.base + 2, limit: 1 }, { count: 5, more: true });
      await t.ok("Range", { ...all, max_mod_revision: t.base + 1, limit: 1 }, { count: 5, more: undefined });
      const counted = { count: 5, kvs: undefined, more: undefined };
      await t.ok("Range", { ...all, count_only: true, limit: 1, min_mod_revision: int64Max }, counted);
      await t.ok("Range", { ...all, min_mod_revision: -1 }, { count: 5 });
      await t.ok("Range", { ...all, max_create_revision: -1 }, {});
    },
  },
  {
    name: "with sort order NONE a sort target sorts ascending, after the limit was applied in key order",
    async run(t) {
      for (const [key, value] of ["9", "1", "5", "3"].entries()) await t.put(`n${key}`, value);
      const all = { key: "n", range_end: "o", sort_target: "VALUE" };
      await t.ok("Range", all, { kvs: [{ value: "1" }, { value: "3" }, { value: "5" }, { value: "9" }] });
      await t.ok(
        "Range",
        { ...all, limit: 2 },
        { kvs: [{ value: "1" }, { value: "5" }], more: true, count: 4 },
      );
      const ascending = { ...all, sort_order: "ASCEND", limit: 2 };
      await t.ok("Range", ascending, { kvs: [{ value: "1" }, { value: "3" }], more: true });
    },
  },
  {
    name: "many items with equal sort keys come in the order of Go's sort",
    async run(t) {
      for (let i = 0; i < 60; i++) await t.put(`t${String(i).padStart(2, "0")}`, `v${(i * 7) % 4}`);
      const all = { key: "t", range_end: "u", keys_only: true };
      for (const sort_target of ["VERSION", "VALUE", "CREATE", "MOD", "KEY"])
        for (const sort_order of ["ASCEND", "DESCEND"])
          await t.ok("Range", { ...all, sort_target, sort_order });
    },
  },
  {
    name: "sort options that do not exist are refused",
    async run(t) {
      await t.fails("Range", { key: "a", sort_order: 3 }, invalidArgument, invalidSort);
      await t.fails("Range", { key: "a", sort_target: 5 }, invalidArgument, invalidSort);
      await t.fails("Range", { key: "a", sort_order: -1 }, invalidArgument, invalidSort);
      const nested = { success: [{ request_range: { key: "a", sort_order: 3 } }] };
      await t.call("Txn", nested);
    },
  },
  {
    name: "keys only drops the value and keeps the lease",
    async run(t) {
      await t.ok("LeaseGrant", { TTL: 5_000, ID: 4_001 });
      await t.put("ko", "value", { lease: 4_001 });
      await t.ok(
        "Range",
        { key: "ko", keys_only: true },
        { kvs: [{ key: "ko", value: undefined, lease: 4_001 }] },
      );
    },
  },
  {
    name: "revisions at the edges: negative is current, future and far future are refused",
    async run(t) {
      await t.put("e", "1");
      await t.ok("Range", { key: "e", revision: -7 }, { count: 1 });
      await t.fails("Range", { key: "e", revision: t.base + 2 }, outOfRange, future);
      await t.fails("Range", { key: "e", revision: int64Max }, outOfRange, future);
      await t.fails("Range", { key: "e", revision: t.base + 2, serializable: true }, outOfRange, future);
    },
  },
  {
    name: "reading at the compacted revision works, one below does not",
    async run(t) {
      for (const value of ["1", "2", "3", "4"]) await t.put("comp", value);
      await t.ok("Compact", { revision: t.base + 3 }, { header: { revision: t.base + 4 } });
      await t.ok("Range", { key: "comp", revision: t.base + 3 }, { kvs: [{ value: "3" }] });
      await t.fails("Range", { key: "comp", revision: t.base + 2 }, outOfRange, compacted);
      await t.fails("Compact", { revision: t.base + 3 }, outOfRange, compacted);
      await t.fails("Compact", { revision: t.base + 2 }, outOfRange, compacted);
      await t.fails("Compact", { revision: t.base + 5 }, outOfRange, future);
      await t.fails("Compact", { revision: int64Max }, outOfRange, future);
      await t.ok("Compact", { revision: t.base + 4, physical: true }, { header: { revision: t.base + 4 } });
    },
  },
  {
    name: "a fresh store can be compacted at 0 once, and not below",
    isFresh: true,
    async run(t) {
      await t.fails("Compact", { revision: -1 }, outOfRange, compacted);
      await t.ok("Compact", { revision: 0 });
      await t.fails("Compact", { revision: 0 }, outOfRange, compacted);
      await t.ok("Compact", { revision: 1 });
      await t.fails("Compact", { revision: 2 }, outOfRange, future);
    },
  },
  {
    name: "a tombstone at the compacted revision is kept, reads around it hold",
    async run(t) {
      await t.put("tomb", "1");
      await t.ok("DeleteRange", { key: "tomb" });
      await t.put("other", "1");
      await t.ok("Compact", { revision: t.base + 2, physical: true });
      await t.ok("Range", { key: "tomb", revision: t.base + 2 }, { count: undefined });
      await t.ok("HashKV", { revision: t.base + 2 });
      await t.ok("HashKV", { revision: 0 }, { hash_revision: t.base + 3 });
      await t.ok("Compact", { revision: t.base + 3, physical: true });
      await t.ok("HashKV", { revision: 0 }, { compact_revision: t.base + 3 });
    },
  },
  {
    name: "previous values come with put and delete when asked for",
    async run(t) {
      await t.ok("Put", { key: "p", value: "1", prev_kv: true }, { prev_kv: undefined });
      await t.ok("Put", { key: "p", value: "2", prev_kv: true }, { prev_kv: { value: "1", version: 1 } });
      await t.ok("Put", { key: "p", value: "3" }, { prev_kv: undefined });
      await t.ok("DeleteRange", { key: "p" }, { deleted: 1, prev_kvs: undefined });
    },
  },
  {
    name: "ignore_value and ignore_lease keep what the key has, and refuse what contradicts them",
    async run(t) {
      await t.ok("LeaseGrant", { TTL: 5_000, ID: 4_002 });
      await t.put("ig", "1", { lease: 4_002 });
      await t.ok("Put", { key: "ig", ignore_value: true });
      await t.ok("Range", { key: "ig" }, { kvs: [{ value: "1", version: 2, lease: undefined }] });
      await t.put("ig", "2", { lease: 4_002 });
      await t.ok("Put", { key: "ig", value: "3", ignore_lease: true });
      await t.ok("Range", { key: "ig" }, { kvs: [{ value: "3", lease: 4_002 }] });
      await t.ok("Put", { key: "ig", ignore_lease: true, ignore_value: true });
      await t.fails(
        "Put",
        { key: "ig", value: "x", ignore_value: true },
        invalidArgument,
        "etcdserver: value is provided",
      );
      await t.fails(
        "Put",
        { key: "ig", lease: 4_002, ignore_lease: true },
        invalidArgument,
        "etcdserver: lease is provided",
      );
      await t.fails("Put", { key: "gone", ignore_value: true }, invalidArgument, "etcdserver: key not found");
      await t.fails(
        "Put",
        { key: "gone", value: "1", ignore_lease: true },
        invalidArgument,
        "etcdserver: key not found",
      );
    },
  },
  {
    name: "a put with a lease nobody granted is refused, lease 0 detaches",
    async run(t) {
      await t.fails("Put", { key: "l", lease: 999 }, notFound, "etcdserver: requested lease not found");
      await t.fails("Put", { key: "l", lease: -1 }, notFound, "etcdserver: requested lease not found");
      await t.ok("LeaseGrant", { TTL: 5_000, ID: 4_003 });
      await t.put("l", "1", { lease: 4_003 });
      await t.put("l", "2");
      await t.ok("LeaseTimeToLive", { ID: 4_003, keys: true }, { keys: undefined });
      await t.ok("LeaseRevoke", { ID: 4_003 });
      await t.ok("Range", { key: "l" }, { count: 1 });
    },
  },
  {
    name: "keys and values may be any bytes and long",
    async run(t) {
      const key = `long${"\0\xff".repeat(5_000)}`;
      await t.put(key, "\0\x80\xff");
      await t.put(`${key}\0`, "next");
      await t.ok("Range", { key }, { kvs: [{ key, value: "\0\x80\xff" }], count: 1 });
      await t.ok("Range", { key, range_end: `${key}\x01` }, { count: 2 });
      await t.ok("DeleteRange", { key: "long", range_end: "lonh" }, { deleted: 2 });
    },
  },
  {
    name: "a request above the limit is refused, just below it is stored",
    async run(t) {
      const tooLarge = "etcdserver: request is too large";
      await t.put("big", "x".repeat(1_500_000));
      await t.fails("Put", { key: "big", value: "x".repeat(1_600_000) }, invalidArgument, tooLarge);
      await t.call("Put", { key: "big", value: "x".repeat(3_000_000) });
    },
  },
];
