// The operator's calls to members, to a real etcd and to ours: what it decides from has to read the same in both.
import assert from "node:assert/strict";
import { test } from "node:test";
import { GrpcMembers } from "../../operator/member/grpc-members.ts";
import { type MemberKind, start } from "../tools/member.ts";
import { eventually } from "./support/eventually.ts";

for (const kind of ["etcd", "etcdlike"] satisfies readonly MemberKind[]) {
  test(`${kind} tells who it is, takes a learner and lets it go`, async (t) => {
    const member = await start({ kind });
    const members = new GrpcMembers();
    t.after(async () => {
      members.close();
      await member.stop();
    });
    const address = member.endpoint;
    const { probe, roster } = await members.ask(address);
    assert.ok(probe.isAnswered);
    assert.ok(roster);
    assert.match(probe.version, /^3\.6\./);
    assert.deepEqual(
      [probe.leaderId, probe.isLearner, probe.isParticipating, probe.raftIndex > 0, probe.dbSizeBytes > 0],
      [probe.memberId, false, true, true, true],
    );
    assert.equal(roster.clusterId, probe.clusterId);
    assert.deepEqual(roster.members, [
      { id: probe.memberId, name: "default", peerUrl: member.peerUrl, isLearner: false },
    ]);

    const peerUrl = "http://127.0.0.1:1";
    // etcd counts itself as connected only some seconds after its start.
    await eventually("the learner is taken", async () => {
      try {
        await members.addLearner(address, peerUrl);
        return true;
      } catch (error) {
        if (String(error).includes("unhealthy cluster")) return false;
        throw error;
      }
    });
    const added = (await members.ask(address)).roster?.members.find((one) => one.peerUrl === peerUrl);
    assert.deepEqual([added?.name, added?.isLearner], ["", true]);
    await assert.rejects(members.addLearner(address, peerUrl), { isDoneAlready: true });
    const id = added?.id ?? "";
    await assert.rejects(members.promote(address, id), { isNotInSync: true });
    await members.remove(address, id);
    await assert.rejects(members.remove(address, id), { isDoneAlready: true });
    assert.equal((await members.ask(address)).roster?.members.length, 1);
  });
}
