// Kill -9 under load, and a check that every acknowledged put is there with the revision it was told.
import { TestClient } from "../conformance/client.ts";
import type { Message } from "../conformance/messages.ts";
import { type MemberKind, start } from "../tools/member.ts";
import { revisionOf } from "./workloads.ts";

export interface CrashResult {
  readonly acknowledged: number;
  readonly lost: readonly string[];
  /** The highest revision acknowledged, and the revision after the restart. */
  readonly acknowledgedRevision: number;
  readonly revision: number;
  readonly restartMs: number;
}

const lanes = 64;
const pageKeys = 10_000;

export async function killUnderLoad(kind: MemberKind, loadMs: number): Promise<CrashResult> {
  const first = await start({ kind });
  const acknowledged = new Map<string, number>();
  let isDead = false;
  try {
    const client = new TestClient(first.endpoint);
    const lane = async (id: number) => {
      for (let i = 0; !isDead; i++) {
        const key = `crash/${id}/${i}`;
        const outcome = await client.call("Put", { key, value: key });
        if (!outcome.ok) return;
        acknowledged.set(key, Number((outcome.response["header"] as Message)["revision"]));
      }
    };
    const writing = Promise.all(Array.from({ length: lanes }, (_, id) => lane(id)));
    await new Promise((resolve) => setTimeout(resolve, loadMs));
    await first.kill();
    isDead = true;
    await writing;
    client.close();

    const second = await start({ kind, dataDir: first.dataDir, ports: first.ports });
    const reader = new TestClient(second.endpoint);
    const stored = await readAll(reader);
    const revision = await revisionOf(reader);
    reader.close();
    await second.stop();
    const lost = [...acknowledged].filter(([key, at]) => stored.get(key) !== at).map(([key]) => key);
    const acknowledgedRevision = Math.max(0, ...acknowledged.values());
    return {
      acknowledged: acknowledged.size,
      lost,
      acknowledgedRevision,
      revision,
      restartMs: second.readyMs,
    };
  } finally {
    await first.stop();
  }
}

/** Every key with its revision, a page at a time. */
async function readAll(client: TestClient): Promise<Map<string, number>> {
  const stored = new Map<string, number>();
  for (let key = "crash/"; ; ) {
    const outcome = await client.call("Range", { key, range_end: "crash0", limit: pageKeys });
    if (!outcome.ok) throw new Error(`reading back: ${outcome.text}`);
    const kvs = (outcome.response["kvs"] ?? []) as unknown as readonly Message[];
    for (const kv of kvs)
      stored.set(Buffer.from(kv["key"] as Uint8Array).toString("latin1"), Number(kv["mod_revision"]));
    if (outcome.response["more"] !== true) return stored;
    key = `${Buffer.from(kvs.at(-1)?.["key"] as Uint8Array).toString("latin1")}\0`;
  }
}
