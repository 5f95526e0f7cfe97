// One answer of 200 MiB while clients write: how far the member's memory grows for it, and how long puts wait.
import { writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { TestClient } from "../conformance/client.ts";
import { type MemberKind, start } from "../tools/member.ts";
import { h2loadLatencies } from "./load.ts";
import { memoryOf } from "./process.ts";
import { type PutFigures, Puts } from "./puts.ts";
import { load } from "./workloads.ts";

const prefix = "long/";
const valueBytes = 1_024;
const settleMs = 2_000;
const quietMs = 3_000;

export interface LongRange extends PutFigures {
  readonly tookMs: number;
  /** What the member's memory grew by at most, over the bytes of the values. */
  readonly memoryOverAnswer: number;
  /** The same puts with no range beside them. */
  readonly quietPutP99Ms: number;
}

export async function measureLongRange(kind: MemberKind, answerBytes: number): Promise<LongRange> {
  const member = await start({ kind });
  try {
    const client = new TestClient(member.endpoint);
    await load(client, prefix, answerBytes / valueBytes, "x".repeat(valueBytes));
    client.close();
    await delay(settleMs);
    const quietPuts = new Puts(member);
    await delay(quietMs);
    const { putP99Ms: quietPutP99Ms } = await quietPuts.stop();
    const puts = new Puts(member);
    await delay(settleMs);
    // The peak begins anew.
    await writeFile(`/proc/${member.pid}/clear_refs`, "5");
    const before = await memoryOf(member);
    const request = { key: prefix, range_end: "long0" };
    const call = { path: "/etcdserverpb.KV/Range", type: "RangeRequest", request };
    const { meanMs: tookMs } = await h2loadLatencies(member, call, 1, { connections: 1, streams: 1 });
    const { peakMib } = await memoryOf(member);
    const memoryOverAnswer = ((peakMib - before.residentMib) * 1024 * 1024) / answerBytes;
    return { tookMs, memoryOverAnswer, quietPutP99Ms, ...(await puts.stop()) };
  } finally {
    await member.stop();
  }
}
