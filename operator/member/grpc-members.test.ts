import assert from "node:assert/strict";
import { test } from "node:test";
import { alarmsOf, GrpcMembers, reasonOf } from "./grpc-members.ts";
import { MemberError } from "./port.ts";

test("alarms are read from the texts of a status", () => {
  assert.deepEqual(alarmsOf(["memberID:10501334649042878790 alarm:NOSPACE ", "etcdserver: no leader"]), [
    { memberId: "91bc3c398fb3c146", alarm: "NOSPACE" },
  ]);
});

test("the reason why a member does not answer keeps still while nothing changes", () => {
  const deadline = (seconds: string) =>
    reasonOf(new MemberError(4, `Deadline exceeded after ${seconds}s,LB pick: 0.001s`, "Maintenance/Status"));
  assert.equal(deadline("5.003"), "no answer within 5 s");
  assert.equal(deadline("5.007"), deadline("5.003"));
  assert.equal(
    reasonOf(new MemberError(14, "No connection established. Last error: x", "y")),
    "it cannot be reached",
  );
  assert.equal(reasonOf(new MemberError(9, "etcdserver: not leader", "y")), "etcdserver: not leader");
});

test("a member that nobody listens for is an answer, not an error", async (t) => {
  const members = new GrpcMembers();
  t.after(() => members.close());
  assert.deepEqual(await members.ask({ address: "127.0.0.1:1" }), {
    probe: { isAnswered: false, error: "it cannot be reached" },
  });
});

test("what was done by an attempt whose answer was lost is told apart from what has to wait", () => {
  const refusal = (text: string) => new MemberError(9, text, "x");
  assert.equal(refusal("etcdserver: member not found").isDoneAlready, true);
  assert.equal(refusal("etcdserver: Peer URLs already exists").isDoneAlready, true);
  assert.equal(refusal("etcdserver: member ID already exist").isDoneAlready, true);
  assert.equal(refusal("etcdserver: can only promote a learner member").isDoneAlready, true);
  const notInSync = refusal("etcdserver: can only promote a learner member which is in sync with leader");
  assert.equal(notInSync.isDoneAlready, false);
  assert.equal(notInSync.isNotInSync, true);
  assert.equal(refusal("etcdserver: unhealthy cluster").isUnhealthyCluster, true);
});
