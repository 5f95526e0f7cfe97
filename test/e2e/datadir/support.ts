// Data directories of real members, and what a member says of its whole state.

import { createHash } from "node:crypto";
import { cp, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { must } from "../../../node/lib/assert.ts";
import { TestClient } from "../../conformance/client.ts";
import type { Message } from "../../conformance/messages.ts";
import { type Member, type MemberOptions, start } from "../../tools/member.ts";
import { allKeys, etcdctl, hashKv, leaseText, makeHistory } from "../snapshot/support.ts";
import { type Finished, runCommand } from "../support/command.ts";
import { eventually, succeed } from "../support/kv.ts";
import { freePort } from "../support/scratch.ts";

/** A busy machine takes its time. */
const readyTimeoutMs = 90_000;
const commandTimeoutMs = 120_000;

/** Runs a command on files to its end. */
export function offline(...args: readonly string[]): Promise<Finished> {
  return runCommand(args, { timeoutMs: commandTimeoutMs });
}

/** All that must be the same when a member goes on under another program. */
export interface MemberState {
  readonly hashKv: string;
  /** Over everything: keys, leases, alarms, members, configuration. */
  readonly hash: string;
  readonly keys: string;
  readonly lease: string;
  readonly alarms: string;
  readonly members: string;
  readonly clusterId: string;
}

export async function startOn(
  t: TestContext,
  options: MemberOptions & { readonly dataDir: string },
): Promise<Member> {
  const member = await start({ readyTimeoutMs, ...options });
  t.after(() => member.stop());
  return member;
}

/** `lease`: hexadecimal, one of `makeHistory`. */
export async function stateOf(member: Member, lease: string): Promise<MemberState> {
  const client = new TestClient(member.endpoint);
  try {
    const { header } = await succeed(client, "Status", {});
    return {
      hashKv: await hashKv(member),
      hash: String((await succeed(client, "Hash", {}))["hash"]),
      keys: await allKeys(member),
      lease: (await leaseText(member, lease)).replace(/keys\(\[(.*)\]\)/, (_all, keys: string) =>
        // A real etcd lists them in the order of a Go map.
        keys.split(" ").sort().join(" "),
      ),
      alarms: await etcdctl(member, "alarm", "list"),
      members: await etcdctl(member, "member", "list"),
      clusterId: String((header as Message)["cluster_id"]),
    };
  } finally {
    client.close();
  }
}

/** A version is decided some time after the start, and stored. */
export async function clusterVersionIs(member: Member, version: string): Promise<void> {
  await eventually(
    `cluster version ${version}`,
    async () => {
      const response = await fetch(`${member.clientUrl}/version`);
      return ((await response.json()) as { etcdcluster?: string }).etcdcluster === version;
    },
    60_000,
  );
}

/** What `makeHistory` does, and an alarm behind it. */
export async function fill(member: Member): Promise<string> {
  const { lease } = await makeHistory(member);
  const client = new TestClient(member.endpoint);
  const alarm = { action: 1, alarm: 1, memberID: memberId(await succeed(client, "Status", {})) };
  await succeed(client, "Alarm", alarm);
  client.close();
  return lease;
}

function memberId(status: Message): bigint {
  return BigInt(String(must((status["header"] as Message)["member_id"], "a header names the member")));
}

export function copyOf(dataDir: string, to: string): Promise<string> {
  return cp(dataDir, to, { recursive: true, preserveTimestamps: true }).then(() => to);
}

/** A sum over every file below a folder, by path. */
export async function sums(folder: string): Promise<ReadonlyMap<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const found = new Map<string, string>();
  for (const file of files.sort()) {
    const sum = createHash("sha256")
      .update(await readFile(file))
      .digest("hex");
    found.set(file.slice(folder.length + 1), sum);
  }
  return found;
}

/** The original's files: our lock is a file of its own. */
export function without(names: readonly string[], files: ReadonlyMap<string, string>): unknown {
  return [...files].filter(([name]) => !names.includes(name));
}

/** Runs etcdlike on a directory where it is expected to end by itself. */
export async function runOn(dataDir: string, ...flags: readonly string[]): Promise<Finished> {
  const [client, peer] = [await freePort(), await freePort()].map((port) => `http://127.0.0.1:${port}`);
  return runCommand(
    [
      ...["--data-dir", dataDir, "--listen-client-urls", `${client}`, "--advertise-client-urls", `${client}`],
      ...["--listen-peer-urls", `${peer}`, "--termination-log", join(dataDir, "..", "last-words"), ...flags],
    ],
    { timeoutMs: commandTimeoutMs },
  );
}
