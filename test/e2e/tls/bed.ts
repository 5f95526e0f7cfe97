// Members over TLS with certificates made for the test, and what is asked of them.
import { execFile } from "node:child_process";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { Authority, type IssuedPair } from "../../../node/tls/testing/authority.ts";
import { freePorts, type Member, type MemberKind, type MemberOptions, start } from "../../tools/member.ts";
import { toolPath } from "../../tools/toolchain.ts";
import { scratchFolder } from "../support/scratch.ts";

const run = promisify(execFile);
const readyTimeoutMs = 90_000;
const commandTimeoutMs = 60_000;

export interface Bed {
  readonly folder: string;
  readonly ca: Authority;
  readonly server: IssuedPair;
  readonly client: IssuedPair;
}

export async function makeBed(t: TestContext): Promise<Bed> {
  const folder = await scratchFolder(t);
  const ca = await Authority.create(folder);
  return {
    folder,
    ca,
    server: await ca.issue({ name: "server", hosts: ["127.0.0.1"] }),
    client: await ca.issue({ name: "client" }),
  };
}

/** Both sides ask for certificates. */
export function secureFlags({
  ca,
  server,
}: {
  readonly ca: Pick<Authority, "caFile">;
  readonly server: IssuedPair;
}): readonly string[] {
  return [
    ...["--cert-file", server.certFile, "--key-file", server.keyFile],
    ...["--trusted-ca-file", ca.caFile, "--client-cert-auth"],
    ...["--peer-cert-file", server.certFile, "--peer-key-file", server.keyFile],
    ...["--peer-trusted-ca-file", ca.caFile, "--peer-client-cert-auth"],
  ];
}

export interface SecureMember extends Member {
  /** Ends it with SIGKILL and starts it on its data, with its flags. */
  again(): Promise<void>;
}

/** A cluster on https URLs; ends with the test. */
export async function startSecure(
  t: TestContext,
  kinds: readonly MemberKind[],
  flagsOf: (i: number) => readonly string[],
): Promise<readonly SecureMember[]> {
  const ports = await Promise.all(kinds.map(() => freePorts()));
  const initial = ports.map(({ peer }, i) => `m${i}=https://127.0.0.1:${peer}`).join(",");
  const starting = kinds.map((kind, i) => {
    const { client, peer } = ports[i] as (typeof ports)[number];
    const clientUrl = `https://127.0.0.1:${client}`;
    const peerUrl = `https://127.0.0.1:${peer}`;
    return startAgainable(t, {
      kind,
      ports: { client, peer },
      readyTimeoutMs,
      flags: [
        ...["--name", `m${i}`, "--initial-cluster", initial],
        ...["--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl],
        ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
        ...flagsOf(i),
      ],
    });
  });
  const started = await Promise.allSettled(starting);
  const members = started.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  for (const one of started) if (one.status === "rejected") throw one.reason;
  return members;
}

async function startAgainable(t: TestContext, options: MemberOptions): Promise<SecureMember> {
  const member = await start(options);
  const runs = [member];
  t.after(async () => {
    for (const run of runs) await run.kill();
    // What they left behind goes.
    for (const run of runs) await run.stop();
  });
  return {
    ...member,
    async again() {
      for (const run of runs) await run.kill();
      runs.push(await start({ ...options, dataDir: member.dataDir }));
    },
  };
}

/** What a client presents, and whom it trusts. */
export interface Identity {
  readonly ca?: string;
  readonly pair?: IssuedPair;
}

export async function etcdctl(endpoint: string, identity: Identity, ...argv: string[]): Promise<string> {
  const { ca, pair } = identity;
  const trust = ca === undefined ? ["--insecure-skip-tls-verify"] : ["--cacert", ca];
  const own = pair === undefined ? [] : ["--cert", pair.certFile, "--key", pair.keyFile];
  const flags = ["--endpoints", endpoint, "--command-timeout", "30s", ...trust, ...own];
  const { stdout } = await run(await toolPath("etcdctl"), [...flags, ...argv], { timeout: commandTimeoutMs });
  return stdout;
}

/** Whether etcdctl is let in, with a deadline that a refusal has to wait out. */
export async function isLetIn(endpoint: string, identity: Identity): Promise<boolean> {
  try {
    await etcdctl(endpoint, identity, "--command-timeout", "3s", "get", "key");
    return true;
  } catch {
    return false;
  }
}

/** What curl prints. Rejects when it was refused. */
export async function curl(identity: Identity, ...argv: string[]): Promise<string> {
  const { ca, pair } = identity;
  const trust = ca === undefined ? ["--insecure"] : ["--cacert", ca];
  const own = pair === undefined ? [] : ["--cert", pair.certFile, "--key", pair.keyFile];
  const { stdout } = await run("curl", [
    "--silent",
    "--show-error",
    "--max-time",
    "20",
    ...trust,
    ...own,
    ...argv,
  ]);
  return stdout;
}
