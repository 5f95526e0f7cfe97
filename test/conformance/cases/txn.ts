// Transactions.
import type { InputMessage } from "../messages.ts";
import type { Case } from "./run.ts";

const invalidArgument = 3;
const outOfRange = 11;
const duplicate = "etcdserver: duplicate key given in txn request";
const tooMany = "etcdserver: too many operations in txn request";
const noKey = "etcdserver: key is not provided";
const keyNotFound = "etcdserver: key not found";
const opsMax = 128;

function put(key: string, value = "v"): InputMessage {
  return { request_put: { key, value } };
}

function get(key: string, more: InputMessage = {}): InputMessage {
  return { request_range: { key, ...more } };
}

function del(key: string, rangeEnd?: string): InputMessage {
  return { request_delete_range: { key, range_end: rangeEnd } };
}

function txn(request: InputMessage): InputMessage {
  return { request_txn: request };
}

function absent(key: string): InputMessage {
  return { key, target: "CREATE", result: "EQUAL", create_revision: 0 };
}

export const txnCases: readonly Case[] = [
  {
    name: "an empty transaction succeeds without a revision",
    async run(t) {
      await t.ok("Txn", {}, { succeeded: true, responses: undefined, header: { revision: t.base } });
    },
  },
  {
    name: "all keys of a transaction share one revision, a range inside sees the writes before it",
    async run(t) {
      await t.put("t0", "0");
      const success = [put("t1"), get("t1"), put("t2"), get("t", { range_end: "u" }), del("t0"), get("t0")];
      const rev = t.base + 2;
      await t.ok(
        "Txn",
        { success },
        {
          header: { revision: rev },
          responses: [
            { response_put: { header: { revision: rev, cluster_id: undefined } } },
            { response_range: { count: 1, kvs: [{ mod_revision: rev }] } },
            { response_put: {} },
            { response_range: { count: 3 } },
            { response_delete_range: { deleted: 1 } },
            { response_range: { count: undefined } },
          ],
        },
      );
      await t.ok("Range", { key: "t2" }, { kvs: [{ mod_revision: rev }] });
    },
  },
  {
    name: "a key put and deleted by a range with a from-key end has two events in one revision",
    async run(t) {
      const watch = t.watch();
      watch.create({ key: "\xf0a", start_revision: t.base + 1 });
      await watch.next({ created: true });
      const success = [put("\xf0a"), del("\xf0", "\0")];
      await t.ok("Txn", { success }, { responses: [{}, { response_delete_range: { deleted: 1 } }] });
      const revision = t.base + 1;
      await watch.next({
        events: [
          { type: undefined, kv: { mod_revision: revision } },
          { type: "DELETE", kv: { mod_revision: revision, value: undefined } },
        ],
      });
    },
  },
  {
    name: "compares of a missing key: zero for numbers, never true for a value",
    async run(t) {
      const holds = async (compare: InputMessage, succeeded: true | undefined) =>
        t.ok("Txn", { compare: [{ key: "missing", ...compare }] }, { succeeded });
      await holds({ target: "VERSION", result: "EQUAL", version: 0 }, true);
      await holds({ target: "CREATE", result: "LESS", create_revision: 1 }, true);
      await holds({ target: "MOD", result: "GREATER", mod_revision: -1 }, true);
      await holds({ target: "LEASE", result: "NOT_EQUAL", lease: 5 }, true);
      await holds({ target: "VALUE", result: "EQUAL", value: "" }, undefined);
      await holds({ target: "VALUE", result: "NOT_EQUAL", value: "x" }, undefined);
      await holds({ target: "VALUE", result: "LESS", value: "x" }, undefined);
    },
  },
  {
    name: "a compare without an operand compares with zero, or with nothing",
    async run(t) {
      await t.put("o", "value");
      for (const target of ["VERSION", "CREATE", "MOD", "VALUE", "LEASE"])
        for (const result of ["EQUAL", "GREATER", "LESS", "NOT_EQUAL"]) {
          await t.ok("Txn", { compare: [{ key: "o", target, result }] });
          await t.ok("Txn", { compare: [{ key: "missing", target, result }] });
        }
    },
  },
  {
    name: "an operand of another target, and targets or results that do not exist",
    async run(t) {
      await t.put("odd", "1");
      await t.call("Txn", { compare: [{ key: "odd", target: "VERSION", result: "EQUAL", value: "1" }] });
      await t.call("Txn", { compare: [{ key: "odd", target: "VALUE", result: "EQUAL", version: 1 }] });
      await t.call("Txn", { compare: [{ key: "odd", target: 9, result: "EQUAL", version: 1 }] });
      await t.call("Txn", { compare: [{ key: "odd", target: "VERSION", result: 9, version: 1 }] });
    },
  },
  {
    name: "a compare of a range holds if every key does; an empty range is compared as an absent key",
    async run(t) {
      for (const key of ["q1", "q2", "q3"]) await t.put(key, key);
      await t.put("q2", "changed");
      const compare = (more: InputMessage) => ({
        compare: [{ key: "q", range_end: "r", result: "EQUAL", ...more }],
      });
      await t.ok("Txn", compare({ target: "VERSION", version: 1 }), { succeeded: undefined });
      await t.ok("Txn", compare({ target: "VERSION", result: "LESS", version: 3 }), { succeeded: true });
      const none = { key: "qq", range_end: "qr", result: "EQUAL" };
      await t.ok("Txn", { compare: [{ ...none, target: "VERSION", version: 0 }] }, { succeeded: true });
      await t.ok("Txn", { compare: [{ ...none, target: "VALUE", value: "" }] }, { succeeded: undefined });
    },
  },
  {
    name: "compares of nested transactions see the state before the whole transaction",
    async run(t) {
      const success = [
        put("n"),
        txn({ compare: [absent("n")], success: [put("then")], failure: [put("else")] }),
      ];
      await t.ok(
        "Txn",
        { success },
        {
          responses: [{}, { response_txn: { succeeded: true, header: { revision: undefined } } }],
        },
      );
      await t.ok("Range", { key: "then" }, { count: 1 });
      await t.ok("Range", { key: "else" }, { count: undefined });
    },
  },
  {
    name: "two puts on one key are refused where both can run, allowed in branches that exclude each other",
    async run(t) {
      await t.fails("Txn", { success: [put("d"), put("d")] }, invalidArgument, duplicate);
      await t.fails("Txn", { success: [put("d"), del("d")] }, invalidArgument, duplicate);
      await t.fails("Txn", { failure: [del("a", "z"), put("d")] }, invalidArgument, duplicate);
      await t.ok("Txn", { success: [put("d")], failure: [put("d")] });
      const branches = { success: [put("d")], failure: [put("d")] };
      await t.ok("Txn", { success: [txn(branches)] });
      await t.fails("Txn", { success: [put("d"), txn(branches)] }, invalidArgument, duplicate);
      await t.fails(
        "Txn",
        { success: [txn({ success: [put("d")] }), txn({ failure: [put("d")] })] },
        invalidArgument,
        duplicate,
      );
      await t.fails(
        "Txn",
        { success: [txn({ success: [del("a", "z")] }), put("d")] },
        invalidArgument,
        duplicate,
      );
      await t.ok("Txn", { success: [del("d"), del("a", "z"), get("d"), get("d")] });
      await t.ok("Txn", { success: [put("d"), del("e", "d")] });
      await t.ok("Txn", { success: [put("d"), get("d")] });
    },
  },
  {
    name: "at most 128 operations a list, nested ones on what is left",
    async run(t) {
      const puts = (count: number, name = "m") => Array.from({ length: count }, (_, i) => put(`${name}${i}`));
      const compares = (count: number) => Array.from({ length: count }, () => absent("missing"));
      await t.ok("Txn", { success: puts(opsMax) });
      await t.ok("Txn", { success: puts(opsMax), failure: puts(opsMax), compare: compares(opsMax) });
      await t.fails("Txn", { success: puts(opsMax + 1) }, invalidArgument, tooMany);
      await t.fails("Txn", { failure: puts(opsMax + 1) }, invalidArgument, tooMany);
      await t.fails("Txn", { compare: compares(opsMax + 1) }, invalidArgument, tooMany);
      await t.call("Txn", { success: [txn({ success: puts(opsMax - 1) })] });
      await t.call("Txn", { success: [txn({ success: puts(opsMax) })] });
      await t.call("Txn", { success: [...puts(opsMax - 2), txn({ success: puts(2, "n") })] });
      await t.call("Txn", { success: [...puts(opsMax / 2), txn({ success: puts(opsMax / 2, "n") })] });
      await t.call("Txn", { success: [...puts(opsMax / 2), txn({ success: puts(opsMax / 2 + 1, "n") })] });
    },
  },
  {
    name: "what is checked first: number of operations, keys, then each operation, then overlaps",
    async run(t) {
      const many = Array.from({ length: opsMax + 1 }, (_, i) => put(`m${i}`));
      await t.fails("Txn", { success: many, compare: [{ key: "" }] }, invalidArgument, tooMany);
      await t.fails("Txn", { success: [put("d"), put("d")], compare: [{ key: "" }] }, invalidArgument, noKey);
      await t.fails("Txn", { success: [put("d"), put("d"), put("")] }, invalidArgument, noKey);
      await t.fails("Txn", { success: [{}] }, invalidArgument, keyNotFound);
      await t.fails("Txn", { success: [put("d"), put("d"), {}] }, invalidArgument, keyNotFound);
      await t.fails("Txn", { success: [txn({ failure: [get("")] })] }, invalidArgument, noKey);
    },
  },
  {
    name: "a range at a future or compacted revision fails the whole transaction before any write",
    async run(t) {
      await t.put("w", "1");
      await t.put("w", "2");
      const future = "etcdserver: mvcc: required revision is a future revision";
      const compacted = "etcdserver: mvcc: required revision has been compacted";
      await t.ok("Compact", { revision: t.base + 2 });
      await t.fails("Txn", { success: [put("w"), get("w", { revision: t.base + 9 })] }, outOfRange, future);
      await t.fails(
        "Txn",
        { success: [put("w"), get("w", { revision: t.base + 1 })] },
        outOfRange,
        compacted,
      );
      await t.call("Txn", { success: [put("w"), get("w", { revision: t.base + 3 })] });
      await t.call("Txn", { success: [get("w", { revision: t.base + 4 })] });
      await t.call("Txn", { success: [del("nothing"), get("w", { revision: t.base + 9 })] });
      await t.fails(
        "Txn",
        { success: [txn({ success: [get("w", { revision: t.base + 9 })] })] },
        outOfRange,
        future,
      );
      await t.ok("Txn", {
        compare: [absent("w")],
        success: [get("w", { revision: 9_999 })],
        failure: [get("w")],
      });
      await t.revision();
    },
  },
  {
    name: "a failing put inside fails the whole transaction",
    async run(t) {
      const lease = { request_put: { key: "f2", lease: 777 } };
      await t.fails("Txn", { success: [put("f1"), lease] }, 5, "etcdserver: requested lease not found");
      const ignore = { request_put: { key: "f3", ignore_value: true } };
      await t.fails("Txn", { success: [put("f1"), ignore] }, invalidArgument, keyNotFound);
      await t.ok("Range", { key: "f1" }, { count: undefined });
      await t.call("Txn", {
        success: [put("f4"), { request_put: { key: "f5", value: "x", ignore_value: true } }],
      });
      await t.revision();
    },
  },
  {
    name: "a key written in the transaction can be put again with ignore_value only after the fact",
    async run(t) {
      await t.put("iv", "kept");
      await t.call("Txn", { success: [{ request_put: { key: "iv", ignore_value: true, prev_kv: true } }] });
      await t.ok("Range", { key: "iv" }, { kvs: [{ value: "kept", version: 2 }] });
    },
  },
  {
    name: "a transaction of ranges reads at the current revision and makes none",
    async run(t) {
      await t.put("ro", "1");
      const expected = { header: { revision: t.base + 1 }, succeeded: true };
      await t.ok("Txn", { success: [get("ro"), get("ro", { serializable: true })] }, expected);
      await t.ok("Txn", { success: [txn({ success: [get("ro")] })] }, expected);
      await t.ok("Txn", { success: [del("nothing")] }, expected);
    },
  },
  {
    name: "ranges inside have their options: limit, sort, filters, count only",
    async run(t) {
      for (const key of ["s3", "s1", "s2"]) await t.put(key, key);
      const all = { range_end: "t" };
      const success = [
        put("s4"),
        get("s", { ...all, limit: 2 }),
        get("s", { ...all, sort_order: "DESCEND", sort_target: "MOD" }),
        get("s", { ...all, count_only: true }),
        get("s", { ...all, min_mod_revision: t.base + 3 }),
      ];
      await t.ok(
        "Txn",
        { success },
        {
          responses: [
            {},
            { response_range: { more: true, count: 4 } },
            { response_range: { kvs: [{ key: "s4" }, { key: "s2" }, { key: "s1" }, { key: "s3" }] } },
            { response_range: { count: 4, kvs: undefined } },
            { response_range: { count: 4, kvs: [{ key: "s2" }, { key: "s4" }] } },
          ],
        },
      );
    },
  },
  {
    name: "deeply nested transactions run",
    async run(t) {
      let inner: InputMessage = { success: [put("deep")] };
      for (let i = 0; i < 20; i++) inner = { success: [txn(inner)] };
      await t.ok("Txn", inner, { succeeded: true });
      await t.ok("Range", { key: "deep" }, { count: 1 });
    },
  },
];
