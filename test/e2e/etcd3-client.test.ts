// The npm client etcd3: keys, leases, watches, and its lock, election and transactions in memory.
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { after, before, test } from "node:test";
import { Etcd3, EtcdLeaseInvalidError, EtcdLockFailedError, type IKeyValue, type Watcher } from "etcd3";
import { type Member, start } from "../tools/member.ts";
import { subject } from "./support/mode.ts";

const timeoutMs = 30_000;
let member: Member;
let client: Etcd3;

before(async () => {
  member = await start({ kind: subject });
  client = connect();
});

after(async () => {
  client.close();
  await member.stop();
});

function connect(): Etcd3 {
  return new Etcd3({ hosts: member.clientUrl });
}

async function currentRevision(): Promise<number> {
  return Number((await client.get("nothing").exec()).header.revision);
}

/** What a watcher delivers, one event after the other. */
function eventsOf(watcher: Watcher): (count: number) => Promise<readonly string[]> {
  const seen: string[] = [];
  const more = new EventEmitter();
  const add = (kind: string, kv: IKeyValue, previous: IKeyValue | undefined) => {
    const from = previous === undefined ? "" : ` from ${previous.value}`;
    seen.push(`${kind} ${kv.key}=${kv.value}${from}`);
    more.emit("event");
  };
  watcher.on("put", (kv, previous) => add("put", kv, previous ?? undefined));
  watcher.on("delete", (kv, previous) => add("delete", kv, previous ?? undefined));
  return async (count) => {
    while (seen.length < count) await once(more, "event");
    return seen.splice(0);
  };
}

test("etcd3: keys are put, read, counted, sorted and deleted", { timeout: timeoutMs }, async () => {
  for (const [key, value] of [
    ["kv/a", "3"],
    ["kv/b", "1"],
    ["kv/c", "2"],
  ] as const) {
    await client.put(key).value(value);
  }
  assert.equal(await client.get("kv/b").string(), "1");
  assert.equal(await client.get("kv/none").string(), null);
  assert.deepEqual(await client.getAll().prefix("kv/").strings(), { "kv/a": "3", "kv/b": "1", "kv/c": "2" });
  assert.equal(await client.getAll().prefix("kv/").count(), 3);
  const sorted = await client.getAll().prefix("kv/").sort("Value", "Descend").limit(2).keys();
  assert.deepEqual(sorted, ["kv/a", "kv/c"]);
  const previous = await client.put("kv/a").value("4").getPrevious();
  assert.equal(previous.value.toString(), "3");
  const old = await client.get("kv/a").revision(previous.mod_revision).string();
  assert.equal(old, "3");
  const deleted = await client.delete().prefix("kv/").getPrevious();
  assert.deepEqual(
    deleted.map(({ key }) => key.toString()),
    ["kv/a", "kv/b", "kv/c"],
  );
  assert.equal(await client.getAll().prefix("kv/").count(), 0);
});

test("etcd3: a transaction compares and takes one branch", { timeout: timeoutMs }, async () => {
  const swap = (expected: string, next: string) =>
    client
      .if("txn/a", "Value", "==", expected)
      .then(client.put("txn/a").value(next))
      .else(client.get("txn/a"))
      .commit();
  await client.put("txn/a").value("1");
  assert.equal((await swap("1", "2")).succeeded, true);
  const refused = await swap("1", "3");
  assert.equal(refused.succeeded, false);
  assert.equal(refused.responses[0]?.response_range?.kvs[0]?.value.toString(), "2");
});

test("etcd3: a compacted revision is refused", { timeout: timeoutMs }, async () => {
  await client.put("compact/a").value("1");
  await client.put("compact/a").value("2");
  const revision = await currentRevision();
  await client.kv.compact({ revision: String(revision), physical: true });
  await assert.rejects(
    async () =>
      client
        .get("compact/a")
        .revision(revision - 1)
        .string(),
    /mvcc: required revision has been compacted/,
  );
});

test("etcd3: a lease is granted, kept alive and revoked with its keys", { timeout: timeoutMs }, async () => {
  const lease = client.lease(2);
  await lease.put("lease/a").value("x");
  const id = await lease.grant();
  const answer = await lease.keepaliveOnce();
  assert.equal(Number(answer.TTL), 2);
  await new Promise((resolve) => setTimeout(resolve, 3000));
  assert.equal(await client.get("lease/a").string(), "x", "kept alive beyond its time");
  const left = await client.leaseClient.leaseTimeToLive({ ID: id, keys: true });
  assert.deepEqual(
    left.keys.map((key) => key.toString()),
    ["lease/a"],
  );
  await lease.revoke();
  assert.equal(await client.get("lease/a").string(), null);
});

test("etcd3: a lease that nobody keeps expires, and keeping it fails then", {
  timeout: timeoutMs,
}, async () => {
  const lease = client.lease(1, { autoKeepAlive: false });
  await lease.put("expire/a").value("x");
  const watcher = await client.watch().key("expire/a").withPreviousKV().create();
  const next = eventsOf(watcher);
  assert.deepEqual(await next(1), ["delete expire/a= from x"]);
  await watcher.cancel();
  await assert.rejects(lease.keepaliveOnce(), EtcdLeaseInvalidError);
});

test("etcd3: a watch of a prefix sees puts and deletions with previous values", {
  timeout: timeoutMs,
}, async () => {
  const watcher = await client.watch().prefix("watch/").withPreviousKV().create();
  const next = eventsOf(watcher);
  await client.put("watch/a").value("1");
  await client.put("watch/a").value("2");
  await client.put("else/a").value("1");
  await client.delete().key("watch/a");
  const empty = (text: string) => text.replace(/ from $/, "");
  assert.deepEqual((await next(3)).map(empty), [
    "put watch/a=1",
    "put watch/a=2 from 1",
    "delete watch/a= from 2",
  ]);
  await watcher.cancel();
});

test("etcd3: a watch resumes from a revision", { timeout: timeoutMs }, async () => {
  const first = (await currentRevision()) + 1;
  for (let i = 0; i < 100; i++) await client.put("resume/a").value(i);
  const watcher = await client.watch().key("resume/a").startRevision(String(first)).create();
  const next = eventsOf(watcher);
  for (let i = 100; i < 110; i++) await client.put("resume/a").value(i);
  const expected = Array.from({ length: 110 }, (_, i) => `put resume/a=${i}`);
  assert.deepEqual(await next(110), expected);
  await watcher.cancel();
});

test("etcd3: many watchers share a stream, and one that ends leaves the others", {
  timeout: timeoutMs,
}, async () => {
  const watchers = await Promise.all(
    Array.from({ length: 20 }, (_, i) => client.watch().key(`many/${i}`).create()),
  );
  const next = watchers.map(eventsOf);
  await watchers[0]?.cancel();
  for (let i = 0; i < 20; i++) await client.put(`many/${i}`).value("x");
  for (let i = 1; i < 20; i++) assert.deepEqual(await next[i]?.(1), [`put many/${i}=x`]);
  await Promise.all(watchers.slice(1).map((watcher) => watcher.cancel()));
});

test("etcd3: a lock is held once", { timeout: timeoutMs }, async () => {
  const other = connect();
  const held = await client.lock("lock/a").ttl(5).acquire();
  await assert.rejects(other.lock("lock/a").ttl(5).acquire(), EtcdLockFailedError);
  await held.release();
  const again = await other.lock("lock/a").ttl(5).acquire();
  await again.release();
  other.close();
});

test("etcd3: an election has a leader, observers see it, and the next takes over", {
  timeout: timeoutMs,
}, async () => {
  const other = connect();
  const one = client.election("elect", 5).campaign("one");
  await one.wait();
  const observer = await other.election("elect", 5).observe();
  assert.equal(observer.leader(), "one");
  const two = other.election("elect", 5).campaign("two");
  await two.getCampaignKey();
  const proclaimed = once(observer, "change");
  await one.proclaim("one again");
  assert.deepEqual(await proclaimed, ["one again"]);
  const changed = once(observer, "change");
  await one.resign();
  await two.wait();
  assert.deepEqual(await changed, ["two"]);
  await observer.cancel();
  await two.resign();
  other.close();
});

test("etcd3: transactions in memory retry until each change counted", { timeout: timeoutMs }, async () => {
  await client.put("stm/count").value(0);
  const increment = () =>
    client.stm({ retries: 50 }).transact(async (txn) => {
      const count = Number(await txn.get("stm/count").number());
      await txn.put("stm/count").value(count + 1);
    });
  for (let round = 0; round < 5; round++) await Promise.all([increment(), increment(), increment()]);
  assert.equal(await client.get("stm/count").number(), 15);
});
