// Watch streams.
import { textOf } from "../../../node/lib/bytes.ts";
import type { Message } from "../messages.ts";
import { type Case, CaseFailure } from "./run.ts";

const emptyRange = "mvcc: watcher range is empty";
const duplicateId = "mvcc: duplicate watch ID provided on the WatchStream";
const compactedText = "etcdserver: mvcc: required revision has been compacted";
/** Longer than etcd takes to bring a watch up to date, which it does every 100 ms. */
const quietMs = 350;
const everything = { key: "\0", range_end: "\0" };

export const watchCases: readonly Case[] = [
  {
    name: "created comes first, then events; ids count from 0 on each stream",
    async run(t) {
      const [one, two] = [t.watch(), t.watch()];
      for (const watch of [one, two]) {
        watch.create({ key: "w" });
        await watch.next({ created: true, watch_id: undefined, header: { revision: t.base } });
        watch.create({ key: "w" });
        await watch.next({ created: true, watch_id: 1 });
      }
    },
  },
  {
    name: "an event says what was put; a delete only its key and revision",
    async run(t) {
      const watch = t.watch();
      watch.create({ key: "ev", prev_kv: true });
      await watch.next({ created: true });
      await t.put("ev", "1");
      const kv = { key: "ev", value: "1", create_revision: t.base + 1, mod_revision: t.base + 1, version: 1 };
      await watch.next({
        header: { revision: t.base + 1 },
        events: [{ type: undefined, kv, prev_kv: undefined }],
      });
      await t.put("ev", "2");
      await watch.next({ events: [{ kv: { version: 2 }, prev_kv: { value: "1" } }] });
      await t.ok("DeleteRange", { key: "ev" });
      const gone = { key: "ev", mod_revision: t.base + 3, version: undefined, create_revision: undefined };
      await watch.next({ events: [{ type: "DELETE", kv: gone, prev_kv: { value: "2" } }] });
    },
  },
  {
    name: "a watch from the past gets history, in order, revisions whole",
    async run(t) {
      await t.put("p1", "1");
      await t.ok("Txn", { success: [{ request_put: { key: "p2" } }, { request_put: { key: "p1" } }] });
      await t.ok("DeleteRange", { key: "p", range_end: "q" });
      const watch = t.watch();
      watch.create({ key: "p", range_end: "q", start_revision: t.base + 1, prev_kv: true });
      await watch.next({ created: true });
      const keys = ["p1", "p2", "p1", "p1", "p2"].map((key) => ({ kv: { key } }));
      await watch.next({ events: keys });
    },
  },
  {
    name: "an empty key means everything from the first key, or the first key alone",
    async run(t) {
      const [everything, first] = [t.watch(), t.watch()];
      everything.create({ key: "", range_end: "\0" });
      first.create({});
      for (const watch of [everything, first]) await watch.next({ created: true });
      await t.put("\0", "zero");
      for (const watch of [everything, first]) await watch.next({ events: [{ kv: { key: "\0" } }] });
      await t.put("other", "1");
      await everything.next({ events: [{ kv: { key: "other" } }] });
      await first.silence(quietMs);
    },
  },
  {
    name: "a range that holds nothing is refused with id -1",
    async run(t) {
      const watch = t.watch();
      const refused = { created: true, canceled: true, watch_id: -1, cancel_reason: emptyRange };
      watch.create({ key: "b", range_end: "a" });
      await watch.next(refused);
      watch.create({ key: "b", range_end: "b", watch_id: 12 });
      await watch.next(refused);
      watch.create({ key: "b", range_end: "c" });
      await watch.next({ created: true, canceled: undefined, watch_id: undefined });
    },
  },
  {
    name: "ids: chosen, taken, skipped, free again after a cancel",
    async run(t) {
      const watch = t.watch();
      watch.create({ key: "i", watch_id: 1 });
      await watch.next({ created: true, watch_id: 1 });
      watch.create({ key: "i" });
      await watch.next({ watch_id: undefined, created: true });
      watch.create({ key: "i" });
      await watch.next({ watch_id: 2, created: true });
      watch.create({ key: "i", watch_id: 1 });
      await watch.next({ watch_id: -1, created: true, canceled: true, cancel_reason: duplicateId });
      watch.send({ cancel_request: { watch_id: 1 } });
      await watch.next({ watch_id: 1, canceled: true, created: undefined, cancel_reason: undefined });
      watch.create({ key: "i", watch_id: 1 });
      await watch.next({ watch_id: 1, created: true, canceled: undefined });
      watch.create({ key: "i", watch_id: -9 });
      await watch.next({ watch_id: -9, created: true });
    },
  },
  {
    name: "a negative start is refused with the compaction's text",
    async run(t) {
      const watch = t.watch();
      watch.create({ key: "n", start_revision: -1 });
      await watch.next({ watch_id: -1, created: true, canceled: true, cancel_reason: compactedText });
    },
  },
  {
    name: "a start in the future gets only what comes at or after it, and no progress before",
    async run(t) {
      const watch = t.watch();
      watch.create({ key: "f", start_revision: t.base + 3 });
      await watch.next({ created: true, header: { revision: t.base } });
      await t.put("f", "1");
      await t.put("f", "2");
      watch.send({ progress_request: {} });
      await watch.silence(quietMs);
      await t.put("f", "3");
      await watch.next({ events: [{ kv: { value: "3" } }] });
      watch.send({ progress_request: {} });
      await watch.next({
        watch_id: -1,
        header: { revision: t.base + 3 },
        events: undefined,
        created: undefined,
      });
    },
  },
  {
    name: "a start below the compaction is created, then canceled with the compacted revision and no header revision",
    async run(t) {
      for (const value of ["1", "2", "3"]) await t.put("c", value);
      await t.ok("Compact", { revision: t.base + 2 });
      const watch = t.watch();
      watch.create({ key: "c", start_revision: t.base + 1 });
      await watch.next({ created: true, canceled: undefined, header: { revision: t.base + 3 } });
      const canceled = { canceled: true, compact_revision: t.base + 2, cancel_reason: undefined };
      await watch.next({ ...canceled, header: { revision: undefined } });
      watch.create({ key: "c", start_revision: t.base + 2 });
      await watch.next({ created: true, watch_id: 1 });
      await watch.next({ events: [{ kv: { value: "2" } }, { kv: { value: "3" } }] });
    },
  },
  {
    name: "a watch canceled by compaction keeps its id, and progress silent, until it is canceled by the client",
    async run(t) {
      for (const value of ["1", "2", "3"]) await t.put("k", value);
      await t.ok("Compact", { revision: t.base + 2 });
      const watch = t.watch();
      watch.create({ key: "k", start_revision: t.base + 1, watch_id: 5 });
      await watch.next({ created: true });
      await watch.next({ canceled: true });
      watch.create({ key: "k" });
      await watch.next({ created: true });
      watch.send({ progress_request: {} });
      await watch.silence(quietMs);
      watch.create({ key: "k", watch_id: 5 });
      await watch.next({ watch_id: -1, cancel_reason: duplicateId });
      watch.send({ cancel_request: { watch_id: 5 } });
      await watch.next({ watch_id: 5, canceled: true, compact_revision: undefined });
      watch.send({ progress_request: {} });
      await watch.next({ watch_id: -1, header: { revision: t.base + 3 } });
    },
  },
  {
    name: "a watch that started at the compacted revision sees a delete there",
    async run(t) {
      await t.put("td", "1");
      await t.ok("DeleteRange", { key: "td" });
      await t.ok("Compact", { revision: t.base + 2, physical: true });
      const watch = t.watch();
      watch.create({ key: "td", start_revision: t.base + 2, prev_kv: true });
      await watch.next({ created: true });
      await watch.next({ events: [{ type: "DELETE", prev_kv: undefined }] });
    },
  },
  {
    name: "progress: nothing on a stream without watches, one broadcast otherwise",
    async run(t) {
      const watch = t.watch();
      watch.send({ progress_request: {} });
      await watch.silence(quietMs);
      watch.create({ key: "g1" });
      await watch.next({ created: true });
      watch.create({ key: "g2" });
      await watch.next({ created: true });
      await t.put("elsewhere", "1");
      watch.send({ progress_request: {} });
      await watch.next({
        watch_id: -1,
        header: { revision: t.base + 1 },
        created: undefined,
        canceled: undefined,
      });
      await watch.silence(quietMs);
    },
  },
  {
    name: "a cancel of an unknown id, and a request with nothing in it, are ignored",
    async run(t) {
      const watch = t.watch();
      watch.send({ cancel_request: { watch_id: 42 } });
      watch.send({});
      await watch.silence(quietMs);
      watch.create({ key: "still" });
      await watch.next({ created: true });
    },
  },
  {
    name: "after a cancel no events come, and a second cancel is silent",
    async run(t) {
      const watch = t.watch();
      watch.create({ key: "x" });
      await watch.next({ created: true });
      watch.send({ cancel_request: { watch_id: 0 } });
      await watch.next({ canceled: true, watch_id: undefined, header: { revision: t.base } });
      await t.put("x", "1");
      watch.send({ cancel_request: { watch_id: 0 } });
      await watch.silence(quietMs);
    },
  },
  {
    name: "filters drop puts or deletes; a batch left empty is not sent",
    async run(t) {
      const [noPut, noDelete, neither] = [t.watch(), t.watch(), t.watch()];
      noPut.create({ key: "fl", filters: ["NOPUT"] });
      noDelete.create({ key: "fl", filters: ["NODELETE"] });
      neither.create({ key: "fl", filters: ["NOPUT", "NODELETE"] });
      for (const watch of [noPut, noDelete, neither]) await watch.next({ created: true });
      await t.put("fl", "1");
      await t.ok("DeleteRange", { key: "fl" });
      await t.put("fl", "2");
      await noPut.next({ events: [{ type: "DELETE" }] });
      await noDelete.next({ events: [{ kv: { value: "1" } }] });
      await noDelete.next({ events: [{ kv: { value: "2" } }] });
      for (const watch of [noPut, noDelete, neither]) await watch.silence(quietMs);
      const past = t.watch();
      past.create({ key: "fl", filters: ["NOPUT"], start_revision: t.base + 1 });
      await past.next({ created: true });
      await past.next({ events: [{ type: "DELETE" }] });
    },
  },
  {
    name: "events of one transaction come in the order of its operations",
    async run(t) {
      const watch = t.watch();
      watch.create(everything);
      await watch.next({ created: true });
      const ops = ["z", "a", "m"].map((key) => ({ request_put: { key: `tx${key}` } }));
      await t.ok("Txn", { success: [...ops, { request_delete_range: { key: "txz\0", range_end: "ty" } }] });
      await watch.next({ events: [{ kv: { key: "txz" } }, { kv: { key: "txa" } }, { kv: { key: "txm" } }] });
      await t.ok("DeleteRange", { key: "tx", range_end: "ty" });
      await watch.next({ events: [{ kv: { key: "txa" } }, { kv: { key: "txm" } }, { kv: { key: "txz" } }] });
    },
  },
  {
    name: "previous values across a compaction are left out",
    async run(t) {
      await t.put("pc", "1");
      await t.put("pc", "2");
      await t.put("pc", "3");
      await t.ok("Compact", { revision: t.base + 2, physical: true });
      const watch = t.watch();
      watch.create({ key: "pc", start_revision: t.base + 2, prev_kv: true });
      await watch.next({ created: true });
      await watch.next({ events: [{ kv: { value: "2" }, prev_kv: undefined }, { prev_kv: { value: "2" } }] });
    },
  },
  {
    name: "a long history comes in responses of at most 1,000 revisions",
    async run(t) {
      const batch = 64;
      for (let i = 0; i < 2_200; i += batch)
        await Promise.all(Array.from({ length: batch }, (_, j) => t.quietly("Put", { key: `h${i + j}` })));
      const watch = t.watch();
      watch.create({ key: "h", range_end: "i", start_revision: t.base + 1 });
      await watch.next({ created: true });
      const counts: number[] = [];
      for (let seen = 0; seen < 2_240; ) {
        const { events } = await watch.next({ created: undefined, canceled: undefined }, undefined, {
          isQuiet: true,
        });
        counts.push((events as readonly unknown[]).length);
        seen += counts.at(-1) ?? 0;
      }
      t.expect("events in each response", counts, [1_000, 1_000, 240]);
    },
  },
  {
    name: "fragments: a part is no larger than the request limit, and all but the last say so",
    async run(t) {
      for (const key of ["f1", "f2", "f3", "f4"]) await t.put(key, key.repeat(500_000));
      const past = { key: "f", range_end: "g", start_revision: t.base + 1 };
      for (const fragment of [undefined, true]) {
        const watch = t.watch();
        watch.create({ ...past, fragment });
        await watch.next({ created: true });
        const keys: string[] = [];
        while (keys.length < 4) {
          const message = await watch.next({ created: undefined, canceled: undefined }, undefined, {
            isQuiet: true,
          });
          const events = message["events"] as unknown as readonly Message[];
          const flag = message["fragment"] === true;
          if (fragment !== true) t.expect("fragment flag of a watch that did not ask", flag, false);
          else if (events.length > 2) throw new CaseFailure("a fragment is larger than the request limit");
          for (const event of events) keys.push(textOf((event["kv"] as Message)["key"] as Uint8Array));
          if (keys.length === 4) t.expect("fragment flag of the last part", flag, false);
        }
        t.expect("keys", keys, ["f1", "f2", "f3", "f4"]);
      }
    },
  },
  {
    name: "periodic progress is sent to a watch that asked for it",
    flags: ["--watch-progress-notify-interval=200ms"],
    async run(t) {
      const watch = t.watch();
      watch.create({ key: "pp", progress_notify: true });
      await watch.next({ created: true });
      await watch.next({ watch_id: undefined, events: undefined, header: { revision: t.base } });
    },
  },
];
