// A large store defragmented while clients write: how long writes stand still, what it needs on the disk, what it gives
// back. Once with nothing to give back, once after nine tenths were deleted and compacted.
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { TestClient } from "../conformance/client.ts";
import type { Message } from "../conformance/messages.ts";
import { type Member, type MemberKind, start } from "../tools/member.ts";
import { type PutFigures, Puts } from "./puts.ts";
import { load, revisionOf } from "./workloads.ts";

const valueBytes = 1_000;
const prefix = "bulk/";
/** For what takes long on a store of this size. */
const patienceMs = 600_000;
const lookMs = 20;
const settleMs = 1_000;
const flags = ["--quota-backend-bytes", String(8 * 1024 * 1024 * 1024), "--max-txn-ops", "1000"];

export interface Defragmented extends PutFigures {
  readonly tookMs: number;
  /** Most space that files took beyond what they took before, over the size of the store. */
  readonly spaceNeeded: number;
  /** Size of the store over what is in use of it, afterwards. */
  readonly sizeOverInUse: number;
}

/** Figures by what was defragmented. Throws where a hash changed. */
export async function measureDefragmentation(
  kind: MemberKind,
  storeBytes: number,
): Promise<Readonly<{ compactMs: number; full: Defragmented; trimmed: Defragmented }>> {
  const keys = Math.ceil(storeBytes / (valueBytes + 100));
  const member = await start({ kind, flags });
  const client = new TestClient(member.endpoint, patienceMs);
  try {
    await load(client, prefix, keys, "x".repeat(valueBytes));
    const full = await defragment(member, client);
    const range_end = `${prefix}${String(Math.floor(keys * 0.9)).padStart(9, "0")}`;
    await call(client, "DeleteRange", { key: prefix, range_end });
    const revision = await revisionOf(client);
    const startedMs = performance.now();
    await call(client, "Compact", { revision, physical: true });
    const compactMs = performance.now() - startedMs;
    return { compactMs, full, trimmed: await defragment(member, client) };
  } finally {
    client.close();
    await member.stop();
  }
}

async function defragment(member: Member, client: TestClient): Promise<Defragmented> {
  await call(client, "Put", { key: "behind", value: "x" });
  const revision = await revisionOf(client);
  const hash = await hashAt(client, revision);
  await delay(settleMs);
  const sizeBefore = Number((await call(client, "Status", {}))["dbSize"]);
  const diskBefore = await diskBytes(member.dataDir);
  const puts = new Puts(member);
  const disk = new DiskWatch(member.dataDir);
  await delay(settleMs);
  const startedMs = performance.now();
  await call(client, "Defragment", {});
  const tookMs = performance.now() - startedMs;
  await delay(lookMs);
  const written = await puts.stop();
  const spaceNeeded = ((await disk.stop()) - diskBefore) / sizeBefore;
  const status = await call(client, "Status", {});
  if ((await hashAt(client, revision)) !== hash) throw new Error("the defragmentation changed the hash");
  const sizeOverInUse = Number(status["dbSize"]) / Number(status["dbSizeInUse"]);
  return { tookMs, ...written, spaceNeeded, sizeOverInUse };
}

/** The most that a folder's files take, looked at again and again. */
class DiskWatch {
  readonly #watching: Promise<number>;
  #isStopped = false;

  constructor(folder: string) {
    this.#watching = this.#watch(folder);
  }

  async #watch(folder: string): Promise<number> {
    let most = 0;
    while (!this.#isStopped) {
      most = Math.max(most, await diskBytes(folder));
      await delay(lookMs);
    }
    return most;
  }

  stop(): Promise<number> {
    this.#isStopped = true;
    return this.#watching;
  }
}

/** Blocks that the files of a folder hold. Files may come and go meanwhile. */
async function diskBytes(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = await stat(join(entry.parentPath, entry.name)).catch(() => undefined);
    bytes += (file?.blocks ?? 0) * 512;
  }
  return bytes;
}

async function hashAt(client: TestClient, revision: number): Promise<unknown> {
  return (await call(client, "HashKV", { revision }))["hash"];
}

async function call(client: TestClient, method: string, request: object): Promise<Message> {
  const outcome = await client.call(method, request as never);
  if (!outcome.ok) throw new Error(`${method}: ${outcome.text}`);
  return outcome.response;
}
