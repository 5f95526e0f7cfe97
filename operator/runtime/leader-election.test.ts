import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../lib/log.ts";
import { fencedClient } from "./fenced-client.ts";
import { LeaderElection } from "./leader-election.ts";
import { LeaseApi } from "./testing/lease-api.ts";
import { ManualClock, settled } from "./testing/manual-clock.ts";

function candidate(api: LeaseApi, clock: ManualClock, identity: string) {
  return new LeaderElection({
    client: api,
    clock,
    log: silentLogger,
    namespace: "default",
    name: "operator",
    identity,
  });
}

test("one of two acquires the Lease, and the other gets it when it is released", async () => {
  const [api, clock, signal] = [new LeaseApi(), new ManualClock(), new AbortController().signal];
  const [first, second] = [candidate(api, clock, "first"), candidate(api, clock, "second")];
  assert.equal(await first.acquire(signal), true);
  let secondLeads = false;
  void second.acquire(signal).then((leads) => {
    secondLeads = leads;
  });
  await clock.advance(5_000);
  assert.equal(secondLeads, false);
  await first.release();
  assert.equal(first.mayAct, false);
  await clock.advance(4_000);
  assert.equal(secondLeads, true);
  assert.deepEqual((api.lease as unknown as { spec: object }).spec, {
    holderIdentity: "second",
    leaseDurationSeconds: 15,
    acquireTime: "2023-11-14T22:13:26.000000Z",
    renewTime: "2023-11-14T22:13:26.000000Z",
    leaseTransitions: 1,
  });
});

test("a holder that stands still stops acting before anybody else begins", async () => {
  const [api, signal] = [new LeaseApi(), new AbortController().signal];
  const [firstClock, secondClock] = [new ManualClock(), new ManualClock()];
  const first = candidate(api, firstClock, "first");
  const second = candidate(api, secondClock, "second");
  await first.acquire(signal);
  let secondLeads = false;
  void second.acquire(signal).then((leads) => {
    secondLeads = leads;
  });
  for (let second = 0; second < 20; second++) {
    firstClock.jump(1_000);
    await secondClock.advance(1_000);
    assert.ok(!(first.mayAct && secondLeads), `both act after ${second} s`);
  }
  assert.equal(secondLeads, true);
  assert.equal(first.mayAct, false);
});

test("a holder that woke up after losing the Lease does not get a change through", async () => {
  const [api, clock, signal] = [new LeaseApi(), new ManualClock(), new AbortController().signal];
  const first = candidate(api, clock, "first");
  await first.acquire(signal);
  const fenced = fencedClient(api, first);
  clock.jump(10_000);
  await assert.rejects(fenced.request({ method: "DELETE", path: "/x" }), /this operator does not lead/);
});

test("a Lease that another clock says is old is not taken before its duration was seen to pass", async () => {
  const [api, clock, signal] = [new LeaseApi(), new ManualClock(), new AbortController().signal];
  api.lease = {
    metadata: { name: "operator", resourceVersion: "old" },
    ...{
      spec: { holderIdentity: "gone", leaseDurationSeconds: 15, renewTime: "1999-01-01T00:00:00.000000Z" },
    },
  };
  let leads = false;
  void candidate(api, clock, "second")
    .acquire(signal)
    .then((result) => {
      leads = result;
    });
  await clock.advance(14_000);
  assert.equal(leads, false);
  await clock.advance(4_000);
  assert.equal(leads, true);
});

test("renewing goes on through short failures, and says so when they last too long", async () => {
  const [api, clock] = [new LeaseApi(), new ManualClock()];
  const election = candidate(api, clock, "first");
  await election.acquire(new AbortController().signal);
  let outcome: string | undefined;
  void election.keep(new AbortController().signal).then((result) => {
    outcome = result;
  });
  api.isDown = true;
  await clock.advance(6_000);
  api.isDown = false;
  await clock.advance(60_000);
  assert.equal(outcome, undefined);
  assert.equal(election.mayAct, true);
  api.isDown = true;
  await clock.advance(13_000);
  assert.equal(outcome, "lost");
});

test("a Lease taken by another ends keeping at once", async () => {
  const [api, clock] = [new LeaseApi(), new ManualClock()];
  const election = candidate(api, clock, "first");
  await election.acquire(new AbortController().signal);
  let outcome: string | undefined;
  void election.keep(new AbortController().signal).then((result) => {
    outcome = result;
  });
  await settled();
  api.lease = {
    metadata: { name: "operator", resourceVersion: "999" },
    ...{ spec: { holderIdentity: "second", leaseDurationSeconds: 15 } },
  };
  await clock.advance(2_000);
  assert.equal(outcome, "lost");
  assert.equal(election.mayAct, false);
});
