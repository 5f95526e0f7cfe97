// The version of the cluster and its downgrade.

import { must } from "../../../node/lib/assert.ts";
import type { Message } from "../messages.ts";
import type { ClusterGroup, ClusterRun } from "./run.ts";

/** From the peer port, as members ask each other. */
async function peerText(t: ClusterRun, i: number, path: string): Promise<string> {
  const response = await fetch(`${t.cluster.member(i).peerUrl}${path}`);
  return `${response.status} ${(await response.text()).trimEnd()}`;
}

async function clusterVersion(t: ClusterRun, i: number): Promise<string> {
  const text = await peerText(t, i, "/version");
  return /"etcdcluster":"([^"]*)"/.exec(text)?.[1] ?? text;
}

/** etcd notes it a moment after the cluster version. */
async function storageVersion(t: ClusterRun, version: string): Promise<void> {
  await t.eventually(`storage version ${version}`, async () => {
    const all = await Promise.all(t.cluster.members.map((one) => t.ask(one, "Status", {})));
    return all.every((status) => status["storageVersion"] === version);
  });
}

async function recordStatus(t: ClusterRun): Promise<void> {
  for (const member of t.cluster.members) {
    const { version, storageVersion, downgradeInfo, errors, isLearner } = await t.ask(member, "Status", {});
    const info = downgradeInfo as Message | undefined;
    t.record(
      `status: ${isRelease(version)} ${storageVersion} ${JSON.stringify(info)} ${errors} ${isLearner}`,
    );
  }
}

function isRelease(version: unknown): string {
  return /^3\.6\.\d+$/.test(String(version)) ? "3.6" : String(version);
}

export const versionCases: ClusterGroup = {
  name: "versions",
  cases: [
    {
      name: "three members come to the same version",
      async run(t) {
        for (let i = 0; i < 3; i++) {
          await t.eventually("the cluster version", async () => (await clusterVersion(t, i)) === "3.6.0");
          t.record(await clusterVersion(t, i));
        }
        await storageVersion(t, "3.6.0");
        await recordStatus(t);
      },
    },
    {
      name: "a downgrade goes one minor version down, and only one at a time",
      async run(t) {
        const { followers } = await t.roles();
        const member = must(followers[0], "there are followers");
        for (const version of ["", "x", "3", "3.x", "3.5.0.0", "v3.5"]) {
          await t.call(member, "Downgrade", { action: "VALIDATE", version });
        }
        for (const version of ["3.4", "3.4.0", "3.6", "3.7", "2.5", "4.5"]) {
          await t.call(member, "Downgrade", { action: "VALIDATE", version });
          await t.call(member, "Downgrade", { action: "ENABLE", version });
        }
        for (const version of ["3.5", "3.5.0", "3.5.14"]) {
          await t.call(member, "Downgrade", { action: "VALIDATE", version });
        }
        await t.call(member, "Downgrade", { action: "CANCEL" });
        await t.call(member, "Downgrade", { action: 9 });
        t.record(await peerText(t, 0, "/downgrade/enabled"));
      },
    },
    {
      name: "an enabled downgrade lowers the cluster version, and its end raises it again",
      async run(t) {
        const { leader, followers } = await t.roles();
        const member = must(followers[0], "there are followers");
        await t.call(member, "Downgrade", { action: "ENABLE", version: "3.5" });
        for (let i = 0; i < 3; i++) {
          await t.eventually("the lower version", async () => (await clusterVersion(t, i)) === "3.5.0");
          t.record(await peerText(t, i, "/downgrade/enabled"));
        }
        await t.call(leader, "Downgrade", { action: "ENABLE", version: "3.5" });
        await t.call(leader, "Downgrade", { action: "ENABLE", version: "3.4" });
        await t.call(leader, "Downgrade", { action: "VALIDATE", version: "3.4" });
        await storageVersion(t, "3.5.0");
        await recordStatus(t);
        await t.call(member, "Downgrade", { action: "CANCEL" });
        for (let i = 0; i < 3; i++) {
          await t.eventually("the higher version", async () => (await clusterVersion(t, i)) === "3.6.0");
          t.record(await peerText(t, i, "/downgrade/enabled"));
        }
        await storageVersion(t, "3.6.0");
        await recordStatus(t);
      },
    },
  ],
};
