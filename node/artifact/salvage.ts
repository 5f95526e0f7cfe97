// The data directory of a new cluster's first member from that of a member whose cluster lost its quorum. The old
// directory is only read: a copy of it is started as a cluster of this member alone, which applies all that its log
// holds as committed, and what that cluster then holds is restored like any snapshot.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../lib/log.ts";
import { DigestOf } from "./digest.ts";
import { FileStore } from "./file-store.ts";
import { type Bootstrapped, type FirstMemberOptions, formFirstMember } from "./first-member.ts";
import { MemberClient } from "./member-client.ts";

export interface SalvageOptions extends FirstMemberOptions {
  /** The data directory of the member that is left. */
  readonly from: string;
  /** How this program is started. */
  readonly command: readonly [string, ...string[]];
}

/** Opening a large log takes a while. */
const startTimeoutMs = 600_000;
const pollMs = 200;

/** Rejects with an Error that says why not, and the data directory is empty then. */
export function salvage(options: SalvageOptions): Promise<Bootstrapped> {
  return formFirstMember(options, async (folder) => {
    const data = join(folder, "data");
    await cp(options.from, data, { recursive: true, errorOnExist: true });
    const path = join(folder, "snapshot.db");
    return { path, digest: await snapshotOf(data, path, options), skipHashCheck: false };
  });
}

async function snapshotOf(data: string, file: string, { command, log }: SalvageOptions) {
  const [client, peer] = await freePorts();
  const [clientUrl, peerUrl] = [`http://127.0.0.1:${client}`, `http://127.0.0.1:${peer}`];
  const [program, ...first] = command;
  const member = spawn(
    program,
    [
      ...[...first, "--name=salvage", `--data-dir=${data}`, "--force-new-cluster"],
      ...[`--listen-client-urls=${clientUrl}`, `--advertise-client-urls=${clientUrl}`],
      ...[`--listen-peer-urls=${peerUrl}`, `--initial-advertise-peer-urls=${peerUrl}`],
      `--initial-cluster=salvage=${peerUrl}`,
      // Its last words are not those of this command.
      `--termination-log=${join(data, "..", "last-words")}`,
    ],
    { stdio: ["ignore", "inherit", "inherit"], env: { PATH: process.env["PATH"] ?? "" } },
  );
  const ended = once(member, "exit").then(([code, signal]) => {
    throw new Error(`the member that is left does not start alone: it ended with ${code ?? signal}`);
  });
  try {
    const asking = new MemberClient(clientUrl, undefined);
    try {
      await Promise.race([untilLeading(asking, log), ended]);
      const digest = new DigestOf();
      await Promise.race([new FileStore(file).write(digest.through(asking.snapshot())), ended]);
      return digest.result();
    } finally {
      asking.close();
    }
  } finally {
    ended.catch(() => {});
    const isGone = member.exitCode === null && member.signalCode === null ? once(member, "exit") : undefined;
    member.kill("SIGKILL");
    await isGone;
  }
}

async function untilLeading(client: MemberClient, log: Logger): Promise<void> {
  const deadline = performance.now() + startTimeoutMs;
  for (;;) {
    const status = await client.status().catch((error: Error) => error);
    if (!(status instanceof Error) && status.isLeader) return;
    if (performance.now() > deadline) {
      throw new Error(`the member that is left does not lead alone within ${startTimeoutMs / 1000} s`);
    }
    log.debug("waiting for the member that is left", { status: String(status) });
    await sleep(pollMs);
  }
}

async function freePorts(): Promise<readonly [number, number]> {
  const servers = [createServer(), createServer()] as const;
  const ports = await Promise.all(
    servers.map(async (server) => {
      await once(server.listen(0, "127.0.0.1"), "listening");
      return (server.address() as { port: number }).port;
    }),
  );
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports as unknown as readonly [number, number];
}
