// A store of a million keys: how long a start takes, and how much memory the member holds.
import { TestClient } from "../conformance/client.ts";
import { type Member, type MemberKind, start } from "../tools/member.ts";
import { memoryOf } from "./process.ts";
import { load } from "./workloads.ts";

export interface LargeResult {
  /** Right after the load. */
  readonly loadedMib: number;
  /** Values by what was measured, one a round. */
  readonly startMs: readonly number[];
  readonly startAfterKillMs: readonly number[];
  readonly residentMib: readonly number[];
}

const valueBytes = 256;

/** Loads `keys` once, then restarts `rounds` times each after SIGTERM and after kill -9. */
export async function measureLarge(kind: MemberKind, keys: number, rounds: number): Promise<LargeResult> {
  const first = await start({ kind });
  try {
    const client = new TestClient(first.endpoint);
    await load(client, "large/", keys, "x".repeat(valueBytes));
    client.close();
    const { residentMib: loadedMib } = await memoryOf(first);
    await first.kill();
    const again = () => start({ kind, dataDir: first.dataDir, ports: first.ports, readyTimeoutMs: 300_000 });
    const [startMs, startAfterKillMs, memory]: [number[], number[], number[]] = [[], [], []];
    await (await again()).stop();
    for (let round = 0; round < rounds; round++) {
      const afterStop = await again();
      startMs.push(afterStop.readyMs);
      memory.push(await memoryAfterCount(afterStop, keys));
      await afterStop.kill();
      const afterKill = await again();
      startAfterKillMs.push(afterKill.readyMs);
      await afterKill.stop();
    }
    return { loadedMib, startMs, startAfterKillMs, residentMib: memory };
  } finally {
    await first.stop();
  }
}

/** Resident memory once the member has counted its keys, which also proves that they are there. */
async function memoryAfterCount(member: Member, keys: number): Promise<number> {
  const client = new TestClient(member.endpoint);
  const outcome = await client.call("Range", { key: "large/", range_end: "large0", count_only: true });
  client.close();
  if (!outcome.ok || outcome.response["count"] !== BigInt(keys))
    throw new Error(
      `after a restart the member should count ${keys} keys: ${JSON.stringify(outcome, bigintText)}`,
    );
  return (await memoryOf(member)).residentMib;
}

function bigintText(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}
