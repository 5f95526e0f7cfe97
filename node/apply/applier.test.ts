import assert from "node:assert/strict";
import { test } from "node:test";
import { Lessor } from "../lease/lessor.ts";
import { textOf, utf8 } from "../lib/bytes.ts";
import { leaseId, nodeId } from "../lib/ids.ts";
import { silentMetrics } from "../lib/metrics.ts";
import { SeededRandom } from "../lib/random.ts";
import { Members } from "../membership/members.ts";
import { Overlay } from "../mvcc/overlay.ts";
import { Store } from "../mvcc/store.ts";
import { WatchHub } from "../mvcc/watch-hub.ts";
import { MemoryEngine } from "../storage/memory/engine.ts";
import { codecs } from "../wire/codecs.ts";
import {
  AlarmAction,
  AlarmType,
  type Compare,
  CompareResult,
  CompareTarget,
  type InternalRaftRequest,
  type RequestOp,
} from "../wire/rpc.ts";
import { Applier } from "./applier.ts";
import type { Outcome } from "./outcome.ts";

function bed() {
  const backend = new Overlay(new MemoryEngine());
  const lessor = new Lessor(backend);
  const store = new Store(backend, { leases: lessor });
  const members = new Members(backend);
  const hub = new WatchHub({ history: store.history, random: new SeededRandom(1), onSyncWanted() {} });
  const parts = { store, lessor, members, hub, backend, nowMs: () => 0, metrics: silentMetrics };
  const applier = new Applier(parts);
  const apply = (fields: Partial<InternalRaftRequest>): Outcome =>
    applier.apply(codecs.InternalRaftRequest.create(fields));
  const read = (key: string): string | undefined => {
    const outcome = store.range(codecs.RangeRequest.create({ key: utf8(key) }));
    assert.ok(outcome.ok);
    const kv = outcome.kvs[0];
    return kv === undefined ? undefined : textOf(codecs.KeyValue.decode(kv).value);
  };
  return { ...parts, applier, apply, read };
}

const putOf = (key: string, value: string, more: object = {}) =>
  codecs.PutRequest.create({ key: utf8(key), value: utf8(value), ...more });
const putOp = (key: string, value: string, more: object = {}): RequestOp => ({
  request: { case: "requestPut", value: putOf(key, value, more) },
});
const deleteOp = (key: string, rangeEnd: Uint8Array = utf8("")): RequestOp => ({
  request: {
    case: "requestDeleteRange",
    value: codecs.DeleteRangeRequest.create({ key: utf8(key), rangeEnd }),
  },
});
const rangeOp = (key: string, revision = 0): RequestOp => ({
  request: { case: "requestRange", value: codecs.RangeRequest.create({ key: utf8(key), revision }) },
});
const compare = (key: string, fields: Partial<Compare>): Compare =>
  codecs.Compare.create({ key: utf8(key), ...fields });
const refusalOf = (outcome: Outcome): string => (outcome.ok ? "none" : outcome.refusal);

test("a put makes one revision and answers with it", () => {
  const { apply, read } = bed();
  const outcome = apply({ put: putOf("a", "1") });
  assert.ok(outcome.ok);
  assert.equal(outcome.revision, 2);
  assert.equal(read("a"), "1");
});

test("a refused put makes no revision", () => {
  const { apply, store } = bed();
  assert.equal(refusalOf(apply({ put: putOf("a", "1", { lease: leaseId(7n) }) })), "leaseNotFound");
  assert.equal(refusalOf(apply({ put: putOf("a", "", { ignoreValue: true }) })), "keyNotFound");
  assert.equal(store.currentRevision, 1);
});

test("a put looks for its lease first, in a transaction for its key first", () => {
  const { apply } = bed();
  const wrongTwice = { ignoreValue: true, lease: leaseId(7n) };
  assert.equal(refusalOf(apply({ put: putOf("a", "", wrongTwice) })), "leaseNotFound");
  const success = [putOp("a", "", wrongTwice)];
  assert.equal(refusalOf(apply({ txn: codecs.TxnRequest.create({ success }) })), "keyNotFound");
});

test("a transaction that cannot run as a whole changes nothing", () => {
  const { apply, store, read } = bed();
  apply({ put: putOf("a", "1") });
  const cases: readonly [RequestOp, string][] = [
    [rangeOp("a", 9), "futureRevision"],
    [putOp("x", "", { ignoreLease: true }), "keyNotFound"],
    [putOp("x", "1", { lease: leaseId(9n) }), "leaseNotFound"],
  ];
  for (const [op, expected] of cases) {
    const request = codecs.TxnRequest.create({ success: [putOp("a", "2"), op] });
    assert.equal(refusalOf(apply({ txn: request })), expected);
  }
  assert.equal(store.currentRevision, 2);
  assert.equal(read("a"), "1");
});

test("a put that keeps the value is refused when an operation before it deletes the key", () => {
  const { apply } = bed();
  apply({ put: putOf("a", "1") });
  const success = [deleteOp("\0", utf8("\0")), putOp("a", "", { ignoreValue: true })];
  assert.equal(refusalOf(apply({ txn: codecs.TxnRequest.create({ success }) })), "keyNotFound");
});

test("every change of a transaction shares its revision, and a range in it sees the changes before", () => {
  const { apply } = bed();
  const success = [putOp("a", "1"), rangeOp("a"), putOp("b", "2"), rangeOp("b")];
  const outcome = apply({ txn: codecs.TxnRequest.create({ success }) });
  assert.ok(outcome.ok && outcome.applied.case === "txn");
  const revisions = outcome.applied.value.responses.map((op) => {
    const { response } = op as Extract<typeof op, { response: unknown }>;
    assert.ok(response?.case === "responseRange" || response?.case === "responsePut");
    const { header } = response.value as { header: { revision: number } };
    return header.revision;
  });
  assert.deepEqual(revisions, [2, 2, 2, 2]);
  assert.equal(outcome.revision, 2);
});

test("compares of nested transactions look at the state before the whole one", () => {
  const { apply, read } = bed();
  const isAbsent = compare("a", {
    result: CompareResult.EQUAL,
    target: CompareTarget.VERSION,
    targetUnion: { case: "version", value: 0 },
  });
  const nested = codecs.TxnRequest.create({ compare: [isAbsent], success: [putOp("n", "absent")] });
  const success: RequestOp[] = [putOp("a", "1"), { request: { case: "requestTxn", value: nested } }];
  apply({ txn: codecs.TxnRequest.create({ success }) });
  assert.equal(read("n"), "absent");
});

test("a missing key has no value to compare with, not even an unequal one", () => {
  const { apply, read } = bed();
  const request = codecs.TxnRequest.create({
    compare: [
      compare("a", {
        result: CompareResult.NOT_EQUAL,
        target: CompareTarget.VALUE,
        targetUnion: { case: "value", value: utf8("x") },
      }),
    ],
    success: [putOp("r", "then")],
    failure: [putOp("r", "else")],
  });
  apply({ txn: request });
  assert.equal(read("r"), "else");
});

test("revoking a lease deletes what is attached in one revision, and nothing that moved away", () => {
  const { apply, store, read } = bed();
  for (const ID of [leaseId(1n), leaseId(2n)]) {
    apply({ leaseGrant: codecs.LeaseGrantRequest.create({ ID, TTL: 60 }) });
  }
  apply({ put: putOf("a", "1", { lease: leaseId(1n) }) });
  apply({ put: putOf("b", "1", { lease: leaseId(1n) }) });
  apply({ put: putOf("moved", "1", { lease: leaseId(1n) }) });
  apply({ put: putOf("moved", "2", { lease: leaseId(2n) }) });
  apply({ put: putOf("freed", "1", { lease: leaseId(1n) }) });
  apply({ put: putOf("freed", "2") });
  const before = store.currentRevision;
  assert.ok(apply({ leaseRevoke: { ID: leaseId(1n) } }).ok);
  assert.equal(store.currentRevision, before + 1);
  assert.deepEqual(
    ["a", "b", "moved", "freed"].map((key) => read(key)),
    [undefined, undefined, "2", "2"],
  );
  assert.equal(refusalOf(apply({ leaseRevoke: { ID: leaseId(1n) } })), "leaseNotFound");
});

test("a full store takes no new data until the alarm is lowered by its exact name", () => {
  const { apply, applier } = bed();
  const memberID = nodeId(5n);
  apply({ alarm: { action: AlarmAction.ACTIVATE, memberID, alarm: AlarmType.NOSPACE } });
  assert.equal(refusalOf(apply({ put: putOf("a", "1") })), "noSpace");
  const nested = codecs.TxnRequest.create({ failure: [putOp("a", "1")] });
  const success: RequestOp[] = [{ request: { case: "requestTxn", value: nested } }];
  assert.equal(refusalOf(apply({ txn: codecs.TxnRequest.create({ success }) })), "noSpace");
  assert.ok(apply({ deleteRange: codecs.DeleteRangeRequest.create({ key: utf8("a") }) }).ok);
  for (const vague of [
    { memberID: nodeId(0n), alarm: AlarmType.NOSPACE },
    { memberID, alarm: AlarmType.NONE },
  ]) {
    apply({ alarm: { action: AlarmAction.DEACTIVATE, ...vague } });
    assert.equal(applier.alarms.raised().length, 1);
  }
  apply({ alarm: { action: AlarmAction.DEACTIVATE, memberID, alarm: AlarmType.NOSPACE } });
  assert.ok(apply({ put: putOf("a", "1") }).ok);
});

test("alarms survive a restart", () => {
  const { apply, backend, ...parts } = bed();
  apply({ alarm: { action: AlarmAction.ACTIVATE, memberID: nodeId(5n), alarm: AlarmType.CORRUPT } });
  const again = new Applier({ ...parts, backend });
  assert.deepEqual(
    again.alarms.raised().map(({ alarm }) => alarm),
    [AlarmType.CORRUPT],
  );
  assert.equal(
    refusalOf(again.apply(codecs.InternalRaftRequest.create({ put: putOf("a", "1") }))),
    "corrupt",
  );
});

test("requests are counted by operation, and those of several operations as transactions", () => {
  const counts: Record<string, number> = { puts: 0, putBytes: 0, deletes: 0, ranges: 0, txns: 0 };
  const counter = (name: string) => ({
    increment(by = 1): void {
      counts[name] = (counts[name] ?? 0) + by;
    },
  });
  const { applier: _, ...parts } = bed();
  const metrics = {
    ...silentMetrics,
    puts: counter("puts"),
    putBytes: counter("putBytes"),
    deletes: counter("deletes"),
    ranges: counter("ranges"),
    txns: counter("txns"),
  };
  const applier = new Applier({ ...parts, metrics });
  const apply = (fields: Partial<InternalRaftRequest>) =>
    applier.apply(codecs.InternalRaftRequest.create(fields));
  for (const key of ["a", "b", "c"]) apply({ put: putOf(key, "12") });
  apply({ deleteRange: codecs.DeleteRangeRequest.create({ key: utf8("a"), rangeEnd: utf8("c") }) });
  apply({ txn: codecs.TxnRequest.create({ success: [putOp("a", "1"), rangeOp("a"), deleteOp("c")] }) });
  apply({ txn: codecs.TxnRequest.create({ success: [putOp("a", "1")], failure: [putOp("b", "1")] }) });
  assert.deepEqual(counts, { puts: 5, putBytes: 13, deletes: 2, ranges: 1, txns: 1 });
});

test("the version of the store follows the version of the cluster", () => {
  const { apply, backend, members } = bed();
  const stored = (): string | undefined => {
    const value = backend.get("meta", utf8("storageVersion"));
    return value === undefined ? undefined : textOf(value);
  };
  const steps: readonly [string, string | undefined][] = [
    ["3.0.0", undefined],
    ["3.6.0", "3.6.0"],
    ["3.5.0", undefined],
    ["3.6.14", "3.6.0"],
  ];
  for (const [ver, expected] of steps) {
    apply({ clusterVersionSet: { ver } });
    assert.equal(stored(), expected, ver);
  }
  assert.equal(members.clusterVersion, "3.6.0");
});

test("a checkpoint of a lease is stored from cluster version 3.6 on, whatever the flags say", () => {
  for (const [ver, expected] of [
    ["3.5.0", 0],
    ["3.6.0", 4],
  ] as const) {
    const { apply, backend, lessor } = bed();
    apply({ clusterVersionSet: { ver } });
    apply({ leaseGrant: { ID: leaseId(7n), TTL: 100 } });
    apply({ leaseCheckpoint: { checkpoints: [{ ID: leaseId(7n), remainingTTL: 4 }] } });
    assert.equal(lessor.has(leaseId(7n)), true);
    const restarted = new Lessor(backend);
    restarted.promote(0, 0);
    const left = restarted.status(leaseId(7n), 0)?.remainingSeconds;
    assert.equal(left, expected === 0 ? 100 : expected, ver);
  }
});

test("a downgrade is stored in etcd's bytes and known after a restart", () => {
  const { apply, backend, members } = bed();
  const stored = (): string => textOf(backend.get("cluster", utf8("downgrade")) ?? utf8(""));
  apply({ downgradeInfoSet: { enabled: true, ver: "3.5.0" } });
  assert.equal(stored(), '{"target-version":"3.5.0","enabled":true}');
  assert.deepEqual(new Members(backend).downgrade, { isEnabled: true, target: "3.5.0" });
  apply({ downgradeInfoSet: { enabled: false, ver: "3.5.0" } });
  assert.equal(stored(), '{"target-version":"","enabled":false}');
  assert.deepEqual(members.downgrade, { isEnabled: false });
  assert.deepEqual(new Members(backend).downgrade, { isEnabled: false });
});

test("what only reads, and what etcd's tests inject, changes nothing", () => {
  const { apply, store } = bed();
  for (const fields of [
    { range: codecs.RangeRequest.create({ key: utf8("a") }) },
    { authStatus: {} },
    { downgradeVersionTest: codecs.DowngradeVersionTestRequest.create() },
  ]) {
    const outcome = apply(fields);
    assert.ok(outcome.ok);
    assert.equal(outcome.applied.case, "nothing");
  }
  assert.equal(store.currentRevision, 1);
});
