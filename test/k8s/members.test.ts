// The operator's calls to members, to a real etcd and to ours: what it decides from has to read the same in both.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { GrpcMembers } from "../../operator/member/grpc-members.ts";
import { createPki } from "../../operator/pki/issuer.ts";
import { freePort } from "../e2e/support/scratch.ts";
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
    const at = { address: member.endpoint };
    const { probe, roster } = await members.ask(at);
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
        await members.addLearner(at, peerUrl);
        return true;
      } catch (error) {
        if (String(error).includes("unhealthy cluster")) return false;
        throw error;
      }
    });
    const added = (await members.ask(at)).roster?.members.find((one) => one.peerUrl === peerUrl);
    assert.deepEqual([added?.name, added?.isLearner], ["", true]);
    await assert.rejects(members.addLearner(at, peerUrl), { isDoneAlready: true });
    const id = added?.id ?? "";
    await assert.rejects(members.promote(at, id), { isNotInSync: true });
    await members.remove(at, id);
    await assert.rejects(members.remove(at, id), { isDoneAlready: true });
    assert.equal((await members.ask(at)).roster?.members.length, 1);

    assert.ok(probe.dbQuotaBytes > probe.dbSizeBytes);
    assert.deepEqual(await members.defragment(at), { isOver: true });
    await members.disarmNoSpace(at, probe.memberId);
  });
}

for (const kind of ["etcd", "etcdlike"] satisfies readonly MemberKind[]) {
  test(`${kind} that demands certificates is asked by name with one of its authority`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "etcdlike-members-"));
    t.after(() => rm(folder, { recursive: true }));
    const pki = createPki();
    const validity = { notBeforeMs: Date.now() - 60_000, notAfterMs: Date.now() + 3_600_000 };
    const [authority, other] = [
      await pki.makeAuthority("one", validity),
      await pki.makeAuthority("other", validity),
    ];
    // As in a Pod: the address that is dialled is in no certificate.
    const serverName = "c-0.c-peer.default.svc";
    const server = await pki.issue(authority, { commonName: "c-0", hosts: [serverName], ...validity });
    const operator = await pki.issue(authority, { commonName: "operator", hosts: [], ...validity });
    const stranger = await pki.issue(other, { commonName: "operator", hosts: [], ...validity });
    const path = (name: string) => join(folder, name);
    await writeFile(path("tls.crt"), server.certPem);
    await writeFile(path("tls.key"), server.keyPem);
    await writeFile(path("ca.crt"), authority.certPem);
    const ports = { client: await freePort(), peer: await freePort() };
    const url = `https://127.0.0.1:${ports.client}`;
    const member = await start({
      kind,
      ports,
      flags: [
        ...["--listen-client-urls", url, "--advertise-client-urls", url],
        ...["--cert-file", path("tls.crt"), "--key-file", path("tls.key")],
        ...["--trusted-ca-file", path("ca.crt"), "--client-cert-auth=true"],
      ],
    });
    const members = new GrpcMembers();
    t.after(async () => {
      members.close();
      await member.stop();
    });
    const ask = async (shown: typeof operator, caPem: string, name: string) => {
      const tls = { caPem, certPem: shown.certPem, keyPem: shown.keyPem, serverName: name };
      return (await members.ask({ address: member.endpoint, tls })).probe.isAnswered;
    };
    assert.equal(await ask(operator, authority.certPem, serverName), true);
    assert.equal(await ask(operator, other.certPem + authority.certPem, serverName), true);
    assert.equal(await ask(operator, other.certPem, serverName), false, "another authority's server");
    assert.equal(await ask(operator, authority.certPem, "c-1.c-peer.default.svc"), false, "another name");
    assert.equal(await ask(stranger, authority.certPem, serverName), false, "another authority's client");
    assert.equal((await members.ask({ address: member.endpoint })).probe.isAnswered, false, "clear text");
  });
}
