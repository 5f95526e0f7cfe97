// Members, tools and histories for the snapshot tests.

import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { type Member, type MemberOptions, start } from "../../tools/member.ts";
import { toolPath } from "../../tools/toolchain.ts";
import { binPath, nodePath } from "../support/command.ts";

const run = promisify(execFile);
const timeoutMs = 60_000;

export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function scratch(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "etcdlike-snapshot-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export async function startMember(t: TestContext, options: MemberOptions): Promise<Member> {
  const member = await start(options);
  t.after(() => member.kill());
  return member;
}

/** Runs one of etcd's tools; its standard output. Rejects when it fails. */
export async function tool(name: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await run(await toolPath(name), args, { maxBuffer: 1 << 28, timeout: timeoutMs });
  return stdout;
}

export function etcdctl(member: Member, ...args: readonly string[]): Promise<string> {
  return tool("etcdctl", "--endpoints", member.endpoint, ...args);
}

/** Runs `etcdlike snapshot`, whatever its end. */
export async function etcdlikeSnapshot(...args: readonly string[]): Promise<Output> {
  try {
    const { stdout, stderr } = await run(nodePath, [binPath, "snapshot", ...args], { timeout: timeoutMs });
    return { code: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as Output;
    return { code, stdout, stderr };
  }
}

/** "HASH, REVISION" at a revision, 0 for the current one. */
export async function hashKv(member: Member, revision = 0): Promise<string> {
  const line = await etcdctl(member, "endpoint", "hashkv", "--rev", String(revision));
  return line.trim().split(", ").slice(1).join(", ");
}

/** Every key with its value, revisions and lease, as one text. */
export function allKeys(member: Member): Promise<string> {
  return etcdctl(member, "get", "", "--from-key", "-w", "json").then((text) =>
    JSON.stringify((JSON.parse(text) as { kvs?: unknown }).kvs ?? []),
  );
}

export interface History {
  /** Hexadecimal. */
  readonly lease: string;
}

/** Puts, overwrites, deletes, a compaction, a lease with keys, long keys and large values. */
export async function makeHistory(member: Member): Promise<History> {
  for (let i = 0; i < 30; i++) await etcdctl(member, "put", `key${i % 12}`, `value${i}`);
  await etcdctl(member, "put", "long/".repeat(900), "of a long key");
  await etcdctl(member, "put", "large", "x".repeat(100_000));
  await etcdctl(member, "del", "key3");
  await etcdctl(member, "compact", "20");
  const granted = await etcdctl(member, "lease", "grant", "3000");
  const lease = /lease ([0-9a-f]+) granted/.exec(granted)?.[1] ?? "";
  await etcdctl(member, "put", "leased1", "a", `--lease=${lease}`);
  await etcdctl(member, "put", "leased2", "b", `--lease=${lease}`);
  await etcdctl(member, "put", "leased2", "no more");
  await etcdctl(member, "del", "key5");
  return { lease };
}

export async function leaseText(member: Member, lease: string): Promise<string> {
  const text = await etcdctl(member, "lease", "timetolive", "--keys", lease);
  return text.replace(/remaining\(\d+s\)/, "remaining");
}
